"""Episodes on disk, encoded episodes, and which seeds are for what."""
