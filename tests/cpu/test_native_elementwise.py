"""Arithmetic, comparisons and conversions in native code, for every dtype, bit for bit against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.cpu.native_programs import NUMPY, map_kernel, run_map
from tilewright.dialect import ods
from tilewright.passes.cpu.native import compile_native
from tilewright.passes.cpu.target import CpuTarget, host
from tilewright.runtime import cpu

FLOATS = ("f16", "bf16", "f32", "f64")
INTEGERS = ("i8", "i16", "i32", "i64")
FLOAT_PREDICATES = {
    1: np.equal, 2: np.greater, 3: np.greater_equal, 4: np.less, 5: np.less_equal,
    13: np.not_equal, 14: lambda a, b: np.isnan(a) | np.isnan(b), 7: lambda a, b: ~(np.isnan(a) | np.isnan(b)),
}  # fmt: skip
INT_PREDICATES = {0: np.equal, 1: np.not_equal, 2: np.less, 3: np.less_equal, 4: np.greater, 5: np.greater_equal}


def floats(dtype: str, count: int, seed: int) -> Any:
    """Random numbers with every special value among them."""
    generator = np.random.default_rng(seed)
    values = generator.standard_normal(count) * 10.0 ** generator.integers(-3, 3, count)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0]
    values[generator.integers(0, count, 4 * len(special))] = special * 4
    return values.astype(NUMPY[dtype])


def integers(dtype: str, count: int, seed: int) -> Any:
    limits = np.iinfo(NUMPY[dtype])
    values = np.random.default_rng(seed).integers(limits.min, limits.max, count, dtype=NUMPY[dtype], endpoint=True)
    values[:4] = [limits.min, limits.max, 0, 1]
    return values


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["addf", "subf", "mulf", "divf"])
def test_float_arithmetic_rounds_like_ieee(name: str, dtype: str) -> None:
    a, b = floats(dtype, 500, 1), floats(dtype, 500, 2)
    function = {"addf": np.add, "subf": np.subtract, "mulf": np.multiply, "divf": np.divide}[name]
    with np.errstate(all="ignore"):
        wide = np.float32 if dtype in ("f16", "bf16") else NUMPY[dtype]
        expected = function(a.astype(wide), b.astype(wide)).astype(NUMPY[dtype])
    assert np.array_equal(run_map(f"arith.{name}", a, b), expected, equal_nan=True)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["maximumf", "minimumf"])
def test_nan_wins_in_max_and_min(name: str, dtype: str) -> None:
    a, b = floats(dtype, 500, 3), floats(dtype, 500, 4)
    function = np.maximum if name == "maximumf" else np.minimum
    expected = function(a.astype(np.float64), b.astype(np.float64)).astype(NUMPY[dtype])
    assert np.array_equal(run_map(f"arith.{name}", a, b), expected, equal_nan=True)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", ["addi", "subi", "muli", "andi", "ori", "xori", "maxsi", "minsi"])
def test_integer_arithmetic_wraps(name: str, dtype: str) -> None:
    a, b = integers(dtype, 300, 5), integers(dtype, 300, 6)
    function: Callable[..., Any] = {
        "addi": np.add, "subi": np.subtract, "muli": np.multiply, "andi": np.bitwise_and, "ori": np.bitwise_or,
        "xori": np.bitwise_xor, "maxsi": np.maximum, "minsi": np.minimum,
    }[name]  # fmt: skip
    with np.errstate(all="ignore"):
        assert np.array_equal(run_map(f"arith.{name}", a, b), function(a, b))


@pytest.mark.parametrize("dtype", ["u8", "u16", "u32"])
@pytest.mark.parametrize("name", ["maxui", "minui", "divui", "remui", "shrui"])
def test_unsigned_integer_arithmetic(name: str, dtype: str) -> None:
    a, b = integers(dtype, 300, 7), integers(dtype, 300, 8)
    b = b % NUMPY[dtype].itemsize + 1 if name == "shrui" else np.maximum(b, 1)
    function: Callable[..., Any] = {
        "maxui": np.maximum, "minui": np.minimum, "divui": np.floor_divide, "remui": np.remainder,
        "shrui": np.right_shift,
    }[name]  # fmt: skip
    assert np.array_equal(run_map(f"arith.{name}", a, b), function(a, b))


@pytest.mark.parametrize("name", ["floordivsi", "ceildivsi", "divsi", "remsi"])
def test_divisions_of_signed_integers(name: str) -> None:
    a, b = integers("i32", 400, 9), np.random.default_rng(10).integers(-9, 10, 400).astype(np.int32)
    b[b == 0] = 7
    wide_a, wide_b = a.astype(np.int64), b.astype(np.int64)
    truncated = (np.abs(wide_a) // np.abs(wide_b)) * np.sign(wide_a) * np.sign(wide_b)
    expected = {
        "floordivsi": wide_a // wide_b, "ceildivsi": -(-wide_a // wide_b), "divsi": truncated,
        "remsi": wide_a - truncated * wide_b,
    }[name]  # fmt: skip
    assert np.array_equal(run_map(f"arith.{name}", a, b), expected.astype(np.int32))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("predicate", FLOAT_PREDICATES)
def test_float_comparisons(predicate: int, dtype: str) -> None:
    a, b = floats(dtype, 200, 12), floats(dtype, 200, 13)
    b[::3] = a[::3]
    result = run_map("arith.cmpf", a, b, output="bool", predicate=f"{predicate} : i64")
    with np.errstate(invalid="ignore"):
        assert np.array_equal(result, FLOAT_PREDICATES[predicate](a, b))


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("predicate", INT_PREDICATES)
def test_integer_comparisons(predicate: int, dtype: str) -> None:
    a, b = integers(dtype, 200, 14), integers(dtype, 200, 15)
    b[::3] = a[::3]
    result = run_map("arith.cmpi", a, b, output="bool", predicate=f"{predicate} : i64")
    assert np.array_equal(result, INT_PREDICATES[predicate](a, b))


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, "bool"])
def test_select(dtype: str) -> None:
    generator = np.random.default_rng(16)
    condition = generator.random(100) < 0.5
    a, b = (generator.integers(0, 2, 100).astype(NUMPY[dtype]) for _ in range(2))
    assert np.array_equal(run_map("arith.select", condition, a, b, output=dtype), np.where(condition, a, b))


# ---------------------------------------------------------------- conversions


def every_half(dtype: str) -> Any:
    return np.arange(1 << 16, dtype=np.uint16).view(NUMPY[dtype])


def near_halves(dtype: str) -> Any:
    """f32 numbers at, between and beside neighbours of a half type: every rounding case."""
    bits = every_half(dtype).astype(np.float32).view(np.uint32).astype(np.int64)
    offsets = np.array([-1, 0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFF, 0x1000, 0x1001])
    chosen = (bits[::7, None] + offsets).reshape(-1) & 0xFFFFFFFF
    tiny = np.arange(0, 0x39000000, 99_991, dtype=np.int64)
    return np.concatenate([chosen, tiny, tiny | 0x80000000]).astype(np.uint32).view(np.float32)


def same_bits(a: Any, b: Any) -> bool:
    """Equal bits, where all NaN count as one."""
    nan = np.isnan(a.astype(np.float32)) & np.isnan(b.astype(np.float32))
    return bool(np.all(nan | (a.view(np.uint16) == b.view(np.uint16))))


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_every_half_widens_exactly(dtype: str) -> None:
    x = every_half(dtype)
    for output in ("f32", "f64"):
        with np.errstate(invalid="ignore"):
            expected = x.astype(NUMPY[output])
        assert np.array_equal(run_map("arith.extf", x, output=output), expected, equal_nan=True)


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_f32_rounds_to_the_nearest_half(dtype: str) -> None:
    x = near_halves(dtype)
    with np.errstate(all="ignore"):
        assert same_bits(run_map("arith.truncf", x, output=dtype), x.astype(NUMPY[dtype]))


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_f64_rounds_to_a_half_once(dtype: str) -> None:
    """Just above a tie of the half type: rounding to f32 first would land on the tie and go down."""
    step = 2.0**-11 if dtype == "f16" else 2.0**-8
    x = np.array([1 + step + 2.0**-40, 1 + step, 1 + 3 * step - 2.0**-40, -1 - step - 2.0**-40, 1e300, np.nan, 0.0])
    exact = np.array([1 + 2 * step, 1.0, 1 + 2 * step, -1 - 2 * step, np.inf, np.nan, 0.0])
    result = run_map("arith.truncf", x, output=dtype).astype(np.float64)
    assert np.array_equal(result, exact, equal_nan=True)


def test_half_conversions_without_hardware() -> None:
    """The integer forms for machines without conversion instructions give the same bits."""
    plain = replace(host(), half=False)
    for source, output, op, x in (
        ("f16", "f32", "arith.extf", every_half("f16")),
        ("f32", "f16", "arith.truncf", near_halves("f16")),
    ):
        kernel = recompiled(map_kernel(op, (source,), output), plain)
        result = np.zeros(len(x), NUMPY[output])
        cpu.launch(kernel, slots(x, result))
        with np.errstate(all="ignore"):
            expected = x.astype(NUMPY[output])
        if output == "f16":
            assert same_bits(result, expected)
        else:
            assert np.array_equal(result, expected, equal_nan=True)


_alive: list[Any] = []


def recompiled(kernel: Any, target: CpuTarget) -> Any:
    with ods.session():
        code = compile_native(kernel.module, target)
    _alive.append(cpu.NativeLibrary(code.object_bytes, code.launches))
    return _alive[-1].entries["k"]


def slots(x: Any, y: Any) -> cpu.Slots:
    return cpu.Slots([x.ctypes.data, y.ctypes.data, len(x)])


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("dtype", ["f32", "f64", "bf16", "i8"])
def test_every_vector_width_computes_the_same(lanes: int, dtype: str) -> None:
    op = "arith.addi" if dtype == "i8" else "arith.addf"
    entry = recompiled(map_kernel(op, (dtype, dtype), dtype), replace(host(), lanes=lanes))
    for size in (1, lanes - 1, lanes, lanes + 1, 67):
        x, y, z = (np.arange(size).astype(NUMPY[dtype]) for _ in range(3))
        cpu.launch(entry, cpu.Slots([x.ctypes.data, y.ctypes.data, z.ctypes.data, size]))
        assert np.array_equal(z, x + y)


@pytest.mark.parametrize("source", ["i8", "i16", "i32", "i64"])
@pytest.mark.parametrize("target", FLOATS)
def test_signed_integers_to_floats(source: str, target: str) -> None:
    x = integers(source, 500, 17)
    with np.errstate(all="ignore"):
        expected = x.astype(NUMPY[target])
    result = run_map("arith.sitofp", x, output=target)
    if source == "i64" and target in ("f16", "bf16"):  # NumPy rounds twice there
        assert np.allclose(result.astype(np.float64), expected.astype(np.float64), rtol=2.0**-8)
    else:
        assert np.array_equal(result, expected)


@pytest.mark.parametrize("source", ["u8", "u16", "u32"])
@pytest.mark.parametrize("target", ["f32", "f64"])
def test_unsigned_integers_to_floats(source: str, target: str) -> None:
    x = integers(source, 500, 18)
    assert np.array_equal(run_map("arith.uitofp", x, output=target), x.astype(NUMPY[target]))


@pytest.mark.parametrize("target", ["i8", "i16", "i32", "i64"])
@pytest.mark.parametrize("source", ["f16", "bf16", "f32", "f64"])
def test_floats_to_integers_truncate(source: str, target: str) -> None:
    x = np.random.default_rng(19).uniform(-120, 120, 300).astype(NUMPY[source])
    assert np.array_equal(run_map("arith.fptosi", x, output=target), x.astype(np.float64).astype(NUMPY[target]))


@pytest.mark.parametrize(
    ("op", "source", "target"),
    [("extsi", "i8", "i32"), ("extsi", "i32", "i64"), ("extui", "u8", "u32"), ("extui", "bool", "i32"),
     ("trunci", "i64", "i16"), ("trunci", "i32", "i8")],
)  # fmt: skip
def test_integer_conversions(op: str, source: str, target: str) -> None:
    x = np.random.default_rng(20).random(200) < 0.5 if source == "bool" else integers(source, 200, 21)
    assert np.array_equal(run_map(f"arith.{op}", x, output=target), x.astype(NUMPY[target]))


def test_bitcasts_keep_bits() -> None:
    x = floats("f32", 200, 22)
    assert np.array_equal(run_map("arith.bitcast", x, output="i32"), x.view(np.int32))
    half = floats("bf16", 200, 23)
    assert np.array_equal(run_map("arith.bitcast", half, output="i16"), half.view(np.int16))


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize("dtype", NUMPY)
def test_every_size_around_the_vector_width(dtype: str) -> None:
    """Neighbouring memory stays as it was."""
    for size in (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 101):
        generator = np.random.default_rng(size)
        a, b = (generator.integers(0, 2, size).astype(NUMPY[dtype]) for _ in range(2))
        condition = generator.random(size) < 0.5
        kernel = map_kernel("arith.select", ("bool", dtype, dtype), dtype)
        room = np.full(size + 64, 77, np.uint8).astype(NUMPY[dtype]) if dtype != "bool" else np.ones(size + 64, bool)
        before = room.copy()
        kernel(condition, a, b, room, size)
        assert np.array_equal(room[:size], np.where(condition, a, b))
        assert np.array_equal(room[size:], before[size:])


