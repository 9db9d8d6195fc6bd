"""Binary floating-point formats in Python integers: the independent reference of the conversion and rounding tables.

A finite value is (sign, m, e) and means (-1)^sign * m * 2^e. Nothing here uses NumPy or the emulator's own numerics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

STICKY = 200
"""Bits that a quotient or root keeps before the rest becomes one sticky bit: more than twice the widest mantissa."""


@dataclass(frozen=True)
class Value:
    """A number, an infinity (``m`` is None) or NaN (``nan``)."""

    sign: int
    m: int | None = 0
    e: int = 0
    nan: bool = False

    @property
    def infinite(self) -> bool:
        return self.m is None and not self.nan

    @property
    def finite(self) -> bool:
        return self.m is not None

    def fraction(self) -> Fraction:
        assert self.m is not None
        return (-1 if self.sign else 1) * Fraction(self.m) * Fraction(2) ** self.e

    def negated(self) -> Value:
        return Value(1 - self.sign, self.m, self.e, self.nan)


NAN = Value(0, None, nan=True)


@dataclass(frozen=True)
class Binary:
    """A format of one sign bit.

    Attributes:
        exponent, mantissa: widths of the fields.
        infinite: whether the largest exponent stands for infinity and NaN; else only the all-ones code is NaN.
        width, shift: bits of the container, and how far the code sits above its bit 0.
    """

    exponent: int
    mantissa: int
    width: int
    infinite: bool = True
    shift: int = 0

    @property
    def bias(self) -> int:
        return (1 << (self.exponent - 1)) - 1

    @property
    def nan(self) -> int:
        return ((1 << (self.exponent + self.mantissa)) - 1) << self.shift

    @property
    def infinity(self) -> int:
        return ((1 << self.exponent) - 1) << self.mantissa

    @property
    def largest(self) -> int:
        """Code of the largest finite magnitude."""
        return self.infinity - 1 if self.infinite else (1 << (self.exponent + self.mantissa)) - 2

    def decode(self, code: int) -> Value:
        code >>= self.shift
        sign, magnitude = (
            code >> (self.exponent + self.mantissa) & 1,
            code & ((1 << (self.exponent + self.mantissa)) - 1),
        )
        if magnitude > self.largest:
            return Value(sign, None) if self.infinite and magnitude == self.infinity else NAN
        field, fraction = magnitude >> self.mantissa, magnitude & ((1 << self.mantissa) - 1)
        return Value(sign, fraction | ((field > 0) << self.mantissa), max(field, 1) - self.bias - self.mantissa)

    def encode(self, value: Value, mode: str = "rn", satfinite: bool = False, relu: bool = False) -> int:
        """The code nearest in the direction of the mode (PTX ISA, "cvt": rounding, ``.satfinite``, ``.relu``)."""
        if value.nan:
            return self.nan
        if relu and value.sign:
            return 0
        magnitude = self._infinite(satfinite) if value.m is None else self._magnitude(value, mode, satfinite)
        return (magnitude | value.sign << (self.exponent + self.mantissa)) << self.shift

    def _infinite(self, satfinite: bool) -> int:
        if satfinite:
            return self.largest
        return self.infinity if self.infinite else self.nan >> self.shift

    def _magnitude(self, value: Value, mode: str, satfinite: bool) -> int:
        m, e = value.m, value.e
        assert m is not None
        if m == 0:
            return 0
        least = 1 - self.bias
        top = max(m.bit_length() + e - 1, least)
        cut = top - self.mantissa - e
        steps, rest, half = (m << -cut, 0, 1) if cut <= 0 else (m >> cut, m & ((1 << cut) - 1), 1 << (cut - 1))
        code = ((top - least) << self.mantissa) + steps + _rounds_away(mode, value.sign, steps, rest, half)
        if code <= self.largest:
            return code
        to_largest = satfinite or mode == "rz" or mode == ("rp" if value.sign else "rm")
        return self.largest if to_largest else self._infinite(False)


def _rounds_away(mode: str, sign: int, steps: int, rest: int, half: int) -> bool:
    if mode == "rn":
        return rest > half or (rest == half and bool(steps & 1))
    if mode == "rna":
        return rest >= half and rest > 0
    return rest > 0 and mode == ("rm" if sign else "rp")


FORMATS = {
    "f16": Binary(5, 10, 16),
    "bf16": Binary(8, 7, 16),
    "tf32": Binary(8, 10, 32, shift=13),
    "e4m3": Binary(4, 3, 8, infinite=False),
    "e5m2": Binary(5, 2, 8),
    "f32": Binary(8, 23, 32),
    "f64": Binary(11, 52, 64),
}


def of_fraction(value: Fraction, zero_sign: int = 0) -> Value:
    """A rational as a value; what does not end in binary keeps one sticky bit."""
    if value == 0:
        return Value(zero_sign)
    numerator, denominator = abs(value.numerator), value.denominator
    e = numerator.bit_length() - denominator.bit_length() - STICKY
    quotient, rest = divmod(numerator << max(-e, 0), denominator << max(e, 0))
    return Value(int(value < 0), quotient << 1 | (rest > 0), e - 1)


def root(value: Value) -> Value:
    """Square root; of a negative number NaN, of -0 itself."""
    if value.nan or (value.sign and value.m != 0):
        return NAN
    if value.m is None or value.m == 0:
        return value
    even = value.m << (STICKY * 2 + (value.e & 1))
    found = math.isqrt(even)
    return Value(0, found << 1 | (found * found != even), (value.e >> 1) - STICKY - 1)


def total(a: Value, b: Value, mode: str = "rn") -> Value:
    """a + b before rounding; an exact zero is -0 only when rounding down, or of two -0."""
    if a.nan or b.nan or (a.infinite and b.infinite and a.sign != b.sign):
        return NAN
    if a.infinite or b.infinite:
        return a if a.infinite else b
    both = a.m == 0 and b.m == 0 and a.sign == b.sign
    return of_fraction(a.fraction() + b.fraction(), a.sign if both else int(mode == "rm"))


def product(a: Value, b: Value) -> Value:
    sign = a.sign ^ b.sign
    if a.nan or b.nan or (a.infinite and b.m == 0) or (b.infinite and a.m == 0):
        return NAN
    if a.m is None or b.m is None:
        return Value(sign, None)
    return Value(sign, a.m * b.m, a.e + b.e)


def quotient(a: Value, b: Value) -> Value:
    sign = a.sign ^ b.sign
    if a.nan or b.nan or (a.infinite and b.infinite) or (a.m == 0 and b.m == 0):
        return NAN
    if a.infinite or b.m == 0:
        return Value(sign, None)
    if b.infinite or a.m == 0:
        return Value(sign)
    return of_fraction(a.fraction() / b.fraction())


def to_integer(value: Value, kind: str, mode: str, from_double: bool) -> int:
    """Round and clamp; NaN as the PTX ISA says of ``cvt``: 0, or 1 << (width - 1) from f64 or to 64 bits."""
    width, signed = int(kind[1:]), kind[0] == "s"
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    if value.nan:
        special = from_double or width == 64
        return (low if signed else 1 << (width - 1)) if special else 0
    if value.m is None:
        return low if value.sign else high
    return min(max(_whole(value, mode), low), high)


def _whole(value: Value, mode: str) -> int:
    m = value.m
    assert m is not None
    if value.e >= 0:
        magnitude = m << value.e
    else:
        cut = -value.e
        steps = m >> cut
        direction = {"rni": "rn", "rzi": "rz", "rmi": "rm", "rpi": "rp"}[mode]
        rest = m & ((1 << cut) - 1)
        magnitude = steps + _rounds_away(direction, value.sign, steps, rest, 1 << (cut - 1))
    return -magnitude if value.sign else magnitude


def to_whole(value: Value, mode: str) -> Value:
    """Rounded to an integral value of the same sign."""
    return Value(value.sign, abs(_whole(value, mode))) if value.finite else value
