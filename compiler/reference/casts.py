"""Owns conversions between dtypes, and reinterpretation of bits."""

from __future__ import annotations

import numpy as np

from tilewright.compiler.reference.numerics import NUMPY, is_float, narrow, round_to, saturate, truncate, working_type
from tilewright.compiler.reference.rounding import UNIT, Rules, hull, representable, settle
from tilewright.compiler.reference.values import Array, Value, dense, either, some


def cast(rules: Rules, value: Value, dtype: str, rescaled: bool = False) -> Value:
    """The value in ``dtype``.

    ``rescaled`` marks a cast of an exponential, whose argument an online rewrite may shift: the rounding to a narrower
    float then happens at another scale, which costs up to one unit of it.
    """
    if value.dtype == dtype:
        return value
    if dtype == "bool":
        return _to_bool(value)
    if not is_float(dtype):
        return _to_integer(value, dtype)
    if not is_float(value.dtype):
        return _integer_to_float(rules, value, dtype)
    return _to_float(rules, value, dtype, rescaled)


def _to_bool(value: Value) -> Value:
    unsure = value.unsure
    if value.error is not None:
        unsure = either(unsure, some((np.abs(value.data) <= value.error) & (value.error > 0)))
    return Value("bool", np.asarray(value.data != 0), None, unsure, value.fault)


def _to_integer(value: Value, dtype: str) -> Value:
    """Truncates and saturates; both keep order, so an interval goes to the interval between its ends."""
    if value.dtype == "bool":
        return Value(dtype, value.data.astype(np.int64), None, value.unsure, value.fault)
    convert = truncate if is_float(value.dtype) else saturate
    data = convert(value.data, dtype)
    error = None
    if value.error is not None:
        error = some(hull(data, convert(value.data - value.error, dtype), convert(value.data + value.error, dtype)))
    return Value(dtype, data, error, value.unsure, value.fault)


def _integer_to_float(rules: Rules, value: Value, dtype: str) -> Value:
    compute = dtype if dtype in UNIT else "f32"
    error = None if value.error is None else value.error.astype(np.float64)
    wide = settle(rules, compute, value.data.astype(np.float64), error, value.unsure, value.fault)
    return wide if compute == dtype else _to_float(rules, wide, dtype, False)


def _to_float(rules: Rules, value: Value, dtype: str, rescaled: bool) -> Value:
    if dtype == "f64":
        return Value(dtype, value.data, value.error, value.unsure, value.fault)
    if dtype == "f32" and value.dtype != "f64":  # a widening cast
        return Value(dtype, value.data, value.error, value.unsure, value.fault)
    if not rules.bound:
        return Value(dtype, round_to(value.data, dtype), None, None, value.fault)
    data = round_to(value.data, dtype)
    error = None if value.error is None else rounded_hull(value.data, data, value.error, dtype)
    if rescaled and value.error is not None:
        error = dense(error, data) + np.abs(data - value.data) + np.abs(data) * _unit(dtype) * 2
    if error is None:
        return Value(dtype, data, None, value.unsure, value.fault)
    lost = either(some(~np.isfinite(error) & np.isfinite(data)), some(np.isinf(data) & (error > 0)))
    error = some(np.where(np.isfinite(error) & np.isfinite(data), error, 0.0))
    return Value(dtype, data, error, either(value.unsure, lost), value.fault)


def rounded_hull(data: Array, rounded: Array, error: Array, dtype: str) -> Array:
    """How far the rounded value may be off: rounding keeps order. Infinite ends count, equal ones do not."""
    low, high = round_to(data - error, dtype), round_to(data + error, dtype)
    spread = hull(rounded, low, high)
    same = ((low == high) & (low == rounded)) | np.isnan(rounded)
    return np.where(same | (error == 0), 0.0, spread)


def _unit(dtype: str) -> float:
    return {"f16": 2.0**-11, "bf16": 2.0**-8, "f8e4m3": 2.0**-4, "f8e5m2": 2.0**-3}.get(dtype, 2.0**-24)


def bitcast(value: Value, dtype: str) -> Value:
    """The bits of ``value`` read as ``dtype`` of the same width; which bits a NaN has is left open."""
    bits = narrow(value.data, value.dtype).view(NUMPY[dtype])
    unsure = either(value.unsure, None if value.error is None else some(value.error > 0))
    if value.dtype in UNIT:
        unsure = either(unsure, some(np.isnan(value.data)))
        unsure = either(unsure, some(~representable(value.data)) if value.dtype == "f32" else None)
    return Value(dtype, bits.astype(working_type(dtype)), None, unsure, value.fault)
