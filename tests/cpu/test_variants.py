"""Variants of a launch in native code: each shape gets a right one, from one compilation, and `explain` tells which."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tilewright as tw
from tilewright.passes.tile.rule import Machine

SIDES = (0, 1, 2, Machine().thin_across, Machine().thin_along, Machine().thin_along + 1, 33)
LONG = 133
FORMS = ("nn", "nt", "tn", "tt")
GATED = """
import activations

kernel gated<T: float>[M, N, K](g: T[M, K], u: T[M, K], w: T[N, K], b: T[N]) -> (y: T[M, N]):
    y[i, j] = gelu(sum[k](silu(g[i, k]) * u[i, k] * w[j, k]) + b[j])
"""
BATCHED = """
kernel batched[B, M, N, K](a: f32[B, M, K], b: f32[B, K, N]) -> (y: f32[B, M, N], top: f32[B, M, N]):
    s[z, i, j] = sum[k](exp(a[z, i, k]) * b[z, k, j])
    y[z, i, j] = s[z, i, j]
    top[z, i, j] = max(s[z, i, j], 0.0)
"""


def product(form: str, dtype: str = "f32") -> str:
    a, left = ("T[M, K]", "a[i, k]") if form[0] == "n" else ("T[K, M]", "a[k, i]")
    b, right = ("T[K, N]", "b[k, j]") if form[1] == "n" else ("T[N, K]", "b[j, k]")
    head = f"kernel p[M, N, K](a: {a}, b: {b}) -> (y: T[M, N]):".replace("T[", f"{dtype}[")
    return f"{head}\n    y[i, j] = sum[k]({left} * {right})\n"


def integers(generator: np.random.Generator, *shape: int) -> Any:
    return generator.integers(-4, 5, shape).astype(np.float32)


@pytest.mark.parametrize("form", FORMS)
def test_thin_products_are_exact_on_small_integers(form: str) -> None:
    kernel, generator = tw.jit(product(form)), np.random.default_rng(5)
    for thin in SIDES:
        for m, n in ((thin, LONG), (LONG, thin), (thin, thin)):
            a, b = integers(generator, m, 37), integers(generator, 37, n)
            given = (a if form[0] == "n" else a.T.copy(), b if form[1] == "n" else b.T.copy())
            np.testing.assert_array_equal(kernel(*given), a @ b, err_msg=f"{m}x{n}")
    assert kernel.compilations == 1


@pytest.mark.parametrize("dtype", ["f16", "f64"])
def test_thin_products_of_other_types(dtype: str) -> None:
    kernel, generator = tw.jit(product("nn", dtype)), np.random.default_rng(6)
    kind = {"f16": np.float16, "f64": np.float64}[dtype]
    for m, n in ((1, LONG), (2, 70), (LONG, 1), (7, 7), (1, Machine().thin_cell + 5)):
        a, b = integers(generator, m, 21).astype(kind), integers(generator, 21, n).astype(kind)
        np.testing.assert_array_equal(kernel(a, b), a @ b)


@pytest.mark.parametrize("rows", [1, 2, 5, 6, 40])
def test_computed_factors_and_results_may_be_thin(rows: int) -> None:
    seed = np.random.SeedSequence().entropy
    generator = np.random.default_rng(seed)
    g, u, w, b = (generator.standard_normal(size).astype(np.float32) for size in ((rows, 50), (rows, 50), (61, 50), 61))
    y = tw.jit(GATED, kernel="gated")(g, u, w, b)
    z = (g / (1 + np.exp(-g.astype(np.float64))) * u) @ w.T.astype(np.float64) + b
    expected = 0.5 * z * (1 + np.vectorize(math.erf)(z / np.sqrt(2)))
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4, err_msg=f"seed {seed}")


@pytest.mark.parametrize("rows", [1, 2, 3, 9])
def test_batches_and_several_results_may_be_thin(rows: int) -> None:
    seed = np.random.SeedSequence().entropy
    generator = np.random.default_rng(seed)
    a, b = (generator.standard_normal(size).astype(np.float32) for size in ((3, rows, 20), (3, 20, 45)))
    y, top = tw.jit(BATCHED)(a, b)
    expected = np.exp(a.astype(np.float64)) @ b
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4, err_msg=f"seed {seed}")
    np.testing.assert_array_equal(top, np.maximum(y, 0))


def test_transposed_inputs_are_read_along_their_memory() -> None:
    """The same product of the same memory has the same schedule, whether the kernel or the caller transposes."""
    plain = tw.compile(product("nt"), target="cpu").schedule
    other = tw.compile(product("nn"), target="cpu", layouts={"b": "order(1, 0)"}).schedule
    assert plain == other


def test_the_plan_the_schedule_and_the_reasons_tell_the_variants() -> None:
    made = tw.compile(product("nn"), target="cpu")
    machine = Machine()
    first, second = made.plan.launches[:2]
    assert str(first.when) == f"(M <= {machine.thin_across})" and str(second.when) == f"(N <= {machine.thin_along})"
    assert made.plan.launches[2].when is None and len(made.plan.launches) == 3
    assert f"when i <= {machine.thin_across}\n" in made.schedule
    explained = made.artifact.notes["explain.txt"]
    assert f"when i <= {machine.thin_across}:" in explained and "otherwise:" in explained


def test_a_schedule_block_holds_for_every_shape() -> None:
    written = product("nn") + "\nschedule p for cpu:\n    tile i=12\n"
    assert len(tw.compile(written, target="cpu").plan.launches) == 1
    a, b = integers(np.random.default_rng(8), 1, 30), integers(np.random.default_rng(9), 30, 50)
    np.testing.assert_array_equal(tw.jit(written)(a, b), a @ b)
