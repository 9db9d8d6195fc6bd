"""Owns the value of an expression over dims and indices, when those are known."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from tilewright.compiler.language import typed


class Unknown(Exception):
    """The value depends on something that is not known, or has no value (a division by zero)."""


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv, "%": operator.mod,
    "/": operator.truediv, "**": operator.pow, "<<": operator.lshift, ">>": operator.rshift, "&": operator.and_,
    "|": operator.or_, "^": operator.xor, "min": min, "max": max,
}  # fmt: skip
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def value_of(expr: typed.Expr, values: Mapping[str, int]) -> int | float | bool:
    """The value of ``expr`` with dims and indices from ``values``, in exact integers; raises ``Unknown``."""
    match expr:
        case typed.Literal(value=value):
            return value
        case typed.Dim(name=name) | typed.Index(name=name) if name in values:
            return values[name]
        case typed.Unary(op=op, operand=operand):
            inner = value_of(operand, values)
            return not inner if op == "not" else -inner if op == "-" else ~int(inner)
        case typed.Logical(op=op, left=left, right=right):
            decided = bool(value_of(left, values))
            return decided if decided == (op == "or") else bool(value_of(right, values))
        case typed.Select(condition=condition, then=then, otherwise=otherwise):
            return value_of(then if value_of(condition, values) else otherwise, values)
        case typed.Compare(op=op, left=left, right=right):
            return _COMPARE[op](value_of(left, values), value_of(right, values))
        case typed.Binary(op=op, left=left, right=right):
            return _binary(op, value_of(left, values), value_of(right, values))
        case typed.Cast(operand=operand) if expr.dtype in (typed.INDEX, "i32", "i64", "f32", "f64"):
            return value_of(operand, values)
    raise Unknown


def _binary(op: str, left: Any, right: Any) -> int | float:
    if op in ("/", "//", "%") and right == 0 or op in ("<<", ">>", "**") and not 0 <= right <= 128:
        raise Unknown
    result: int | float = _BINARY[op](left, right)
    return result
