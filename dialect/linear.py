"""Index values as linear forms: integer coefficients of indices, plus an expression over the dims.

The analysis behind "is this subscript an index map": what it understands becomes coefficients, everything else is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tilewright.dialect.affine import exact
from tilewright.dialect.mlir import ir


@dataclass(frozen=True)
class LinearForm:
    """``sum of coefficient * leaf + offset``.

    `terms` holds (value, coefficient) with coefficients other than 0, in order of first use; `offset` is an affine or
    semi-affine expression over the symbols (the dims) alone.
    """

    terms: tuple[tuple[Any, int], ...]
    offset: Any

    @property
    def leaves(self) -> tuple[Any, ...]:
        return tuple(value for value, _ in self.terms)

    def coefficient(self, leaf: Any) -> int:
        """The coefficient of a leaf; 0 if it does not occur."""
        return next((c for value, c in self.terms if value == leaf), 0)

    @property
    def constant(self) -> int | None:
        """The offset as a number, None if it depends on dims."""
        offset = exact(self.offset)
        return int(offset.value) if isinstance(offset, ir.AffineConstantExpr) else None


def linear_form(value: Any, dims: Sequence[str], symbols: Mapping[Any, int] | None = None) -> LinearForm | None:
    """The linear form of an index value, or None.

    Leaves are block arguments. Dims are ``tw.dim`` ops (by their place in `dims`) and the values in `symbols`
    (value to symbol number: the dim arguments of a launch).
    """
    return _Analysis(tuple(dims), dict(symbols or {})).form(value)


_PASS_THROUGH = frozenset({"arith.index_cast", "arith.extsi"})
_DIVISIONS = frozenset(
    {"arith.floordivsi", "arith.ceildivsi", "arith.remui", "arith.divui", "arith.remsi", "arith.divsi"}
)


@dataclass
class _Analysis:
    dims: tuple[str, ...]
    symbols: dict[Any, int]

    def form(self, value: Any) -> LinearForm | None:
        if value in self.symbols:
            return LinearForm((), ir.AffineSymbolExpr.get(self.symbols[value]))
        if isinstance(value, ir.BlockArgument):
            return LinearForm(((value, 1),), ir.AffineConstantExpr.get(0))
        op = value.owner.operation
        if op.name == "tw.dim":
            name = ir.StringAttr(op.attributes["symbol"]).value
            return LinearForm((), ir.AffineSymbolExpr.get(self.dims.index(name)))
        if op.name == "arith.constant":
            return self._constant(op)
        if op.name in _PASS_THROUGH:
            return self.form(op.operands[0])
        if len(op.operands) != 2:
            return None
        left, right = self.form(op.operands[0]), self.form(op.operands[1])
        return None if left is None or right is None else _combined(op.name, left, right)

    def _constant(self, op: Any) -> LinearForm | None:
        attribute = op.attributes["value"]
        if not isinstance(attribute, ir.IntegerAttr):
            return None
        return LinearForm((), ir.AffineConstantExpr.get(attribute.value))


def _combined(name: str, left: LinearForm, right: LinearForm) -> LinearForm | None:
    if name == "arith.addi":
        return _sum(left, right, 1)
    if name == "arith.subi":
        return _sum(left, right, -1)
    if name == "arith.muli":
        return _product(left, right)
    if name in _DIVISIONS and not left.terms and not right.terms:
        return _quotient(name, left, right)
    return None


def _sum(left: LinearForm, right: LinearForm, sign: int) -> LinearForm:
    total = dict(left.terms)
    for value, coefficient in right.terms:
        total[value] = total.get(value, 0) + sign * coefficient
    return LinearForm(tuple((v, c) for v, c in total.items() if c), left.offset + right.offset * sign)


def _product(left: LinearForm, right: LinearForm) -> LinearForm | None:
    if left.terms and right.terms:
        return None
    scaled, factor = (left, right) if left.terms else (right, left)
    if not scaled.terms:
        return LinearForm((), left.offset * right.offset)
    if factor.constant is None:
        return None
    terms = tuple((v, c * factor.constant) for v, c in scaled.terms if factor.constant)
    return LinearForm(terms, scaled.offset * factor.constant)


def _quotient(name: str, left: LinearForm, right: LinearForm) -> LinearForm | None:
    """Divisions of dims by positive constants: dims are not negative, so truncation agrees with floor."""
    divisor = right.constant
    if divisor is None or divisor <= 0 or not _not_negative(left.offset):
        return None
    if name.startswith("arith.rem"):
        return LinearForm((), left.offset % divisor)
    if name == "arith.ceildivsi":
        return LinearForm((), ir.AffineExpr.get_ceil_div(left.offset, divisor))
    return LinearForm((), ir.AffineExpr.get_floor_div(left.offset, divisor))


def _not_negative(expression: Any) -> bool:
    """Whether an expression of dims (each >= 0) is visibly >= 0."""
    expression = exact(expression)
    if isinstance(expression, ir.AffineConstantExpr):
        return bool(expression.value >= 0)
    if isinstance(expression, ir.AffineSymbolExpr):
        return True
    return _not_negative(expression.lhs) and _not_negative(expression.rhs)
