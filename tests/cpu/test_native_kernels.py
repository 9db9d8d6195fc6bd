"""Whole kernels in native code against NumPy, on ragged sizes, special values and several threads."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from tests.cpu import native_kernels as kernels
from tests.cpu.native_programs import NUMPY, Kernel
from tilewright.runtime import cpu

ROWS = [(1, 1), (3, 7), (2, 8), (4, 31), (5, 32), (3, 33), (2, 101), (1, 1024)]
PRODUCTS = [(1, 1, 1), (7, 17, 5), (6, 16, 4), (13, 33, 31), (49, 65, 3), (100, 70, 64)]
softmax, layernorm, argmax, matmul, convolution = map(
    functools.cache,
    (kernels.softmax, kernels.layernorm, kernels.argmax, kernels.matmul, kernels.convolution),
)


def numbers(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def softmax_reference(x: Any) -> Any:
    with np.errstate(all="ignore"):
        powers = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("shape", ROWS)
def test_softmax(shape: tuple[int, int]) -> None:
    x, y = 4 * numbers(*shape), np.zeros(shape, np.float32)
    softmax()(x, y, *shape)
    np.testing.assert_allclose(y, softmax_reference(x), rtol=3e-6, atol=1e-40)
    np.testing.assert_allclose(y, softmax().interpret(x, y, *shape)["y"], rtol=3e-6, atol=1e-40)


def test_softmax_of_special_values() -> None:
    x = numbers(6, 45)
    x[0, 3], x[1, 44], x[2, :], x[3, 7] = np.nan, np.inf, -np.inf, -np.inf
    x[4, :] = -1e30
    y = np.zeros_like(x)
    softmax()(x, y, *x.shape)
    np.testing.assert_allclose(y, softmax_reference(x), rtol=3e-6)
    assert np.isnan(y[:3]).all() and y[3, 7] == 0 and np.allclose(y[4], 1 / 45)


@pytest.mark.parametrize("shape", ROWS)
def test_layernorm(shape: tuple[int, int]) -> None:
    x, y = 3 * numbers(*shape) + 1, np.zeros(shape, np.float32)
    g, b = numbers(shape[1], seed=1), numbers(shape[1], seed=2)
    layernorm()(x, g, b, y, *shape)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5) * g + b
    np.testing.assert_allclose(y, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("dtype", ["f32", "bf16", "f16"])
def test_argmax_takes_the_first_of_equals_and_nan_first(dtype: str) -> None:
    for shape in ROWS:
        x = np.random.default_rng(9).integers(-3, 4, shape).astype(NUMPY[dtype])
        if shape[1] > 20:
            x[0, 17] = x[0, 5] = np.nan
            x[1 % shape[0], :] = -np.inf
        y = np.zeros(shape[0], np.int64)
        argmax(dtype)(x, y, *shape)
        with np.errstate(invalid="ignore"):
            expected = np.argmax(x.astype(np.float64), axis=1)
        assert np.array_equal(y, expected), shape


# ---------------------------------------------------------------- products


@pytest.mark.parametrize("shape", PRODUCTS)
@pytest.mark.parametrize(("dtype", "total"), [("f32", "f32"), ("bf16", "f32"), ("f16", "f32"), ("f64", "f64")])
def test_products_with_packed_panels(dtype: str, total: str, shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    a, b = numbers(m, k).astype(NUMPY[dtype]), numbers(k, n, seed=1).astype(NUMPY[dtype])
    c = np.zeros((m, n), NUMPY[total])
    matmul(dtype, total)(a, b, c, m, n, k)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    bound = (2 * np.sqrt(k) + 4) * np.finfo(NUMPY[total]).eps * (np.abs(wide_a) @ np.abs(wide_b))
    assert (np.abs(c - wide_a @ wide_b) <= bound).all()


@pytest.mark.parametrize("panels", [(1, 8, 1), (4, 16, 2), (6, 16, 8), (5, 12, 3), (8, 4, 4)])
def test_small_integers_are_exact_for_any_panel_shape(panels: tuple[int, int, int]) -> None:
    rows, columns, depth = panels
    kernel = kernels.matmul(panels=kernels.Panels(rows, columns, depth, 4 * rows, 3 * columns))
    for m, n, k in PRODUCTS:
        generator = np.random.default_rng(m)
        a, b = generator.integers(-4, 5, (m, k)), generator.integers(-4, 5, (k, n))
        c = np.zeros((m, n), np.float32)
        kernel(a.astype(np.float32), b.astype(np.float32), c, m, n, k)
        assert np.array_equal(c, a @ b)


def test_a_product_over_nothing_is_zero() -> None:
    c = np.ones((9, 20), np.float32)
    matmul()(np.zeros((9, 0), np.float32), np.zeros((0, 20), np.float32), c, 9, 20, 0)
    assert not c.any()


def test_empty_results_have_no_cells() -> None:
    a, b, c = np.zeros((0, 4), np.float32), np.zeros((4, 5), np.float32), np.zeros((0, 5), np.float32)
    kernel = matmul()
    assert kernel.entry.cells(kernel.slots(a, b, c, 0, 5, 4).address) == 0
    kernel(a, b, c, 0, 5, 4)


def test_the_interpreter_agrees_on_a_product() -> None:
    a, b, c = numbers(7, 5), numbers(5, 17), np.zeros((7, 17), np.float32)
    matmul()(a, b, c, 7, 17, 5)
    np.testing.assert_allclose(c, matmul().interpret(a, b, c, 7, 17, 5)["c"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kernel", "stride", "pad"), [(3, 2, 1), (1, 1, 0), (2, 1, 1)])
def test_convolutions_with_guarded_windows(kernel: int, stride: int, pad: int) -> None:
    for h, w, c, o in ((1, 1, 1, 1), (7, 9, 3, 5), (14, 13, 6, 17)):
        p, q = ((size + 2 * pad - kernel) // stride + 1 for size in (h, w))
        x, weights = numbers(h, w, c), numbers(kernel, kernel, c, o, seed=3)
        y = np.zeros((p, q, o), np.float32)
        convolution(kernel, stride, pad)(x, weights, y, h, w, c, o, p, q)
        padded = np.pad(x.astype(np.float64), ((pad, pad), (pad, pad), (0, 0)))
        expected = sum(
            padded[r : r + stride * p : stride, s : s + stride * q : stride][:p, :q] @ weights[r, s]
            for r in range(kernel)
            for s in range(kernel)
        )
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- threads


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_give_the_same_bits(threads: int) -> None:
    kernel: Kernel = matmul()
    pool = cpu.ThreadPool(threads)
    try:
        for m, n, k in ((100, 300, 40), (1, 1, 1), (500, 64, 7)):
            a, b = numbers(m, k), numbers(k, n)
            alone, together = np.zeros((m, n), np.float32), np.ones((m, n), np.float32)
            kernel(a, b, alone, m, n, k)
            kernel(a, b, together, m, n, k, pool=pool)
            assert np.array_equal(alone, together)
    finally:
        pool.close()


