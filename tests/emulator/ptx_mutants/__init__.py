"""Mutation of PTX kernels: the edits, the kernels they are made in, and the survivors that are equivalent."""
