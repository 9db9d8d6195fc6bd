"""Owns sin, cos and pow on f32, computed in f64, as functions of the module that kernels call.

They are long and seldom used, so each is one function per vector width instead of code at every use. In f64 the
reductions need no tricks: pi/2 in two parts is enough up to 2^30, and beyond that the C library is asked lane by lane.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tilewright.passes.machine.emit import Emitter, any_lane, lanes_of
from tilewright.passes.machine.polynomials import above, below, horner

TWO_OVER_PI = 0.6366197723675814
HALF_PI_HIGH, HALF_PI_LOW = 1.5707963267948966, 6.123233995736766e-17
ROUND_F64 = 6755399441055744.0  # 1.5 * 2^52
LARGEST_REDUCED = 2.0**30
SIN = (2.7182373151827376e-06, -0.00019839327141438784, 0.008333329362299632, -0.1666666664142675)  # 5e-12
COS = (2.443773109889616e-05, -0.0013887361460322076, 0.0416666467480246)  # 1e-10
EXP2 = (
    1.326369520429185e-06, 1.5310239506211878e-05, 0.00015403414526413397, 0.001333345004697624, 0.00961812922080801,
    0.05550410941594455, 0.24022650695548425, 0.6931471805599453,
)  # fmt: skip # 8e-13
LOG2 = (
    0.28295147579104274, 0.3199022277203023, 0.41220933381267594, 0.5770779415920315, 0.9617966941158798,
    2.8853900817779268,
)  # fmt: skip # 1e-13, log2(m) / s in s^2 with s = (m - 1) / (m + 1)
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
ONE_BITS = 0x3FF << 52


def sin(e: Emitter, x: Any) -> Any:
    return e.call_own("sin", x.type, _body("sinf", 0), x)


def cos(e: Emitter, x: Any) -> Any:
    return e.call_own("cos", x.type, _body("cosf", 1), x)


def power(e: Emitter, x: Any, y: Any) -> Any:
    return e.call_own("pow", x.type, _power, x, y)


def _body(library: str, quarter: int) -> Callable[..., Any]:
    def compute(e: Emitter, x: Any) -> Any:
        limit = e.constant(x.type, LARGEST_REDUCED)
        huge = e.compare_float("uge", e.same("math.absf", x), limit)
        some = huge if lanes_of(x.type) is None else any_lane(e, huge)
        op = e.op("scf.if", [x.type], [some], regions=2)
        slow, fast = (region.blocks.append() for region in op.regions)
        with e.region(op, slow, conditional=True):
            e.op("scf.yield", [], [by_lane(e, library, x)])
        with e.region(op, fast, conditional=True):
            e.op("scf.yield", [], [_circular(e, x, quarter)])
        return op.results[0]

    return compute


def by_lane(e: Emitter, library: str, *values: Any) -> Any:
    """A function of the C library on every lane."""
    lanes = lanes_of(values[0].type)
    if lanes is None:
        return e.call_library(library, *values)
    return e.from_lanes([e.call_library(library, *(e.lane(v, k) for v in values)) for k in range(lanes)])


def _circular(e: Emitter, x: Any, quarter: int) -> Any:
    """sin(x + quarter * pi / 2) for |x| < 2^30."""
    wide = e.value("arith.extf", e.like(x.type, e.f64), x)
    number = partial(e.constant, wide.type)
    shifted = e.same("math.fma", wide, number(TWO_OVER_PI), number(ROUND_F64))
    n = e.same("arith.subf", shifted, number(ROUND_F64))
    r = e.same("math.fma", n, number(-HALF_PI_HIGH), wide)
    r = e.same("math.fma", n, number(-HALF_PI_LOW), r)
    return circle(e, r, e.bitcast(shifted, e.i64), quarter, x)


def circle(e: Emitter, r: Any, quadrant: Any, quarter: int, x: Any) -> Any:
    """sin(r + (quadrant + quarter) pi / 2) in f32, like ``x``; f64 ``|r| <= pi / 4``, quadrant (i64) modulo 4."""
    number = partial(e.constant, r.type)
    square = e.same("arith.mulf", r, r)
    sine = e.same("arith.mulf", r, e.fma(horner(e, square, SIN), square, number(1.0)))
    cosine = e.fma(square, number(-0.5), number(1.0))
    cosine = e.fma(e.same("arith.mulf", square, square), horner(e, square, COS), cosine)
    return _in_quadrant(e, quadrant, quarter, sine, cosine, x)


def _in_quadrant(e: Emitter, quadrant: Any, quarter: int, sine: Any, cosine: Any, x: Any) -> Any:
    integer = partial(e.constant, quadrant.type)
    turned = e.same("arith.addi", quadrant, integer(quarter))
    odd = e.compare_int("ne", e.same("arith.andi", turned, integer(1)), integer(0))
    sign = e.same("arith.shli", e.same("arith.andi", turned, integer(2)), integer(62))
    chosen = e.bitcast(e.select(odd, cosine, sine), e.i64)
    signed = e.bitcast(e.same("arith.xori", chosen, sign), e.f64)
    return e.value("arith.truncf", x.type, signed)


# ---------------------------------------------------------------- powers


def _power(e: Emitter, x: Any, y: Any) -> Any:
    """x^y as 2^(y log2 |x|), with the sign and the special cases of IEEE 754-2019, 9.2.1."""
    wide = e.like(x.type, e.f64)
    base, exponent = e.value("arith.extf", wide, x), e.value("arith.extf", wide, y)
    number = partial(e.constant, wide)
    zero, one = number(0.0), number(1.0)
    magnitude = e.same("math.absf", base)
    product = e.same("arith.mulf", exponent, _log2(e, magnitude))
    product = e.select(e.compare_float("oeq", magnitude, one), zero, product)
    result = _exp2(e, product)
    integral = e.compare_float("oeq", e.same("math.floor", exponent), exponent)
    half = e.same("arith.mulf", exponent, number(0.5))
    odd = e.same("arith.andi", integral, e.compare_float("une", e.same("math.floor", half), half))
    result = e.select(odd, e.with_sign(result, base), result)
    finite = e.compare_float("olt", magnitude, number(float("inf")))
    negative = e.same("arith.andi", e.compare_float("olt", base, zero), finite)
    invalid = e.same("arith.andi", negative, e.compare_float("une", e.same("math.floor", exponent), exponent))
    invalid = e.same("arith.ori", invalid, e.compare_float("uno", base, exponent))
    result = e.select(invalid, number(float("nan")), result)
    trivial = e.same("arith.ori", e.compare_float("oeq", base, one), e.compare_float("oeq", exponent, zero))
    return e.value("arith.truncf", x.type, e.select(trivial, one, result))


def _log2(e: Emitter, x: Any) -> Any:
    """log2 of an f64 that is zero, infinite or in the range of f32 (normal as f64)."""
    bits = e.bitcast(x, e.i64)
    integer = partial(e.constant, bits.type)
    number = partial(e.constant, x.type)
    field = e.same("arith.subi", bits, integer(SQRT_HALF_BITS))
    field = e.same("arith.andi", field, integer(-1 << 52))
    m = e.bitcast(e.same("arith.subi", bits, field), e.f64)
    s = e.same("arith.divf", e.same("arith.subf", m, number(1.0)), e.same("arith.addf", m, number(1.0)))
    fraction = e.same("arith.mulf", s, horner(e, e.same("arith.mulf", s, s), LOG2))
    result = e.same("arith.addf", _exponent_number(e, field), fraction)
    result = e.select(e.compare_float("oeq", x, number(0.0)), number(float("-inf")), result)
    return e.select(e.compare_float("oeq", x, number(float("inf"))), x, result)


def _exponent_number(e: Emitter, field: Any) -> Any:
    """k as f64 from k << 52: placed in the low bits of 1.5 * 2^52."""
    k = e.same("arith.shrsi", field, e.constant(field.type, 52))
    magic = 0x4338 << 48
    shifted = e.bitcast(e.same("arith.addi", k, e.constant(field.type, magic)), e.f64)
    return e.same("arith.subf", shifted, e.constant(shifted.type, ROUND_F64))


def _exp2(e: Emitter, x: Any) -> Any:
    """2^x as f64, exact enough for f32; outside of f32's range it is far outside."""
    x = below(e, above(e, x, -300.0), 300.0)
    magic = e.constant(x.type, ROUND_F64)
    shifted = e.same("arith.addf", x, magic)
    r = e.same("arith.subf", x, e.same("arith.subf", shifted, magic))
    value = e.fma(horner(e, r, EXP2), r, e.constant(x.type, 1.0))
    bits = e.bitcast(shifted, e.i64)
    field = e.same("arith.shli", bits, e.constant(bits.type, 52))
    scale = e.bitcast(e.same("arith.addi", field, e.constant(bits.type, ONE_BITS)), e.f64)
    return e.same("arith.mulf", value, scale)
