"""Owns the compute rule: which dtype an operation has, and how values are converted.

Two dtypes live inside the checker alone: ``WEAK``, a float that only literals, dims and indices made and that takes the
other operand's type (f32 alone), and ``ERROR``, the type of an expression that an error was reported for.
"""

from __future__ import annotations

from dataclasses import replace

from tilewright.compiler.language import typed
from tilewright.compiler.language.check.vocabulary import FLOATS, INTEGERS
from tilewright.compiler.language.span import Span

WEAK = "weak float"
ERROR = "error"

_WIDENED = {
    **dict.fromkeys(("f8e4m3", "f8e5m2", "f16", "bf16"), "f32"),
    **dict.fromkeys(("i8", "i16", "u8", "u16"), "i32"),
}
_BITS = {"bool": 8, "f8e4m3": 8, "f8e5m2": 8, "bf16": 16}


def bits(dtype: str) -> int:
    """Width of a dtype in memory."""
    return _BITS[dtype] if dtype in _BITS else int(dtype.lstrip("iuf"))


def compute(dtype: str) -> str:
    """The dtype in which a stored value takes part in arithmetic."""
    return _WIDENED.get(dtype, dtype)


def is_float(dtype: str) -> bool:
    return dtype == WEAK or dtype in FLOATS


def is_integer(dtype: str) -> bool:
    """Integers of memory and of indices; bool is none."""
    return dtype == typed.INDEX or dtype in INTEGERS


def integer_range(dtype: str) -> tuple[int, int]:
    width = bits(dtype)
    return (0, 2**width - 1) if dtype.startswith("u") else (-(2 ** (width - 1)), 2 ** (width - 1) - 1)


def common(left: str, right: str) -> str:
    """The dtype of arithmetic on two compute dtypes; bool counts as i32."""
    left, right = (("i32" if d == "bool" else d) for d in (left, right))
    if ERROR in (left, right):
        return ERROR
    if left == right:
        return left
    if is_float(left) or is_float(right):
        return _common_float(left, right)
    if typed.INDEX in (left, right):
        return right if left == typed.INDEX else left
    return "i64"


def _common_float(left: str, right: str) -> str:
    if "f64" in (left, right):
        return "f64"
    weak = {left, right} <= {WEAK, typed.INDEX}
    return WEAK if weak else "f32"


def plain(dtype: str) -> str:
    """The dtype that a value has alone: i64 for indices, f32 for weak floats."""
    return {typed.INDEX: "i64", WEAK: "f32"}.get(dtype, dtype)


def named(dtype: str) -> str:
    """How a message names a dtype."""
    return {typed.INDEX: "an integer", WEAK: "a float", ERROR: "?"}.get(dtype, dtype)


def poison(span: Span) -> typed.Expr:
    return typed.Literal(span, ERROR, 0)


def convert(expr: typed.Expr, dtype: str) -> typed.Expr:
    """``expr`` in ``dtype``; literals and weak floats change their type, other values get a ``Cast``."""
    if expr.dtype == dtype or ERROR in (expr.dtype, dtype):
        return expr
    if isinstance(expr, typed.Literal):
        return _literal(expr, dtype)
    if expr.dtype == WEAK and is_float(dtype) and dtype in ("f32", "f64"):
        return _retyped(expr, dtype)
    if expr.dtype == WEAK:
        return typed.Cast(expr.span, dtype, _retyped(expr, "f32"))
    return typed.Cast(expr.span, dtype, expr)


def _literal(expr: typed.Literal, dtype: str) -> typed.Expr:
    if dtype in ("f32", "f64", WEAK):
        return replace(expr, dtype=dtype, value=_as_float(expr.value))
    if is_integer(dtype) and not isinstance(expr.value, float):
        return replace(expr, dtype=dtype, value=int(expr.value))
    source = expr if expr.dtype != WEAK else replace(expr, dtype="f32")
    if is_float(dtype) and source.dtype == typed.INDEX:
        source = replace(expr, dtype="f32", value=_as_float(expr.value))
    return typed.Cast(expr.span, dtype, source)


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _retyped(expr: typed.Expr, dtype: str) -> typed.Expr:
    """A weak expression with ``dtype`` in all of its weak parts."""
    if expr.dtype != WEAK:
        return expr
    match expr:
        case typed.Binary():
            return replace(expr, dtype=dtype, left=_retyped(expr.left, dtype), right=_retyped(expr.right, dtype))
        case typed.Unary() | typed.Cast():
            return replace(expr, dtype=dtype, operand=_retyped(expr.operand, dtype))
        case typed.Select():
            then, otherwise = _retyped(expr.then, dtype), _retyped(expr.otherwise, dtype)
            return replace(expr, dtype=dtype, then=then, otherwise=otherwise)
        case typed.Call():
            return replace(expr, dtype=dtype, operands=tuple(_retyped(o, dtype) for o in expr.operands))
        case typed.Reduce():
            return replace(expr, dtype=dtype, body=_retyped(expr.body, dtype))
    return replace(expr, dtype=dtype)


def strengthened(expr: typed.Expr) -> typed.Expr:
    """``expr`` with f32 for a weak float: where nothing else decides."""
    return convert(expr, "f32") if expr.dtype == WEAK else expr


def widened(expr: typed.Expr) -> typed.Expr:
    """A stored value as arithmetic sees it."""
    return convert(expr, compute(expr.dtype))


def narrow_part(expr: typed.Expr) -> typed.Expr:
    """The stored value under the widening that ``widened`` added, if there is one."""
    if isinstance(expr, typed.Cast) and compute(expr.operand.dtype) == expr.dtype != expr.operand.dtype:
        return expr.operand
    return expr
