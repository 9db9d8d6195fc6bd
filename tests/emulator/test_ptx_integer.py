"""Integer instructions against references in Python integers (PTX ISA, "Integer Arithmetic", "Logic and Shift")."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.emulator.scalar_ptx import apply, bits, execute, integers, wrap


def trunc_div(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


BINARY: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul.lo": lambda a, b: a * b,
    "min": min,
    "max": max,
}


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32", "u64", "s64"])
@pytest.mark.parametrize("name", sorted(BINARY))
def test_integer_binary(name: str, kind: str) -> None:
    a, b = integers(kind, 1), integers(kind, 2)[::-1]
    expected = [wrap(BINARY[name](x, y), kind) for x, y in zip(a, b, strict=True)]
    np.testing.assert_array_equal(apply(f"{name}.{kind}", [(kind, a), (kind, b)], kind), expected)


@pytest.mark.parametrize("kind", ["u32", "s32", "u64", "s64"])
def test_integer_division_and_high_product(kind: str) -> None:
    a = integers(kind, 3)
    b = [value or 7 for value in integers(kind, 4)[::-1]]
    width = bits(kind)
    overflow = (-(1 << (width - 1)), -1)
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if (x, y) != overflow]
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    np.testing.assert_array_equal(
        apply(f"div.{kind}", [(kind, a), (kind, b)], kind), [trunc_div(x, y) for x, y in pairs]
    )
    np.testing.assert_array_equal(
        apply(f"rem.{kind}", [(kind, a), (kind, b)], kind), [x - y * trunc_div(x, y) for x, y in pairs]
    )
    np.testing.assert_array_equal(
        apply(f"mul.hi.{kind}", [(kind, a), (kind, b)], kind), [wrap(x * y >> width, kind) for x, y in pairs]
    )
    c = integers(kind, 5)[: len(a)]
    np.testing.assert_array_equal(
        apply(f"mad.lo.{kind}", [(kind, a), (kind, b), (kind, c)], kind),
        [wrap(x * y + z, kind) for x, y, z in zip(a, b, c, strict=True)],
    )
    if width == 32:
        wide = kind[0] + "64"
        np.testing.assert_array_equal(
            apply(f"mul.wide.{kind}", [(kind, a), (kind, b)], wide), [x * y for x, y in pairs]
        )


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32", "u64", "s64"])
def test_products_in_all_forms(kind: str) -> None:
    a, b, c = integers(kind, 50), integers(kind, 51)[::-1], integers(kind, 52)
    width = bits(kind)
    rows = list(zip(a, b, c, strict=True))
    given = [(kind, a), (kind, b), (kind, c)]
    assert apply(f"mul.hi.{kind}", given[:2], kind).tolist() == [wrap(x * y >> width, kind) for x, y, _ in rows]
    assert apply(f"mad.lo.{kind}", given, kind).tolist() == [wrap(x * y + z, kind) for x, y, z in rows]
    assert apply(f"mad.hi.{kind}", given, kind).tolist() == [wrap((x * y >> width) + z, kind) for x, y, z in rows]
    if width < 64:
        wide = f"{kind[0]}{2 * width}"
        assert apply(f"mul.wide.{kind}", given[:2], wide).tolist() == [x * y for x, y, _ in rows]
        third = integers(wide, 53)
        found = apply(f"mad.wide.{kind}", [*given[:2], (wide, third)], wide).tolist()
        assert found == [wrap(x * y + z, wide) for x, y, z in zip(a, b, third, strict=True)]


AMOUNTS = [*range(70), 127, 128, 255, 256, 2**31, 2**32 - 1]


@pytest.mark.parametrize("kind", ["b16", "b32", "b64"])
def test_shift_left_by_any_amount(kind: str) -> None:
    values = integers(kind, 6, 16)
    rows = [(x, n) for x in values for n in AMOUNTS]
    found = apply(f"shl.{kind}", [(kind, [x for x, _ in rows]), ("u32", [n for _, n in rows])], kind)
    assert found.tolist() == [wrap(x << n, kind) if n < 64 else 0 for x, n in rows]


@pytest.mark.parametrize("kind", ["u16", "s16", "b16", "u32", "s32", "b32", "u64", "s64", "b64"])
def test_shift_right_by_any_amount(kind: str) -> None:
    values = integers(kind, 7, 16)
    rows = [(x, n) for x in values for n in AMOUNTS]
    found = apply(f"shr.{kind}", [(kind, [x for x, _ in rows]), ("u32", [n for _, n in rows])], kind)
    assert found.tolist() == [x >> min(n, 64) for x, n in rows]


def extract(x: int, position: int, length: int, kind: str) -> int:
    width = bits(kind)
    pattern = x & ((1 << width) - 1)
    sign = pattern >> min(position + length - 1, width - 1) & 1 if kind[0] == "s" and length else 0
    out = 0
    for i in range(width):
        inside = i < length and position + i < width
        out |= (pattern >> (position + i) & 1 if inside else sign) << i
    return wrap(out, kind)


PLACES = [*range(66), 127, 128, 255, 256, 257, 2**31 + 3]
"""Positions and lengths; only their low eight bits count."""


@pytest.mark.parametrize("kind", ["u32", "s32", "u64", "s64"])
def test_every_bit_field(kind: str) -> None:
    width, mask = bits(kind), (1 << bits(kind)) - 1
    places = [p for p in PLACES if p <= width or p > 66]
    rng = np.random.default_rng(8)
    rows = [(wrap(int.from_bytes(rng.bytes(8), "little"), kind), p, n) for p in places for n in places]
    columns = [list(column) for column in zip(*rows, strict=True)]
    found = apply(f"bfe.{kind}", [(kind, columns[0]), ("u32", columns[1]), ("u32", columns[2])], kind)
    assert found.tolist() == [extract(x, p & 255, n & 255, kind) for x, p, n in rows]

    def insert(x: int, y: int, p: int, n: int) -> int:
        ones = ((1 << n) - 1) << p & mask
        return y & ~ones | x << p & ones

    raw, base = "b" + kind[1:], [value & mask for value in columns[0][::-1]]
    field = [value & mask for value in columns[0]]
    found = apply(f"bfi.{raw}", [(raw, field), (raw, base), ("u32", columns[1]), ("u32", columns[2])], raw)
    expected = [insert(x, y, p & 255, n & 255) for x, y, (_, p, n) in zip(field, base, rows, strict=True)]
    assert found.tolist() == expected


@pytest.mark.parametrize("width", [32, 64])
def test_bit_counts(width: int) -> None:
    kind = f"b{width}"
    a = integers(kind, 11)
    np.testing.assert_array_equal(apply(f"popc.{kind}", [(kind, a)], "u32"), [x.bit_count() for x in a])
    np.testing.assert_array_equal(apply(f"clz.{kind}", [(kind, a)], "u32"), [width - x.bit_length() for x in a])
    np.testing.assert_array_equal(apply(f"brev.{kind}", [(kind, a)], kind), [int(f"{x:0{width}b}"[::-1], 2) for x in a])
    np.testing.assert_array_equal(
        apply(f"bfind.u{width}", [(f"u{width}", a)], "u32"), [x.bit_length() - 1 if x else 0xFFFFFFFF for x in a]
    )
    signed = integers(f"s{width}", 12)
    np.testing.assert_array_equal(
        apply(f"bfind.s{width}", [(f"s{width}", signed)], "u32"),
        [(y.bit_length() - 1 if y else 0xFFFFFFFF) for y in (x if x >= 0 else ~x for x in signed)],
    )


def replicated(byte: int, pick: int) -> int:
    """A selected byte, or eight copies of its sign."""
    return (0xFF if byte & 0x80 else 0) if pick & 8 else byte


PICKS: dict[str, Callable[[int, int], int]] = {
    "": lambda s, i: s >> 4 * i & 15,
    "f4e": lambda s, i: (s & 3) + i & 7,
    "b4e": lambda s, i: (s & 3) - i & 7,
    "rc8": lambda s, i: s & 3,
    "ecl": lambda s, i: max(s & 3, i),
    "ecr": lambda s, i: min(s & 3, i),
    "rc16": lambda s, i: 2 * (s & 1) + (i & 1),
}
"""Which of the eight bytes goes to place i (PTX ISA, "prmt", table of modes)."""


@pytest.mark.parametrize("mode", sorted(PICKS))
def test_prmt_in_every_mode(mode: str) -> None:
    """All selectors of the special modes; in the default mode each selector of one byte, and random ones."""
    rng = np.random.default_rng(15)
    selectors = list(range(16)) if mode else [k << 4 * i | k for k in range(16) for i in range(4)]
    selectors += rng.integers(0, 2**32, 200).tolist()
    a, b = (rng.integers(0, 2**32, len(selectors)).tolist() for _ in range(2))

    def permute(x: int, y: int, s: int) -> int:
        pool = (y << 32 | x).to_bytes(8, "little")
        picks = [PICKS[mode](s, i) for i in range(4)]
        return sum(replicated(pool[pick & 7], pick) << 8 * i for i, pick in enumerate(picks))

    name = f"prmt.b32.{mode}" if mode else "prmt.b32"
    found = apply(name, [("b32", a), ("b32", b), ("b32", selectors)], "b32")
    assert found.tolist() == [permute(*row) for row in zip(a, b, selectors, strict=True)]


def test_lop3_with_every_table() -> None:
    """Eight bits that hold every combination of three give the table back."""
    given = [("b32", [pattern]) for pattern in (0xF0, 0xCC, 0xAA)]
    for table in range(256):
        assert execute(f"lop3.b32 o0, a0, a1, a2, {table};", given, ["b32"])[0].tolist()[0] & 0xFF == table


@pytest.mark.parametrize("mode", ["wrap", "clamp"])
@pytest.mark.parametrize("direction", ["l", "r"])
def test_funnel_shifts_by_any_amount(direction: str, mode: str) -> None:
    rows = [
        (x, y, n) for x, y in zip(integers("b32", 19, 20), integers("b32", 20, 20)[::-1], strict=True) for n in AMOUNTS
    ]

    def shifted(x: int, y: int, n: int) -> int:
        n = n & 31 if mode == "wrap" else min(n, 32)
        pair = y << 32 | x
        return (pair << n >> 32 if direction == "l" else pair >> n) & 0xFFFFFFFF

    columns = [list(column) for column in zip(*rows, strict=True)]
    found = apply(f"shf.{direction}.{mode}.b32", [("b32", columns[0]), ("b32", columns[1]), ("u32", columns[2])], "b32")
    assert found.tolist() == [shifted(*row) for row in rows]


def parts(word: int, size: int, count: int, signed: bool, first: int = 0) -> list[int]:
    """Fields of a word, low first."""
    kind = ("s" if signed else "u") + str(size)
    return [wrap(word >> size * (first + i), kind) for i in range(count)]


@pytest.mark.parametrize("left", ["u32", "s32"])
@pytest.mark.parametrize("right", ["u32", "s32"])
def test_dot_products_of_bytes(left: str, right: str) -> None:
    a, b, c = integers("b32", 60), integers("b32", 61)[::-1], integers("b32", 62)
    given = [("b32", a), ("b32", b), ("b32", c)]
    signs = left[0] == "s", right[0] == "s"

    def dot(x: int, y: int, z: int) -> int:
        return (
            sum(p * q for p, q in zip(parts(x, 8, 4, signs[0]), parts(y, 8, 4, signs[1]), strict=True)) + z & 0xFFFFFFFF
        )

    assert apply(f"dp4a.{left}.{right}", given, "b32").tolist() == [dot(*row) for row in zip(a, b, c, strict=True)]


def test_small_products_and_differences() -> None:
    for kind in ("u32", "s32"):
        a, b, c = integers(kind, 63), integers(kind, 64)[::-1], integers(kind, 65)
        given = [(kind, a), (kind, b), (kind, c)]
        narrow = kind[0] + "24"
        pairs = [(wrap(x, narrow), wrap(y, narrow)) for x, y in zip(a, b, strict=True)]
        assert apply(f"mul24.lo.{kind}", given[:2], kind).tolist() == [wrap(x * y, kind) for x, y in pairs]
        assert apply(f"mul24.hi.{kind}", given[:2], kind).tolist() == [wrap(x * y >> 16, kind) for x, y in pairs]
        found = apply(f"sad.{kind}", given, kind).tolist()
        assert found == [wrap(abs(x - y) + z, kind) for x, y, z in zip(a, b, c, strict=True)]


def test_carry_chain_adds_128_bits() -> None:
    x = [(a << 64) | b for a, b in zip(integers("b64", 21), integers("b64", 22), strict=True)]
    y = [(a << 64) | b for a, b in zip(integers("b64", 23), integers("b64", 24), strict=True)]
    parts = [("b64", [v >> s & (2**64 - 1) for v in values]) for values in (x, y) for s in (0, 64)]
    low, high = execute("add.cc.u64 o0, a0, a2; addc.u64 o1, a1, a3;", parts, ["b64", "b64"])
    total = [(a + b) & (2**128 - 1) for a, b in zip(x, y, strict=True)]
    np.testing.assert_array_equal(low, [v & (2**64 - 1) for v in total])
    np.testing.assert_array_equal(high, [v >> 64 for v in total])
