"""Elementary functions in native code: at most 4 ulp off, over dense samples and at every edge."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.cpu.native_programs import run_map

EDGES = np.array(
    [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 1e-45, -1e-45, 1.1754944e-38, -1.1754942e-38, 3.4028235e38,
     -3.4028235e38, 88.72284, 88.72283, -87.33655, -103.97, -103.98, -104.0, -149.0, -150.0, 127.99999, 128.0, -126.0,
     0.70710677, 1.4142135, 0.99999994, 1.0000001, -0.99999994, 2.0, -2.0, 9.1, 4.0, 3.9999998, 1e30, -1e30],
    np.float32,
)  # fmt: skip
ULP_LIMIT = 4.0

REFERENCE: dict[str, tuple[Callable[..., Any], float, float]] = {
    "exp": (np.exp, -104.0, 89.0),
    "exp2": (np.exp2, -150.0, 128.0),
    "expm1": (np.expm1, -20.0, 89.0),
    "log": (np.log, 0.0, 10.0),
    "log2": (np.log2, 0.0, 10.0),
    "log1p": (np.log1p, -1.0, 3.0),
    "tanh": (np.tanh, -10.0, 10.0),
    "erf": (np.vectorize(math.erf), -5.0, 5.0),
    "sin": (np.sin, -100.0, 100.0),
    "cos": (np.cos, -100.0, 100.0),
    "sqrt": (np.sqrt, 0.0, 100.0),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 0.0, 100.0),
}


def ulp_distance(result: Any, reference: Any, digits: int, least: int) -> Any:
    """The error in units of the last of ``digits`` binary digits; units are not smaller than 2^least."""
    result = result.astype(np.float64)
    with np.errstate(all="ignore"):
        rounded = reference.astype(np.float32).astype(np.float64) if digits == 24 else reference
        _, exponent = np.frexp(np.where(np.isfinite(reference), reference, 1.0))
        distance = np.abs(result - reference) / np.ldexp(1.0, np.maximum(exponent - digits, least))
    distance[np.isnan(result) & np.isnan(reference)] = 0
    distance[(result == rounded) & ~np.isfinite(rounded)] = 0
    return np.where(np.isnan(distance), np.inf, distance)


def samples(low: float, high: float, seed: int) -> Any:
    generator = np.random.default_rng(seed)
    every = np.arange(0, 1 << 32, 40_009, dtype=np.uint64).astype(np.uint32).view(np.float32)
    ranges = [(low, high, 40_000), (-1.0, 1.0, 20_000), (0.99, 1.01, 10_000)]
    drawn = [generator.uniform(*r) for r in ranges]
    return np.concatenate([EDGES, every, *(d.astype(np.float32) for d in drawn)])


@pytest.mark.parametrize("name", REFERENCE)
def test_f32_is_within_4_ulp(name: str) -> None:
    function, low, high = REFERENCE[name]
    x = samples(low, high, seed=7)
    with np.errstate(all="ignore"):
        reference = function(x.astype(np.float64))
    distance = ulp_distance(run_map(f"math.{name}", x), reference, 24, -149)
    worst = int(np.argmax(distance))
    assert distance[worst] <= ULP_LIMIT, (x[worst], reference[worst])


@pytest.mark.parametrize("name", REFERENCE)
def test_f64_is_within_4_ulp(name: str) -> None:
    function, low, high = REFERENCE[name]
    x = np.concatenate([EDGES.astype(np.float64), np.random.default_rng(3).uniform(low, high, 5_000)])
    with np.errstate(all="ignore"):
        reference = function(x)
    distance = ulp_distance(run_map(f"math.{name}", x), reference, 53, -1074)
    worst = int(np.argmax(distance))
    assert distance[worst] <= ULP_LIMIT, (x[worst], reference[worst])


@pytest.mark.parametrize("name", ["expm1", "log1p", "tanh", "erf", "sin", "sqrt"])
def test_odd_functions_keep_the_sign_of_zero(name: str) -> None:
    result = run_map(f"math.{name}", np.array([0.0, -0.0], np.float32))
    assert np.array_equal(np.signbit(result), [False, True]) and not result.any()


def test_pow_matches_at_all_pairs_of_edges_and_on_samples() -> None:
    generator = np.random.default_rng(11)
    pairs = [(a, b) for a in EDGES for b in EDGES]
    x = np.array([a for a, _ in pairs], np.float32)
    y = np.array([b for _, b in pairs], np.float32)
    x = np.concatenate([x, generator.uniform(0, 10, 50_000).astype(np.float32), -np.arange(1, 50, dtype=np.float32)])
    y = np.concatenate([y, generator.uniform(-40, 40, 50_000).astype(np.float32), np.arange(-24, 25, dtype=np.float32)])
    with np.errstate(all="ignore"):
        reference = np.power(x.astype(np.float64), y.astype(np.float64))
    distance = ulp_distance(run_map("math.powf", x, y), reference, 24, -149)
    worst = int(np.argmax(distance))
    assert distance[worst] <= ULP_LIMIT, (x[worst], y[worst], reference[worst])


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "roundeven", "absf"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_roundings_are_exact(name: str, dtype: Any) -> None:
    x = np.concatenate([EDGES, np.arange(-20, 20) / 4, [8388607.5, 16777216.0]]).astype(dtype)
    function = {"roundeven": np.rint, "absf": np.abs}.get(name) or getattr(np, name)
    assert np.array_equal(run_map(f"math.{name}", x), function(x), equal_nan=True)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("name", ["exp", "tanh", "rsqrt"])
def test_half_types_are_rounded_once_from_f32(name: str, dtype: Any) -> None:
    x = np.random.default_rng(5).uniform(0.1, 8, 1_000).astype(dtype)
    wide = run_map(f"math.{name}", x.astype(np.float32))
    assert np.array_equal(run_map(f"math.{name}", x), wide.astype(dtype))


def test_fma_rounds_once() -> None:
    generator = np.random.default_rng(2)
    a, b, c = (generator.standard_normal(2_000).astype(np.float32) for _ in range(3))
    exact = (a.astype(np.longdouble) * b + c).astype(np.float32)
    assert np.array_equal(run_map("math.fma", a, b, c), exact)
