"""Data and shapes that kernels are tested with: what random normal numbers hide, and sizes that tiles do not divide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Generator = np.random.Generator

NUMPY: dict[str, np.dtype[Any]] = {
    "bool": np.dtype(np.bool_), "i8": np.dtype(np.int8), "i16": np.dtype(np.int16), "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64), "u8": np.dtype(np.uint8), "u16": np.dtype(np.uint16), "u32": np.dtype(np.uint32),
    "f8e4m3": np.dtype(ml_dtypes.float8_e4m3fn), "f8e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "f16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16), "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
}  # fmt: skip


def is_float(dtype: str) -> bool:
    return dtype.startswith(("f", "bf"))


def _random(shape: tuple[int, ...], dtype: str, generator: Generator) -> Array:
    return generator.standard_normal(shape)


def _positive(shape: tuple[int, ...], dtype: str, generator: Generator) -> Array:
    """All of one sign: errors that always round the same way add up here."""
    return generator.uniform(0.05, 1.0, shape)


def _cancelling(shape: tuple[int, ...], dtype: str, generator: Generator) -> Array:
    """Neighbours that cancel but for a small rest: sums are much smaller than their terms."""
    values = generator.uniform(1.0, 8.0, shape)
    signs = np.where(np.indices(shape).sum(axis=0) % 2, -1.0, 1.0) if shape else 1.0
    rounded = np.round(values[..., :1] if shape else values)
    return signs * rounded + generator.standard_normal(shape) * 2.0**-6


def _limits(dtype: str) -> Any:
    return ml_dtypes.finfo(NUMPY[dtype])


def _tiny(shape: tuple[int, ...], dtype: str, generator: Generator) -> Array:
    """Around the least normal number, subnormal ones included."""
    least = float(_limits(dtype).smallest_normal)
    return generator.standard_normal(shape) * least * 2.0 ** generator.integers(-3, 6, shape)


def _huge(shape: tuple[int, ...], dtype: str, generator: Generator) -> Array:
    """One huge number among small ones in each row, and a few at the largest finite number."""
    largest = float(_limits(dtype).max)
    values = generator.standard_normal(shape)
    huge = generator.random(shape) < 0.15
    size = np.minimum(np.sqrt(largest) * 4.0 ** generator.integers(-1, 2, shape), largest)
    values = np.where(huge, np.copysign(size, values), values)
    return np.where(generator.random(shape) < 0.01, largest, values)


def _special(shape: tuple[int, ...], dtype: str, generator: Generator) -> Array:
    """Random numbers with NaN, infinities, both zeros, subnormals and extremes strewn in."""
    limits = _limits(dtype)
    strange = np.array([
        np.nan, np.inf, -np.inf, 0.0, -0.0, float(limits.smallest_subnormal), float(limits.max), float(limits.min), 1.0
    ])  # fmt: skip
    chosen = strange[generator.integers(0, len(strange), shape)]
    return np.where(generator.random(shape) < 0.1, chosen, generator.standard_normal(shape))


def _integers(shape: tuple[int, ...], dtype: str, generator: Generator) -> Array:
    """Small whole numbers: most kernels are exact on them, so results are compared bit for bit."""
    return generator.integers(-4, 5, shape).astype(np.float64)


CLASSES: dict[str, Callable[[tuple[int, ...], str, Generator], Array]] = {
    "random": _random,
    "positive": _positive,
    "cancelling": _cancelling,
    "tiny": _tiny,
    "huge": _huge,
    "special": _special,
    "integers": _integers,
}


def fill(kind: str, shape: tuple[int, ...], dtype: str, generator: Generator) -> Array:
    """An array of ``dtype`` of the data class ``kind``; integers and bools are small whole numbers in every class."""
    if dtype == "bool":
        return generator.random(shape) < 0.5
    if not is_float(dtype):
        low = 0 if dtype.startswith("u") else -4
        return generator.integers(low, 5, shape).astype(NUMPY[dtype])
    values = np.asarray(CLASSES[kind](shape, dtype, generator))
    with np.errstate(all="ignore"):
        return values.astype(NUMPY[dtype])


PRIMES = (2, 3, 5, 7, 11, 13, 17, 23)
RAGGED = (15, 17, 31, 33, 63, 65)
SHAPES = ("one", "prime", "ragged", "empty")


def sizes(kind: str, count: int, generator: Generator) -> tuple[int, ...]:
    """``count`` dims: all 1, small primes, next to a multiple of a tile (one dim; the others small), or one dim 0."""
    if kind == "one":
        return (1,) * count
    small = [int(size) for size in generator.choice(PRIMES[:5], count)]
    place = int(generator.integers(0, max(count, 1)))
    if kind == "ragged" and count:
        small[place] = int(generator.choice(RAGGED))
    if kind == "empty" and count:
        small[place] = 0
    return tuple(small)
