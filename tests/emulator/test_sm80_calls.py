"""Calls of kernels for sm_80 through the front door: facts and their variants, run-time checks, refusals, functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.library_cases import FOLDER

import tilewright as tw
from tilewright.compiler.language.errors import SourceErrors
from tilewright.runtime.errors import RunError

SCALE = "kernel scale<T: float>[N](x: T[N]; a: f32) -> (y: T[N]):\n    y[i] = a * x[i]\n"
F64: dict[str, Callable[[Any], Any]] = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log1p": np.log1p,
    "tanh": np.tanh, "erf": np.vectorize(math.erf),
}  # fmt: skip
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 1e-310, 5e-324, 1e308, -1e308, -745.0, 709.7, -0.3, 1e-20]


def call(kernel: Any, *args: Any, **kwargs: Any) -> Any:
    return kernel(*args, target="sm_80", device="emulator", **kwargs)


def test_tensors_that_are_not_aligned_get_code_of_their_own() -> None:
    kernel = tw.jit(SCALE)
    memory = np.arange(68, dtype=np.float32)
    x = memory[:64] if memory.ctypes.data % 16 == 0 else memory[1:65]
    out = np.zeros(66, np.float32)[1:65] if np.zeros(66, np.float32).ctypes.data % 16 == 0 else np.zeros(64, np.float32)
    np.testing.assert_array_equal(call(kernel, x, a=2.0), 2 * x)
    np.testing.assert_array_equal(call(kernel, memory[1:65], a=2.0), 2 * memory[1:65])
    call(kernel, x, a=2.0, out=out)
    np.testing.assert_array_equal(out, 2 * x)
    np.testing.assert_array_equal(call(kernel, memory[:67], a=2.0), 2 * memory[:67])
    assert kernel.compilations >= 3


def test_indices_are_wide_where_an_output_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inputs alone would do with 32 bits."""
    kernel = tw.jit("kernel outer[M, N](x: f32[M], w: f32[N]) -> (y: f32[M, N]):\n    y[i, j] = x[i] * w[j]\n")
    x, w = np.arange(8, dtype=np.float32), np.arange(9, dtype=np.float32)
    np.testing.assert_array_equal(call(kernel, x, w), np.outer(x, w))
    assert kernel.compilations == 1
    monkeypatch.setattr("tilewright.runtime.facts._INDEX32_LIMIT", 80)
    np.testing.assert_array_equal(call(kernel, x, w[:8]), np.outer(x, w[:8]))
    assert kernel.compilations == 1
    np.testing.assert_array_equal(call(kernel, x, np.arange(11, dtype=np.float32)), np.outer(x, np.arange(11)))
    assert kernel.compilations == 2


def test_a_gather_that_leaves_its_tensor_is_reported() -> None:
    kernel = tw.load(FOLDER / "embedding.tw").embedding  # type: ignore[union-attr]
    table = np.random.default_rng(0).standard_normal((7, 12)).astype(np.float32)
    found = call(kernel, table, np.array([1, 6, 0], np.int32))
    np.testing.assert_array_equal(found, table[[1, 6, 0]])
    with pytest.raises(RunError, match="TW1015"):
        call(kernel, table, np.array([1, 7, 0], np.int32))


def test_what_the_target_lacks_is_refused_at_its_place() -> None:
    kernel = tw.jit("kernel f[N](x: f64[N]) -> (y: f64[N]):\n    y[i] = sin(x[i])\n")
    with pytest.raises(SourceErrors, match="TW0902") as error:
        call(kernel, np.ones(3))
    assert error.value.diagnostics[0].span.line == 2


@pytest.mark.parametrize("name", F64)
def test_functions_of_f64_are_within_four_units(name: str) -> None:
    kernel = tw.jit(f"kernel f[N](x: f64[N]) -> (y: f64[N]):\n    y[i] = {name}(x[i])\n")
    generator = np.random.default_rng(3)
    x = np.concatenate([*(generator.standard_normal(40) * s for s in (1e-3, 1.0, 30.0, 300.0)), SPECIAL])
    with np.errstate(all="ignore"):
        expected = F64[name](x)
        found = call(kernel, x)
        units = np.abs(found - expected) / np.spacing(np.abs(expected))
    assert ((units <= 4) | (found == expected) | (np.isnan(found) & np.isnan(expected))).all()


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_circular_functions_of_huge_f32(name: str) -> None:
    kernel = tw.jit(f"kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = {name}(x[i])\n")
    generator = np.random.default_rng(4)
    x = generator.standard_normal(100) * 10.0 ** generator.integers(-3, 38, 100)
    x = np.concatenate([x, [0.0, np.inf, -np.inf, np.nan, 3.4e38, 2.0**30, -(2.0**30)]]).astype(np.float32)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x.astype(np.float64))
    np.testing.assert_allclose(call(kernel, x), expected, rtol=2e-7)


def test_ahead_of_time_code_says_what_it_takes() -> None:
    compiled = tw.compile(SCALE, kernel="scale", target="sm_80", types={"T": "f32"}, dims={"N": 1024})
    assert "align(x) >= 16" in compiled.plan.launches[0].facts
    assert "ld.global.v4.b32" in compiled.ir("ptx") and "#tile.layout" in compiled.ir("tile-gpu")
    x = np.ones(1024, np.float32)
    np.testing.assert_array_equal(compiled(x, a=3.0, device="emulator"), 3 * x)


def test_a_product_over_a_loop_keeps_nan() -> None:
    """LLVM takes what is multiplied up from 1 never to be NaN."""
    kernel = tw.jit("kernel f[K, M](n: i32[K], x: f32[M]) -> (y: f32[K]):\n    y[j] = prod[p: M](0.0 / f32(n[j]))\n")
    found = call(kernel, np.array([0, 1, -1, 0], np.int32), np.ones(5, np.float32))
    np.testing.assert_array_equal(found, [np.nan, 0.0, -0.0, np.nan])
