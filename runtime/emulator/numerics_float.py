"""IEEE arithmetic that NumPy does not offer: fused multiply-add, directed rounding, flushing, PTX minimum and maximum.

The tool for exactness is *round to odd*: a float64 result whose last bit records that something was lost rounds
correctly to float32 in any direction (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from tilewright.runtime.emulator.scalar_types import Array

F4, F8, U4, U8, I8 = np.float32, np.float64, np.uint32, np.uint64, np.int64
TINY = {np.dtype(F4): F4(2.0**-126), np.dtype(np.float16): np.float16(2.0**-14)}
SPLITTER = F8(2.0**27 + 1)


def flush(x: Array) -> Array:
    """``.ftz``: subnormal to zero of the same sign."""
    x = np.asarray(x)
    return np.where(np.abs(x) < TINY[x.dtype], np.copysign(x.dtype.type(0), x), x)


def saturate(x: Array) -> Array:
    """``.sat``: clamp to [0, 1], NaN to +0."""
    x = np.asarray(x)
    return np.asarray(np.where(x > 0, np.minimum(x, x.dtype.type(1)), x.dtype.type(0)))


def to_odd(rounded: Array, error: Array) -> Array:
    """float64 ``rounded`` plus a non-zero exact ``error`` as a value rounded to odd."""
    bits = np.asarray(rounded, F8).view(I8)
    inexact = (error != 0) & np.isfinite(rounded) & ((bits & 1) == 0)
    toward = np.where((error > 0) == (rounded > 0), 1, -1)
    nudged = np.where(inexact, bits + toward, bits).view(F8)
    return np.where((rounded == 0) & (error != 0), np.copysign(F8(5e-324), error), nudged)


def two_sum_error(a: Array, b: Array, total: Array) -> Array:
    part = total - a
    error = (a - (total - part)) + (b - part)
    return np.where(np.isfinite(total), error, 0.0)


def add_odd(a: Array, b: Array, *, mode: str = "rn") -> Array:
    """a + b of float64 values, rounded to odd; ``mode`` decides the sign of an exact zero: -0 when rounding down."""
    total = a + b
    result = to_odd(total, two_sum_error(a, b, total))
    if mode != "rm":
        return result
    return np.where((result == 0) & (np.signbit(a) | np.signbit(b)), -0.0, result)


def fma32(a: Array, b: Array, c: Array) -> Array:
    """Correctly rounded float32 a*b+c.

    The product is exact in float64. Rounding the sum twice only goes wrong when the float64 sum lies on a float32 tie
    or in the subnormal range; only those take the slow path.
    """
    product = np.multiply(a, b, dtype=F8)
    total = np.add(product, c, dtype=F8)
    result = total.astype(F4)
    low = total.view(U8) & U8(0x1FFFFFFF)
    if not ((low == U8(0x10000000)) | ((np.abs(result) <= TINY[result.dtype]) & (total != 0))).any():
        return result
    return add_odd(product, np.asarray(c).astype(F8)).astype(F4)


def fma64(a: Array, b: Array, c: Array) -> Array:
    """Correctly rounded float64 a*b+c; elements near the ends of the exponent range use rational arithmetic."""
    a, b, c = (np.atleast_1d(np.asarray(x, F8)) for x in (a, b, c))
    a, b, c = np.broadcast_arrays(a, b, c)
    high = a * b
    low = _product_error(a, b, high)
    inner = c + low
    inner_error = two_sum_error(c, low, inner)
    outer = high + inner
    outer_error = two_sum_error(high, inner, outer)
    result = outer + add_odd(inner_error, outer_error)
    magnitude = np.abs(np.stack([a, b, c, high]))
    extreme = ((magnitude > 1e290) | ((magnitude < 1e-230) & (magnitude != 0))).any(0)
    extreme |= (high == 0) & (a != 0) & (b != 0)
    extreme &= np.isfinite(a) & np.isfinite(b) & np.isfinite(c)
    special = ~(np.isfinite(a) & np.isfinite(b) & np.isfinite(c))
    result = np.where(special | ((high == 0) & (c == 0)), add_special(high, c, np.isfinite(a) & np.isfinite(b)), result)
    for index in np.argwhere(extreme):
        place = tuple(index)
        exact = Fraction(float(a[place])) * Fraction(float(b[place])) + Fraction(float(c[place]))
        result[place] = _fraction_to_double(exact) if exact else result[place]
    return np.asarray(result)


def add_special(product: Array, c: Array, finite: Array) -> Array:
    """product + c where something is not finite; a product of finite factors that overflowed is no infinity."""
    return np.where(finite & np.isinf(c), c, product + c)


def _product_error(a: Array, b: Array, product: Array) -> Array:
    """a*b - product, exact away from the ends of the range (Dekker)."""
    a_high, b_high = _upper(a), _upper(b)
    a_low, b_low = a - a_high, b - b_high
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return np.where(np.isfinite(error), error, 0.0)


def _upper(x: Array) -> Array:
    scaled = SPLITTER * x
    return scaled - (scaled - x)


def _fraction_to_double(value: Fraction) -> float:
    try:
        return value.numerator / value.denominator
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def round_directed(exact_or_odd: Array, mode: str) -> Array:
    """float64 to float32 toward zero (``rz``), down (``rm``), up (``rp``) or to nearest (``rn``)."""
    value = np.asarray(exact_or_odd, F8)
    nearest = value.astype(F4)
    if mode == "rn":
        return nearest
    back = nearest.astype(F8)
    if mode == "rm":
        return np.where(back > value, np.nextafter(nearest, F4(-np.inf)), nearest)
    if mode == "rp":
        return np.where(back < value, np.nextafter(nearest, F4(np.inf)), nearest)
    return np.where(np.abs(back) > np.abs(value), np.nextafter(nearest, F4(0)), nearest)


def quotient_odd(a: Array, b: Array) -> Array:
    """a / b of float32 values as a float64 rounded to odd."""
    a, b = np.asarray(a).astype(F8), np.asarray(b).astype(F8)
    quotient = a / b
    product = quotient * b
    residual = (a - product) - _product_error(quotient, b, product)
    return to_odd(quotient, np.where(np.isfinite(quotient) & np.isfinite(residual), residual * np.sign(b), 0.0))


def root_odd(a: Array) -> Array:
    """Square root of a float32 value as a float64 rounded to odd."""
    a = np.asarray(a).astype(F8)
    root = np.sqrt(a)
    product = root * root
    residual = (a - product) - _product_error(root, root, product)
    return to_odd(root, np.where(np.isfinite(root), residual, 0.0))


def root_directed(a: Array, mode: str) -> Array:
    """float64 square root with directed rounding, computed on [1/2, 2) where the residual is exact."""
    a = np.asarray(a, F8)
    fraction, exponent = np.frexp(a)
    odd = exponent & 1
    fraction, exponent = np.ldexp(fraction, odd), exponent - odd
    nearest = np.sqrt(fraction)
    square = nearest * nearest
    residual = (fraction - square) - _product_error(nearest, nearest, square)
    if mode == "rp":
        nearest = np.where(residual > 0, np.nextafter(nearest, np.inf), nearest)
    else:
        nearest = np.where(residual < 0, np.nextafter(nearest, 0.0), nearest)
    return np.where((a > 0) & np.isfinite(a), np.ldexp(nearest, exponent // 2), np.sqrt(a))


Signs = Callable[..., tuple[Any, Any]]


def exact_double(operation: Callable[..., Fraction], mode: str, addends: Signs | None = None) -> Callable[..., Array]:
    """A float64 operation with directed rounding, element by element in rational arithmetic (rare, so slow is fine).

    ``addends`` gives the two terms of a sum, whose signs decide that of an exact zero.
    """

    def compute(*values: Any) -> Array:
        arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(value, F8)) for value in values))
        result = np.empty(arrays[0].shape, F8)
        for index in np.ndindex(arrays[0].shape):
            result[index] = _directed_double(operation, [float(x[index]) for x in arrays], mode, addends)
        return result

    return compute


def _directed_double(operation: Callable[..., Any], values: list[float], mode: str, addends: Signs | None) -> float:
    plain = float(operation(*(F8(value) for value in values)))
    if not all(math.isfinite(value) for value in values):
        return plain
    try:
        exact = operation(*(Fraction(value) for value in values))
    except ZeroDivisionError:
        return plain
    if exact == 0:
        below = mode == "rm" and addends is not None and any(math.copysign(1, term) < 0 for term in addends(*values))
        return -0.0 if below else plain
    return _round_fraction(exact, mode)


def _round_fraction(exact: Fraction, mode: str) -> float:
    nearest = _fraction_to_double(exact)
    if math.isinf(nearest):
        toward_zero = mode == "rz" or (mode == "rm") == (nearest > 0) and mode != "rn"
        return math.copysign(1.7976931348623157e308, nearest) if toward_zero else nearest
    if mode == "rm" and Fraction(nearest) > exact:
        return math.nextafter(nearest, -math.inf)
    if mode == "rp" and Fraction(nearest) < exact:
        return math.nextafter(nearest, math.inf)
    if mode == "rz" and abs(Fraction(nearest)) > abs(exact):
        return math.nextafter(nearest, 0.0)
    return nearest


def maximum(a: Array, b: Array) -> Array:
    """PTX ``max``: the number when one operand is NaN; +0 is larger than -0 (PTX ISA, "max")."""
    result = np.fmax(a, b)
    if (result == 0).any():
        both_negative = (np.signbit(a) | (a != 0)) & (np.signbit(b) | (b != 0))
        result = np.where(result == 0, np.where(both_negative, -result.dtype.type(0), result.dtype.type(0)), result)
    return np.asarray(result)


def minimum(a: Array, b: Array) -> Array:
    """PTX ``min``: the number when one operand is NaN; -0 is smaller than +0 (PTX ISA, "min")."""
    result = np.fmin(a, b)
    if (result == 0).any():
        zero_negative = (np.signbit(a) & (a == 0)) | (np.signbit(b) & (b == 0))
        result = np.where(result == 0, np.where(zero_negative, -result.dtype.type(0), result.dtype.type(0)), result)
    return np.asarray(result)
