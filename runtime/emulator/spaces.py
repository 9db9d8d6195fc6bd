"""The generic address map: where the windows of the state spaces lie (PTX ISA, "State Spaces")."""

from __future__ import annotations

SHARED_WINDOW = 1 << 40
LOCAL_WINDOW = 2 << 40
PARAM_WINDOW = 3 << 40
WINDOW_END = 4 << 40
GLOBAL_BASE = 0x7000_0000_0000
CLUSTER_SHIFT = 24
"""A ``.shared::cluster`` address holds the CTA rank plus one above this bit; 0 means the executing CTA."""
CLUSTER_MASK = (1 << CLUSTER_SHIFT) - 1
MODULE_GLOBALS = GLOBAL_BASE + 0x1000
"""Address of the first variable that the module declares in .global or .const."""
