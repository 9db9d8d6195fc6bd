"""Number formats, integers and random numbers of the reference, against independent implementations."""

import ml_dtypes
import numpy as np
import pytest

from tilewright.compiler.reference import philox
from tilewright.compiler.reference.numerics import NUMPY, integer_range, round_to, saturate, truncate, wrap

FLOATS = ["f8e4m3", "f8e5m2", "f16", "bf16", "f32"]


def _table(dtype: str) -> np.ndarray:
    """Every finite value of a narrow format, ascending."""
    bits = NUMPY[dtype].itemsize * 8
    with np.errstate(invalid="ignore"):  # signalling NaN
        values = np.arange(2**bits, dtype=f"u{bits // 8}").view(NUMPY[dtype]).astype(np.float64)
    return np.unique(values[np.isfinite(values)])


@pytest.mark.parametrize("dtype", ["f8e4m3", "f8e5m2", "f16", "bf16"])
def test_rounding_finds_the_nearest_value_and_breaks_ties_to_even(dtype: str) -> None:
    table = _table(dtype)
    generator = np.random.default_rng(3)
    samples = np.concatenate([
        generator.standard_normal(2000) * np.exp(generator.uniform(-20, 9, 2000)),
        (table[1:] + table[:-1])[::7] / 2,  # ties
        table[::11],
    ])  # fmt: skip
    samples = samples[np.abs(samples) <= table.max()]
    rounded = round_to(samples, dtype)
    high = np.clip(np.searchsorted(table, samples), 1, len(table) - 1)
    near = np.minimum(np.abs(table[high] - samples), np.abs(table[high - 1] - samples))
    assert (np.abs(rounded - samples) == near).all()
    tie = np.abs(table[high] - samples) == np.abs(table[high - 1] - samples)
    narrow = rounded[tie].astype(NUMPY[dtype])
    assert tie.sum() > 20 and not (narrow.view(f"u{narrow.itemsize}") & 1).any()


def test_rounding_to_bf16_is_not_done_in_two_steps() -> None:
    # Just above a tie of bf16, by less than f32 can tell: two roundings would go down.
    value = np.array([1.0 + 2.0**-8 + 2.0**-40])
    assert round_to(value, "bf16")[0] == 1.0 + 2.0**-7


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("f16", 65519.0, 65504.0),
        ("f16", 65520.0, np.inf),
        ("f32", 3.4028235677973366e38, np.inf),
        ("f32", 3.40282356e38, 3.4028234663852886e38),
        ("bf16", 3.4e38, np.inf),
        ("bf16", 3.39e38, 3.3895313892515355e38),
        ("f8e4m3", 1e9, 448.0),
        ("f8e4m3", -np.inf, -448.0),
        ("f8e5m2", np.inf, 57344.0),
        ("f16", 2.0**-25, 0.0),
        ("f16", 2.0**-24 * 1.5, 2.0**-23),
    ],
)
def test_the_ends_of_the_formats(dtype: str, value: float, expected: float) -> None:
    assert round_to(np.array(value), dtype) == expected


def test_nan_stays_nan_in_every_format() -> None:
    for dtype in FLOATS:
        assert np.isnan(round_to(np.array(np.nan), dtype))


@pytest.mark.parametrize("dtype", ["i8", "i16", "i32", "u8", "u16", "u32"])
def test_integers_wrap_and_saturate(dtype: str) -> None:
    low, high = integer_range(dtype)
    values = np.array([low - 1, low, -1, 0, 1, high, high + 1, 3 * high], dtype=np.int64)
    assert (wrap(values, dtype) == values.astype(NUMPY[dtype]).astype(np.int64)).all()
    assert (saturate(values, dtype) == np.clip(values, low, high)).all()


@pytest.mark.parametrize("dtype", ["i8", "i32", "i64", "u8", "u32"])
def test_floats_truncate_to_integers_and_saturate(dtype: str) -> None:
    low, high = integer_range(dtype)
    values = np.array([-1.9, 1.9, np.nan, np.inf, -np.inf, 1e30, -1e30, 100.0])
    expected = [max(low, -1), 1, 0, high, low, high, low, 100]
    assert truncate(values, dtype).tolist() == expected


def test_large_floats_reach_i64_exactly() -> None:
    values = np.array([2.0**62, 2.0**62 + 2.0**12, 9223372036854774784.0, 2.0**63, -(2.0**63)])
    expected = [2**62, 2**62 + 2**12, 9223372036854774784, 2**63 - 1, -(2**63)]
    assert truncate(values, "i64").tolist() == expected


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_answers(counter: tuple, key: tuple, expected: tuple) -> None:
    words = philox.philox(tuple(np.uint64(c) for c in counter), tuple(np.uint64(k) for k in key))
    assert tuple(int(word) for word in words) == expected


def test_uniform_numbers_take_the_words_in_order() -> None:
    numbers = philox.uniform(np.array(0), np.arange(5))
    first = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert numbers[:4].tolist() == [(word >> 8) * 2.0**-24 for word in first]
    assert numbers[4] not in numbers[:4] and (numbers < 1).all()


def test_numpy_types_have_the_declared_width() -> None:
    assert {name: dtype.itemsize for name, dtype in NUMPY.items() if name[0] in "fb"} == {
        "bool": 1, "f8e4m3": 1, "f8e5m2": 1, "f16": 2, "bf16": 2, "f32": 4, "f64": 8,
    }  # fmt: skip
    assert NUMPY["bf16"] == np.dtype(ml_dtypes.bfloat16)
