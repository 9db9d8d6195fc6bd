"""The catalogue of error codes: one entry per code, from which the error pages of the docs are made."""
