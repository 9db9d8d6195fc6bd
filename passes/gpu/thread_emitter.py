"""Owns the writing of thread code: the machine-level emitter without a C library and without functions to call.

What a CPU calls is written in place: the whole body of our own functions, and our own code for what the C library has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tilewright.dialect.faults import Unsupported
from tilewright.passes.gpu import circular, doubles
from tilewright.passes.machine.emit import Emitter


class ThreadEmitter(Emitter):
    """Writes ops into one kernel of a GPU."""

    def call_own(self, name: str, type_: Any, body: Callable[..., Any], *operands: Any) -> Any:
        return body(self, *operands)

    def call_library(self, name: str, *operands: Any) -> Any:
        """A function of the C library's; raises `Unsupported` for one that we have no code for."""
        if name in ("sinf", "cosf"):
            return circular.of_huge(self, operands[0], 1 if name == "cosf" else 0)
        if name not in doubles.FUNCTIONS:
            raise Unsupported(f"`{name}` of f64", self.location)
        return doubles.FUNCTIONS[name](self, *operands)
