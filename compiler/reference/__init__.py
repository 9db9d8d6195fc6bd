"""The meaning of a typed kernel in NumPy float64 with a running error bound; it shares no code with any pass."""
