"""Owns the built-in functions: what each becomes in ``arith`` and ``math``; ``approx`` is ``fastmath<afn>``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tilewright.compiler.emit_types import Kind, constant, mlir_type
from tilewright.dialect.mlir import arith, math

P = arith.CmpIPredicate
F = arith.CmpFPredicate
FLAGS = arith.FastMathFlags

_MATH: dict[str, Callable[..., Any]] = {
    "exp": math.exp,
    "exp2": math.exp2,
    "log": math.log,
    "log2": math.log2,
    "log1p": math.log1p,
    "expm1": math.expm1,
    "sqrt": math.sqrt,
    "rsqrt": math.rsqrt,
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "erf": math.erf,
    "pow": math.powf,
}
_EXACT: dict[str, Callable[..., Any]] = {"floor": math.floor, "ceil": math.ceil, "round": math.roundeven}
NAMES = frozenset({*_MATH, *_EXACT, "abs", "sign", "sigmoid", "fma", "detach", "tf32"})


def call(function: str, operands: Sequence[Any], kind: Kind, approximate: bool) -> Any:
    """The value of a built-in of ``NAMES`` on operands of one kind."""
    first = operands[0]
    if function == "detach":
        return first
    if not kind.is_float:
        return _on_integers(function, operands[0], kind)
    if function in _MATH:
        return _MATH[function](*operands, fastmath=FLAGS.afn if approximate else FLAGS.none)
    if function in _EXACT:
        return _EXACT[function](first)
    return _composed(function, operands, kind, approximate)


def extreme(op: str, left: Any, right: Any, kind: Kind) -> Any:
    """Pointwise ``min`` and ``max``; NaN wins."""
    if kind.is_float:
        return (arith.maximumf if op == "max" else arith.minimumf)(left, right)
    if kind.unsigned:
        return (arith.maxui if op == "max" else arith.minui)(left, right)
    return (arith.maxsi if op == "max" else arith.minsi)(left, right)


def _composed(function: str, operands: Sequence[Any], kind: Kind, approximate: bool) -> Any:
    first = operands[0]
    match function:
        case "abs":
            return math.absf(first)
        case "fma":
            return math.fma(*operands)
        case "tf32":
            return _tf32(first)
        case "sign":
            return _sign(first, kind)
        case _:
            return _sigmoid(first, kind, approximate)


def _sign(value: Any, kind: Kind) -> Any:
    """1, -1, or the value itself: zeros keep their sign and NaN stays NaN."""
    zero = constant(kind.name, 0.0)
    below = arith.select(arith.cmpf(F.OLT, value, zero), constant(kind.name, -1.0), value)
    return arith.select(arith.cmpf(F.OGT, value, zero), constant(kind.name, 1.0), below)


def _tf32(value: Any) -> Any:
    """The leading 11 significant bits, as tensor cores take them (the rest is cut off); NaN stays NaN."""
    kept = arith.andi(arith.bitcast(mlir_type("i32"), value), constant("i32", ~0x1FFF))
    unordered = arith.cmpf(F.UNO, value, value)
    return arith.select(unordered, value, arith.bitcast(mlir_type("f32"), kept))


def _sigmoid(value: Any, kind: Kind, approximate: bool) -> Any:
    """``1 / (1 + e)`` for x >= 0, ``e / (1 + e)`` below, with ``e = exp(-|x|)``: accurate in the tail, no overflow."""
    one, zero = constant(kind.name, 1.0), constant(kind.name, 0.0)
    small = math.exp(arith.negf(math.absf(value)), fastmath=FLAGS.afn if approximate else FLAGS.none)
    top = arith.select(arith.cmpf(F.OLT, value, zero), small, one)
    return arith.divf(top, arith.addf(one, small))


def _on_integers(function: str, first: Any, kind: Kind) -> Any:
    match function:
        case "abs" if kind.unsigned:
            return first
        case "abs":
            return arith.maxsi(first, arith.subi(constant(kind.name, 0), first))
        case "sign":
            positive = arith.select(_compare("gt", first, kind), constant(kind.name, 1), constant(kind.name, 0))
            return (
                positive
                if kind.unsigned
                else arith.select(_compare("lt", first, kind), constant(kind.name, -1), positive)
            )
        case _:  # floor, ceil, round
            return first


def _compare(relation: str, value: Any, kind: Kind) -> Any:
    predicate = {"gt": P.ugt if kind.unsigned else P.sgt, "lt": P.slt}[relation]
    return arith.cmpi(predicate, value, constant(kind.name, 0))
