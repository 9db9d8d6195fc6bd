"""Owns what is known to divide an index value of a tile program: the analysis behind 128-bit accesses."""

from __future__ import annotations

import math
from typing import Any

from tilewright.dialect import functions, ods, tile
from tilewright.dialect.facts import Facts, divisor_of, parse_facts
from tilewright.dialect.mlir import ir

ZERO = 0
"""What divides zero is everything: gcd(0, n) is n."""


class Divisors:
    """Divisors of index values of one tile function, under its facts (``tile.facts``)."""

    def __init__(self, function: Any) -> None:
        self.facts = facts_of(function)
        self.dims = functions.dims_of(function, "tile")
        self._known: dict[Any, int] = {}
        block = function.regions[0].blocks[0]
        described = zip(functions.arguments_of(function, "tile"), block.arguments, strict=True)
        self.arguments = {value: argument for argument, value in described}

    def of(self, value: Any) -> int:
        """The largest number known to divide ``value`` (0 if it is zero)."""
        if value not in self._known:
            self._known[value] = 1  # a loop-carried value that asks for itself
            self._known[value] = self._compute(value)
        return self._known[value]

    def extent(self, value: Any, axis: int) -> int:
        """What divides the extent of an axis of a view argument."""
        argument = self.arguments[value]
        return divisor_of(argument.shape.results[axis], self.dims, self.facts)

    def alignment(self, value: Any) -> int:
        """Bytes that the pointer of a view argument is aligned to."""
        return self.facts.alignment(self.arguments[value].name)

    def _compute(self, value: Any) -> int:
        owner = value.owner
        if isinstance(owner, ir.Block):
            return self._argument(value, owner)
        op = owner.operation
        if op.name == "arith.constant":
            return abs(int(ir.IntegerAttr(op.attributes["value"]).value))
        parts = [self.of(o) for o in op.operands if isinstance(o.type, ir.IndexType)]
        if op.name in ("arith.addi", "arith.subi", "arith.minsi", "arith.maxsi"):
            return math.gcd(*parts)
        if op.name == "arith.muli":
            return parts[0] * parts[1]
        if op.name == "arith.select" and len(parts) == 2:
            return math.gcd(*parts)
        return 1

    def _argument(self, value: Any, block: Any) -> int:
        if value in self.arguments:
            argument = self.arguments[value]
            return self.facts.divisor(argument.name) if argument.role == "dim" else 1
        op = block.owner.operation
        if op.name == "tile.grid":
            return int(tile.grid_tiles(op)[value.arg_number])
        if op.name == "scf.for" and value.arg_number == 0:
            return math.gcd(self.of(op.operands[0]), self.of(op.operands[2]))
        return 1


def facts_of(function: Any) -> Facts:
    attributes = function.operation.attributes
    return parse_facts(ods.string_list(attributes["tile.facts"]) if "tile.facts" in attributes else ())
