"""From the neutral tile level to native code."""
