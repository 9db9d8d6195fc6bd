"""How long compiling takes: in proportion to the kernel, and once for many shapes. Times are CPU times, the least of a
few; bounds leave room for a busy machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import tilewright as tw
from tests.compiling import built
from tests.library_cases import FOLDER
from tests.sources import typed_text
from tilewright.runtime.switches import read

FEW, MANY = 40, 320
ROOM = 1.6
"""Times as much per operation as at the small size; what is quadratic takes eight times as much."""


def chain(count: int) -> str:
    """Statements that each read the one before."""
    lines = [f"    t{k + 1}[i] = t{k}[i] * x[i] + {k}.5" for k in range(count)]
    return "\n".join(
        ["kernel chain[N](x: f32[N]) -> (y: f32[N]):", "    t0[i] = x[i]", *lines, f"    y[i] = t{count}[i]"]
    )


def expression(count: int) -> str:
    """One balanced expression, on lines that are not too long."""

    def part(low: int, high: int) -> str:
        if high - low == 1:
            return f"x[i] * {low}.5"
        middle = (low + high) // 2
        return f"({part(low, middle)} + {part(middle, high)})"

    return f"kernel expression[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = {part(0, count)}"


def reductions(count: int) -> str:
    """Results that each need two passes over the data."""
    outputs = ", ".join(f"y{k}: f32[M]" for k in range(count))
    lines = [f"    y{k}[i] = sum[j](exp(x[i, j] * {k}.5))" for k in range(count)]
    return "\n".join([f"kernel reductions[M, N](x: f32[M, N]) -> ({outputs}):", *lines])


def _seconds(text: str) -> float:
    started = time.process_time()
    built(typed_text(text))
    return time.process_time() - started


@pytest.mark.parametrize(("make", "few"), [(chain, FEW), (expression, FEW), (reductions, 4)], ids=lambda v: str(v))
def test_compile_time_grows_linearly(make: Callable[[int], str], few: int) -> None:
    factor = MANY // FEW
    _seconds(make(few // 2))
    small = min(_seconds(make(few)) for _ in range(2))
    large = _seconds(make(few * factor))
    assert large <= ROOM * factor * small, f"{small:.2f} s for {few}, {large:.2f} s for {few * factor}"


def test_softmax_compiles_quickly() -> None:
    """The first call of a kernel in a process that has compiled before: 100 ms on a quiet machine."""
    x = np.ones((4, 8), np.float32)
    switches = replace(read(), cache=False)
    seconds = []
    for _ in range(6):
        kernel = tw.jit(FOLDER / "softmax.tw", kernel="softmax", switches=switches)
        started = time.process_time()
        kernel(x)
        seconds.append(time.process_time() - started)
    assert min(seconds[1:]) <= 0.25, seconds


def test_shapes_do_not_cause_compilations() -> None:
    """200 random shapes of a product, the factors row-major or transposed: one compilation for each layout."""
    generator = np.random.default_rng(7)
    matmul = tw.jit(FOLDER / "linear.tw", kernel="matmul")
    for _ in range(200):
        m, n, k = generator.integers(0, 24, 3)
        a = generator.integers(-4, 5, (m, k)).astype(np.float32)
        b = generator.integers(-4, 5, (k, n)).astype(np.float32)
        np.testing.assert_array_equal(matmul(a, b), a @ b)
    assert matmul.compilations <= 4
    before = matmul.compilations
    for size in generator.integers(2, 24, 20):
        a = generator.integers(-4, 5, (size, 2 * size)).astype(np.float32)
        np.testing.assert_array_equal(matmul(a.T, a), a.T @ a)
        np.testing.assert_array_equal(matmul(a[:, ::2], a[:, :size]), a[:, ::2] @ a[:, :size])
    assert matmul.compilations <= before + 4
