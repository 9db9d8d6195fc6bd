"""Owns the machine form of elements: bits of half types, bools as bytes in memory, conversions between them.

A ``bf16`` or ``f16`` is held as the i16 of its bits: LLVM turns arithmetic on bf16 into calls that exist nowhere.
Values go to f32, are computed there, and are rounded back to nearest even. Source of the formats: IEEE 754-2019
(binary16); bf16 is the upper half of binary32.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from tilewright.dialect.mlir import ir
from tilewright.passes.machine.emit import Emitter, element_of

BITS = {"i1": 1, "i8": 8, "i16": 16, "f16": 16, "bf16": 16, "i32": 32, "f32": 32, "i64": 64, "f64": 64, "index": 64}


def is_half(element: Any) -> bool:
    """Whether the type is held as bits."""
    return isinstance(element, (ir.BF16Type, ir.F16Type))


def machine_type(emitter: Emitter, element: Any) -> Any:
    """The type in which one element is held."""
    return emitter.i16 if is_half(element) else element


def storage_type(emitter: Emitter, element: Any) -> Any:
    """The type of one element in memory."""
    if element == emitter.index:
        return emitter.i64
    return emitter.i8 if element == emitter.i1 else machine_type(emitter, element)


def storage_bytes(element: Any) -> int:
    return max(1, BITS[str(element)] // 8)


def from_storage(emitter: Emitter, value: Any, element: Any) -> Any:
    """A loaded value in machine form."""
    if element == emitter.index:
        return emitter.value("arith.index_cast", emitter.like(value.type, emitter.index), value)
    if element != emitter.i1:
        return value
    return emitter.compare_int("ne", value, emitter.constant(value.type, 0))


def to_storage(emitter: Emitter, value: Any, element: Any) -> Any:
    """A machine value in the form that is stored."""
    if element == emitter.index:
        return emitter.value("arith.index_cast", emitter.like(value.type, emitter.i64), value)
    if element != emitter.i1:
        return value
    return emitter.value("arith.extui", emitter.like(value.type, emitter.i8), value)


def half_bits(number: float, element: Any) -> int:
    """The bits of a constant of a half type, as a signed 16-bit number."""
    import ml_dtypes
    import numpy as np

    dtype = ml_dtypes.bfloat16 if isinstance(element, ir.BF16Type) else np.float16
    with np.errstate(over="ignore"):
        return int(np.asarray(number).astype(dtype).view(np.int16))


def to_f32(emitter: Emitter, bits: Any, element: Any) -> Any:
    """The exact f32 of half bits."""
    if isinstance(element, ir.BF16Type):
        wide = emitter.value("arith.extui", emitter.like(bits.type, emitter.i32), bits)
        return emitter.bitcast(emitter.same("arith.shli", wide, emitter.constant(wide.type, 16)), emitter.f32)
    if not emitter.target.half:
        return _f16_to_f32(emitter, bits)
    half = emitter.bitcast(bits, emitter.f16)
    return emitter.value("arith.extf", emitter.like(bits.type, emitter.f32), half)


def from_f32(emitter: Emitter, value: Any, element: Any) -> Any:
    """f32 rounded to half bits, to nearest even; NaN stays NaN, too large becomes infinite."""
    if isinstance(element, ir.BF16Type):
        return _f32_to_bf16(emitter, value)
    if not emitter.target.half:
        return _f32_to_f16(emitter, value)
    half = emitter.value("arith.truncf", emitter.like(value.type, emitter.f16), value)
    return emitter.bitcast(half, emitter.i16)


def _f32_to_bf16(e: Emitter, value: Any) -> Any:
    bits = e.bitcast(value, e.i32)
    number = partial(e.constant, bits.type)
    odd = e.same("arith.andi", e.same("arith.shrui", bits, number(16)), number(1))
    rounded = e.same("arith.addi", bits, e.same("arith.addi", odd, number(0x7FFF)))
    quiet = e.same("arith.ori", bits, number(0x400000))
    chosen = e.select(e.compare_float("uno", value, value), quiet, rounded)
    upper = e.same("arith.shrui", chosen, number(16))
    return e.value("arith.trunci", e.like(bits.type, e.i16), upper)


def _f16_to_f32(e: Emitter, bits: Any) -> Any:
    """Without conversion instructions: move the fields, scale by 2^112 to mend the exponent (subnormals too)."""
    wide = e.value("arith.extui", e.like(bits.type, e.i32), bits)
    number = partial(e.constant, wide.type)
    sign = e.same("arith.shli", e.same("arith.andi", wide, number(0x8000)), number(16))
    magnitude = e.same("arith.shli", e.same("arith.andi", wide, number(0x7FFF)), number(13))
    floats = e.bitcast(magnitude, e.f32)
    scaled = e.bitcast(e.same("arith.mulf", floats, e.constant(floats.type, 2.0**112)), e.i32)
    special = e.same("arith.ori", magnitude, number(0x7F800000))
    finite = e.compare_int("ult", magnitude, number(0x7C00 << 13))
    return e.bitcast(e.same("arith.ori", e.select(finite, scaled, special), sign), e.f32)


def _f32_to_f16(e: Emitter, value: Any) -> Any:
    """Without conversion instructions; subnormal results are rounded by an addition whose last bit weighs 2^-24."""
    bits = e.bitcast(value, e.i32)
    number = partial(e.constant, bits.type)
    magnitude = e.same("arith.andi", bits, number(0x7FFFFFFF))
    odd = e.same("arith.andi", e.same("arith.shrui", magnitude, number(13)), number(1))
    biased = e.same("arith.addi", e.same("arith.addi", magnitude, number(0xFFF - (112 << 23))), odd)
    normal = e.same("arith.shrui", biased, number(13))
    shifted = e.same("arith.addf", e.bitcast(magnitude, e.f32), e.constant(e.like(bits.type, e.f32), 0.5))
    small = e.same("arith.subi", e.bitcast(shifted, e.i32), number(0x3F000000))
    result = e.select(e.compare_int("ult", magnitude, number(113 << 23)), small, normal)
    result = e.select(e.compare_int("uge", magnitude, number(0x477FF000)), number(0x7C00), result)
    result = e.select(e.compare_int("ugt", magnitude, number(0x7F800000)), number(0x7E00), result)
    sign = e.same("arith.shrui", e.same("arith.andi", bits, number(-0x80000000)), number(16))
    return e.value("arith.trunci", e.like(bits.type, e.i16), e.same("arith.ori", result, sign))


def rounded(emitter: Emitter, element: Any, compute: Any, *values: Any) -> Any:
    """``compute`` on half values: in f32, rounded once."""
    wide = [to_f32(emitter, v, element) for v in values]
    return from_f32(emitter, compute(*wide), element)


def is_float(value: Any) -> bool:
    return isinstance(element_of(value.type), ir.FloatType)
