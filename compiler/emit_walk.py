"""Owns walking over typed expressions: children, all nodes, free indices, and which reads are checked at run time."""

from __future__ import annotations

from collections.abc import Iterator

from tilewright.compiler.language.typed import (
    Access,
    Binary,
    Bitcast,
    Call,
    Cast,
    Compare,
    Expr,
    Guarded,
    Index,
    Logical,
    Read,
    Reduce,
    Select,
    Unary,
)


def children(expr: Expr) -> tuple[Expr, ...]:
    """The direct operands of an expression in order of evaluation (a reduction's bounds, condition, body)."""
    match expr:
        case Unary() | Cast() | Bitcast():
            return (expr.operand,)
        case Binary() | Compare() | Logical():
            return (expr.left, expr.right)
        case Select():
            return (expr.condition, expr.then, expr.otherwise)
        case Guarded():
            return (expr.read, expr.otherwise)
        case Read():
            return expr.subscripts
        case Call():
            return expr.operands
        case Reduce():
            bounds = [end for binder in expr.binders for end in (binder.lo, binder.hi)]
            optional = [e for e in (expr.where, expr.body, expr.rank) if e is not None]
            return (*bounds, *optional)
    return ()


def walk(*roots: Expr) -> Iterator[Expr]:
    """Every distinct node below ``roots``, parents first."""
    seen: set[int] = set()
    stack = list(reversed(roots))
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        stack.extend(reversed(children(node)))


class FreeIndices:
    """The indices an expression uses and does not bind, remembered per node."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Expr, frozenset[str]]] = {}

    def __call__(self, expr: Expr) -> frozenset[str]:
        known = self._known.get(id(expr))
        if known is not None:
            return known[1]
        names = self._compute(expr)
        self._known[id(expr)] = (expr, names)  # the node is kept alive: its id stays its own
        return names

    def _compute(self, expr: Expr) -> frozenset[str]:
        if isinstance(expr, Index):
            return frozenset({expr.name})
        names = frozenset[str]().union(*(self(child) for child in children(expr)))
        if isinstance(expr, Reduce):
            names -= {binder.index for binder in expr.binders}
        return names


def has_checked_read(*roots: Expr) -> bool:
    """Whether a read below ``roots`` can fail at run time, and so must not happen where a condition protects it."""
    return any(isinstance(node, Read) and Access.GATHER in node.access for node in walk(*roots))
