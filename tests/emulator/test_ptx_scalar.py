"""Scalar instructions against references written with Python integers, fractions and ml_dtypes."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tilewright.runtime.emulator import Module, launch

STORAGE = {"pred": np.uint32, "f32": np.float32, "f64": np.float64, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
REGISTER = {8: ("b16", "%h"), 16: ("b16", "%h"), 32: ("b32", "%r"), 64: ("b64", "%d"), 1: ("pred", "%p")}


def bits(kind: str) -> int:
    return (
        1 if kind == "pred" else int("".join(c for c in kind.split("x")[0] if c.isdigit())) * (2 if "x2" in kind else 1)
    )


def dtype(kind: str) -> Any:
    if kind in STORAGE:
        return np.dtype(STORAGE[kind])
    return np.dtype(f"{'i' if kind[0] == 's' else 'u'}{bits(kind) // 8}")


def execute(body: str, inputs: list[tuple[str, Any]], outputs: list[str]) -> list[np.ndarray[Any, Any]]:
    """Run ``body`` once per element; it names inputs a0, a1, ... and outputs o0, o1, ... ."""
    count = len(inputs[0][1])
    lines, parameters, arrays = [], [], []
    for index, (kind, values) in enumerate(inputs):
        given = values if isinstance(values, np.ndarray) else np.array(values, dtype(kind))
        arrays.append(np.ascontiguousarray(given.astype(dtype(kind))))
        lines += [
            f"ld.param.u64 %a, [p{index}];",
            f"mad.wide.u32 %a, %t, {arrays[-1].itemsize}, %a;",
            f"ld.global.b{8 * arrays[-1].itemsize} a{index}, [%a];",
        ]
    arrays += [np.zeros(count, dtype(kind)) for kind in outputs]
    lines.append(body)
    for index, kind in enumerate(outputs):
        item = np.dtype(dtype(kind)).itemsize
        place = len(inputs) + index
        value = f"o{index}"
        if kind == "pred":
            lines.append(f"selp.u32 %x, 1, 0, o{index};")
            value = "%x"
        lines += [
            f"ld.param.u64 %a, [p{place}];",
            f"mad.wide.u32 %a, %t, {item}, %a;",
            f"st.global.b{8 * item} [%a], {value};",
        ]
    declared = [
        f".reg .{REGISTER[bits(kind)][0]} {letter}{i};"
        for letter, kinds in (("a", [k for k, _ in inputs]), ("o", outputs))
        for i, kind in enumerate(kinds)
    ]
    parameters = [f".param .u64 p{i}" for i in range(len(arrays))]
    text = (
        ".version 8.3\n.target sm_90a\n.address_size 64\n.visible .entry k("
        + ", ".join(parameters)
        + ")\n{\n"
        + ".reg .b64 %a; .reg .b32 %t, %x, %y, %z; .reg .pred %q;\n"
        + "\n".join(declared)
        + "\nmov.u32 %t, %tid.x;\n"
        + "\n".join(lines)
        + "\nret;\n}\n"
    )
    report = launch(Module.parse(text), "k", (1,), (count,), args=arrays)
    assert report.findings == [], [str(finding) for finding in report.findings]
    return arrays[len(inputs) :]


def apply(opcode: str, inputs: list[tuple[str, Any]], output: str) -> np.ndarray[Any, Any]:
    operands = ", ".join(f"a{i}" for i in range(len(inputs)))
    return execute(f"{opcode} o0, {operands};", inputs, [output])[0]


def integers(kind: str, seed: int, count: int = 64) -> list[int]:
    width, signed = bits(kind), kind[0] == "s"
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    corners = [low, high, 0, 1, high - 1, low + 1, high // 2, (high // 3)] + ([-1, -2] if signed else [2, 5])
    rng = np.random.default_rng(seed)
    rest = [low + int.from_bytes(rng.bytes(8), "little") % (high - low + 1) for _ in range(count - len(corners))]
    return corners + rest


def wrap(value: int, kind: str) -> int:
    width = bits(kind)
    value &= (1 << width) - 1
    return value - (1 << width) if kind[0] == "s" and value >> (width - 1) else value


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


@pytest.mark.parametrize("kind", ["b16", "b32", "b64"])
def test_shift_left(kind: str) -> None:
    a, amount = integers(kind, 6), [i * 2 % 80 for i in range(64)]
    np.testing.assert_array_equal(
        apply(f"shl.{kind}", [(kind, a), ("u32", amount)], kind),
        [wrap(x << n, kind) for x, n in zip(a, amount, strict=True)],
    )


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32", "u64", "s64"])
def test_shift_right(kind: str) -> None:
    a, amount = integers(kind, 7), [i * 2 % 80 for i in range(64)]
    np.testing.assert_array_equal(
        apply(f"shr.{kind}", [(kind, a), ("u32", amount)], kind), [x >> n for x, n in zip(a, amount, strict=True)]
    )


def extract(x: int, position: int, length: int, kind: str) -> int:
    width = bits(kind)
    pattern = x & ((1 << width) - 1)
    sign = pattern >> min(position + length - 1, width - 1) & 1 if kind[0] == "s" and length else 0
    out = 0
    for i in range(width):
        inside = i < length and position + i < width
        out |= (pattern >> (position + i) & 1 if inside else sign) << i
    return wrap(out, kind)


@pytest.mark.parametrize("kind", ["u32", "s32", "u64", "s64"])
def test_bit_fields(kind: str) -> None:
    rng = np.random.default_rng(8)
    a, b = integers(kind, 9), integers(kind, 10)
    position, length = rng.integers(0, 70, 64).tolist(), rng.integers(0, 70, 64).tolist()
    np.testing.assert_array_equal(
        apply(f"bfe.{kind}", [(kind, a), ("u32", position), ("u32", length)], kind),
        [extract(x, p, n, kind) for x, p, n in zip(a, position, length, strict=True)],
    )
    raw = "b" + kind[1:]
    width = bits(kind)

    def insert(x: int, y: int, p: int, n: int) -> int:
        out = y & ((1 << width) - 1)
        for i in range(min(n, max(width - p, 0))):
            out = out & ~(1 << (p + i)) | (x >> i & 1) << (p + i)
        return out

    result = apply(
        f"bfi.{raw}",
        [
            (raw, [v & ((1 << width) - 1) for v in a]),
            (raw, [v & ((1 << width) - 1) for v in b]),
            ("u32", position),
            ("u32", length),
        ],
        raw,
    )
    np.testing.assert_array_equal(
        result, [insert(x, y, p, n) for x, y, p, n in zip(a, b, position, length, strict=True)]
    )


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


def test_prmt_default_mode() -> None:
    a, b = integers("b32", 13), integers("b32", 14)
    selector = np.random.default_rng(15).integers(0, 65536, 64).tolist()

    def permute(x: int, y: int, s: int) -> int:
        pool = (y << 32 | x).to_bytes(8, "little")
        out = 0
        for i in range(4):
            pick = s >> 4 * i & 15
            byte = pool[pick & 7]
            out |= (0xFF if byte & 0x80 else 0) << 8 * i if pick & 8 else byte << 8 * i
        return out

    np.testing.assert_array_equal(
        apply("prmt.b32", [("b32", a), ("b32", b), ("b32", selector)], "b32"),
        [permute(*row) for row in zip(a, b, selector, strict=True)],
    )


@pytest.mark.parametrize("table", [0x00, 0x96, 0xE8, 0xCA, 0xF8, 0x1B, 0xFE, 0x80, 0xEA, 0xFF])
def test_lop3(table: int) -> None:
    a, b, c = (integers("b32", seed) for seed in (16, 17, 18))

    def logic(x: int, y: int, z: int) -> int:
        return sum((table >> ((x >> i & 1) * 4 + (y >> i & 1) * 2 + (z >> i & 1)) & 1) << i for i in range(32))

    result = execute(f"lop3.b32 o0, a0, a1, a2, {table};", [("b32", a), ("b32", b), ("b32", c)], ["b32"])[0]
    np.testing.assert_array_equal(result, [logic(*row) for row in zip(a, b, c, strict=True)])


def test_funnel_shift() -> None:
    low, high = integers("b32", 19), integers("b32", 20)
    amount = [i % 40 for i in range(64)]
    for direction in "lr":
        for mode in ("wrap", "clamp"):

            def shifted(x: int, y: int, n: int, direction: str = direction, mode: str = mode) -> int:
                n = n & 31 if mode == "wrap" else min(n, 32)
                pair = y << 32 | x
                return (pair << n >> 32 if direction == "l" else pair >> n) & 0xFFFFFFFF

            np.testing.assert_array_equal(
                apply(f"shf.{direction}.{mode}.b32", [("b32", low), ("b32", high), ("u32", amount)], "b32"),
                [shifted(*row) for row in zip(low, high, amount, strict=True)],
            )


def test_carry_chain_adds_128_bits() -> None:
    x = [(a << 64) | b for a, b in zip(integers("b64", 21), integers("b64", 22), strict=True)]
    y = [(a << 64) | b for a, b in zip(integers("b64", 23), integers("b64", 24), strict=True)]
    parts = [("b64", [v >> s & (2**64 - 1) for v in values]) for values in (x, y) for s in (0, 64)]
    low, high = execute("add.cc.u64 o0, a0, a2; addc.u64 o1, a1, a3;", parts, ["b64", "b64"])
    total = [(a + b) & (2**128 - 1) for a, b in zip(x, y, strict=True)]
    np.testing.assert_array_equal(low, [v & (2**64 - 1) for v in total])
    np.testing.assert_array_equal(high, [v >> 64 for v in total])


# -- floating point ---------------------------------------------------------------------------------------------------

SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    math.inf,
    -math.inf,
    math.nan,
    2.0**-149,
    -(2.0**-126),
    3.4028234663852886e38,
    1.5,
    -2.5,
]


def singles(seed: int, count: int = 96) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    scaled = rng.normal(size=count - len(SPECIAL)) * 2.0 ** rng.integers(-130, 60, count - len(SPECIAL))
    return np.concatenate([np.array(SPECIAL), rng.permutation(scaled)]).astype(np.float32)


def nearest(value: Fraction, mode: str = "rn") -> float:
    """Correct rounding of a fraction to float32, by integers alone."""
    if value == 0:
        return 0.0
    magnitude = abs(value)
    exponent = max(magnitude.numerator.bit_length() - magnitude.denominator.bit_length() - 1, -126)
    while magnitude >= Fraction(2) ** (exponent + 1):
        exponent += 1
    unit = Fraction(2) ** (exponent - 23)
    steps, rest = divmod(magnitude, unit)
    away = {
        "rn": rest * 2 > unit or (rest * 2 == unit and steps & 1),
        "rz": False,
        "rm": rest > 0 and value < 0,
        "rp": rest > 0 and value > 0,
    }[mode]
    result = (steps + (1 if away else 0)) * unit
    if result >= Fraction(2) ** 128:
        limit = mode == "rz" or (mode == "rm" and value > 0) or (mode == "rp" and value < 0)
        return math.copysign(3.4028234663852886e38 if limit else math.inf, value)
    return math.copysign(float(result), value)


def same(actual: Any, expected: Any) -> None:
    actual, expected = np.asarray(actual), np.asarray(expected, np.asarray(actual).dtype)
    with np.errstate(all="ignore"):
        both = np.isnan(actual.astype(float)) & np.isnan(expected.astype(float))
    unsigned = f"u{actual.itemsize}"
    np.testing.assert_array_equal(np.where(both, 0, actual.view(unsigned)), np.where(both, 0, expected.view(unsigned)))


@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
@pytest.mark.parametrize("name", ["add", "mul", "fma", "div"])
def test_float32_rounding(name: str, mode: str) -> None:
    a, b, c = singles(30), singles(31)[::-1].copy(), singles(32)[5:].copy()
    c = np.concatenate([c, c[:5]])
    if name == "add":
        b = np.where(np.arange(len(b)) % 2, b, (a * np.float32(2.0**-12)).astype(np.float32))
    if name == "fma":
        c = np.where(np.arange(len(c)) % 3, (-a.astype(float) * b.astype(float)).astype(np.float32), c)
    operands = [a, b, c][: 3 if name == "fma" else 2]
    finite = np.all([np.isfinite(x) for x in operands], axis=0)
    if name == "div":
        finite &= b != 0
    operands = [x[finite] for x in operands]
    result = apply(f"{name}.{mode}.f32", [("f32", x) for x in operands], "f32")
    for index, row in enumerate(zip(*operands, strict=True)):
        values = [Fraction(float(x)) for x in row]
        exact = {
            "add": lambda v: v[0] + v[1],
            "mul": lambda v: v[0] * v[1],
            "div": lambda v: v[0] / v[1],
            "fma": lambda v: v[0] * v[1] + v[2],
        }[name](values)
        if exact != 0:
            assert float(result[index]) == nearest(exact, mode), (row, mode)


def test_float32_specials_follow_ieee() -> None:
    a, b = (np.array(SPECIAL, np.float32)[index] for index in np.divmod(np.arange(144), 12))
    with np.errstate(all="ignore"):
        same(apply("add.f32", [("f32", a), ("f32", b)], "f32"), a + b)
        same(apply("mul.f32", [("f32", a), ("f32", b)], "f32"), a * b)
        same(apply("div.rn.f32", [("f32", a), ("f32", b)], "f32"), a / b)
        same(
            apply("fma.rn.f32", [("f32", a), ("f32", b), ("f32", -a * b)], "f32"),
            (a.astype(float) * b - (a * b).astype(float)).astype(np.float32),
        )


def test_min_max_of_nan_and_zero() -> None:
    a, b = (np.array(SPECIAL, np.float32)[index] for index in np.divmod(np.arange(144), 12))

    def pick(x: float, y: float, largest: bool) -> float:
        if math.isnan(x) or math.isnan(y):
            return y if math.isnan(x) else x
        key = [(v, math.copysign(1, v)) for v in (x, y)]
        return (max if largest else min)(key)[0] if key[0] != key[1] else x

    for name, largest in (("max", True), ("min", False)):
        same(
            apply(f"{name}.f32", [("f32", a), ("f32", b)], "f32"),
            np.array([pick(float(x), float(y), largest) for x, y in zip(a, b, strict=True)], np.float32),
        )
        propagated = apply(f"{name}.NaN.f32", [("f32", a), ("f32", b)], "f32")
        assert (np.isnan(propagated) == (np.isnan(a) | np.isnan(b))).all()


def test_ftz_flushes_inputs_and_results() -> None:
    a = np.array([2.0**-130, -(2.0**-130), 2.0**-100, 1.0], np.float32)
    b = np.array([1.0, 2.0**10, 2.0**-40, 2.0**-127], np.float32)
    same(apply("mul.ftz.f32", [("f32", a), ("f32", b)], "f32"), np.array([0.0, -0.0, 0.0, 0.0], np.float32))
    same(apply("add.ftz.f32", [("f32", a), ("f32", b)], "f32"), np.array([1.0, 1024.0, 2.0**-40, 1.0], np.float32))


@pytest.mark.parametrize(
    ("opcode", "function"),
    [
        ("ex2.approx.f32", np.exp2),
        ("lg2.approx.f32", np.log2),
        ("rcp.approx.f32", lambda x: 1 / x),
        ("sqrt.rn.f32", np.sqrt),
        ("rsqrt.approx.f32", lambda x: 1 / np.sqrt(x)),
        ("sin.approx.f32", np.sin),
        ("cos.approx.f32", np.cos),
        ("tanh.approx.f32", np.tanh),
        ("rcp.rn.f32", lambda x: 1 / x),
        ("sqrt.approx.f32", np.sqrt),
    ],
)
def test_functions_are_correctly_rounded(opcode: str, function: Callable[[Any], Any]) -> None:
    x = np.abs(np.random.default_rng(33).normal(size=64) * 3).astype(np.float32)
    np.testing.assert_array_equal(apply(opcode, [("f32", x)], "f32"), function(x.astype(np.float64)).astype(np.float32))


def test_float64_fma_is_fused() -> None:
    rng = np.random.default_rng(34)
    a, b = rng.normal(size=64), rng.normal(size=64)
    c = -(a * b) * (1 + rng.integers(-1, 2, 64) * 2.0**-52)
    c[:3], a[:3], b[:3] = [1e-300, 1e300, 1.0], [1e-200, 1e200, 2.0**-600], [1e-150, 1e100, 2.0**-600]
    result = apply("fma.rn.f64", [("f64", a), ("f64", b), ("f64", c)], "f64")
    for x, y, z, r in zip(a, b, c, result, strict=True):
        exact = Fraction(x) * Fraction(y) + Fraction(z)
        assert r == exact.numerator / exact.denominator


@pytest.mark.parametrize("form", ["f16", "bf16"])
def test_half_arithmetic_rounds_once(form: str) -> None:
    kind = dtype(form)
    rng = np.random.default_rng(35)
    a, b, c = (rng.normal(size=96).astype(kind) for _ in range(3))
    c = np.where(np.arange(96) % 2, (-a.astype(float) * b.astype(float)).astype(kind), c)
    wide = [x.astype(np.float64) for x in (a, b, c)]
    same(apply(f"fma.rn.{form}", [(form, a), (form, b), (form, c)], form), (wide[0] * wide[1] + wide[2]).astype(kind))
    same(
        apply(f"mul.{form}" if form == "f16" else f"mul.rn.{form}", [(form, a), (form, b)], form),
        (wide[0] * wide[1]).astype(kind),
    )
    words = [x.view(np.uint16).astype(np.uint32) for x in (a, b)]
    pairs = [w[:48] | w[48:] << 16 for w in words]
    packed = apply(f"add.rn.{form}x2", [("b32", pairs[0]), ("b32", pairs[1])], "b32")
    total = (wide[0] + wide[1]).astype(kind).view(np.uint16).astype(np.uint32)
    np.testing.assert_array_equal(packed, total[:48] | total[48:] << 16)


# -- conversions ------------------------------------------------------------------------------------------------------

SMALL = {"f16": np.float16, "bf16": ml_dtypes.bfloat16}


@pytest.mark.parametrize("form", ["f16", "bf16"])
def test_cvt_to_half_and_back(form: str) -> None:
    x = np.concatenate([singles(36), np.array([65504, 65519.9, 65520, 2.0**-25, 2.0**-24 * 1.5], np.float32)])
    with np.errstate(all="ignore"):
        expected = x.astype(SMALL[form])
    same(apply(f"cvt.rn.{form}.f32", [("f32", x)], form), expected)
    every = np.arange(0, 65536, 65, dtype=np.uint16).view(SMALL[form])[:1000]
    with np.errstate(all="ignore"):
        widened = every.astype(np.float32)
    same(apply(f"cvt.f32.{form}", [(form, every)], "f32"), widened)
    relu = apply(f"cvt.rn.relu.{form}.f32", [("f32", x)], form)
    with np.errstate(all="ignore"):
        positive = np.where(x < 0, 0, np.where(x == 0, 0, expected.astype(np.float32))).astype(SMALL[form])
    same(relu, positive)


def test_cvt_rz_and_pairs() -> None:
    x, y = singles(37), singles(38)
    toward_zero = (x.view(np.uint32) & 0xFFFF0000).view(np.float32)
    finite = np.isfinite(x)
    same(apply("cvt.rz.bf16.f32", [("f32", x[finite])], "bf16"), toward_zero[finite].astype(ml_dtypes.bfloat16))
    packed = apply("cvt.rn.bf16x2.f32", [("f32", x), ("f32", y)], "b32")
    with np.errstate(all="ignore"):
        upper, lower = (v.astype(ml_dtypes.bfloat16).view(np.uint16).astype(np.uint32) for v in (x, y))
    good = ~np.isnan(x) & ~np.isnan(y)
    np.testing.assert_array_equal(packed[good], (upper << 16 | lower)[good])


def test_cvt_rna_tf32() -> None:
    x = singles(39)[np.isfinite(singles(39))]
    result = apply("cvt.rna.tf32.f32", [("f32", x)], "b32").view(np.float32)
    for value, rounded in zip(x, result, strict=True):
        if abs(float(value)) > 3.4e38 or value == 0:
            continue
        exponent = max(math.frexp(float(value))[1] - 1, -126)
        unit = 2.0 ** (exponent - 10)
        assert abs(float(rounded)) == math.floor(abs(float(value)) / unit + 0.5) * unit


@pytest.mark.parametrize(("form", "kind"), [("e4m3", ml_dtypes.float8_e4m3fn), ("e5m2", ml_dtypes.float8_e5m2)])
def test_cvt_to_fp8_saturates(form: str, kind: Any) -> None:
    x = np.concatenate(
        [
            singles(40),
            np.linspace(-500, 500, 101).astype(np.float32),
            np.array([2.0**-9, 2.0**-10, 2.0**-17], np.float32),
        ]
    )
    largest = float(ml_dtypes.finfo(kind).max)
    with np.errstate(all="ignore"):
        expected = np.clip(x, -largest, largest).astype(kind)
    packed = apply(f"cvt.rn.satfinite.{form}x2.f32", [("f32", x), ("f32", x[::-1].copy())], "b16")
    upper, lower = (packed >> 8).astype(np.uint8), (packed & 0xFF).astype(np.uint8)
    good = ~np.isnan(x)
    np.testing.assert_array_equal(upper[good], expected.view(np.uint8)[good])
    np.testing.assert_array_equal(lower[good[::-1]], expected[::-1].view(np.uint8)[good[::-1]])
    codes = np.arange(256, dtype=np.uint16)
    wide = apply(f"cvt.rn.f16x2.{form}x2", [("b16", codes)], "b32")
    halves = (wide & 0xFFFF).astype(np.uint16).view(np.float16)
    same(halves, codes.astype(np.uint8).view(kind).astype(np.float16))


@pytest.mark.parametrize("target", ["s8", "u8", "s32", "u32", "s64", "u64"])
@pytest.mark.parametrize("mode", ["rni", "rzi", "rmi", "rpi"])
def test_cvt_float_to_integer_saturates(target: str, mode: str) -> None:
    x = np.concatenate([singles(41), np.array([0.5, 1.5, 2.5, -0.5, -1.5, 2**31, -(2**31), 1e19, -1e19], np.float32)])
    width, signed = bits(target), target[0] == "s"
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)

    def convert(value: float) -> int:
        if math.isnan(value):
            return 0
        if math.isinf(value):
            return high if value > 0 else low
        whole = {"rni": round, "rzi": math.trunc, "rmi": math.floor, "rpi": math.ceil}[mode](value)
        return min(max(whole, low), high)

    out = target if width >= 32 else ("s32" if signed else "u32")
    result = apply(f"cvt.{mode}.{target}.f32", [("f32", x)], out)
    np.testing.assert_array_equal(result, [convert(float(v)) for v in x])


@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
@pytest.mark.parametrize("kind", ["s32", "u32", "s64", "u64"])
def test_cvt_integer_to_float(kind: str, mode: str) -> None:
    values = integers(kind, 42)
    result = apply(f"cvt.{mode}.f32.{kind}", [(kind, values)], "f32")
    assert [float(x) for x in result] == [nearest(Fraction(value), mode) for value in values]


@pytest.mark.parametrize(
    ("target", "kind"), [("s8", "s32"), ("u8", "s32"), ("u16", "s64"), ("s32", "u64"), ("u32", "s32")]
)
def test_cvt_integer_saturation_and_truncation(target: str, kind: str) -> None:
    values = integers(kind, 43)
    width, signed = bits(target), target[0] == "s"
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    out = target if width >= 32 else ("s32" if signed else "u32")
    np.testing.assert_array_equal(
        apply(f"cvt.sat.{target}.{kind}", [(kind, values)], out), [min(max(v, low), high) for v in values]
    )
    np.testing.assert_array_equal(
        apply(f"cvt.{target}.{kind}", [(kind, values)], out), [wrap(v, target) for v in values]
    )


# -- comparison -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"]
)
def test_float_comparisons(name: str) -> None:
    a, b = (np.array(SPECIAL, np.float32)[index] for index in np.divmod(np.arange(144), 12))
    unordered = np.isnan(a) | np.isnan(b)
    table = {"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}
    if name in ("num", "nan"):
        expected = unordered if name == "nan" else ~unordered
    elif name in table:
        expected = table[name] & ~unordered
    else:
        expected = table[name[:-1]] | unordered
    result = execute(f"setp.{name}.f32 o0, a0, a1;", [("f32", a), ("f32", b)], ["pred"])[0]
    np.testing.assert_array_equal(result.astype(bool), expected)


def test_setp_with_combination_and_complement() -> None:
    a, b = np.arange(32) % 5, np.arange(32) % 3
    first, second = execute(
        "setp.gt.s32 %q, a0, 2; setp.lt.and.s32 o0|o1, a0, a1, %q;", [("s32", a), ("s32", b)], ["pred", "pred"]
    )
    np.testing.assert_array_equal(first.astype(bool), (a < b) & (a > 2))
    np.testing.assert_array_equal(second.astype(bool), ~(a < b) & (a > 2))


def test_selp_slct_and_predicate_logic() -> None:
    a, b = np.arange(-16, 16), np.arange(32)
    body = "setp.lt.s32 %q, a0, 0; selp.b32 o0, a0, a1, %q; slct.s32.s32 o1, a1, a0, a0;"
    chosen, signed = execute(body, [("s32", a), ("s32", b)], ["s32", "s32"])
    np.testing.assert_array_equal(chosen, np.where(a < 0, a, b))
    np.testing.assert_array_equal(signed, np.where(a >= 0, b, a))
