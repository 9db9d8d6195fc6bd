"""``cvt`` between all scalar types in every rounding and saturation mode (PTX ISA, "cvt"), against integer references.

All codes of 8-bit sources and of f16; corners and random codes of the others.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from tests.emulator.scalar_ptx import Array, apply, bits, dtype, integers, wrap
from tests.emulator.scalar_reference import FORMATS, Value, of_fraction, to_integer, to_whole, total

INTEGERS = ("u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64")
FLOATS = ("f16", "bf16", "f32", "f64")
DIRECTED = ("rn", "rz", "rm", "rp")
WHOLE = ("rni", "rzi", "rmi", "rpi")
SEED = int(np.random.default_rng().integers(2**31))


@lru_cache(maxsize=16)
def codes(kind: str, count: int = 1500) -> Array:
    """All codes of f16 and of bytes; of another format corners and random codes, most of them of middling exponent."""
    form = FORMATS[kind]
    if form.width == 8 or kind == "f16":
        return np.arange(1 << form.width, dtype=f"u{form.width // 8}")
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    exponents = np.array(
        [0, 1, form.bias - 1, form.bias, form.bias + 1, form.bias + 31, 2 * form.bias, 2 * form.bias + 1]
    )
    mantissas = np.array([0, 1, (1 << form.mantissa) - 1, 1 << (form.mantissa - 1), (1 << (form.mantissa - 1)) + 1])
    corners = (exponents[:, None] << form.mantissa | mantissas).reshape(-1)
    near = rng.integers(form.bias - 40, form.bias + 70, count) << form.mantissa
    shorter = min(form.mantissa, 12)
    ties = rng.integers(0, 1 << shorter, count) << (form.mantissa - shorter) | near
    other = rng.integers(0, 1 << form.mantissa, count) | near
    anything = rng.integers(0, 1 << (form.width - 1), count)
    every = np.concatenate([corners, ties, other, anything]).astype(np.uint64)
    return np.concatenate([every, every | np.uint64(1 << (form.width - 1))]).astype(f"u{form.width // 8}")


@lru_cache(maxsize=16)
def values(kind: str) -> list[Value]:
    return [FORMATS[kind].decode(code) for code in codes(kind).tolist()]


def operand(kind: str) -> tuple[str, Array]:
    return f"b{FORMATS[kind].width}", codes(kind)


def expect(actual: Array, expected: list[int], source: Array) -> None:
    """Equal, with the first few differences in the message."""
    wanted = np.array(expected, actual.dtype)
    bad = np.flatnonzero(actual != wanted)
    shown = [(hex(int(source[i])), hex(int(actual[i])), hex(int(wanted[i]))) for i in bad[:5]]
    assert not len(bad), f"{len(bad)} of {len(actual)} differ (source, found, expected): {shown}"


def flushed(value: Value, kind: str) -> Value:
    """``.ftz``: subnormal f32 to zero of the same sign."""
    subnormal = value.finite and value.m is not None and value.m.bit_length() + value.e <= -126
    return Value(value.sign) if kind == "f32" and subnormal else value


def clamped(value: Value) -> Value:
    """``.sat``: to [0, 1]; NaN and -0 become +0."""
    if value.nan or value.sign:
        return Value(0)
    return Value(0, 1) if value.m is None or value.fraction() > 1 else value


# -- between floats ---------------------------------------------------------------------------------------------------

NARROWING = [
    ("f16", "f32"),
    ("f16", "f64"),
    ("f32", "f64"),
    ("bf16", "f32"),
    ("bf16", "f64"),
    ("bf16", "f16"),
    ("f16", "bf16"),
]
WIDENING = [("f32", "f16"), ("f64", "f16"), ("f64", "f32"), ("f32", "bf16"), ("f64", "bf16")]


@pytest.mark.parametrize("mode", DIRECTED)
@pytest.mark.parametrize(("target", "kind"), NARROWING)
def test_narrowing_floats(target: str, kind: str, mode: str) -> None:
    form = FORMATS[target]
    found = apply(f"cvt.{mode}.{target}.{kind}", [operand(kind)], f"b{form.width}")
    expect(found, [form.encode(value, mode) for value in values(kind)], codes(kind))


@pytest.mark.parametrize(("target", "kind"), WIDENING)
def test_widening_floats(target: str, kind: str) -> None:
    form = FORMATS[target]
    found = apply(f"cvt.{target}.{kind}", [operand(kind)], f"b{form.width}")
    expected = [form.encode(value) for value in values(kind)]
    numbers = np.array([not value.nan for value in values(kind)])
    expect(found[numbers], [code for code, good in zip(expected, numbers, strict=True) if good], codes(kind)[numbers])
    assert np.isnan(found[~numbers].view(f"f{form.width // 8}")).all()


@pytest.mark.parametrize(
    ("target", "kind"), [("f16", "f32"), ("f32", "f64"), ("f32", "f32"), ("f32", "f16"), ("f64", "f64")]
)
def test_saturation_to_the_unit_interval(target: str, kind: str) -> None:
    form = FORMATS[target]
    rounding = "rn." if FORMATS[kind].width > form.width else "rni." if target == kind else ""
    found = apply(f"cvt.{rounding}sat.{target}.{kind}", [operand(kind)], f"b{form.width}")
    whole = [to_whole(value, "rni") for value in values(kind)] if rounding == "rni." else values(kind)
    expect(found, [form.encode(clamped(value)) for value in whole], codes(kind))


@pytest.mark.parametrize("mode", WHOLE)
@pytest.mark.parametrize("kind", ["f16", "f32", "f64"])
def test_rounding_to_whole_floats(kind: str, mode: str) -> None:
    form = FORMATS[kind]
    found = apply(f"cvt.{mode}.{kind}.{kind}", [operand(kind)], f"b{form.width}")
    numbers = np.array([not value.nan for value in values(kind)])
    expected = [form.encode(to_whole(value, mode)) for value in values(kind) if not value.nan]
    expect(found[numbers], expected, codes(kind)[numbers])
    assert np.isnan(found[~numbers].view(f"f{form.width // 8}")).all()


@pytest.mark.parametrize(
    ("target", "kind"), [("f16", "f32"), ("f32", "f64"), ("f64", "f32"), ("f32", "f16"), ("s32", "f32")]
)
def test_flushing_of_subnormals(target: str, kind: str) -> None:
    mode = "rn." if target in ("f16", "f32") and kind != "f16" else "rpi." if target == "s32" else ""
    width = FORMATS[target].width if target in FORMATS else 32
    found = apply(f"cvt.{mode}ftz.{target}.{kind}", [operand(kind)], f"b{width}")
    chosen = np.array([not value.nan for value in values(kind)])
    inputs = [flushed(value, kind) for value in values(kind) if not value.nan]
    if target == "s32":
        expected = [to_integer(value, target, "rpi", False) & 0xFFFFFFFF for value in inputs]
    else:
        form = FORMATS[target]
        rounded = [form.decode(form.encode(value)) for value in inputs]
        expected = [form.encode(flushed(value, target)) for value in rounded]
    expect(found[chosen], expected, codes(kind)[chosen])


# -- formats with their own modes -------------------------------------------------------------------------------------

SPECIAL_MODES = [
    ("f16", "rn.relu"), ("f16", "rz.relu"), ("f16", "rn.satfinite"), ("f16", "rz.satfinite"),
    ("f16", "rn.relu.satfinite"), ("bf16", "rn.relu"), ("bf16", "rz.relu"), ("bf16", "rn.satfinite"),
    ("bf16", "rz.satfinite"),
    ("bf16", "rn.relu.satfinite"), ("tf32", "rna"), ("tf32", "rna.satfinite"), ("tf32", "rn"), ("tf32", "rz"),
    ("tf32", "rn.relu"), ("tf32", "rz.relu"), ("tf32", "rn.satfinite"), ("tf32", "rz.satfinite"),
]  # fmt: skip


def modes(text: str) -> dict[str, Any]:
    parts = text.split(".")
    return {"mode": parts[0], "satfinite": "satfinite" in parts, "relu": "relu" in parts}


@pytest.mark.parametrize(("target", "mode"), SPECIAL_MODES)
def test_relu_and_satfinite(target: str, mode: str) -> None:
    form = FORMATS[target]
    found = apply(f"cvt.{mode}.{target}.f32", [operand("f32")], f"b{form.width}")
    expect(found, [form.encode(value, **modes(mode)) for value in values("f32")], codes("f32"))


@pytest.mark.parametrize("mode", ["rn", "rz", "rn.relu", "rz.relu", "rn.satfinite", "rn.relu.satfinite"])
@pytest.mark.parametrize("target", ["f16", "bf16"])
def test_packed_halves_put_the_first_source_on_top(target: str, mode: str) -> None:
    form, source = FORMATS[target], codes("f32")
    expected = np.array([form.encode(value, **modes(mode)) for value in values("f32")], np.uint32)
    found = apply(f"cvt.{mode}.{target}x2.f32", [("b32", source), ("b32", source[::-1].copy())], "b32")
    expect(found, (expected << 16 | expected[::-1]).tolist(), source)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("target", ["e4m3", "e5m2"])
@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_bytes_from_floats(target: str, kind: str, relu: bool) -> None:
    form, source = FORMATS[target], codes(kind)
    narrow = [form.encode(value, "rn", True, relu) for value in values(kind)]
    bytes_ = np.array(narrow, np.uint16)
    expected = bytes_ << 8 | bytes_[::-1]
    name = f"cvt.rn.satfinite.{'relu.' if relu else ''}{target}x2"
    if kind == "f32":
        found = apply(f"{name}.f32", [("b32", source), ("b32", source[::-1].copy())], "b16")
    else:
        words = source.astype(np.uint32) << 16 | source[::-1]
        found = apply(f"{name}.f16x2", [("b32", words)], "b16")
    expect(found, expected.tolist(), source)


@pytest.mark.parametrize("relu", ["", "relu."])
@pytest.mark.parametrize("kind", ["e4m3", "e5m2"])
def test_every_pair_of_bytes_to_halves(kind: str, relu: str) -> None:
    source = np.arange(65536, dtype=np.uint16)
    half, form = FORMATS["f16"], FORMATS[kind]
    wide = np.array([half.encode(form.decode(code), relu=bool(relu)) for code in range(256)], np.uint32)
    found = apply(f"cvt.rn.{relu}f16x2.{kind}x2", [("b16", source)], "b32")
    expect(found, (wide[source >> 8] << 16 | wide[source & 255]).tolist(), source)


# -- with integers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", WHOLE)
@pytest.mark.parametrize("target", INTEGERS)
@pytest.mark.parametrize("kind", FLOATS)
def test_floats_to_integers_clamp(kind: str, target: str, mode: str) -> None:
    out = target if bits(target) >= 32 else target[0] + "32"
    found = apply(f"cvt.{mode}.{target}.{kind}", [operand(kind)], out)
    expect(found, [to_integer(value, target, mode, kind == "f64") for value in values(kind)], codes(kind))


def whole_numbers(kind: str) -> list[int]:
    """All of an 8-bit type; else corners, random values of every length, and neighbours of ties."""
    width, signed = bits(kind), kind[0] == "s"
    if width == 8:
        return [wrap(value, kind) for value in range(1 << width)]
    rng = np.random.default_rng(SEED)
    random = [int.from_bytes(rng.bytes(8), "little") >> int(rng.integers(0, 64)) for _ in range(800)]
    ties = [((1 << 54) + (k << 29) + d) >> int(rng.integers(0, 50)) for k in range(1, 200) for d in (-1, 0, 1)]
    found = [wrap(value, kind) for value in random + ties]
    return integers(kind, SEED) + found + ([wrap(-value, kind) for value in found] if signed else [])


@pytest.mark.parametrize("mode", DIRECTED)
@pytest.mark.parametrize("target", FLOATS)
@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_to_floats(kind: str, target: str, mode: str) -> None:
    print("seed", SEED)
    source, form = whole_numbers(kind), FORMATS[target]
    given = np.array(source, dtype(kind))
    found = apply(f"cvt.{mode}.{target}.{kind}", [(kind, given)], f"b{form.width}")
    expect(found, [form.encode(Value(int(x < 0), abs(x)), mode) for x in source], given)


@pytest.mark.parametrize("saturating", [False, True])
@pytest.mark.parametrize("target", INTEGERS)
@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_to_integers(kind: str, target: str, saturating: bool) -> None:
    source = whole_numbers(kind)
    given = np.array(source, dtype(kind))
    out = target if bits(target) >= 32 else target[0] + "32"
    width, signed = bits(target), target[0] == "s"
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    found = apply(f"cvt.{'sat.' if saturating else ''}{target}.{kind}", [(kind, given)], out)
    expect(found, [min(max(x, low), high) if saturating else wrap(x, target) for x in source], given)


def test_the_reference_knows_its_formats() -> None:
    """Known codes, so that the reference itself cannot drift."""
    assert [hex(FORMATS[name].encode(Value(0, 1))) for name in ("f16", "bf16", "f32", "e4m3", "e5m2", "tf32")] == [
        "0x3c00", "0x3f80", "0x3f800000", "0x38", "0x3c", "0x3f800000",
    ]  # fmt: skip
    assert FORMATS["e4m3"].encode(Value(1, 1000), satfinite=True) == 0xFE
    assert FORMATS["f16"].encode(Value(0, 65520)) == 0x7C00 and FORMATS["f16"].encode(Value(0, 65519)) == 0x7BFF
    third = of_fraction(Value(0, 1).fraction() / 3)
    assert FORMATS["f32"].encode(third) == 0x3EAAAAAB and FORMATS["f64"].encode(third) == 0x3FD5555555555555
    assert total(Value(0, 1), Value(1, 1), "rm").sign == 1 and total(Value(0, 1), Value(1, 1)).sign == 0
