"""The documented errors of the approximate functions (PTX ISA, sections of ``rcp``, ``sqrt``, ``sin``, ``ex2``, ...).

The emulator gives the correctly rounded value; a chip may be off by as much as stands here. A report names the bounds
of what ran, so that a test of a kernel knows how far hardware can be from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

ULP = 2.0**-23
"""One unit in the last place of a float32 just above a power of two, relative to it."""
TINY = 2.0**-149


@dataclass(frozen=True, slots=True)
class ErrorBound:
    """``|hardware - exact| <= relative * |exact| + absolute``."""

    relative: float = 0.0
    absolute: float = 0.0

    def __str__(self) -> str:
        shown = [
            f"{name} 2^{math.log2(value):.4g}"
            for name, value in (("relative", self.relative), ("absolute", self.absolute))
            if value > TINY * 2
        ]
        return ", ".join(shown)


SINGLE = {
    "rcp": ErrorBound(ULP, TINY),
    "div": ErrorBound(2 * ULP, 2 * TINY),
    "sqrt": ErrorBound(2.0**-23, TINY),
    "rsqrt": ErrorBound(2.0**-22.9),
    "sin": ErrorBound(absolute=2.0**-20.5),
    "cos": ErrorBound(absolute=2.0**-20.5),
    "lg2": ErrorBound(2.0**-22, 2.0**-22),
    "ex2": ErrorBound(2 * ULP, 2 * TINY),
    "tanh": ErrorBound(2.0**-11),
}
"""Of ``.f32``. ``sin`` and ``cos`` from -2 pi to 2 pi; ``div`` for divisors from 2^-126 to 2^126."""
HALF = {"ex2": ErrorBound(2.0**-9.9), "tanh": ErrorBound(absolute=2.0**-10.987)}
BRAIN = {"ex2": ErrorBound(2.0**-7), "tanh": ErrorBound(absolute=2.0**-8)}
BY_TYPE = {"f32": SINGLE, "f16": HALF, "f16x2": HALF, "bf16": BRAIN, "bf16x2": BRAIN}


def error_bound(opcode: str) -> ErrorBound | None:
    """The bound of an opcode with its modifiers, such as ``ex2.approx.ftz.f32``; None for what is exact."""
    name, *modifiers = opcode.split(".")
    if "approx" not in modifiers and (name, "full" in modifiers) != ("div", True):
        return None
    return BY_TYPE.get(modifiers[-1], {}).get(name)
