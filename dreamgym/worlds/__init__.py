"""Descriptions of real worlds, one folder each."""
