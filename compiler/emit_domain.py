"""Owns the step from index expressions of the language to affine domains: extents, constraints, bounds.

An affine expression stays affine over the indices and the dim symbols (``//`` and ``%`` by positive constants and by
dims included); everything else is a value and is left to the regions ``bounds`` and ``where``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tilewright.compiler.emit_walk import walk
from tilewright.compiler.language.typed import (
    INDEX,
    Access,
    Binary,
    Binder,
    Compare,
    Dim,
    Expr,
    Index,
    Literal,
    Logical,
    Read,
    Unary,
)
from tilewright.dialect.mlir import ir

UNBOUNDED = 1 << 62
"""The extent of an index whose end only values know; the domain's bounds end it."""


@dataclass(frozen=True)
class Range:
    """What an index of the kernel runs over at the tensor level.

    ``extent``: affine over the dims, or None when values decide. ``shift``: what must be added to the domain's index,
    which starts at 0, to get the language's index. ``storage``: an affine bound for tensors that have it as an axis.
    ``constraints``: affine conditions that its points meet beside being in the box; reads may be proved by them.
    """

    extent: Any | None
    shift: Expr | None = None
    storage: Any | None = None
    constraints: tuple[Expr, ...] = ()


class Affine:
    """Affine forms over ``dims`` (symbols) and numbered indices; every question returns None for "not affine"."""

    def __init__(self, dims: Sequence[str], ranges: Mapping[str, Range], positions: Mapping[str, int]) -> None:
        self.symbols = {name: ir.AffineExpr.get_symbol(k) for k, name in enumerate(dims)}
        self.ranges = ranges
        self.positions = positions

    def expression(self, expr: Expr) -> Any | None:
        """``expr`` as an affine expression; indices are those of ``positions``."""
        match expr:
            case Literal() if isinstance(expr.value, int):
                return ir.AffineExpr.get_constant(int(expr.value))
            case Dim():
                return self.symbols[expr.name]
            case Index():
                return self._index(expr.name)
            case Unary(op="-", dtype="index"):
                return self._product(expr.operand, -1)
            case Binary(dtype="index"):
                return self._binary(expr)
        return None

    def _index(self, name: str) -> Any | None:
        if name not in self.positions:
            return None
        base = ir.AffineExpr.get_dim(self.positions[name])
        shift = self.ranges[name].shift
        if shift is None:
            return base
        offset = self.expression(shift)
        return None if offset is None else base + offset

    def _product(self, operand: Expr, factor: int) -> Any | None:
        inner = self.expression(operand)
        return None if inner is None else inner * factor

    def _binary(self, expr: Binary) -> Any | None:
        left, right = self.expression(expr.left), self.expression(expr.right)
        if left is None or right is None:
            return None
        match expr.op:
            case "+":
                return left + right
            case "-":
                return left + right * -1
            case "*" if _is_parameter(left):
                return right * left
            case "*" if _is_parameter(right):
                return left * right
            case "//" if _is_positive_parameter(expr.right):
                return ir.AffineExpr.get_floor_div(left, right)
            case "%" if _is_positive_parameter(expr.right):
                return ir.AffineExpr.get_mod(left, right)
        return None

    def interval(self, expr: Expr) -> tuple[Any, Any] | None:
        """Least and greatest value of ``expr`` over the box, affine over the dims alone."""
        match expr:
            case Literal() | Dim():
                exact = self.expression(expr)
                return None if exact is None else (exact, exact)
            case Index():
                return self._index_interval(expr.name)
            case Unary(op="-", dtype="index"):
                inner = self.interval(expr.operand)
                return None if inner is None else (inner[1] * -1, inner[0] * -1)
            case Binary(dtype="index"):
                return self._binary_interval(expr)
        return None

    def _index_interval(self, name: str) -> tuple[Any, Any] | None:
        range_ = self.ranges.get(name)
        if range_ is None or range_.extent is None:
            return None
        last = range_.extent + -1
        if range_.shift is None:
            return ir.AffineExpr.get_constant(0), last
        shift = self.interval(range_.shift)
        return None if shift is None else (shift[0], shift[1] + last)

    def _binary_interval(self, expr: Binary) -> tuple[Any, Any] | None:
        left, right = self.interval(expr.left), self.interval(expr.right)
        if left is None or right is None:
            return None
        match expr.op:
            case "+":
                return left[0] + right[0], left[1] + right[1]
            case "-":
                return left[0] + right[1] * -1, left[1] + right[0] * -1
            case "*" if isinstance(expr.left, Literal | Dim):
                return _scaled(right, left[0], expr.left)
            case "*" if isinstance(expr.right, Literal | Dim):
                return _scaled(left, right[0], expr.right)
            case "//" if isinstance(expr.right, Literal) and int(expr.right.value) > 0:
                low, high = (ir.AffineExpr.get_floor_div(end, right[0]) for end in left)
                return low, high
        return None

    def constraints(self, condition: Expr) -> list[Any] | None:
        """``condition`` as affine expressions that must all be >= 0."""
        match condition:
            case Literal():
                return [] if condition.value else [ir.AffineExpr.get_constant(-1)]
            case Unary(op="not", operand=Compare() as inner) if inner.left.dtype == INDEX and inner.op != "==":
                return self.constraints(Compare(inner.span, "bool", _NEGATED[inner.op], inner.left, inner.right))
            case Compare() if condition.left.dtype == INDEX:
                return self._comparison(condition)
        return None

    def _comparison(self, condition: Compare) -> list[Any] | None:
        left, right = self.expression(condition.left), self.expression(condition.right)
        if left is None or right is None:
            return None
        match condition.op:
            case "<":
                return [right + left * -1 + -1]
            case "<=":
                return [right + left * -1]
            case ">":
                return [left + right * -1 + -1]
            case ">=":
                return [left + right * -1]
            case "==":
                return [left + right * -1, right + left * -1]
        return None


_NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "!=": "=="}


def _scaled(ends: tuple[Any, Any], factor: Any, written: Expr) -> tuple[Any, Any]:
    low, high = ends[0] * factor, ends[1] * factor
    negative = isinstance(written, Literal) and int(written.value) < 0
    return (high, low) if negative else (low, high)


def concrete(expr: Any) -> Any:
    """The expression as what it is: operators of the bindings name the operation, even where it was simplified away."""
    return expr.maybe_downcast()


def uses_indices(expr: Any) -> bool:
    """Whether an affine expression mentions an index (and not only dims)."""
    expr = concrete(expr)
    if isinstance(expr, ir.AffineDimExpr):
        return True
    if isinstance(expr, ir.AffineSymbolExpr | ir.AffineConstantExpr):
        return False
    return uses_indices(expr.lhs) or uses_indices(expr.rhs)


def _is_parameter(expr: Any) -> bool:
    return not uses_indices(expr)


def _is_positive_parameter(divisor: Expr) -> bool:
    """A divisor that is positive wherever a point exists: a positive constant, or dims without signs."""
    match divisor:
        case Literal():
            return int(divisor.value) > 0
        case Dim():
            return True
        case Binary(op="*" | "+"):
            return _is_positive_parameter(divisor.left) and _is_positive_parameter(divisor.right)
    return False


def simplified(expr: Any, indices: int, symbols: int) -> Any:
    return ir.AffineExpr.simplify_affine_expr(expr, indices, symbols)


# ---------------------------------------------------------------- conditions


def conjuncts(condition: Expr | None) -> list[Expr]:
    """The conditions that a chain of ``and`` asks for, left to right (constants in it are folded already)."""
    if condition is None:
        return []
    if isinstance(condition, Logical) and condition.op == "and":
        return conjuncts(condition.left) + conjuncts(condition.right)
    if isinstance(condition, Literal) and condition.value:
        return []
    return [condition]


# ---------------------------------------------------------------- binders


@dataclass(frozen=True)
class Bounds:
    """How a binder's bounds are met: by the box and constraints of its range, or by values."""

    range: Range
    values: tuple[Expr, Expr] | None = None


def bounds_of(binder: Binder, affine: Affine, body: Expr, axis_extent: Callable[[str, Expr], Any | None]) -> Bounds:
    """Choose the form of a binder's bounds; ``axis_extent(index, body)`` gives the axis that the index alone reads."""
    exact = affine.expression(binder.hi)
    if _is_zero(binder.lo) and exact is not None and not uses_indices(exact):
        return Bounds(Range(exact, None, exact))
    low, high = affine.interval(binder.lo), affine.interval(binder.hi)
    start = affine.expression(binder.lo)
    if low is None or high is None or start is None or exact is None:
        return _by_values(binder, axis_extent(binder.index, body))
    length = simplified(exact + start * -1, len(affine.positions), len(affine.symbols))
    return _by_constraints(binder, length, low[0], high[1])


def _by_constraints(binder: Binder, length: Any, least: Any, most: Any) -> Bounds:
    """A moving window of one length is shifted to 0; other bounds are constraints on an index that stays absolute where
    it cannot be negative, so that the whole box can be read."""
    shift = None if _is_zero(binder.lo) else binder.lo
    if not uses_indices(length):
        return Bounds(Range(length, shift, length))
    index = Index(binder.lo.span, INDEX, binder.index)
    below = Compare(binder.hi.span, "bool", "<", index, binder.hi)
    if shift is not None and is_natural(least):
        above = Compare(binder.lo.span, "bool", "<=", binder.lo, index)
        return Bounds(Range(most, None, most, (above, below)))
    widest = most + least * -1
    return Bounds(Range(widest, shift, widest, (below,)))


def is_natural(expr: Any) -> bool:
    """Whether an affine expression is a constant that is not negative."""
    expr = concrete(expr)
    return isinstance(expr, ir.AffineConstantExpr) and expr.value >= 0


def _by_values(binder: Binder, axis: Any | None) -> Bounds:
    """Absolute where the index reads an axis by itself: positions below 0 are then errors of the program already."""
    if _is_zero(binder.lo) or axis is not None:
        return Bounds(Range(None, None, axis), (binder.lo, binder.hi))
    zero = Literal(binder.lo.span, INDEX, 0)
    length = Binary(binder.hi.span, INDEX, "-", binder.hi, binder.lo)
    return Bounds(Range(None, binder.lo, None), (zero, length))


def _is_zero(expr: Expr) -> bool:
    return isinstance(expr, Literal) and expr.value == 0


def unguarded_axis(index: str, body: Expr) -> tuple[str, int] | None:
    """A tensor and an axis that ``index`` alone subscripts in a checked read of ``body``."""
    for node in walk(body):
        if not isinstance(node, Read):
            continue
        for axis, (subscript, access) in enumerate(zip(node.subscripts, node.access, strict=True)):
            if isinstance(subscript, Index) and subscript.name == index and access is not Access.GUARDED:
                return node.tensor, axis
    return None
