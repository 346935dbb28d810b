"""Driving by hand: keys as data, the screen, the loop."""
