"""Owns size expressions: what a plan computes from a kernel's dims at launch, with Python's unbounded integers.

They are data (they travel in a cached plan and in an artifact as nested lists) and they never fail: division rounds to
minus infinity and a zero divisor gives 0, as in the language.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

Json = int | str | list["Json"]


@dataclass(frozen=True)
class SizeExpr:
    """Base of the three forms below; ``evaluate`` takes the value of every dim the expression mentions."""

    def evaluate(self, dims: Mapping[str, int]) -> int:
        raise NotImplementedError

    def to_json(self) -> Json:
        raise NotImplementedError

    def symbols(self) -> Iterator[str]:
        """The dims that the expression mentions, in reading order, with repetitions."""
        yield from ()


@dataclass(frozen=True)
class Number(SizeExpr):
    value: int

    def evaluate(self, dims: Mapping[str, int]) -> int:
        return self.value

    def to_json(self) -> Json:
        return self.value

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True)
class Symbol(SizeExpr):
    name: str

    def evaluate(self, dims: Mapping[str, int]) -> int:
        return dims[self.name]

    def to_json(self) -> Json:
        return self.name

    def symbols(self) -> Iterator[str]:
        yield self.name

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Operation(SizeExpr):
    """``op`` on its operands: one of ``OPERATORS``; comparisons and logic give 0 or 1."""

    op: str
    operands: tuple[SizeExpr, ...]

    def evaluate(self, dims: Mapping[str, int]) -> int:
        return OPERATORS[self.op](*(operand.evaluate(dims) for operand in self.operands))

    def to_json(self) -> Json:
        return [self.op, *(operand.to_json() for operand in self.operands)]

    def symbols(self) -> Iterator[str]:
        for operand in self.operands:
            yield from operand.symbols()

    def __str__(self) -> str:
        if self.op in PREFIX:
            return f"{self.op}({', '.join(map(str, self.operands))})"
        if len(self.operands) == 1:
            return f"{self.op}{self.operands[0]}"
        return "(" + f" {self.op} ".join(map(str, self.operands)) + ")"


def _divide(left: int, right: int) -> int:
    return left // right if right else 0


def _remainder(left: int, right: int) -> int:
    return left % right if right else 0


OPERATORS: Mapping[str, Callable[..., int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda *factors: math.prod(factors),
    "//": _divide,
    "%": _remainder,
    "min": min,
    "max": max,
    "negate": lambda a: -a,
    "<": lambda a, b: int(a < b),
    "<=": lambda a, b: int(a <= b),
    ">": lambda a, b: int(a > b),
    ">=": lambda a, b: int(a >= b),
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "and": lambda a, b: int(bool(a and b)),
    "or": lambda a, b: int(bool(a or b)),
    "not": lambda a: int(not a),
    "select": lambda condition, a, b: a if condition else b,
}

PREFIX = ("min", "max", "negate", "not", "select")


def size_from_json(data: Json) -> SizeExpr:
    """The expression that ``to_json`` wrote; raises ``ValueError`` for anything else."""
    if isinstance(data, bool):
        raise ValueError("a size is an int, a name or a list, not a bool")
    if isinstance(data, int):
        return Number(data)
    if isinstance(data, str):
        return Symbol(data)
    if not isinstance(data, list) or not data or data[0] not in OPERATORS:
        raise ValueError(f"not a size expression: {data!r}")
    return Operation(str(data[0]), tuple(size_from_json(item) for item in data[1:]))


def ceil_div(size: SizeExpr, tile: int) -> SizeExpr:
    """How many tiles of ``tile`` elements cover ``size`` elements."""
    if tile == 1:
        return size
    return Operation("//", (Operation("+", (size, Number(tile - 1))), Number(tile)))
