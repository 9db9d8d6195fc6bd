"""Text in, artifact out: the language, the pipeline, the driver and the command line."""
