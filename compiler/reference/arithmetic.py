"""Owns unary and binary operators, comparisons and logic on values with error bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tilewright.compiler.reference.numerics import INTEGERS, is_float, wrap
from tilewright.compiler.reference.rounding import Rules, hull, settle
from tilewright.compiler.reference.values import Array, Value, dense, either, some, total, worst


def unary(rules: Rules, op: str, value: Value) -> Value:
    """``-``, ``~`` and ``not``."""
    if op == "not":
        return Value("bool", ~value.data, None, value.unsure, value.fault)
    if op == "-":
        data = -value.data if is_float(value.dtype) else wrap(-value.data, value.dtype)
        return Value(value.dtype, data, value.error, value.unsure, value.fault)
    data = ~value.data if value.dtype == "bool" else wrap(~value.data, value.dtype)
    return Value(value.dtype, data, None, either(value.unsure, _inexact(value)), value.fault)


def binary(rules: Rules, op: str, left: Value, right: Value) -> Value:
    """Arithmetic on operands of one dtype; division by the integer zero is the caller's to refuse."""
    if op in ("min", "max"):
        return extreme(rules, op, left, right)
    if is_float(left.dtype):
        return _FLOAT[op](rules, left, right)
    return _integer(op, left, right)


# ---------------------------------------------------------------- floats


def _add(rules: Rules, left: Value, right: Value) -> Value:
    unsure = either(left.rescuable, right.rescuable)
    return _settle(rules, left, right, left.data + right.data, total(left.error, right.error), unsure)


def _subtract(rules: Rules, left: Value, right: Value) -> Value:
    unsure = either(left.rescuable, right.rescuable)
    return _settle(rules, left, right, left.data - right.data, total(left.error, right.error), unsure)


def _multiply(rules: Rules, left: Value, right: Value) -> Value:
    data = left.data * right.data
    error = None
    if right.error is not None:
        error = np.abs(left.data) * right.error
    if left.error is not None:
        error = total(error, (np.abs(right.data) + dense(right.error, data)) * left.error)
    unsure = either(_infinite_times_unknown(left, right), _infinite_times_unknown(right, left))
    product = _settle(rules, left, right, data, error, unsure)
    return replace(product, rescuable=_rescuable(left, right, product)) if rules.bound else product


def _rescuable(left: Value, right: Value, product: Value) -> Array | None:
    """Where finite factors gave an infinity, in this product or in a factor that is one."""
    overflow = np.isinf(product.data) & np.isfinite(left.data) & np.isfinite(right.data)
    return some(either(overflow, left.rescuable, right.rescuable))


def _infinite_times_unknown(left: Value, right: Value) -> Array | None:
    """Infinity times a number whose sign the error hides."""
    if right.error is None:
        return None
    return some(np.isinf(left.data) & (np.abs(right.data) <= right.error) & (right.error > 0))


def _divide(rules: Rules, left: Value, right: Value) -> Value:
    data = left.data / right.data
    if left.error is None and right.error is None:
        return _settle(rules, left, right, data, None)
    size = np.abs(right.data)
    slack = dense(right.error, data)
    error = (dense(left.error, data) + np.where(slack > 0, np.abs(data) * slack, 0.0)) / np.maximum(size - slack, 0.0)
    unsure = some((size <= slack) & (slack > 0) & ~np.isnan(left.data))
    return _settle(rules, left, right, data, error, unsure)


def _settle(
    rules: Rules, left: Value, right: Value, data: Array, error: Array | None, unsure: Array | None = None
) -> Value:
    unsure = either(left.unsure, right.unsure, unsure)
    return settle(rules, left.dtype, data, error, unsure, worst(left.fault, right.fault))


def extreme(rules: Rules, op: str, left: Value, right: Value) -> Value:
    """Pointwise ``min`` and ``max``; NaN wins."""
    choose = np.maximum if op == "max" else np.minimum
    data = choose(left.data, right.data)
    unsure, fault = either(left.unsure, right.unsure), worst(left.fault, right.fault)
    if left.error is None and right.error is None:
        return Value(left.dtype, data, None, unsure, fault)
    le, re = dense(left.error, data), dense(right.error, data)
    error = hull(data, choose(left.data - le, right.data - re), choose(left.data + le, right.data + re))
    error = np.where(np.isnan(error), 0, error)
    return Value(left.dtype, data, some(error), unsure, fault)


_FLOAT: dict[str, Callable[[Rules, Value, Value], Value]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
}


# ---------------------------------------------------------------- integers


def _integer(op: str, left: Value, right: Value) -> Value:
    dtype = left.dtype
    data = _INTEGER[op](dtype, left.data, right.data)
    data = data if dtype == "bool" else wrap(data, dtype)
    unsure, fault = either(left.unsure, right.unsure), worst(left.fault, right.fault)
    if left.error is None and right.error is None:
        return Value(dtype, data, None, unsure, fault)
    if op in ("+", "-"):
        return Value(dtype, data, total(left.error, right.error), unsure, fault)
    if op == "*":
        le, re = dense(left.error, data), dense(right.error, data)
        error = np.abs(left.data) * re + np.abs(right.data) * le + le * re
        return Value(dtype, data, some(error), unsure, fault)
    return Value(dtype, data, None, either(unsure, _inexact(left), _inexact(right)), fault)


def _inexact(value: Value) -> Array | None:
    return None if value.error is None else value.error > 0


def _shift_left(dtype: str, left: Array, right: Array) -> Array:
    bits = INTEGERS[dtype]
    return np.where((right < 0) | (right >= bits), np.int64(0), left << np.clip(right, 0, bits - 1))


def _shift_right(dtype: str, left: Array, right: Array) -> Array:
    """Arithmetic for signed types; counts outside the width shift everything out."""
    bits = INTEGERS[dtype]
    gone = np.where(left < 0, np.int64(-1), np.int64(0))
    return np.where((right < 0) | (right >= bits), gone, left >> np.clip(right, 0, bits - 1))


def _safe(divisor: Array) -> Array:
    """The divisor with zeros replaced: their points carry a fault."""
    return np.where(divisor == 0, np.int64(1), divisor)


_INTEGER: dict[str, Callable[[str, Array, Array], Array]] = {
    "+": lambda dtype, a, b: a + b,
    "-": lambda dtype, a, b: a - b,
    "*": lambda dtype, a, b: a * b,
    "//": lambda dtype, a, b: a // _safe(b),
    "%": lambda dtype, a, b: a % _safe(b),
    "**": lambda dtype, a, b: np.power(a, np.maximum(b, 0)),
    "<<": _shift_left,
    ">>": _shift_right,
    "&": lambda dtype, a, b: a & b,
    "|": lambda dtype, a, b: a | b,
    "^": lambda dtype, a, b: a ^ b,
}


# ---------------------------------------------------------------- decisions

_COMPARE: dict[str, Callable[[Array, Array], Array]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


def compare(op: str, left: Value, right: Value) -> Value:
    """A comparison; undecided where the errors of its operands overlap."""
    unsure = either(left.unsure, right.unsure)
    slack = total(left.error, right.error)
    if slack is not None:
        unsure = either(unsure, some((slack > 0) & (np.abs(left.data - right.data) <= slack)))
    return Value("bool", _COMPARE[op](left.data, right.data), None, unsure, worst(left.fault, right.fault))


def logical(op: str, left: Value, right: Value) -> Value:
    """``and`` and ``or``: the right side counts only where the left one does not decide."""
    settles = left.data if op == "or" else ~left.data
    data = left.data | right.data if op == "or" else left.data & right.data
    fault = None if right.fault is None else np.where(settles & _sure(left), 0, right.fault)
    unsure = None
    if left.unsure is not None or right.unsure is not None:
        decided = (settles & _sure(left)) | ((right.data if op == "or" else ~right.data) & _sure(right))
        unsure = some((dense(left.unsure, data) | dense(right.unsure, data)) & ~decided)
    return Value("bool", data, None, unsure, worst(left.fault, fault))


def _sure(value: Value) -> Array:
    return np.True_ if value.unsure is None else ~value.unsure  # type: ignore[return-value]


def select(condition: Value, then: Value, otherwise: Value) -> Value:
    """``then if condition else otherwise``: what the side that is not chosen did does not count.

    An undecided condition makes the hull of both sides, or an undecided point where one side has no value.
    """
    pick = condition.data
    data = np.where(pick, then.data, otherwise.data)
    error = _pick(pick, then.error, otherwise.error)
    unsure = _pick(pick, then.unsure, otherwise.unsure)
    fault = worst(condition.fault, _pick(pick, then.fault, otherwise.fault))
    if condition.unsure is None:
        return Value(then.dtype, data, error, unsure, fault)
    return _blend(condition.unsure, Value(then.dtype, data, error, unsure, fault), then, otherwise)


def _blend(open_points: Array, chosen: Value, then: Value, otherwise: Value) -> Value:
    same = (then.data == otherwise.data) | (_is_nan(then.data) & _is_nan(otherwise.data))
    lost = either(then.unsure, otherwise.unsure, *(None if v.fault is None else v.fault > 0 for v in (then, otherwise)))
    if then.dtype == "bool":
        unsure = either(chosen.unsure, open_points & (~same | dense(lost, same)))
        return Value("bool", chosen.data, None, some(unsure), chosen.fault)
    apart = np.abs(then.data - otherwise.data)
    spread = np.where(same, 0, apart) + np.maximum(dense(then.error, apart), dense(otherwise.error, apart))
    lost = either(lost, np.isnan(spread) | np.isinf(spread) if is_float(then.dtype) else None)
    keep = open_points & ~dense(lost, open_points)
    error = np.where(keep, spread, dense(chosen.error, apart))
    unsure = either(chosen.unsure, None if lost is None else open_points & lost)
    return Value(chosen.dtype, chosen.data, some(error), some(unsure), chosen.fault)


def _is_nan(data: Array) -> Array:
    return np.asarray(data != data)


def _pick(condition: Array, then: Array | None, otherwise: Array | None) -> Array | None:
    if then is None and otherwise is None:
        return None
    like = then if then is not None else otherwise
    assert like is not None
    return some(np.where(condition, dense(then, like), dense(otherwise, like)))
