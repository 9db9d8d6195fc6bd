"""What the emulator refuses for its size, so that any text and any launch ends soon and in bounded memory.

Each bound is far above what compilers write. Parsing takes about 6 microseconds a statement, decoding 30 an
instruction.
"""

from __future__ import annotations

MAX_TEXT = 64 << 20
"""Characters of a module."""
MAX_STATEMENTS = 300_000
"""Of a module, directives among them."""
MAX_INSTRUCTIONS = 100_000
"""Of a kernel, its calls inlined."""
MAX_NESTING = 64
"""Braces inside each other."""
MAX_INITIAL_VALUES = 1 << 20
"""Of one variable."""
MAX_VARIABLES = 1 << 28
"""Bytes of all ``.global`` and ``.const`` variables of a module, and of any one variable."""
MAX_PARAMETERS = 32_764
"""Bytes of the parameters of a kernel (PTX ISA, "Kernel Function Parameters")."""
MAX_LOCAL = 512 << 10
"""Bytes of local memory of a thread."""
MAX_SHARED = 232_448
"""Bytes of shared memory of a CTA."""
MAX_CTAS = 1 << 24
"""Of a grid; the chip's own limits are larger."""
MAX_SHOWN = 200
"""Characters of the input that a message repeats."""


def shortened(text: str) -> str:
    """Text for a message."""
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
