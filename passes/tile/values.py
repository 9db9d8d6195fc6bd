"""Owns the values of the tiling pass: tile axes, index values that are linear in them, and tiles over some of them.

A scalar body of the tensor level is evaluated on whole tiles. Each value keeps only the axes it varies along, and the
loop level it may be computed at, so what does not depend on an inner loop is built outside of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Axis:
    """One axis of tiles: ``order`` sorts axes within a tile (the vector axis comes last), ``limit`` is the number of
    positions that exist (an index value) or None when all do; ``level`` is the loop depth at which it is fixed."""

    name: str
    size: int
    order: tuple[int, ...]
    serial: int
    limit: Any = field(default=None, compare=False, hash=False)
    level: int = field(default=0, compare=False, hash=False)


def axis_union(groups: Iterable[Iterable[Axis]]) -> tuple[Axis, ...]:
    """All axes of the groups, each once, in tile order."""
    return tuple(sorted({a for group in groups for a in group}, key=lambda a: (a.order, a.serial)))


@dataclass(frozen=True)
class Linear:
    """The index value ``base + constant + sum of coefficient * position along axis``; ``base`` is None for 0."""

    base: Any = None
    constant: int = 0
    terms: tuple[tuple[Axis, int], ...] = ()
    level: int = 0

    @property
    def axes(self) -> tuple[Axis, ...]:
        return tuple(a for a, _ in self.terms)

    @property
    def is_constant(self) -> bool:
        return self.base is None and not self.terms

    @property
    def is_uniform(self) -> bool:
        return not self.terms

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for equal values (bases are compared by identity of the SSA value)."""
        return (self.base, self.constant, self.terms)


@dataclass(frozen=True)
class Tile:
    """A tile value: a tensor over ``axes`` in tile order (rank 0 when uniform)."""

    value: Any
    axes: tuple[Axis, ...]
    level: int = 0

    @property
    def key(self) -> tuple[Any, ...]:
        return (self.value,)


Value = Linear | Tile


def combine_terms(
    left: tuple[tuple[Axis, int], ...], right: tuple[tuple[Axis, int], ...], sign: int
) -> tuple[tuple[Axis, int], ...]:
    """``left + sign * right`` with zero coefficients dropped, in tile order."""
    total = dict(left)
    for axis, coefficient in right:
        total[axis] = total.get(axis, 0) + sign * coefficient
    kept = [(a, c) for a, c in total.items() if c]
    return tuple(sorted(kept, key=lambda t: (t[0].order, t[0].serial)))
