"""The checker: from the syntax tree of a kernel to its typed form, one concern a file."""
