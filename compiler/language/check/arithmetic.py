"""Owns building typed operations: conversions of the operands, folding of constants, and what is refused."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from tilewright.compiler.language import typed
from tilewright.compiler.language.check.dtypes import (
    ERROR,
    WEAK,
    common,
    convert,
    integer_range,
    is_float,
    is_integer,
    named,
    poison,
    strengthened,
)
from tilewright.compiler.language.check.problems import Problems, note, replaced
from tilewright.compiler.language.span import Span

FOLDED_BITS = 128
"""Constants of index arithmetic must fit in this many bits."""

_INTEGER_OPS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv, "%": operator.mod,
    "&": operator.and_, "|": operator.or_, "^": operator.xor, "<<": operator.lshift, ">>": operator.rshift,
    "min": min, "max": max, "**": operator.pow,
}  # fmt: skip
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_BITWISE = ("&", "|", "^", "<<", ">>")


class Arithmetic:
    """Builds typed nodes; what is refused goes to ``problems`` and gives a poisoned node."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def refuse(self, code: str, span: Span, message: str, **more: Any) -> typed.Expr:
        self.problems.add(code, span, message, **more)
        return poison(span)

    # ------------------------------------------------------------ binary

    def binary(self, op: str, left: typed.Expr, right: typed.Expr, span: Span) -> typed.Expr:
        """``left op right`` for arithmetic, bitwise operations, shifts, ``min`` and ``max``."""
        if ERROR in (left.dtype, right.dtype):
            return poison(span)
        if op in _BITWISE:
            return self._bitwise(op, left, right, span)
        dtype = common(left.dtype, right.dtype)
        if op in ("//", "%") and is_float(dtype):
            hint = "floor(a / b)" if op == "//" else "a - floor(a / b) * b"
            message = f"`{op}` needs integers; for floats write `{hint}`"
            return self.refuse("TW0315", span, message, expected="integers", found=self._pair(left, right))
        if op == "/" and not is_float(dtype):
            dtype = WEAK if dtype == typed.INDEX else "f32"
        if op == "**" and not self._power_allowed(dtype, right, span):
            return poison(span)
        return self._checked_binary(op, self.fit(left, dtype), self.fit(right, dtype), dtype, span)

    def _checked_binary(self, op: str, left: typed.Expr, right: typed.Expr, dtype: str, span: Span) -> typed.Expr:
        if ERROR in (left.dtype, right.dtype):
            return poison(span)
        if op in ("//", "%") and isinstance(right, typed.Literal) and right.value == 0:
            return self.refuse("TW0314", span, "division by zero")
        if dtype == typed.INDEX and isinstance(left, typed.Literal) and isinstance(right, typed.Literal):
            return self._folded(op, int(left.value), int(right.value), span)
        if self._too_wide(left) or self._too_wide(right):
            return poison(span)
        return typed.Binary(span, dtype, op, left, right)

    def _too_wide(self, expr: typed.Expr) -> bool:
        """Whether a constant cannot meet an index at run time, where indices have 64 bits; then it is refused."""
        if not isinstance(expr, typed.Literal) or expr.dtype != typed.INDEX or -(2**63) <= expr.value < 2**63:
            return False
        message = "this constant needs more than 64 bits, which indices have at run time"
        self.problems.add("TW0313", expr.span, message, found=str(expr.value))
        return True

    def _folded(self, op: str, left: int, right: int, span: Span) -> typed.Expr:
        if op in ("<<", "**") and (right < 0 or right > FOLDED_BITS and abs(left) > 1) or op == ">>" and right < 0:
            return self._too_large(span) if right > 0 else self.refuse("TW0317", span, f"`{op}` by a negative number")
        value = _INTEGER_OPS[op](left, right)
        if value.bit_length() > FOLDED_BITS:
            return self._too_large(span)
        return typed.Literal(span, typed.INDEX, value)

    def _too_large(self, span: Span) -> typed.Expr:
        return self.refuse("TW0313", span, f"this constant needs more than {FOLDED_BITS} bits")

    def _power_allowed(self, dtype: str, right: typed.Expr, span: Span) -> bool:
        if is_float(dtype) or not isinstance(right, typed.Literal) or right.value >= 0:
            return True
        message = "an integer to a negative power is no integer"
        fix = note(None, "make the base a float, for example `f32(n)**-1`")
        self.problems.add("TW0317", span, message, expected="an exponent of at least 0", notes=fix)
        return False

    def _bitwise(self, op: str, left: typed.Expr, right: typed.Expr, span: Span) -> typed.Expr:
        if left.dtype == right.dtype == "bool" and op in ("&", "|", "^"):
            return typed.Binary(span, "bool", op, left, right)
        if not (is_integer(left.dtype) and is_integer(right.dtype)):
            word = {"&": "and", "|": "or"}.get(op)
            notes = note(None, f"for conditions write `{word}`") if word else ()
            message = f"`{op}` needs integers"
            found = self._pair(left, right)
            return self.refuse("TW0315", span, message, expected="two integers", found=found, notes=notes)
        dtype = left.dtype if op in ("<<", ">>") and left.dtype != typed.INDEX else common(left.dtype, right.dtype)
        return self._checked_binary(op, self.fit(left, dtype), self.fit(right, dtype), dtype, span)

    def _pair(self, left: typed.Expr, right: typed.Expr) -> str:
        return f"{named(left.dtype)} and {named(right.dtype)}"

    # ------------------------------------------------------------ conversions

    def fit(self, expr: typed.Expr, dtype: str) -> typed.Expr:
        """``expr`` in ``dtype``; a literal that has no place in an integer type is refused."""
        if isinstance(expr, typed.Literal) and is_integer(dtype) and dtype != typed.INDEX and expr.dtype == typed.INDEX:
            low, high = integer_range(dtype)
            if not low <= expr.value <= high:
                expected = f"a number from {low} to {high}"
                message = f"{expr.value} does not fit in {dtype}"
                return self.refuse("TW0307", expr.span, message, expected=expected, found=str(expr.value))
        return convert(expr, dtype)

    # ------------------------------------------------------------ unary, comparisons, conditions

    def unary(self, op: str, operand: typed.Expr, span: Span) -> typed.Expr:
        """``-x``, ``~x`` or ``not x``."""
        if operand.dtype == ERROR:
            return poison(span)
        if op == "not":
            return self.negated(operand, span)
        if op == "~":
            return self._inverted(operand, span)
        operand = convert(operand, common(operand.dtype, operand.dtype))
        if isinstance(operand, typed.Literal) and _holds(operand.dtype, -operand.value):
            return typed.Literal(span, operand.dtype, -operand.value)
        return typed.Unary(span, operand.dtype, "-", operand)

    def _inverted(self, operand: typed.Expr, span: Span) -> typed.Expr:
        if not is_integer(operand.dtype):
            message = "`~` needs an integer; for a condition write `not`"
            return self.refuse("TW0315", span, message, expected="an integer", found=named(operand.dtype))
        if isinstance(operand, typed.Literal) and _holds(operand.dtype, ~int(operand.value)):
            return typed.Literal(span, operand.dtype, ~int(operand.value))
        return typed.Unary(span, operand.dtype, "~", operand)

    def negated(self, operand: typed.Expr, span: Span) -> typed.Expr:
        condition = self.condition(operand)
        if isinstance(condition, typed.Literal) and condition.dtype == "bool":
            return typed.Literal(span, "bool", not condition.value)
        return condition if condition.dtype == ERROR else typed.Unary(span, "bool", "not", condition)

    def condition(self, expr: typed.Expr) -> typed.Expr:
        """``expr`` where a condition must stand."""
        if expr.dtype in ("bool", ERROR):
            return expr
        text = expr.span.text
        fix = replaced(expr.span, f"{text} != 0") if text.isidentifier() else None
        message = "a condition is needed here"
        return self.refuse("TW0305", expr.span, message, expected="bool", found=named(expr.dtype), fix=fix)

    def compare(self, op: str, left: typed.Expr, right: typed.Expr, span: Span) -> typed.Expr:
        if ERROR in (left.dtype, right.dtype):
            return poison(span)
        if left.dtype == right.dtype == "bool" and op in ("==", "!="):
            dtype = "bool"
        else:
            dtype = self._compared_dtype(left, right)
        left, right = self.fit(left, dtype), self.fit(right, dtype)
        if ERROR in (left.dtype, right.dtype):
            return poison(span)
        if isinstance(left, typed.Literal) and isinstance(right, typed.Literal):
            return typed.Literal(span, "bool", _COMPARISONS[op](left.value, right.value))
        if self._too_wide(left) or self._too_wide(right):
            return poison(span)
        return typed.Compare(span, "bool", op, strengthened(left), strengthened(right))

    def _compared_dtype(self, left: typed.Expr, right: typed.Expr) -> str:
        """Indices are compared with integers of memory exactly, as indices; literals take the other type."""
        dtype = common(left.dtype, right.dtype)
        for one in (left, right):
            if one.dtype == typed.INDEX and not isinstance(one, typed.Literal) and is_integer(dtype):
                return typed.INDEX
        return dtype

    def logical(self, op: str, left: typed.Expr, right: typed.Expr, span: Span) -> typed.Expr:
        """``and`` / ``or`` of two conditions; a constant side decides or goes."""
        if ERROR in (left.dtype, right.dtype):
            return poison(span)
        decides = op == "or"
        if isinstance(left, typed.Literal):
            return left if left.value is decides else right
        if isinstance(right, typed.Literal) and right.value is not decides:
            return left
        return typed.Logical(span, "bool", op, left, right)

    def select(self, condition: typed.Expr, then: typed.Expr, otherwise: typed.Expr, span: Span) -> typed.Expr:
        if ERROR in (condition.dtype, then.dtype, otherwise.dtype):
            return poison(span)
        dtype = then.dtype if then.dtype == otherwise.dtype else common(then.dtype, otherwise.dtype)
        then, otherwise = self.fit(then, dtype), self.fit(otherwise, dtype)
        if ERROR in (then.dtype, otherwise.dtype):
            return poison(span)
        return typed.Select(span, dtype, condition, then, otherwise)


def _holds(dtype: str, value: float) -> bool:
    """Whether ``dtype`` has the folded ``value`` without wrapping."""
    if not is_integer(dtype) or dtype == typed.INDEX:
        return True
    low, high = integer_range(dtype)
    return low <= value <= high
