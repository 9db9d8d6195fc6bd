"""Owns elementary functions on f32, on scalars and vectors alike, within 4 ulp for every input, subnormals included.

Each one reduces its argument to a short interval, evaluates a minimax polynomial there (our own Remez fits, rounded to
f32; the relative error of the fit stands beside it) and scales back. NaN in gives NaN out. Method: Muller, "Elementary
Functions", 3rd edition, chapters 3 and 11.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from tilewright.passes.machine.emit import Emitter

LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440054690583e-4  # LN2_HIGH has 9 bits: products with an exponent are exact
LOG2_E = 1.4426950408889634
LOG4_E_HIGH, LOG4_E_LOW = 0.721347510814666748046875, 9.629814955e-9  # half of log2(e)
ROUND_F32 = 12582912.0  # 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits
ONE_BITS = 0x3F800000
SQRT_HALF_BITS = 0x3F3504F3
MIN_NORMAL = 2.0**-126

EXP = (1.3814469566568732e-3, 8.3687799051404e-3, 4.166839271783829e-2, 0.1666651964187622, 0.4999999403953552)  # 3e-9
EXPM1 = (
    1.9914300355594605e-4, 1.3941098004579544e-3, 8.333273231983185e-3, 4.166635498404503e-2, 0.1666666716337204, 0.5,
)  # fmt: skip # 2.4e-10
EXP4 = (
    1.9238024251535535e-3, 1.0018975473940372e-2, 4.2686522006988525e-2, 0.15386734902858734, 0.4440303444862366,
    0.9609069228172302, 1.3862944841384888,
)  # fmt: skip # 1.2e-8, (4^r - 1) / r
LOG = (
    -7.860951125621796e-2, 0.12883494794368744, -0.1312909722328186, 0.14180956780910492, -0.1662449985742569,
    0.20002295076847076, -0.25000810623168945, 0.33333316445350647,
)  # fmt: skip # 5.9e-9
ERF_SMALL = (
    7.889123662607744e-5, -8.020842215046287e-4, 5.189535673707724e-3, -2.6854444295167923e-2, 0.11283600330352783,
    -0.3761262595653534, 0.12837916612625122,
)  # fmt: skip # 1.2e-9, erf(x) / x - 1 in x^2 up to 1
ERFC_LOG = (
    -1.8882262520492077e-4, 2.9724326450377703e-3, -2.194039523601532e-2, 0.10332727432250977, 0.637883186340332,
    1.127251386642456, 3.004390746355057e-4,
)  # fmt: skip # -log(erfc(x)) on 1 .. 4; erf within 1.2e-9


def horner(e: Emitter, x: Any, coefficients: Sequence[float]) -> Any:
    """The polynomial with these coefficients, highest power first."""
    value = e.constant(x.type, coefficients[0])
    for coefficient in coefficients[1:]:
        value = e.fma(value, x, e.constant(x.type, coefficient))
    return value


def below(e: Emitter, x: Any, bound: float) -> Any:
    """min(x, bound); NaN stays."""
    limit = e.constant(x.type, bound)
    return e.select(e.compare_float("ogt", x, limit), limit, x)


def above(e: Emitter, x: Any, bound: float) -> Any:
    """max(x, bound); NaN stays."""
    limit = e.constant(x.type, bound)
    return e.select(e.compare_float("olt", x, limit), limit, x)


def keep_zero(e: Emitter, x: Any, result: Any) -> Any:
    """``result``, but ``x`` itself where it is a zero (of either sign)."""
    return e.select(e.compare_float("oeq", x, e.constant(x.type, 0.0)), x, result)


# ---------------------------------------------------------------- exponentials


def _split_by_ln2(e: Emitter, x: Any) -> tuple[Any, Any]:
    """``x = n ln2 + r`` with ``|r| <= ln2 / 2``: r, and the integer n + 127 in the low bits."""
    magic = e.constant(x.type, ROUND_F32 + 127)
    shifted = e.fma(x, e.constant(x.type, LOG2_E), magic)
    n = e.same("arith.subf", shifted, magic)
    r = e.fma(n, e.constant(x.type, -LN2_HIGH), x)
    r = e.fma(n, e.constant(x.type, -LN2_LOW), r)
    return r, e.bitcast(shifted, e.i32)


def _to_exponent(e: Emitter, biased: Any) -> Any:
    """2^(k - 127) for an integer k in the low bits (what stands above is shifted out)."""
    return e.bitcast(e.same("arith.shli", biased, e.constant(biased.type, 23)), e.f32)


def _power_of_two(e: Emitter, number: Any, shift: int = 0) -> Any:
    """2^(n + shift) for ``number`` = n + 127 in the low bits; the result is normal."""
    if shift:
        number = e.same("arith.addi", number, e.constant(number.type, shift))
    return _to_exponent(e, number)


def _exp_reduced(e: Emitter, r: Any) -> Any:
    """e^r for ``|r| <= ln2 / 2``."""
    tail = e.fma(horner(e, r, EXP), e.same("arith.mulf", r, r), r)
    return e.same("arith.addf", tail, e.constant(r.type, 1.0))


def exp(e: Emitter, x: Any) -> Any:
    """4^(k + r) with k the nearest integer to x log4(e)."""
    x = below(e, above(e, x, -104.0), 89.0)
    magic = e.constant(x.type, ROUND_F32 + 127)
    shifted = e.fma(x, e.constant(x.type, LOG2_E / 2), magic)
    k = e.same("arith.subf", shifted, magic)
    return _power_of_four(e, _fraction(e, x, k), shifted)


def _fraction(e: Emitter, x: Any, k: Any) -> Any:
    """x log4(e) - k: fused, the product is exact; else the difference is taken before it is scaled."""
    number = partial(e.constant, x.type)
    if e.target.fma:
        return e.fma(x, number(LOG4_E_LOW), e.fma(x, number(LOG4_E_HIGH), e.same("arith.negf", k)))
    rest = e.fma(k, number(-2 * LN2_LOW), e.fma(k, number(-2 * LN2_HIGH), x))
    return e.same("arith.mulf", rest, number(LOG2_E / 2))


def _power_of_four(e: Emitter, r: Any, shifted: Any) -> Any:
    """4^(k + r) for ``|r| <= 1/2`` and k + 127 in the low bits of ``shifted``.

    4^k is 2^k twice, so that results may be subnormal or overflow while 2^k itself is normal.
    """
    value = e.fma(horner(e, r, EXP4), r, e.constant(r.type, 1.0))
    scale = _to_exponent(e, e.bitcast(shifted, e.i32))
    return e.same("arith.mulf", e.same("arith.mulf", value, scale), scale)


def exp2(e: Emitter, x: Any) -> Any:
    x = below(e, above(e, x, -151.0), 129.0)
    half = e.same("arith.mulf", x, e.constant(x.type, 0.5))
    magic = e.constant(x.type, ROUND_F32 + 127)
    shifted = e.same("arith.addf", half, magic)
    r = e.same("arith.subf", half, e.same("arith.subf", shifted, magic))
    return _power_of_four(e, r, shifted)


def _expm1_clamped(e: Emitter, x: Any) -> Any:
    """e^x - 1 for -18 <= x <= 89: ``2 (s p + (s - 1/2))`` with s = 2^(n-1) and p = e^r - 1."""
    r, number = _split_by_ln2(e, x)
    p = e.fma(horner(e, r, EXPM1), e.same("arith.mulf", r, r), r)
    s = _power_of_two(e, number, -1)
    half = e.fma(s, p, e.same("arith.subf", s, e.constant(x.type, 0.5)))
    return e.same("arith.addf", half, half)


def expm1(e: Emitter, x: Any) -> Any:
    return keep_zero(e, x, _expm1_clamped(e, below(e, above(e, x, -18.0), 89.0)))


def tanh(e: Emitter, x: Any) -> Any:
    """t / (t + 2) with t = e^(2|x|) - 1; from 9.1 on it rounds to 1."""
    magnitude = below(e, e.same("math.absf", x), 9.1)
    t = _expm1_clamped(e, e.same("arith.addf", magnitude, magnitude))
    quotient = e.same("arith.divf", t, e.same("arith.addf", t, e.constant(x.type, 2.0)))
    return e.with_sign(quotient, x)


def erf(e: Emitter, x: Any) -> Any:
    """Up to 1: x + x P(x^2); beyond: 1 - exp(-Q(|x|)); from 4 on it rounds to 1."""
    magnitude = e.same("math.absf", x)
    small = e.fma(horner(e, e.same("arith.mulf", x, x), ERF_SMALL), x, x)
    exponent = e.same("arith.negf", horner(e, below(e, magnitude, 4.0), ERFC_LOG))
    r, number = _split_by_ln2(e, exponent)
    one = e.constant(x.type, 1.0)
    complement = e.same("arith.mulf", _exp_reduced(e, r), _power_of_two(e, number))
    large = e.with_sign(e.same("arith.subf", one, complement), x)
    return e.select(e.compare_float("olt", magnitude, one), small, large)


# ---------------------------------------------------------------- logarithms


def _exponent_and_mantissa(e: Emitter, x: Any) -> tuple[Any, Any]:
    """``x = m 2^k`` with sqrt(1/2) <= m < sqrt(2): k << 23 (as integer) and m, for positive normal x."""
    bits = e.bitcast(x, e.i32)
    above_root = e.same("arith.subi", bits, e.constant(bits.type, SQRT_HALF_BITS))
    field = e.same("arith.andi", above_root, e.constant(bits.type, -0x800000))
    return field, e.bitcast(e.same("arith.subi", bits, field), e.f32)


def _as_number(e: Emitter, field: Any) -> Any:
    """k as a float from k << 23."""
    k = e.same("arith.shrsi", field, e.constant(field.type, 23))
    return e.value("arith.sitofp", e.like(field.type, e.f32), k)


def _log1p_tail(e: Emitter, f: Any) -> Any:
    """log(1 + f) - f for sqrt(1/2) <= 1 + f < sqrt(2)."""
    square = e.same("arith.mulf", f, f)
    cubic = e.same("arith.mulf", e.same("arith.mulf", horner(e, f, LOG), f), square)
    return e.fma(square, e.constant(f.type, -0.5), cubic)


def _positive_normal(e: Emitter, x: Any) -> tuple[Any, Any]:
    """``x`` scaled by 2^23 where it is subnormal, and the number to add to its exponent."""
    tiny = e.compare_float("olt", x, e.constant(x.type, MIN_NORMAL))
    scaled = e.select(tiny, e.same("arith.mulf", x, e.constant(x.type, 2.0**23)), x)
    return scaled, e.select(tiny, e.constant(x.type, -23.0), e.constant(x.type, 0.0))


def _log_specials(e: Emitter, x: Any, result: Any) -> Any:
    """+inf stays, zero gives -inf, negative numbers and NaN give NaN."""
    number = partial(e.constant, x.type)
    edge = e.select(e.compare_float("oeq", x, number(0.0)), number(float("-inf")), number(float("nan")))
    result = e.select(e.compare_float("ogt", x, number(0.0)), result, edge)
    return e.select(e.compare_float("oeq", x, number(float("inf"))), x, result)


def log(e: Emitter, x: Any) -> Any:
    scaled, shift = _positive_normal(e, x)
    field, m = _exponent_and_mantissa(e, scaled)
    f = e.same("arith.subf", m, e.constant(x.type, 1.0))
    k = e.same("arith.addf", _as_number(e, field), shift)
    return _log_specials(e, x, _log_sum(e, k, f))


def _log_sum(e: Emitter, k: Any, f: Any) -> Any:
    """k ln2 + log(1 + f), small terms first."""
    low = e.fma(k, e.constant(f.type, LN2_LOW), _log1p_tail(e, f))
    return e.fma(k, e.constant(f.type, LN2_HIGH), e.same("arith.addf", f, low))


def log2(e: Emitter, x: Any) -> Any:
    scaled, shift = _positive_normal(e, x)
    field, m = _exponent_and_mantissa(e, scaled)
    f = e.same("arith.subf", m, e.constant(x.type, 1.0))
    scale = e.constant(x.type, LOG2_E)
    fraction = e.fma(f, scale, e.same("arith.mulf", _log1p_tail(e, f), scale))
    k = e.same("arith.addf", _as_number(e, field), shift)
    return _log_specials(e, x, e.same("arith.addf", k, fraction))


def log1p(e: Emitter, x: Any) -> Any:
    """log of u = 1 + x, where what the addition lost goes into the mantissa's part."""
    one = e.constant(x.type, 1.0)
    u = e.same("arith.addf", x, one)
    lost_small = e.same("arith.subf", x, e.same("arith.subf", u, one))
    lost_large = e.same("arith.subf", one, e.same("arith.subf", u, x))
    lost = e.select(e.compare_float("olt", x, one), lost_small, lost_large)
    field, m = _exponent_and_mantissa(e, u)
    scale_bits = e.same("arith.subi", e.constant(field.type, ONE_BITS), field)
    scale = e.bitcast(e.same("arith.maxsi", scale_bits, e.constant(field.type, 0)), e.f32)
    f = e.fma(lost, scale, e.same("arith.subf", m, one))
    result = _log_specials(e, u, _log_sum(e, _as_number(e, field), f))
    return keep_zero(e, x, result)
