"""The golden corpus: micro-kernels, the devices that run them, and recordings of what came out."""
