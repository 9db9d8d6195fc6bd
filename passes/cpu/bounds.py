"""Owns upper and lower bounds of index values over a whole launch, as values at its entry.

Scratch memory is asked for before the launch runs, so the size of a stage, which may depend on loop indices
(``min(256, K - k)``), is bounded by interval arithmetic from dims, scalars and constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tilewright.dialect.faults import InternalFault
from tilewright.dialect.mlir import ir
from tilewright.passes.cpu.tiles import Tile
from tilewright.passes.machine.emit import Emitter

LOWER, UPPER = 0, 1
Rule = Callable[["Bounds", Any, int], Any]


class Bounds:
    """``of(value, side)`` for values of the old function; ``entry`` gives the tiles of its arguments."""

    def __init__(self, emitter: Emitter, entry: dict[Any, Tile]) -> None:
        self.emitter = emitter
        self.entry = entry
        self._known: dict[tuple[Any, int], Any] = {}

    def of(self, value: Any, side: int) -> Any:
        """An index value that is not above (below) ``value`` wherever it is computed."""
        key = (value, side)
        if key not in self._known:
            self._known[key] = self._find(value, side)
        return self._known[key]

    def number(self, n: int) -> Any:
        return self.emitter.constant(self.emitter.index, n)

    def apply(self, name: str, a: Any, b: Any) -> Any:
        return self.emitter.same(name, a, b)

    def _find(self, value: Any, side: int) -> Any:
        if value in self.entry:
            return self.entry[value].scalar(())
        if isinstance(value, ir.BlockArgument):
            return self._of_argument(value, side)
        op = value.owner
        rule = RULES.get(op.name)
        if rule is None:
            raise InternalFault(f"no bound is known for the result of {op.name!r}, which sizes a stage")
        return rule(self, op, side)

    def _of_argument(self, value: Any, side: int) -> Any:
        """A coordinate of a grid cell, or the index of a loop (step 1 from the last value at most)."""
        argument = ir.BlockArgument(value)
        op = argument.owner.owner
        if op.name == "tile.grid":
            if side == LOWER:
                return self.number(0)
            return self.apply("arith.subi", self.of(op.operands[argument.arg_number], UPPER), self.number(1))
        if op.name == "scf.for" and argument.arg_number == 0:
            if side == LOWER:
                return self.of(op.operands[0], LOWER)
            return self.apply("arith.subi", self.of(op.operands[1], UPPER), self.number(1))
        raise InternalFault(f"no bound is known for a value carried by {op.name!r}, which sizes a stage")


def _constant(bounds: Bounds, op: Any, side: int) -> Any:
    return bounds.number(ir.IntegerAttr(op.attributes["value"]).value)


def _sum(bounds: Bounds, op: Any, side: int) -> Any:
    return bounds.apply("arith.addi", bounds.of(op.operands[0], side), bounds.of(op.operands[1], side))


def _difference(bounds: Bounds, op: Any, side: int) -> Any:
    return bounds.apply("arith.subi", bounds.of(op.operands[0], side), bounds.of(op.operands[1], 1 - side))


def _monotone(bounds: Bounds, op: Any, side: int) -> Any:
    """min and max; also products of numbers that are not negative."""
    return bounds.apply(op.name, bounds.of(op.operands[0], side), bounds.of(op.operands[1], side))


def _quotient(bounds: Bounds, op: Any, side: int) -> Any:
    """Division of a number that is not negative by a positive one."""
    return bounds.apply("arith.divui", *_numerator(bounds, op, side))


def _quotient_up(bounds: Bounds, op: Any, side: int) -> Any:
    a, b = _numerator(bounds, op, side)
    above = bounds.apply("arith.addi", a, bounds.apply("arith.subi", b, bounds.number(1)))
    return bounds.apply("arith.divui", above, b)


def _numerator(bounds: Bounds, op: Any, side: int) -> tuple[Any, Any]:
    number = bounds.apply("arith.maxsi", bounds.of(op.operands[0], side), bounds.number(0))
    return number, bounds.apply("arith.maxsi", bounds.of(op.operands[1], 1 - side), bounds.number(1))


def _remainder(bounds: Bounds, op: Any, side: int) -> Any:
    if side == LOWER:
        return bounds.number(0)
    return bounds.apply("arith.subi", bounds.of(op.operands[1], UPPER), bounds.number(1))


def _either(bounds: Bounds, op: Any, side: int) -> Any:
    name = "arith.maxsi" if side == UPPER else "arith.minsi"
    return bounds.apply(name, bounds.of(op.operands[1], side), bounds.of(op.operands[2], side))


RULES: dict[str, Rule] = {
    "arith.constant": _constant,
    "arith.addi": _sum,
    "arith.subi": _difference,
    "arith.muli": _monotone,
    "arith.minsi": _monotone,
    "arith.maxsi": _monotone,
    "arith.minui": _monotone,
    "arith.maxui": _monotone,
    "arith.divsi": _quotient,
    "arith.divui": _quotient,
    "arith.floordivsi": _quotient,
    "arith.ceildivsi": _quotient_up,
    "arith.remsi": _remainder,
    "arith.remui": _remainder,
    "arith.select": _either,
}
