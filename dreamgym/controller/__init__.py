"""C: acting on what V and M make of the world."""
