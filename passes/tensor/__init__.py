"""Passes on the tensor level (dialect tw)."""
