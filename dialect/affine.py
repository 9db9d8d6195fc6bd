"""Affine expressions, read: evaluation over integers or arrays, and the list of their coefficients.

Semi-affine expressions (a dim divided by a dim) are evaluated like the rest; `coefficients` gives None for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tilewright.dialect.mlir import ir


class NotAffine(ValueError):
    """An expression of an unknown kind, or with a zero divisor where it is evaluated."""


def exact(expression: Any) -> Any:
    """The expression as an object of its own class: operators give the class of the operation, also where it folded."""
    return expression.maybe_downcast()


_BINARY: tuple[tuple[Any, Callable[[Any, Any], Any]], ...] = (
    (ir.AffineAddExpr, lambda a, b: a + b),
    (ir.AffineMulExpr, lambda a, b: a * b),
    (ir.AffineModExpr, lambda a, b: a % b),
    (ir.AffineFloorDivExpr, lambda a, b: a // b),
    (ir.AffineCeilDivExpr, lambda a, b: -(-a // b)),
)


def evaluate(expression: Any, dims: Sequence[Any], symbols: Sequence[Any]) -> Any:
    """The value of an affine expression; `dims` and `symbols` are integers or integer arrays that broadcast."""
    expression = exact(expression)
    if isinstance(expression, ir.AffineConstantExpr):
        return expression.value
    if isinstance(expression, ir.AffineDimExpr):
        return dims[expression.position]
    if isinstance(expression, ir.AffineSymbolExpr):
        return symbols[expression.position]
    for kind, function in _BINARY:
        if isinstance(expression, kind):
            left, right = evaluate(expression.lhs, dims, symbols), evaluate(expression.rhs, dims, symbols)
            _refuse_zero(kind, right, expression)
            return function(left, right)
    raise NotAffine(f"{expression} is of a kind that is not known")


def _refuse_zero(kind: Any, right: Any, expression: Any) -> None:
    divides = kind in (ir.AffineModExpr, ir.AffineFloorDivExpr, ir.AffineCeilDivExpr)
    if divides and isinstance(right, int) and right == 0:
        raise NotAffine(f"{expression} divides by zero")


def evaluate_map(affine_map: Any, dims: Sequence[Any] = (), symbols: Sequence[Any] = ()) -> list[Any]:
    """All results of an affine map."""
    return [evaluate(result, dims, symbols) for result in affine_map.results]


def coefficients(expression: Any, dims: int, symbols: int) -> tuple[tuple[int, ...], tuple[int, ...], int] | None:
    """(dim coefficients, symbol coefficients, constant) of a linear expression; None if it is not linear."""
    expression = exact(expression)
    if isinstance(expression, (ir.AffineModExpr, ir.AffineFloorDivExpr, ir.AffineCeilDivExpr)):
        return None
    if isinstance(expression, ir.AffineAddExpr):
        left, right = (coefficients(side, dims, symbols) for side in (expression.lhs, expression.rhs))
        return None if left is None or right is None else _added(left, right)
    if isinstance(expression, ir.AffineMulExpr):
        return _multiplied(expression, dims, symbols)
    one_dim = tuple(int(expression == ir.AffineDimExpr.get(n)) for n in range(dims))
    one_symbol = tuple(int(expression == ir.AffineSymbolExpr.get(n)) for n in range(symbols))
    constant = expression.value if isinstance(expression, ir.AffineConstantExpr) else 0
    return one_dim, one_symbol, constant


_Row = tuple[tuple[int, ...], tuple[int, ...], int]


def _added(left: _Row, right: _Row) -> _Row:
    dims = tuple(a + b for a, b in zip(left[0], right[0], strict=True))
    symbols = tuple(a + b for a, b in zip(left[1], right[1], strict=True))
    return dims, symbols, left[2] + right[2]


def _multiplied(expression: Any, dims: int, symbols: int) -> _Row | None:
    rows = [coefficients(side, dims, symbols) for side in (expression.lhs, expression.rhs)]
    for factor, row in (rows, rows[::-1]):
        if factor is not None and row is not None and not any(factor[0]) and not any(factor[1]):
            scale = factor[2]
            return tuple(scale * c for c in row[0]), tuple(scale * c for c in row[1]), scale * row[2]
    return None
