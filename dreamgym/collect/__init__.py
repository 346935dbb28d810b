"""Recording real episodes with a world's players and controllers."""
