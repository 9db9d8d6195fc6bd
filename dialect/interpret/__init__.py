"""NumPy meaning of the two levels above the fork."""
