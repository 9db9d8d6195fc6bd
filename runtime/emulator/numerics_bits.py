"""Integer bit manipulation with PTX semantics, vectorised (PTX ISA, "Integer Arithmetic Instructions")."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilewright.runtime.emulator.scalar_types import SIGNED, UNSIGNED, Array

U4, U8 = np.uint32, np.uint64


def shift_left(x: Array, amount: Array, bits: int) -> Array:
    """Amounts of ``bits`` or more give 0."""
    x, amount = np.asarray(x), np.asarray(amount)
    shifted = np.left_shift(x, np.minimum(amount, bits - 1).astype(x.dtype))
    return np.asarray(np.where(amount >= bits, x.dtype.type(0), shifted))


def shift_right(x: Array, amount: Array, bits: int) -> Array:
    """Arithmetic for signed types; amounts of ``bits`` or more fill with the sign or 0."""
    x, amount = np.asarray(x), np.asarray(amount)
    shifted = np.right_shift(x, np.minimum(amount, bits - 1).astype(x.dtype))
    return np.asarray(shifted if x.dtype.kind == "i" else np.where(amount >= bits, x.dtype.type(0), shifted))


def multiply_high(a: Array, b: Array, bits: int) -> Array:
    """Upper half of the full product."""
    a, b = np.asarray(a), np.asarray(b)
    if bits == 64:
        return _multiply_high_64(a, b)
    wide = (SIGNED if a.dtype.kind == "i" else UNSIGNED)[bits * 2]
    return np.asarray(((a.astype(wide) * b.astype(wide)) >> wide.type(bits)).astype(a.dtype))


def _multiply_high_64(a: Array, b: Array) -> Array:
    mask, half = U8(0xFFFFFFFF), U8(32)
    x, y = a.astype(U8), b.astype(U8)
    x0, x1, y0, y1 = x & mask, x >> half, y & mask, y >> half
    low = x1 * y0 + ((x0 * y0) >> half)
    middle = x0 * y1 + (low & mask)
    high = x1 * y1 + (low >> half) + (middle >> half)
    if a.dtype.kind == "i":
        high = high - np.where(a < 0, y, U8(0)) - np.where(b < 0, x, U8(0))
    return np.asarray(high.astype(a.dtype))


def divide(a: Array, b: Array) -> Array:
    """Truncating division; division by zero gives all ones (unspecified in the ISA)."""
    a, b = np.asarray(a), np.asarray(b)
    safe = np.where(b == 0, b.dtype.type(1), b)
    quotient = (a - np.fmod(a, safe)) // safe
    return np.where(b == 0, np.array(-1).astype(a.dtype), quotient)


def remainder(a: Array, b: Array) -> Array:
    """Remainder with the sign of the dividend; by zero gives the dividend (unspecified in the ISA)."""
    a, b = np.asarray(a), np.asarray(b)
    safe = np.where(b == 0, b.dtype.type(1), b)
    return np.where(b == 0, a, np.fmod(a, safe))


def count_leading_zeros(x: Array, bits: int) -> Array:
    value = np.asarray(x).astype(U8)
    count = np.zeros(value.shape, U4)
    rest = value.copy()
    for step in (32, 16, 8, 4, 2, 1):
        upper = rest >> U8(step)
        taken = upper != 0
        rest = np.where(taken, upper, rest)
        count = np.where(taken, count + U4(step), count)
    return np.where(value == 0, U4(bits), U4(bits - 1) - count)


def find_most_significant(x: Array, bits: int, shift_amount: bool) -> Array:
    """``bfind``: position of the highest bit that is not a sign bit, or all ones."""
    x = np.asarray(x)
    magnitude = np.where(x < 0, ~x, x) if x.dtype.kind == "i" else x
    magnitude = magnitude.astype(UNSIGNED[bits])
    leading = count_leading_zeros(magnitude, bits)
    position = leading if shift_amount else U4(bits - 1) - leading
    return np.where(magnitude == 0, U4(0xFFFFFFFF), position).astype(U4)


def reverse_bits(x: Array, bits: int) -> Array:
    value = np.asarray(x).astype(U8)
    for step, mask in (
        (1, 0x5555555555555555),
        (2, 0x3333333333333333),
        (4, 0x0F0F0F0F0F0F0F0F),
        (8, 0x00FF00FF00FF00FF),
        (16, 0x0000FFFF0000FFFF),
        (32, 0x00000000FFFFFFFF),
    ):
        value = ((value >> U8(step)) & U8(mask)) | ((value & U8(mask)) << U8(step))
    return (value >> U8(64 - bits)).astype(UNSIGNED[bits])


def _field(position: Array, length: Array, bits: int) -> tuple[Array, Array, Array]:
    position = np.asarray(position).astype(U8) & U8(255)
    length = np.minimum(np.asarray(length).astype(U8) & U8(255), U8(bits))
    ones = np.where(length >= 64, U8(2**64 - 1), (U8(1) << np.minimum(length, U8(63))) - U8(1))
    return position, length, ones


def extract_field(x: Array, position: Array, length: Array, bits: int) -> Array:
    """``bfe``; a signed type extends from the top bit of the field, or from bit ``bits-1`` when the field leaves it."""
    x = np.asarray(x)
    signed = x.dtype.kind == "i"
    position, length, ones = _field(position, length, bits)
    wide = x.astype(np.int64 if signed else U8).astype(U8)
    filled = np.where(signed & (x < 0), U8(2**64 - 1), U8(0))
    shifted = np.where(position >= bits, filled, _shift_wide(wide, position, signed))
    field = shifted & ones
    if signed:
        top = np.minimum(position + length - U8(1), U8(bits - 1))
        sign = (wide >> np.minimum(top, U8(63))) & U8(1)
        field = np.where((sign == 1) & (length > 0), field | ~ones, field)
    return field.astype(UNSIGNED[bits]).view(x.dtype)


def _shift_wide(wide: Array, position: Array, signed: bool) -> Array:
    amount = np.minimum(position, U8(63))
    if signed:
        return (wide.view(np.int64) >> amount.astype(np.int64)).view(U8)
    return wide >> amount


def insert_field(field: Array, base: Array, position: Array, length: Array, bits: int) -> Array:
    """``bfi``: put the low ``length`` bits of ``field`` at ``position`` of ``base``."""
    position, length, ones = _field(position, length, bits)
    amount = np.minimum(position, U8(63))
    mask = np.where(position >= bits, U8(0), ones << amount) & U8(2**bits - 1)
    inserted = (np.asarray(field).astype(U8) << amount) & mask
    return ((np.asarray(base).astype(U8) & ~mask) | inserted).astype(UNSIGNED[bits])


def permute_bytes(a: Array, b: Array, selector: Array, mode: str | None) -> Array:
    """``prmt`` in its default mode or ``f4e b4e rc8 ecl ecr rc16``."""
    a, b, selector = np.broadcast_arrays(np.asarray(a, U4), np.asarray(b, U4), np.asarray(selector, U4))
    pool = a.astype(U8) | (b.astype(U8) << U8(32))
    result = np.zeros(pool.shape, U4)
    for byte in range(4):
        choice = _byte_choice(selector, byte, mode)
        value = (pool >> ((choice & U4(7)).astype(U8) * U8(8))).astype(U4) & U4(255)
        replicated = np.where(value & U4(128), U4(255), U4(0))
        value = np.where(choice & U4(8), replicated, value)
        result |= value << U4(8 * byte)
    return result


def _byte_choice(selector: Array, byte: int, mode: str | None) -> Array:
    if mode is None:
        return (selector >> U4(4 * byte)) & U4(15)
    first = selector & U4(3)
    table: dict[str, Any] = {
        "f4e": (first + U4(byte)) & U4(7),
        "b4e": (first - U4(byte)) & U4(7),
        "rc8": first,
        "ecl": np.maximum(first, U4(byte)),
        "ecr": np.minimum(first, U4(byte)),
        "rc16": (first & U4(1)) * U4(2) + U4(byte & 1),
    }
    return np.asarray(table[mode])


def logic3(a: Array, b: Array, c: Array, table: int) -> Array:
    """``lop3``: any function of three bits, given as its truth table."""
    a, b, c = np.asarray(a), np.asarray(b), np.asarray(c)
    known = {
        0x96: lambda: a ^ b ^ c,
        0x80: lambda: a & b & c,
        0xFE: lambda: a | b | c,
        0xEA: lambda: (a & b) | c,
        0xF8: lambda: a | (b & c),
        0xCA: lambda: (a & b) | (~a & c),
    }
    if table in known:
        return np.asarray(known[table]())
    result = np.zeros(np.broadcast(a, b, c).shape, U4)
    for row in range(8):
        if table >> row & 1:
            result = result | ((a if row & 4 else ~a) & (b if row & 2 else ~b) & (c if row & 1 else ~c))
    return result


def funnel_shift(low: Array, high: Array, amount: Array, left: bool, wrap: bool) -> Array:
    """``shf``: 32 bits out of the 64-bit value high:low."""
    amount = np.asarray(amount, U4)
    amount = (amount & U4(31) if wrap else np.minimum(amount, U4(32))).astype(U8)
    pair = (np.asarray(high).astype(U8) << U8(32)) | np.asarray(low).astype(U8)
    return ((pair << amount) >> U8(32)).astype(U4) if left else (pair >> amount).astype(U4)


def dot_bytes(a: Array, b: Array, c: Array, signed_a: bool, signed_b: bool) -> Array:
    """``dp4a``: sum of four byte products plus c, modulo 2^32."""
    total = np.asarray(c).astype(np.int64)
    for byte in range(4):
        x = _byte(a, byte, signed_a)
        y = _byte(b, byte, signed_b)
        total = total + x * y
    return total.astype(U4)


def _byte(x: Array, byte: int, signed: bool) -> Array:
    value = ((np.asarray(x).astype(U4) >> U4(8 * byte)) & U4(255)).astype(np.uint8)
    return (value.view(np.int8) if signed else value).astype(np.int64)
