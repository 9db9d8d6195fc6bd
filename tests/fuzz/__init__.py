"""Random well-typed programs, and what is done with each of them."""
