"""What one decoded instruction does: typed sources and destinations around a NumPy function.

The function of a *pure* action maps source arrays to result arrays. The function of an *effect* also gets the running
machine, the site (which instructions) and the mask of active lanes. Every array is ``(instructions, lanes)`` or
broadcasts to it, so one call can do a whole group of equal instructions.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tilewright.runtime.emulator.scalar_types import Array, ScalarType
from tilewright.runtime.emulator.syntax import Instruction, Register

Mask: TypeAlias = bool | Array
"""True (every lane) or a boolean array that broadcasts to (instructions, lanes)."""


class Order(enum.Enum):
    """How an action may move inside its basic block."""

    PURE = enum.auto()
    """Only its registers order it."""
    LOAD = enum.auto()
    """May pass other loads, not stores."""
    STORE = enum.auto()
    """May join equal stores next to it."""
    STRICT = enum.auto()
    """Stays in program order with every memory and strict action."""


@dataclass(frozen=True, slots=True)
class Source:
    """A typed operand read by an action. Exactly one of the fields after ``type`` is set.

    ``rows`` is a list of registers handed to the function as one ``Rows`` object (long accumulator lists).
    """

    type: ScalarType
    register: Register | None = None
    constant: Any = None
    special: str | None = None
    rows: tuple[Register, ...] | None = None
    inverted: bool = False

    def shape_key(self) -> str:
        if self.register is not None:
            return f"r{self.register.bits}{'!' if self.inverted else ''}"
        if self.rows is not None:
            return "rows"
        return f"s{self.special}" if self.special else "c"


@dataclass(frozen=True, slots=True)
class Destination:
    """A register written with values of a type; None as the register throws the value away."""

    type: ScalarType
    register: Register | None


@dataclass(slots=True)
class Action:
    """A decoded instruction.

    Attributes:
        function: see the module docstring; a NumPy ufunc is called with ``out`` and ``where``.
        effect: whether the function takes ``(run, site, mask, *sources)``.
        converge: 0, or the number of lanes (32, 128) that must arrive together.
        members: lanes that a ``.sync`` op names: None for all, an int mask, or a source read at run time.
        packable: whether equal independent instructions may share one call.
        touches: extra registers read and written in place through ``Rows`` sources.
    """

    instruction: Instruction
    function: Callable[..., Any]
    sources: tuple[Source, ...] = ()
    destinations: tuple[Destination, ...] = ()
    order: Order = Order.PURE
    effect: bool = False
    converge: int = 0
    members: int | Source | None = None
    packable: bool = True
    touches: tuple[Register, ...] = ()

    def signature(self) -> tuple[Any, ...]:
        guard = (self.instruction.guard is not None, self.instruction.negated)
        widths = tuple([d.register.bits if d.register is not None else 0 for d in self.destinations])
        return (self.instruction.opcode, guard, widths, tuple([source.shape_key() for source in self.sources]))


@dataclass(frozen=True, slots=True)
class Site:
    """The instructions that one call executes, for messages and counters."""

    instructions: tuple[Instruction, ...]

    @property
    def count(self) -> int:
        return len(self.instructions)

    def line(self, row: int) -> int:
        return self.instructions[min(row, len(self.instructions) - 1)].line


def constant(value: int | float, scalar_type: ScalarType) -> Any:
    """A Python number as a NumPy scalar of the type, wrapped to its width."""
    if scalar_type.kind == "f":
        return scalar_type.dtype.type(value)
    if scalar_type.kind == "p":
        return np.bool_(bool(value))
    width = min(scalar_type.bits, 64)
    return np.array(int(value) & ((1 << width) - 1), dtype=f"u{width // 8}").view(scalar_type.dtype)[()]
