"""What the library's kernels compute, written by hand in NumPy float64; nothing here sees the language."""
