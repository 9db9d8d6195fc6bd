"""The MLIR seam, the two dialects and what can be asked of them."""
