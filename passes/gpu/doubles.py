"""Owns elementary functions on f64 for threads, which have no C library to call.

Within a few units in the last place for every input, subnormals and infinities included; NaN gives NaN. Each one brings
its argument into a short interval, sums a series there and scales back (Muller, "Elementary Functions", 3rd edition,
chapters 3 and 11). ``erf`` beyond 1 is our own Chebyshev fit of erfc(x) e^(x^2) (absolute error 2e-16).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from tilewright.passes.machine.emit import Emitter
from tilewright.passes.machine.polynomials import above, below, horner, keep_zero

LOG2_E, LN2 = 1.4426950408889634, 0.6931471805599453
LN2_HIGH, LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10  # LN2_HIGH has 33 bits
ROUND = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to an integer, which then stands in the low bits
ROUND_BITS = 0x4338 << 48
ONE_BITS = 0x3FF << 52
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
MIN_NORMAL = 2.0**-1022
EXP = tuple(1.0 / math.factorial(n) for n in range(13, 1, -1))  # (e^r - 1 - r) / r^2
LOG = tuple(2.0 / (2 * n + 1) for n in range(11, 0, -1))  # (log(1 + f) - 2 s) / (s s^2), s = f / (2 + f), in s^2
ERF = tuple((-1.0) ** n * 2.0 / math.sqrt(math.pi) / (math.factorial(n) * (2 * n + 1)) for n in range(17, -1, -1))
ERFC_SCALED = (
    1.922949963309542e-08, -4.3694428104653467e-08, -2.7329597081282917e-08, 5.52477683165754e-08,
    2.526341368748714e-07, -5.389291588898021e-07, 5.307827575308956e-07, -1.1899788644349917e-06,
    3.2762836226330796e-06, -6.867502779523574e-06, 1.373992169856593e-05, -2.824834119245577e-05,
    5.745646381881251e-05, -0.00011449265053795895, 0.00022451887168587072, -0.00043334826188007965,
    0.0008222576181709819, -0.0015325180995288815, 0.0028033258521969295, -0.00502806770247686,
    0.008833423945795662, -0.015182511562489374, 0.025495559642270262, -0.04176678811893072, 0.06663208245322165,
    -0.1033089445831352, 0.15529365560889422,
)  # fmt: skip # erfc(x) e^(x^2) on 1 .. 6, in (2 x - 7) / 5


def _reduced(e: Emitter, x: Any) -> tuple[Any, Any]:
    """``x = k ln2 + r`` with ``|r| <= ln2 / 2``: e^r - 1, and the integer k."""
    number = partial(e.constant, x.type)
    shifted = e.fma(x, number(LOG2_E), number(ROUND))
    k = e.same("arith.subf", shifted, number(ROUND))
    r = e.fma(k, number(-LN2_HIGH), x)
    r = e.fma(k, number(-LN2_LOW), r)
    return _exp_minus_one(e, r), _integer(e, shifted)


def _exp_minus_one(e: Emitter, r: Any) -> Any:
    return e.fma(horner(e, r, EXP), e.same("arith.mulf", r, r), r)


def _integer(e: Emitter, shifted: Any) -> Any:
    """The integer in the low bits of a number that ``ROUND`` was added to."""
    return e.same("arith.subi", e.bitcast(shifted, e.i64), e.constant(e.i64, ROUND_BITS))


def _power(e: Emitter, k: Any) -> Any:
    """2^k for a k whose power is normal."""
    field = e.same("arith.shli", k, e.constant(e.i64, 52))
    return e.bitcast(e.same("arith.addi", field, e.constant(e.i64, ONE_BITS)), e.f64)


def _scaled(e: Emitter, value: Any, k: Any) -> Any:
    """``value`` times 2^k, in two steps: the result may be subnormal or too large."""
    first = e.same("arith.shrsi", k, e.constant(e.i64, 1))
    second = e.same("arith.subi", k, first)
    return e.same("arith.mulf", e.same("arith.mulf", value, _power(e, first)), _power(e, second))


def exp(e: Emitter, x: Any) -> Any:
    tail, k = _reduced(e, below(e, above(e, x, -746.0), 710.0))
    return _scaled(e, e.same("arith.addf", tail, e.constant(x.type, 1.0)), k)


def exp2(e: Emitter, x: Any) -> Any:
    number = partial(e.constant, x.type)
    x = below(e, above(e, x, -1080.0), 1025.0)
    shifted = e.same("arith.addf", x, number(ROUND))
    rest = e.same("arith.subf", x, e.same("arith.subf", shifted, number(ROUND)))
    tail = _exp_minus_one(e, e.same("arith.mulf", rest, number(LN2)))
    return _scaled(e, e.same("arith.addf", tail, number(1.0)), _integer(e, shifted))


def expm1(e: Emitter, x: Any) -> Any:
    one = e.constant(x.type, 1.0)
    tail, k = _reduced(e, below(e, above(e, x, -50.0), 700.0))
    scale = _power(e, k)
    result = e.fma(tail, scale, e.same("arith.subf", scale, one))
    result = e.select(e.compare_float("ogt", x, e.constant(x.type, 700.0)), exp(e, x), result)
    return keep_zero(e, x, result)


def _log_parts(e: Emitter, x: Any) -> tuple[Any, Any]:
    """``log x = k ln2 + log m`` with m between sqrt(1/2) and sqrt(2): log m, and k as f64; x is positive and finite."""
    number = partial(e.constant, x.type)
    small = e.compare_float("olt", x, number(MIN_NORMAL))
    bits = e.bitcast(e.select(small, e.same("arith.mulf", x, number(2.0**54)), x), e.i64)
    field = e.same("arith.subi", bits, e.constant(e.i64, SQRT_HALF_BITS))
    field = e.same("arith.andi", field, e.constant(e.i64, -1 << 52))
    f = e.same("arith.subf", e.bitcast(e.same("arith.subi", bits, field), e.f64), number(1.0))
    k = e.value("arith.sitofp", e.f64, e.same("arith.shrsi", field, e.constant(e.i64, 52)))
    k = e.select(small, e.same("arith.subf", k, number(54.0)), k)
    s = e.same("arith.divf", f, e.same("arith.addf", f, number(2.0)))
    square = e.same("arith.mulf", s, s)
    series = e.same("arith.mulf", square, horner(e, square, LOG))
    half = e.same("arith.mulf", number(0.5), e.same("arith.mulf", f, f))
    inner = e.same("arith.subf", half, e.same("arith.mulf", s, e.same("arith.addf", half, series)))
    return e.same("arith.subf", f, inner), k


def _log_ends(e: Emitter, x: Any, result: Any) -> Any:
    """The results at 0, below it, at infinity and NaN."""
    number = partial(e.constant, x.type)
    result = e.select(e.compare_float("oeq", x, number(0.0)), number(-math.inf), result)
    result = e.select(e.compare_float("olt", x, number(0.0)), number(math.nan), result)
    return e.select(e.compare_float("ult", x, number(math.inf)), result, x)


def log(e: Emitter, x: Any) -> Any:
    part, k = _log_parts(e, x)
    low = e.fma(k, e.constant(x.type, LN2_LOW), part)
    result = _log_ends(e, x, e.fma(k, e.constant(x.type, LN2_HIGH), low))
    return e.select(e.compare_float("uno", x, x), x, result)


def log2(e: Emitter, x: Any) -> Any:
    part, k = _log_parts(e, x)
    result = _log_ends(e, x, e.fma(part, e.constant(x.type, LOG2_E), k))
    return e.select(e.compare_float("uno", x, x), x, result)


def log1p(e: Emitter, x: Any) -> Any:
    """log(u) with u = 1 + x rounded, and what the rounding lost."""
    one = e.constant(x.type, 1.0)
    u = e.same("arith.addf", x, one)
    lost = e.same("arith.divf", e.same("arith.subf", x, e.same("arith.subf", u, one)), u)
    plain = log(e, u)
    exact = e.same("math.absf", plain)
    infinite = e.compare_float("uge", exact, e.constant(x.type, math.inf))
    return keep_zero(e, x, e.select(infinite, plain, e.same("arith.addf", plain, lost)))


def tanh(e: Emitter, x: Any) -> Any:
    number = partial(e.constant, x.type)
    magnitude = below(e, e.same("math.absf", x), 22.0)
    t = expm1(e, e.same("arith.addf", magnitude, magnitude))
    result = e.same("arith.divf", t, e.same("arith.addf", t, number(2.0)))
    return e.with_sign(result, x)


def erf(e: Emitter, x: Any) -> Any:
    number = partial(e.constant, x.type)
    magnitude = below(e, e.same("math.absf", x), 6.0)
    square = e.same("arith.mulf", x, x)
    small = e.same("arith.mulf", x, horner(e, square, ERF))
    place = e.fma(magnitude, number(0.4), number(-1.4))
    weight = exp(e, e.same("arith.negf", e.same("arith.mulf", magnitude, magnitude)))
    large = e.fma(e.same("arith.negf", weight), horner(e, place, ERFC_SCALED), number(1.0))
    large = e.with_sign(large, x)
    return e.select(e.compare_float("olt", magnitude, number(1.0)), small, large)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": exp, "exp2": exp2, "expm1": expm1, "log": log, "log2": log2, "log1p": log1p, "tanh": tanh, "erf": erf,
}  # fmt: skip
