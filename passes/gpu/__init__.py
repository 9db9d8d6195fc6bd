"""From the neutral tile level to PTX."""
