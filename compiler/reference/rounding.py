"""Owns the rounding model: what one operation of a compiled kernel may add to the error of its operands.

A correctly rounded operation on exact operands is exact when its result is representable, which is how small integers
come out with a bound of zero; otherwise it adds a unit roundoff. Built-ins add four units in the last place. Results
past the largest number become infinities as they would in the compute type; where the error straddles that line, either
is right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilewright.compiler.reference.values import Array, Value, either, some

# Half a unit in the last place. For f64 the reference rounds as the compiled kernel does, so both count.
UNIT = {"f32": 2.0**-24, "f64": 2.0**-52}
# Half of the least subnormal number.
TINY = {"f32": 2.0**-150, "f64": 2.0**-1074}
# From here on a result rounds to infinity.
OVERFLOW = {"f32": 2.0**128 - 2.0**103, "f64": np.inf}
# Sums of integers up to here are exact in any order.
EXACT_SUM = {"f32": 2.0**24, "f64": 2.0**50}

BASIC = 1.0  # units of a correctly rounded operation
BUILTIN = 8.0  # four units in the last place


@dataclass(frozen=True)
class Rules:
    """``bound`` switches error bounds on; without it values are plain float64."""

    bound: bool = True


def representable(data: Array) -> Array:
    """Where float64 values are f32 numbers (a sufficient test of exactness for f64 arithmetic too)."""
    return np.asarray(data.astype(np.float32).astype(np.float64) == data)


def settle(
    rules: Rules,
    dtype: str,
    data: Array,
    error: Array | None = None,
    unsure: Array | None = None,
    fault: Array | None = None,
    *,
    units: float = BASIC,
    own: Array | None = None,
) -> Value:
    """A float result with propagated ``error``, plus what the operation itself adds: ``units``, or ``own`` as given."""
    dtype = dtype if dtype in UNIT else "f32"
    if not rules.bound:
        return Value(dtype, _overflow(data, dtype), None, None, fault)
    magnitude = np.abs(data)
    if own is None and units:
        own = _own_error(dtype, data, magnitude, error, units)
    error = error if own is None else own if error is None else error + own
    data, error, straddles = _near_infinity(dtype, data, magnitude, some(error))
    return Value(dtype, data, error, some(either(unsure, straddles)), fault)


def _own_error(dtype: str, data: Array, magnitude: Array, error: Array | None, units: float) -> Array | None:
    harmless = representable(data) if units == BASIC else data == 0
    if error is not None:
        harmless = harmless & (error == 0)
        magnitude = magnitude + error
    elif harmless.all():
        return None
    return np.where(harmless, 0.0, magnitude * (units * UNIT[dtype]) + units * TINY[dtype])


def _overflow(data: Array, dtype: str) -> Array:
    limit = OVERFLOW[dtype]
    over = np.abs(data) >= limit
    return np.where(over, np.copysign(np.inf, data), data) if over.any() else data


def _near_infinity(
    dtype: str, data: Array, magnitude: Array, error: Array | None
) -> tuple[Array, Array | None, Array | None]:
    """Round results beyond the range to infinity; ``(data, error, unsure)``."""
    finite = np.isfinite(data)
    if error is not None and not finite.all():
        error = np.where(finite, error, 0.0)
    reach = magnitude if error is None else magnitude + error
    limit = OVERFLOW[dtype]
    if not ((reach >= limit) | np.isnan(reach)).any():
        return data, error, None
    over = finite & (magnitude >= limit)
    if error is None:
        return np.where(over, np.copysign(np.inf, data), data), None, None
    straddles = finite & ~(reach < limit) & ~(magnitude - error >= limit)
    data = np.where(over, np.copysign(np.inf, data), data)
    return data, some(np.where(over | straddles, 0.0, error)), some(straddles)


def hull(data: Array, low: Array, high: Array) -> Array:
    """The distance of ``data`` from the farther end of ``[low, high]``; NaN where either end is not a number."""
    distance: Array = np.maximum(high - data, data - low)
    return distance
