"""Runs what was compiled; imports no MLIR."""
