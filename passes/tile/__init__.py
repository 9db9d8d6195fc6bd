"""Passes on the neutral tile level (dialect tile)."""
