"""The language: from text to a typed kernel, with diagnostics."""
