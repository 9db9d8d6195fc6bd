"""What random programs have found, each as small as it could be made."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import tilewright as tw
from tests.fuzz.backends import compiled_and_run, small_target
from tests.ir.tensor_road import ROAD, emitted
from tests.sources import typed_text
from tilewright.compiler.pipeline import Settings
from tilewright.compiler.reference.evaluate import evaluate
from tilewright.dialect import ods
from tilewright.passes.base import run_passes
from tilewright.passes.semantics import Case, compare, random_cases, run_case
from tilewright.passes.tile.tile import TileLaunches
from tilewright.runtime.errors import RunError


def test_an_element_at_a_constant_place_is_read_inside_the_grid() -> None:
    """It was hoisted in front of the grid, where the count of cells is computed and memory cannot be read."""
    kernel = tw.jit("kernel k[N](x: f32[N]; c: f32) -> (y: f32[N]):\n    y[i] = x[i] * (x[0] else 0) + c\n")
    x = np.arange(2, 9, dtype=np.float32)
    np.testing.assert_array_equal(kernel(x, c=1.0), x * 2 + 1)


def test_nothing_touches_memory_in_front_of_a_grid() -> None:
    with emitted("kernel k[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = x[i] * (x[0] else 0)\n") as module:
        module = run_passes(module, [*ROAD, TileLaunches()])
        for function in ods.ops_of(module.body):
            assert "tile.load" not in [op.name for op in ods.ops_of(function.regions[0].blocks[0])]


def test_constant_tables_live_as_long_as_the_code_that_reads_them() -> None:
    """Their memory was freed before the first call, and the next workspace lay where they had been."""
    kernel = tw.jit("kernel k[N](x: f32[N]) -> (y: f32[N]):\n    t = [1.0, 0.5, 2.25]\n    y[i] = x[i] * t[1]\n")
    x = np.ones(5, np.float32)
    for _ in range(3):
        np.testing.assert_array_equal(kernel(x), np.full(5, 0.5, np.float32))
        gc.collect()
        others = [np.full(size, 7.0, np.float32) for size in range(1, 200) for _ in range(5)]
        assert len(others) == 995


def test_the_interpreter_of_the_tile_level_stores_single_elements() -> None:
    """It could not store into a view without axes."""
    with emitted("kernel k[N](x: f32[N]) -> (y: f32):\n    y = sum[i](x[i])\n") as module:
        case = random_cases(module, "k", [{"N": 5}], 1)[0]
        expected = run_case(module, "k", case)
        tiled = run_passes(module, [*ROAD, TileLaunches()])
        assert compare(expected, run_case(tiled, "k", case)) is None


def test_a_pass_may_leave_out_a_failing_check_of_elements_that_nobody_reads() -> None:
    """`fuse` computes `v` where it is read, row 0 alone; it was blamed for the check that row 1 fails."""
    text = """kernel k[N](x: f32[N], at: i32[N]) -> (y: f32[N]):
        v[i: 2, j: N] = x[at[j] * i]
        y[j] = (v[0, j] else 0)
    """
    with emitted(text) as module:
        arguments = {"x": np.ones(3, np.float32), "at": np.array([0, 5, 0], np.int32)}
        case = Case({"N": 3}, arguments)
        assert run_case(module, "k", case).failed
        fused = run_passes(module, [*ROAD])
        assert not run_case(fused, "k", case).failed
        assert compare(run_case(module, "k", case), run_case(fused, "k", case)) is None


def test_positions_of_several_indices_count_to_where_each_ends_at_the_element() -> None:
    """Code and reference counted to different ends where the ends of an index differ from element to element."""
    text = """kernel k[P, M, N](
            x: f32[M, N], len: i32[P]
        ) -> (values: i32[P], moved: i32[P], inner: i32[P], first: i32[P]):
        values[p] = argmax[i: M, j in 0 .. len[p]]((x[i, j] else 0))
        moved[p]  = argmin[i: M, j in 1 .. p + 2]((x[i, j] else 0))
        inner[p]  = argmax[i in p .. P, j in 1 .. len[p], k: 3]((x[i, j] else 0) * k)
        first[p]  = argmax[i in p - 7 .. p + 2]((x[0, 0] else 0) - i)
    """
    generator = np.random.default_rng()
    x, lengths = generator.standard_normal((3, 5)).astype(np.float32), generator.integers(0, 6, 4).astype(np.int32)
    print(x, lengths)
    expected = evaluate(typed_text(text, "k"), {"x": x, "len": lengths}).outputs
    found = tw.jit(text)(x, lengths)._asdict()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    flat = [x[:, :length].argmax() if length else -1 for length in lengths]
    np.testing.assert_array_equal(found["values"], flat)
    np.testing.assert_array_equal(found["first"], range(-7, -3))


def test_integer_powers_with_exponents_from_data() -> None:
    """Compilation never ended: squaring 31 times was multiplied out. (And a mutant that gave 0 was not noticed.)"""
    kernel = tw.jit("kernel k[N](x: i32[N], e: i32[N]) -> (y: i32[N]):\n    y[i] = x[i] ** e[i]\n")
    x, e = np.array([3, -2, 7, 5, 1], np.int32), np.array([4, 5, 0, 1, 30], np.int32)
    np.testing.assert_array_equal(kernel(x, e), [81, -32, 1, 5, 1])


def test_positions_cross_launches() -> None:
    """The workspace for them had no type that the launcher knew."""
    kernel = tw.jit("""
kernel k[M, N](x: f32[M, N]) -> (y: i64[M]):
    y[i] = max[j: 3](i64(argmax[l in 0 .. N - j](x[i, l])))
""")
    x = np.random.default_rng(1).permutation(45).reshape(5, 9).astype(np.float32)
    assert kernel.compile().plan.workspaces
    np.testing.assert_array_equal(kernel(x), [max(row[: 9 - j].argmax() for j in range(3)) for row in x])


def test_a_condition_of_a_fold_reads_inside_the_bounds_alone() -> None:
    """Rows with few points read on as far as those with many, one element behind the tensor at the end."""
    kernel = typed_text("""
kernel k[M](at: i64[M]) -> (y: f32[M]):
    y[i] = sum[j in max(i - 1, 0) .. min(i + 2, M) where at[j] != 1](i32(i))
""")
    at = np.array([1, 0, 2, 1, 0, 1, 5], np.int64)
    found = compiled_and_run(kernel, small_target(1004990), Settings(verify=True), {"at": at})
    counts = [sum(at[max(i - 1, 0) : i + 2] != 1) for i in range(len(at))]
    np.testing.assert_array_equal(found["y"], counts * np.arange(len(at)))


def test_a_condition_protects_what_a_name_stands_for() -> None:
    """Evaluation is by demand: a check does not fire for an element that nobody asks for."""
    kernel = tw.jit("""
kernel k[R, V](z: f32[R, V], y: i64[R]) -> (l: f32[R], total: f32):
    lse[t]    = log(sum[v](exp(z[t, v])))
    picked[t] = z[t, y[t]]
    loss[t]   = lse[t] - picked[t]
    l[t]      = loss[t] if y[t] != -100 else 0
    total     = sum[t](l[t])
""")
    z, y = np.random.default_rng(5).normal(size=(4, 6)).astype(np.float32), np.array([2, -100, 5, -100])
    losses, total = kernel(z, y)
    rows = np.array([0, 2])
    expected = np.log(np.exp(z.astype(np.float64)).sum(1))[rows] - z[rows, y[rows]]
    np.testing.assert_allclose(losses[rows], expected, rtol=1e-5)
    assert (losses[[1, 3]] == 0).all() and abs(total - expected.sum()) < 1e-4
    with pytest.raises(RunError, match="TW1015"):
        kernel(z, np.array([2, -100, 6, -100]))
