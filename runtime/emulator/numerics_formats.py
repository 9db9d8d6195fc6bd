"""Small floating-point formats: bits to values and values to bits, every rounding and saturation mode of ``cvt``.

PTX ISA, "Fundamental Types / Alternate Floating-Point Data Formats" and "cvt"; OCP 8-bit floating point, 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tilewright.runtime.emulator.scalar_types import Array

F4, F8, U1, U2, U4 = np.float32, np.float64, np.uint8, np.uint16, np.uint32


@dataclass(frozen=True, slots=True)
class Format:
    """A binary float format of one sign bit.

    Attributes:
        exponent, mantissa: field widths.
        infinite: whether the top exponent codes infinity and NaN as in IEEE; else only all-ones is NaN (e4m3).
        width: bits of the container.
        shift: how far the pattern sits above bit 0 (tf32 keeps its 19 bits at the top of 32).
    """

    exponent: int
    mantissa: int
    infinite: bool = True
    width: int = 16
    shift: int = 0

    @property
    def bias(self) -> int:
        return (1 << (self.exponent - 1)) - 1

    @property
    def nan(self) -> int:
        """The canonical NaN: every bit but the sign."""
        return ((1 << (self.exponent + self.mantissa)) - 1) << self.shift

    @property
    def infinity(self) -> int:
        return (((1 << self.exponent) - 1) << self.mantissa) << self.shift

    @property
    def largest(self) -> float:
        """Largest finite value."""
        if self.infinite:
            return float((2 - 2.0**-self.mantissa) * 2.0**self.bias)
        return float((2 - 2.0 ** (1 - self.mantissa)) * 2.0 ** (self.bias + 1))


FORMATS = {
    "f16": Format(5, 10),
    "bf16": Format(8, 7),
    "tf32": Format(8, 10, True, 32, 13),
    "e4m3": Format(4, 3, False, 8),
    "e5m2": Format(5, 2, True, 8),
    "f32": Format(8, 23, True, 32),
}


def decode(bits: Array, name: str) -> Array:
    """Values of a format as float32."""
    bits = np.asarray(bits)
    if bits.dtype == np.float16:
        return bits.astype(F4)
    if name == "f16":
        return bits.astype(U2, copy=False).view(np.float16).astype(F4)
    if name == "bf16":
        return (bits.astype(U4) << U4(16)).view(F4)
    if name == "tf32":
        return (bits.astype(U4, copy=False) & U4(0xFFFFE000)).view(F4)
    if name == "f32":
        return bits.astype(U4, copy=False).view(F4)
    return _byte_values(name)[bits.astype(U1, copy=False)]


@lru_cache(maxsize=8)
def _byte_values(name: str) -> Array:
    form = FORMATS[name]
    codes = np.arange(256)
    exponent = (codes >> form.mantissa) & ((1 << form.exponent) - 1)
    mantissa = codes & ((1 << form.mantissa) - 1)
    fraction = mantissa / (1 << form.mantissa) + (exponent > 0)
    value = np.ldexp(fraction, np.maximum(exponent, 1) - form.bias)
    top = exponent == (1 << form.exponent) - 1
    if form.infinite:
        value = np.where(top, np.where(mantissa == 0, np.inf, np.nan), value)
    else:
        value = np.where((codes & 0x7F) == 0x7F, np.nan, value)
    return np.where(codes & 0x80, -value, value).astype(F4)


def encode(values: Array, name: str, mode: str = "rn", satfinite: bool = False, relu: bool = False) -> Array:
    """Round float32 or float64 values to a format.

    Args:
        mode: ``rn`` ties to even, ``rna`` ties away, ``rz``, ``rm``, ``rp``.
        satfinite: overflow and infinity become the largest finite value, NaN stays NaN.
        relu: negative values become +0, NaN becomes the canonical NaN.
    """
    values = np.asarray(values)
    if relu:
        values = np.where(values < 0, values.dtype.type(0), np.where(values == 0, np.abs(values), values))
    if not satfinite and mode == "rn":
        if name == "f16":
            return _canonical(values.astype(np.float16).view(U2), values, FORMATS[name])
        if name == "bf16" and values.dtype == F4:
            return _encode_bf16(values)
    return _encode_any(values, FORMATS[name], mode, satfinite)


def _canonical(bits: Array, values: Array, form: Format) -> Array:
    bad = np.isnan(values)
    return np.where(bad, bits.dtype.type(form.nan), bits) if bad.any() else bits


def _encode_bf16(values: Array) -> Array:
    bits = values.view(U4)
    rounded = ((bits + U4(0x7FFF) + ((bits >> U4(16)) & U4(1))) >> U4(16)).astype(U2)
    return _canonical(rounded, values, FORMATS["bf16"])


def _encode_any(values: Array, form: Format, mode: str, satfinite: bool) -> Array:
    value = values.astype(F8)
    magnitude = np.abs(value)
    finite = np.isfinite(value)
    _, power = np.frexp(np.where(finite, magnitude, 0.0))
    power = np.maximum(power - 1, 1 - form.bias)
    scaled = np.ldexp(np.where(finite, magnitude, 0.0), form.mantissa - power)
    steps = _round_steps(scaled, mode, value < 0)
    rounded = np.ldexp(steps, power - form.mantissa)
    overflow = (rounded > form.largest) & finite
    rounded = np.where(overflow, form.largest, rounded)
    code = _assemble(rounded, form)
    to_infinity = np.isinf(value) | (overflow & _overflows_to_infinity(mode, value < 0))
    code = np.where(to_infinity & (not satfinite), form.infinity if form.infinite else form.nan, code)
    code = np.where(np.isinf(value) & satfinite, _assemble(np.array(form.largest), form), code)
    code = code | np.where(value < 0, 1 << (form.width - 1), np.where(np.signbit(value), 1 << (form.width - 1), 0))
    code = np.where(np.isnan(value), form.nan, code)
    return code.astype({8: U1, 16: U2, 32: U4}[form.width])


def _round_steps(scaled: Array, mode: str, negative: Array) -> Array:
    if mode == "rn":
        return np.rint(scaled)
    if mode == "rna":
        return np.floor(scaled + 0.5)
    if mode == "rz":
        return np.floor(scaled)
    upward = negative if mode == "rm" else ~negative
    return np.where(upward, np.ceil(scaled), np.floor(scaled))


def _overflows_to_infinity(mode: str, negative: Array) -> Array:
    if mode in ("rn", "rna"):
        return np.ones_like(negative)
    if mode == "rz":
        return np.zeros_like(negative)
    return negative if mode == "rm" else ~negative


def _assemble(magnitude: Array, form: Format) -> Array:
    """Bit pattern of non-negative values that the format holds exactly."""
    _, power = np.frexp(magnitude)
    power = power - 1
    normal = power >= 1 - form.bias
    exponent = np.where(normal & (magnitude > 0), power + form.bias, 0)
    scale = np.where(exponent > 0, power, 1 - form.bias)
    fraction = np.ldexp(magnitude, form.mantissa - scale).astype(np.int64)
    fraction = np.where(exponent > 0, fraction - (1 << form.mantissa), fraction)
    return np.asarray(((exponent.astype(np.int64) << form.mantissa) | fraction) << form.shift)


def float_to_integer(values: Array, target: np.dtype[np.generic], mode: str) -> Array:
    """Round to an integer and saturate to the type (PTX ISA, "cvt").

    NaN gives 0, but only the top bit when it comes from f64 or goes to 64 bits.
    """
    rounding = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}[mode]
    values = np.asarray(values)
    rounded = rounding(values.astype(F8))
    limits = np.iinfo(target)  # type: ignore[type-var]
    top_bit = target.itemsize == 8 or values.dtype == F8
    invalid = limits.max // 2 + 1 if target.kind == "u" else limits.min
    high, low = rounded >= float(limits.max), rounded <= float(limits.min)
    inside = np.where(high | low | np.isnan(rounded), 0.0, rounded)
    result = inside.astype(target)
    result = np.where(high, limits.max, np.where(low, limits.min, result))
    return np.where(np.isnan(rounded), np.array(invalid if top_bit else 0, target), result).astype(target)
