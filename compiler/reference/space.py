"""Owns index spaces: which indices are in scope, what they run over, and which array axis belongs to which.

The outermost index has the last axis, and a bound index gets a new axis in front. Arrays then broadcast by NumPy's own
rule, and whatever does not depend on an inner index is computed once, without looking for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tilewright.compiler.reference.values import Array

# An array over an index space may have this many elements before the space is cut (64 MiB of float64).
MAX_POINTS = 8 * 2**20


class SpaceTooLarge(Exception):
    """Raised inside a statement whose index space must be cut into smaller boxes."""


@dataclass(frozen=True)
class Axis:
    """An index over ``lo <= index < hi``; ``level`` counts from the outermost index, axis ``-1 - level`` is its own."""

    level: int
    lo: int
    hi: int

    @property
    def size(self) -> int:
        return max(self.hi - self.lo, 0)

    def values(self) -> Array:
        return np.arange(self.lo, max(self.hi, self.lo), dtype=np.int64).reshape((-1,) + (1,) * self.level)


@dataclass(frozen=True)
class Space:
    """The indices in scope. ``divisible``: the statement could still be cut along a free index."""

    axes: Mapping[str, Axis]
    divisible: bool = False

    @property
    def rank(self) -> int:
        return len(self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes in array order, innermost index first."""
        return tuple(axis.size for axis in reversed(tuple(self.axes.values())))

    def extended(self, index: str, lo: int, hi: int) -> Space:
        """This space with one more, innermost index."""
        return Space({**self.axes, index: Axis(self.rank, lo, hi)}, self.divisible)

    def points(self, indices: frozenset[str]) -> int:
        """The number of points of the subspace over ``indices``."""
        count = 1
        for name, axis in self.axes.items():
            count *= axis.size if name in indices else 1
        return count


Box = tuple[tuple[int, int], ...]


def halves(box: Box) -> tuple[Box, Box]:
    """A box cut in two along its longest side."""
    longest = max(range(len(box)), key=lambda axis: box[axis][1] - box[axis][0])
    lo, hi = box[longest]
    middle = (lo + hi) // 2
    first = box[:longest] + ((lo, middle),) + box[longest + 1 :]
    return first, box[:longest] + ((middle, hi),) + box[longest + 1 :]


def divisible(box: Box) -> bool:
    return any(hi - lo > 1 for lo, hi in box)
