"""What the back ends share: machine-level ops on scalars and vectors, elementwise rules, elementary functions."""
