"""Tilewright: a compiler for deep-learning primitives written in index notation."""
