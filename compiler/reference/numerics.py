"""Owns number formats: rounding to a float format, saturating and wrapping integers, and the NumPy type of each dtype.

Sources: IEEE 754-2019; OCP 8-bit Floating Point Specification 1.0 (e4m3 has no infinity; casts saturate both).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from tilewright.compiler.reference.values import Array


@dataclass(frozen=True)
class FloatFormat:
    """``digits`` of significand with the hidden one, exponent of the least normal number, largest finite number."""

    digits: int
    least_exponent: int
    largest: float
    saturates: bool = False


FLOATS = {
    "f8e4m3": FloatFormat(4, -6, 448.0, saturates=True),
    "f8e5m2": FloatFormat(3, -14, 57344.0, saturates=True),
    "f16": FloatFormat(11, -14, 65504.0),
    "bf16": FloatFormat(8, -126, float(ml_dtypes.finfo(ml_dtypes.bfloat16).max)),
    "f32": FloatFormat(24, -126, float(np.finfo(np.float32).max)),
    "f64": FloatFormat(53, -1022, float(np.finfo(np.float64).max)),
}

INTEGERS = {"i8": 8, "i16": 16, "i32": 32, "i64": 64, "index": 64, "u8": 8, "u16": 16, "u32": 32}

NUMPY: dict[str, np.dtype[Any]] = {
    "bool": np.dtype(np.bool_),
    "i8": np.dtype(np.int8),
    "i16": np.dtype(np.int16),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
    "index": np.dtype(np.int64),
    "u8": np.dtype(np.uint8),
    "u16": np.dtype(np.uint16),
    "u32": np.dtype(np.uint32),
    "f8e4m3": np.dtype(ml_dtypes.float8_e4m3fn),
    "f8e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
}


def is_float(dtype: str) -> bool:
    return dtype in FLOATS


def working_type(dtype: str) -> type:
    """The NumPy type that the evaluation holds values of ``dtype`` in."""
    if dtype == "bool":
        return np.bool_
    return np.float64 if is_float(dtype) else np.int64


def widen(array: Any, dtype: str) -> Array:
    """An argument as float64, int64 or bool, after rounding it to its declared ``dtype``."""
    given: Array = np.asarray(array)
    if dtype == "bool":
        return given.astype(np.bool_)
    if not is_float(dtype):
        return wrap(given.astype(np.int64), dtype)
    with np.errstate(invalid="ignore"):  # signalling NaN
        wide: Array = given.astype(np.float64)
    return wide if given.dtype == NUMPY[dtype] else round_to(wide, dtype)


def narrow(data: Array, dtype: str) -> Array:
    """Values that are already representable, stored in the type that a caller sees."""
    with np.errstate(all="ignore"):
        return data.astype(NUMPY[dtype])


def integer_range(dtype: str) -> tuple[int, int]:
    """Least and largest integer of ``dtype``."""
    bits = INTEGERS[dtype]
    return (0, 2**bits - 1) if dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def round_to(data: Array, dtype: str) -> Array:
    """float64 rounded once, to nearest even, to the float format ``dtype``; overflow as a cast of the language does."""
    if dtype == "f64":
        return data
    with np.errstate(all="ignore"):
        if dtype in ("f32", "f16"):
            return data.astype(NUMPY[dtype]).astype(np.float64)
        form = FLOATS[dtype]
        exponent = np.maximum(np.frexp(data)[1] - 1, form.least_exponent) - (form.digits - 1)
        rounded: Array = np.ldexp(np.rint(np.ldexp(data, -exponent)), exponent)
        if form.saturates:
            return np.clip(rounded, -form.largest, form.largest)
        return np.where(np.abs(rounded) > form.largest, np.copysign(np.inf, rounded), rounded)


def wrap(data: Array, dtype: str) -> Array:
    """int64 reduced to the width of an integer dtype in two's complement."""
    bits = INTEGERS[dtype]
    if bits == 64:
        return data
    mask = np.int64(2**bits - 1)
    if dtype.startswith("u"):
        return data & mask
    half = np.int64(2 ** (bits - 1))
    return ((data + half) & mask) - half


def saturate(data: Array, dtype: str) -> Array:
    """int64 clipped to the range of an integer dtype."""
    low, high = integer_range(dtype)
    return data if INTEGERS[dtype] == 64 else np.clip(data, low, high)


def truncate(data: Array, dtype: str) -> Array:
    """float64 to an integer dtype: towards zero, saturating, NaN to 0."""
    low, high = integer_range(dtype)
    whole = np.trunc(np.where(np.isnan(data), 0.0, data))
    inside = np.clip(whole, float(low), float(high) if high < 2**53 else 2.0**62)
    result: Array = inside.astype(np.int64)
    if high < 2**53:
        return result
    result = np.where(whole > 2.0**62, np.clip(whole, 0.0, 9223372036854774784.0).astype(np.int64), result)
    return np.where(whole >= 2.0**63, np.int64(high), result)
