"""Owns the written cost rule of fusion: what an element costs to compute, against a round trip through memory.

The unit is one floating-point operation of one element. A round trip is a store and the loads of it by other launches:
eight bytes at what one core moves while it computes some 64 operations.
"""

from __future__ import annotations

from collections.abc import Iterable

from tilewright.passes.tensor.program import Apply, Node, Read, postorder

ROUND_TRIP = 64
READ = 4
CHEAP = 24
"""What may be computed again for each of several overlapping reads (the taps of a window)."""
LARGE = 2048
"""An element that costs more stands alone: the round trip is little beside it, one body of several would leave the
instruction cache, and registers are assigned in more than linear time."""

_TRANSCENDENTAL = 12
_DIVISION = 4
_FREE = frozenset({"arith.index_cast", "arith.index_castui", "arith.bitcast"})
_DIVISIONS = frozenset({"arith.divf", "arith.divui", "arith.remui", "arith.floordivsi", "math.sqrt", "math.rsqrt"})
_SIMPLE_MATH = frozenset(
    {"math.absf", "math.floor", "math.ceil", "math.trunc", "math.roundeven", "math.fma", "math.copysign"}
)


def node_cost(node: Node) -> int:
    """What one node adds; index arithmetic is free, because it is shared by the elements of a tile."""
    if isinstance(node, Read):
        return READ
    if not isinstance(node, Apply) or node.name in _FREE or str(node.type) == "index":
        return 0
    if node.name in _DIVISIONS:
        return _DIVISION
    if node.name.startswith("math.") and node.name not in _SIMPLE_MATH:
        return _TRANSCENDENTAL
    return 1


def cost_of(roots: Iterable[Node]) -> int:
    """What the expressions cost together, shared parts once."""
    return sum(node_cost(node) for node in postorder(roots))
