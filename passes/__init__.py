"""One pass a file; their order stands in compiler/pipeline.py."""
