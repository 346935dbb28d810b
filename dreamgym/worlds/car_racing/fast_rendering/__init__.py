"""CarRacing's own pictures, byte for byte, in a fraction of the time."""
