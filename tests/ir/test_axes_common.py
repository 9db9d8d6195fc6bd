"""Passes ``axes`` and ``common``: what is equal up to names, order of indices and operands becomes one."""

from __future__ import annotations

import pytest

from tests.ir.tensor_road import assert_same_meaning, emitted, filecheck, program_of, run
from tilewright.passes.base import run_passes
from tilewright.passes.tensor.axes import Axes, orient
from tilewright.passes.tensor.common import Common
from tilewright.passes.tensor.fuse import Fuse

SOFTMAX = """
    kernel softmax[M, N](x: f32[M, N]) -> (y: f32[M, N]):
        y[i, j] = exp(x[i, j] - max[k](x[i, k])) / sum[l](exp(x[i, l] - max[m](x[i, m])))
"""


def test_one_maximum_is_left_of_two() -> None:
    with emitted(SOFTMAX) as module:
        filecheck(
            run_passes(module, [Common()]),
            """
            // CHECK: [[M:%.*]] = "tw.fold"()
            // CHECK: kinds = ["max"]
            // CHECK: "tw.fold"()
            // CHECK: "tw.read"([[M]]
            // CHECK: kinds = ["add"]
            // CHECK-NOT: "tw.fold"()
            // CHECK: "tw.map"()
            // CHECK: "tw.read"([[M]]
        """,
        )


def test_products_written_the_other_way_round_are_one() -> None:
    with emitted("""
        kernel twice[M, N, K](a: f32[M, K], b: f32[K, N]) -> (y: f32[M, N], z: f32[N, M]):
            y[i, j] = sum[k](a[i, k] * b[k, j])
            z[p, q] = sum[r](b[r, p] * a[q, r])
    """) as module:  # fmt: skip
        after = run_passes(module, [Axes(), Common()])
        assert sum(c.is_fold for c in program_of(after).comprehensions) == 1


def test_reduced_indices_follow_memory() -> None:
    with emitted("""
        kernel conv[H, R, C](x: f32[H, H, C], w: f32[R, R, C]) -> (y: f32[H, H]):
            y[p, q] = sum[c, s, r]((x[p + r, q + s, c] else 0) * w[r, s, c])
    """) as module:  # fmt: skip
        fold = program_of(run_passes(module, [Axes()])).comprehensions[0]
        assert fold.domain.names[2:] == ("r", "s", "c")


def test_an_axis_without_use_is_dropped_but_not_one_whose_guard_is_needed() -> None:
    text = """
        kernel k[M, N](x: f32[N], m: f32[M]) -> (y: f32[M, N], z: f32[M, N]):
            t[i: M, j] = sum[k: 3](x[j] * 2)
            y[i, j] = t[i, j]
            z[i, j] = (t[i + 1, j] else 7)
    """
    with emitted(text) as module:
        program = program_of(run_passes(module, [Axes()]))
        ranks = sorted(c.domain.parallel for c in program.comprehensions if not c.is_fold)
        assert ranks == [2, 2, 2]
    assert_same_meaning(text, [Axes()], 3)


def test_orient_follows_the_reader_and_keeps_outputs() -> None:
    with emitted("kernel k[M, N](x: f32[M, N]) -> (y: f32[N, M]):\n    y[j, i] = sum[k: 3](x[i, j]) + 1\n") as module:
        program = orient(program_of(run_passes(module, [Axes()])))
        fold, output = program.comprehensions
        assert fold.domain.names[:2] == output.domain.names == ("j", "i")


def test_a_gather_keeps_its_own_check() -> None:
    """Reads at equal places but with different protection are not one read."""
    with emitted(
        "kernel k[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = (x[i + 1] else 1) + (x[i + 1] else 2)\n"
    ) as module:
        program = program_of(run_passes(module, [Common()]))
        assert len(program.comprehensions[0].reads) == 2
        found = run(module, {"x": [1.0, 5.0]}, {"N": 2})
        assert found["y"].tolist() == [10.0, 3.0]


PROGRAMS = (
    SOFTMAX,
    """
        kernel b[M, N](x: f32[M, N]) -> (y: f32[N, M]):
            t[j, i] = x[i, j] + x[i, j]
            y[j, i] = t[j, i] * t[j, i] + max[k](t[j, k])
    """,
    """
        kernel c[N, C](x: f32[N, N, C]) -> (y: i64[C]):
            y[c] = argmax[j, i](x[i, j, c]) + i64(argmax[i, j](x[i, j, c]))
    """,
    """
        kernel d[N](x: f32[N], n: i32[N]) -> (y: f32[N]):
            y[i] = sum[k in 0 .. n[i], j in i .. N](x[j] * f32(k))
    """,
)


@pytest.mark.parametrize("text", PROGRAMS)
@pytest.mark.parametrize("seed", [1, 2])
def test_meaning_stays(text: str, seed: int) -> None:
    assert_same_meaning(text, [Axes(), Common(), Fuse(), Axes(), Common()], seed)
