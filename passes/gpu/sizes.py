"""Owns the code for affine expressions over the dims: extents of views, as index values or plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tilewright.dialect.faults import InternalFault
from tilewright.dialect.mlir import ir
from tilewright.passes.machine.emit import Emitter

_OPS = (
    (ir.AffineAddExpr, "arith.addi"),
    (ir.AffineMulExpr, "arith.muli"),
    (ir.AffineFloorDivExpr, "arith.divui"),
    (ir.AffineModExpr, "arith.remui"),
)


def expression_value(e: Emitter, expression: Any, dims: Sequence[Any]) -> Any:
    """The value of an expression over the dim symbols (extents are not negative); an int where it is constant."""
    if isinstance(expression, ir.AffineConstantExpr):
        return int(expression.value)
    if isinstance(expression, ir.AffineSymbolExpr):
        return dims[expression.position]
    left, right = (expression_value(e, part, dims) for part in (expression.lhs, expression.rhs))
    values = [e.constant(e.index, v) if isinstance(v, int) else v for v in (left, right)]
    for kind, name in _OPS:
        if isinstance(expression, kind):
            return e.same(name, *values)
    raise InternalFault(f"cannot evaluate the affine expression {expression}")
