"""Owns integer arithmetic that ``arith`` leaves undefined: floor division, remainder, shifts, integer powers.

The language has no traps: a zero divisor gives 0, ``min // -1`` wraps, a shift by the width or more leaves nothing.
"""

from __future__ import annotations

from typing import Any

from tilewright.compiler.emit_types import Kind, constant
from tilewright.dialect.mlir import arith

P = arith.CmpIPredicate


def divide(left: Any, right: Any, kind: Kind, divisor: int | None = None) -> Any:
    """``left // right`` rounded to minus infinity; ``divisor`` is the value of ``right`` where it is a constant."""
    if divisor is not None and divisor > 0:
        return _quotient(left, right, kind)
    zero = _is_zero(right, kind)
    return arith.select(zero, constant(kind.name, 0), _quotient(left, _safe(left, right, zero, kind), kind))


def remainder(left: Any, right: Any, kind: Kind, divisor: int | None = None) -> Any:
    """``left - right * (left // right)``, 0 for a zero divisor."""
    if divisor is not None and divisor > 0:
        return _rest(left, right, kind)
    zero = _is_zero(right, kind)
    return arith.select(zero, constant(kind.name, 0), _rest(left, _safe(left, right, zero, kind), kind))


def _quotient(left: Any, right: Any, kind: Kind) -> Any:
    return arith.divui(left, right) if kind.unsigned else arith.floordivsi(left, right)


def _rest(left: Any, right: Any, kind: Kind) -> Any:
    if kind.unsigned:
        return arith.remui(left, right)
    return arith.subi(left, arith.muli(right, arith.floordivsi(left, right)))


def _is_zero(right: Any, kind: Kind) -> Any:
    return arith.cmpi(P.eq, right, constant(kind.name, 0))


def _safe(left: Any, right: Any, zero: Any, kind: Kind) -> Any:
    """The divisor with what could trap replaced by 1: zero, and -1 under the least number (the wrapped value)."""
    one = constant(kind.name, 1)
    if kind.unsigned:
        return arith.select(zero, one, right)
    least = arith.cmpi(P.eq, left, constant(kind.name, -(1 << (kind.bits - 1))))
    minus = arith.cmpi(P.eq, right, constant(kind.name, -1))
    return arith.select(arith.ori(zero, arith.andi(least, minus)), one, right)


def shift_left(left: Any, right: Any, kind: Kind) -> Any:
    """``left << right``; 0 when the amount is negative or the width and more."""
    return _shift(arith.shli, left, right, kind, constant(kind.name, 0))


def shift_right(left: Any, right: Any, kind: Kind) -> Any:
    """``left >> right``, keeping the sign of signed integers; an amount outside the width shifts everything out."""
    if kind.unsigned:
        return _shift(arith.shrui, left, right, kind, constant(kind.name, 0))
    inside = arith.cmpi(P.ult, right, constant(kind.name, kind.bits))
    return arith.shrsi(left, arith.select(inside, right, constant(kind.name, kind.bits - 1)))


def _shift(operation: Any, left: Any, right: Any, kind: Kind, outside: Any) -> Any:
    inside = arith.cmpi(P.ult, right, constant(kind.name, kind.bits))
    amount = arith.select(inside, right, constant(kind.name, 0))
    return arith.select(inside, operation(left, amount), outside)


def power(base: Any, exponent: int, one: Any, multiply: Any) -> Any:
    """``base`` to a constant power >= 0 by repeated squaring; ``one`` is what exponent 0 gives."""
    result: Any = None
    while exponent:
        if exponent & 1:
            result = base if result is None else multiply(result, base)
        exponent >>= 1
        if exponent:
            base = multiply(base, base)
    return one if result is None else result
