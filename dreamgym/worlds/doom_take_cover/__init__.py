"""Doom Take Cover: dodge fireballs for as long as possible (ViZDoom; the second world of the paper)."""
