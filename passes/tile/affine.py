"""Owns the evaluation of affine expressions (extents, constraints) on index values of the tiling pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tilewright.dialect.affine import exact
from tilewright.dialect.faults import InternalFault
from tilewright.dialect.mlir import arith, ir
from tilewright.passes.tile.emitter import Emitter
from tilewright.passes.tile.values import Linear, Value


def evaluate_affine(emitter: Emitter, expr: Any, dims: Sequence[Value], symbols: Sequence[Linear]) -> Value:
    """The value of ``expr`` when its dims and symbols are these; linear where the expression is."""
    expr = exact(expr)
    if isinstance(expr, ir.AffineConstantExpr):
        return Linear(constant=int(expr.value))
    if isinstance(expr, ir.AffineSymbolExpr):
        return symbols[int(expr.position)]
    if isinstance(expr, ir.AffineDimExpr):
        return dims[int(expr.position)]
    left = evaluate_affine(emitter, expr.lhs, dims, symbols)
    right = evaluate_affine(emitter, expr.rhs, dims, symbols)
    return _binary(emitter, expr, left, right)


def _binary(emitter: Emitter, expr: Any, left: Value, right: Value) -> Value:
    linear = isinstance(left, Linear) and isinstance(right, Linear)
    if linear and isinstance(expr, ir.AffineAddExpr):
        return emitter.add(left, right)  # type: ignore[arg-type]
    if linear and isinstance(expr, ir.AffineMulExpr):
        return _multiply(emitter, left, right)  # type: ignore[arg-type]
    build = _build_of(expr)
    if linear and left.is_uniform and right.is_uniform:  # type: ignore[union-attr]
        level = max(left.level, right.level)
        scalars = [emitter.scalar(v) for v in (left, right)]  # type: ignore[arg-type]
        return Linear(emitter.index_op(build, *scalars, level=level), level=level)
    return emitter.elementwise(build, emitter.as_tile(left), emitter.as_tile(right))


def _multiply(emitter: Emitter, left: Linear, right: Linear) -> Value:
    if right.is_constant:
        return emitter.scale(left, right.constant)
    if left.is_constant:
        return emitter.scale(right, left.constant)
    if left.is_uniform and right.is_uniform:
        return emitter.multiply(left, right)
    return emitter.elementwise(arith.muli, emitter.as_tile(left), emitter.as_tile(right))


def _build_of(expr: Any) -> Any:
    if isinstance(expr, ir.AffineFloorDivExpr):
        return arith.floordivsi
    if isinstance(expr, ir.AffineCeilDivExpr):
        return arith.ceildivsi
    if isinstance(expr, ir.AffineModExpr):
        return _floor_mod
    if isinstance(expr, ir.AffineAddExpr):
        return arith.addi
    if isinstance(expr, ir.AffineMulExpr):
        return arith.muli
    raise InternalFault(f"cannot evaluate the affine expression {expr}")


def _floor_mod(left: Any, right: Any) -> Any:
    """The remainder with the sign of the divisor."""
    return arith.subi(left, arith.muli(arith.floordivsi(left, right), right))


def uniform(value: Value) -> Linear:
    """``value`` as a uniform index; a fault when it varies over the tile."""
    if isinstance(value, Linear) and value.is_uniform:
        return value
    raise InternalFault("an extent varies over a tile")


def extreme(emitter: Emitter, value: Linear, sign: int) -> Linear:
    """The largest (``sign`` 1) or smallest (-1) value over the positions of its tile axes, limits ignored."""
    spread = sum(max(0, sign * c) * (a.size - 1) for a, c in value.terms) * sign
    return Linear(value.base, value.constant + spread, (), value.level)


def at_least(left: Any, right: Any) -> Any:
    return arith.cmpi(arith.CmpIPredicate.sge, left, right)


def below(left: Any, right: Any) -> Any:
    return arith.cmpi(arith.CmpIPredicate.slt, left, right)
