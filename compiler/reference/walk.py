"""Owns walks over typed expressions."""

from __future__ import annotations

from tilewright.compiler.language import typed


def children(expr: typed.Expr) -> tuple[typed.Expr, ...]:
    """The expressions directly inside ``expr``, bounds of binders included."""
    match expr:
        case typed.Read():
            return expr.subscripts
        case typed.Guarded():
            return (expr.read, expr.otherwise)
        case typed.Unary() | typed.Cast() | typed.Bitcast():
            return (expr.operand,)
        case typed.Binary() | typed.Compare() | typed.Logical():
            return (expr.left, expr.right)
        case typed.Select():
            return (expr.condition, expr.then, expr.otherwise)
        case typed.Call():
            return expr.operands
        case typed.Reduce():
            bounds = tuple(bound for binder in expr.binders for bound in (binder.lo, binder.hi))
            rest = tuple(part for part in (expr.where, expr.rank) if part is not None)
            return bounds + rest + (expr.body,)
        case _:
            return ()


def mentions(expr: typed.Expr) -> frozenset[str]:
    """The indices that ``expr`` mentions, those it binds itself left out."""
    if isinstance(expr, typed.Index):
        return frozenset((expr.name,))
    inside = frozenset[str]().union(*(mentions(child) for child in children(expr)))
    if isinstance(expr, typed.Reduce):
        return inside - {binder.index for binder in expr.binders}
    return inside


def tensors(expr: typed.Expr) -> frozenset[str]:
    """The names that ``expr`` reads."""
    own: frozenset[str] = frozenset()
    if isinstance(expr, typed.Read):
        own = frozenset((expr.tensor,))
    if isinstance(expr, typed.Call) and expr.tensor is not None:
        own = frozenset((expr.tensor,))
    return own.union(*(tensors(child) for child in children(expr)))
