"""Owns walking typed expressions: their parts, and simple questions about them."""

from __future__ import annotations

from tilewright.compiler.language import typed


def parts(expr: typed.Expr) -> tuple[typed.Expr, ...]:
    """The expressions directly inside ``expr``."""
    match expr:
        case typed.Read(subscripts=subscripts):
            return subscripts
        case typed.Guarded(read=read, otherwise=otherwise):
            return (read, otherwise)
        case typed.Unary(operand=operand) | typed.Cast(operand=operand) | typed.Bitcast(operand=operand):
            return (operand,)
        case typed.Binary(left=left, right=right) | typed.Compare(left=left, right=right):
            return (left, right)
        case typed.Logical(left=left, right=right):
            return (left, right)
        case typed.Select(condition=condition, then=then, otherwise=otherwise):
            return (condition, then, otherwise)
        case typed.Call(operands=operands):
            return operands
        case typed.Reduce():
            bounds = tuple(e for b in expr.binders for e in (b.lo, b.hi))
            return (*bounds, *(e for e in (expr.where, expr.rank) if e is not None), expr.body)
    return ()


def reads_values(expr: typed.Expr) -> bool:
    """Whether ``expr`` depends on the contents of tensors or on run-time scalars."""
    if isinstance(expr, typed.Read | typed.Scalar):
        return True
    if isinstance(expr, typed.Call) and expr.tensor is not None:
        return True
    return any(map(reads_values, parts(expr)))


def indices_of(expr: typed.Expr) -> frozenset[str]:
    """The indices that occur in ``expr``, bound ones included."""
    if isinstance(expr, typed.Index):
        return frozenset({expr.name})
    return frozenset(name for part in parts(expr) for name in indices_of(part))
