"""Facts about a launch that were assumed when it was compiled: divisibility, ranges, alignment, 32-bit indices.

In the IR they are texts (``K % 8 == 0``, ``N >= 1``, ``N <= 4096``, ``align(a) >= 16``, ``index32``); here they are a
frozen value with the questions that passes ask of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tilewright.dialect.affine import exact
from tilewright.dialect.mlir import ir

Interval = tuple[int | None, int | None]
"""Lowest and highest value; None is unbounded."""


class BadFact(ValueError):
    """A text that is no fact."""


@dataclass(frozen=True)
class Facts:
    """What may be assumed. Dims that no fact names are >= 0 and divisible by 1; arguments are aligned to an element."""

    divisors: tuple[tuple[str, int], ...] = ()
    intervals: tuple[tuple[str, Interval], ...] = ()
    alignments: tuple[tuple[str, int], ...] = ()
    index32: bool = False

    def divisor(self, dim: str) -> int:
        return dict(self.divisors).get(dim, 1)

    def interval(self, dim: str) -> Interval:
        return dict(self.intervals).get(dim, (0, None))

    def alignment(self, argument: str) -> int:
        """Bytes to which the data of an argument is aligned."""
        return dict(self.alignments).get(argument, 1)

    def texts(self) -> tuple[str, ...]:
        """The facts as they stand in the IR; `parse_facts` reads them back."""
        lines = [f"{dim} % {value} == 0" for dim, value in self.divisors]
        for dim, (low, high) in self.intervals:
            lines += [f"{dim} >= {low}"] if low is not None else []
            lines += [f"{dim} <= {high}"] if high is not None else []
        lines += [f"align({name}) >= {value}" for name, value in self.alignments]
        return (*lines, *(["index32"] if self.index32 else []))


@dataclass
class _Draft:
    divisors: dict[str, int] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    alignments: dict[str, int] = field(default_factory=dict)
    index32: bool = False


_DIVISIBLE = re.compile(r"(\w+) % (\d+) == 0")
_BOUND = re.compile(r"(\w+) (>=|<=|==) (-?\d+)")
_ALIGNED = re.compile(r"align\(([\w.]+)\) >= (\d+)")


def parse_facts(texts: Iterable[str]) -> Facts:
    """Read facts; those about one dim are joined. Raises `BadFact`."""
    draft = _Draft()
    for text in texts:
        _read(text, draft)
    return Facts(
        tuple(sorted(draft.divisors.items())),
        tuple(sorted(draft.intervals.items())),
        tuple(sorted(draft.alignments.items())),
        draft.index32,
    )


def _read(text: str, draft: _Draft) -> None:
    if text == "index32":
        draft.index32 = True
    elif match := _DIVISIBLE.fullmatch(text):
        draft.divisors[match[1]] = math.lcm(draft.divisors.get(match[1], 1), int(match[2]))
    elif match := _ALIGNED.fullmatch(text):
        draft.alignments[match[1]] = max(draft.alignments.get(match[1], 1), int(match[2]))
    elif match := _BOUND.fullmatch(text):
        low, high = draft.intervals.get(match[1], (0, None))
        value = int(match[3])
        low = value if match[2] != "<=" and (low is None or value > low) else low
        high = value if match[2] != ">=" and (high is None or value < high) else high
        draft.intervals[match[1]] = (low, high)
    else:
        raise BadFact(f"not a fact: {text!r}")


def divisor_of(expression: Any, dims: Sequence[str], facts: Facts) -> int:
    """The largest number known to divide an affine expression over the dims (0 for the constant 0)."""
    expression = exact(expression)
    if isinstance(expression, ir.AffineConstantExpr):
        return abs(int(expression.value))
    if isinstance(expression, ir.AffineSymbolExpr):
        return facts.divisor(dims[int(expression.position)])
    if isinstance(expression, ir.AffineDimExpr):
        return 1
    left, right = divisor_of(expression.lhs, dims, facts), divisor_of(expression.rhs, dims, facts)
    if isinstance(expression, ir.AffineAddExpr):
        return math.gcd(left, right)
    if isinstance(expression, ir.AffineMulExpr):
        return left * right
    if isinstance(expression, ir.AffineModExpr):
        return math.gcd(left, right)
    constant = isinstance(expression.rhs, ir.AffineConstantExpr) and right > 0
    return left // right if constant and left % right == 0 else 1


def interval_of(expression: Any, dims: Sequence[str], facts: Facts) -> Interval:
    """Bounds of an affine expression over the dims."""
    expression = exact(expression)
    if isinstance(expression, ir.AffineConstantExpr):
        return expression.value, expression.value
    if isinstance(expression, ir.AffineSymbolExpr):
        return facts.interval(dims[int(expression.position)])
    if isinstance(expression, ir.AffineDimExpr):
        return None, None
    left, right = interval_of(expression.lhs, dims, facts), interval_of(expression.rhs, dims, facts)
    if isinstance(expression, ir.AffineAddExpr):
        return _add(left[0], right[0]), _add(left[1], right[1])
    if isinstance(expression, ir.AffineMulExpr):
        return _multiply(left, right)
    return _divide(expression, left, right)


def _add(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b


def _multiply(left: Interval, right: Interval) -> Interval:
    ends = [_times(a, b) for a in _ends(left) for b in _ends(right)]
    low, high = min(ends), max(ends)
    return None if low == -math.inf else int(low), None if high == math.inf else int(high)


def _ends(interval: Interval) -> tuple[float | int, float | int]:
    low, high = interval
    return -math.inf if low is None else low, math.inf if high is None else high


def _times(a: float | int, b: float | int) -> float | int:
    """A product in which zero times unbounded is zero."""
    return 0 if a == 0 or b == 0 else a * b


def _divide(expression: Any, left: Interval, right: Interval) -> Interval:
    if right[0] is None or right[0] <= 0:
        return None, None
    if isinstance(expression, ir.AffineModExpr):
        return 0, None if right[1] is None else right[1] - 1
    if left[0] is None or left[0] < 0:
        return None, None
    low = 0 if right[1] is None else left[0] // right[1]
    up = isinstance(expression, ir.AffineCeilDivExpr)
    high = None if left[1] is None else -(-left[1] // right[0]) if up else left[1] // right[0]
    return low, high
