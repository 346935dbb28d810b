"""Evolving a controller in the dream."""
