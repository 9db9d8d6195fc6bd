"""Owns sin and cos of huge f32 arguments (2^30 and more), where two parts of pi/2 are not enough.

The argument is an integer times a power of two; only some 96 bits of 2/pi decide its place in the circle, and their
product with the integer is taken in whole numbers (Payne, Hanek, "Radian reduction for trigonometric functions", 1983).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from tilewright.passes.machine.emit import Emitter
from tilewright.passes.machine.trigonometry import circle

TWO_OVER_PI = (
    0xA2F9836E, 0x4E441529, 0xFC2757D1, 0xF534DDC0, 0xDB629599, 0x3C439041, 0xFE5163AB, 0xDEBBC561,
)  # fmt: skip # its binary digits, 32 a word
LAST_WORD = 3  # where the digits of the largest f32 begin


def of_huge(e: Emitter, x: Any, quarter: int) -> Any:
    """sin(x + quarter * pi / 2) for |x| >= 2^30; NaN for an infinity."""
    number = partial(e.constant, e.i64)
    bits = e.value("arith.extui", e.i64, e.bitcast(x, e.i32))
    exponent = e.same("arith.andi", e.same("arith.shrui", bits, number(23)), number(255))
    significand = e.same("arith.ori", e.same("arith.andi", bits, number(0x7FFFFF)), number(0x800000))
    high, middle, low = _digits(e, e.same("arith.subi", exponent, number(152)))
    product = e.same("arith.shli", e.same("arith.muli", significand, high), number(32))
    product = e.same("arith.addi", product, e.same("arith.muli", significand, middle))
    product = e.same("arith.addi", product, e.same("arith.shrui", e.same("arith.muli", significand, low), number(32)))
    quadrant = e.same("arith.shrui", e.same("arith.addi", product, number(1 << 61)), number(62))
    rest = e.same("arith.subi", product, e.same("arith.shli", quadrant, number(62)))
    angle = e.same("arith.mulf", e.value("arith.sitofp", e.f64, rest), e.constant(e.f64, math.pi / 2 * 2.0**-62))
    negative = e.compare_float("olt", x, e.constant(x.type, 0.0))
    angle = e.select(negative, e.same("arith.negf", angle), angle)
    quadrant = e.select(negative, e.same("arith.subi", number(0), quadrant), quadrant)
    nothing = e.same("arith.subf", x, x)  # NaN for an infinity
    return e.same("arith.addf", circle(e, angle, quadrant, quarter, x), nothing)


def _digits(e: Emitter, start: Any) -> list[Any]:
    """96 binary digits of 2/pi from position ``start`` on, as three words in i64."""
    number = partial(e.constant, e.i64)
    word = e.same("arith.shrui", start, number(5))
    shift = e.same("arith.andi", start, number(31))
    found = []
    for offset in range(3):
        chosen = number(_pair(offset))
        for k in range(1, LAST_WORD + 1):
            chosen = e.select(e.compare_int("uge", word, number(k)), number(_pair(offset + k)), chosen)
        found.append(e.same("arith.shrui", e.same("arith.shli", chosen, shift), number(32)))
    return found


def _pair(k: int) -> int:
    """Words k and k + 1 as one signed 64-bit number."""
    value = TWO_OVER_PI[k] << 32 | TWO_OVER_PI[k + 1]
    return value - (1 << 64) if value >> 63 else value
