"""Pass ``factor`` and the analysis of contractions that the tile level makes of its results."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ir.tensor_road import assert_same_meaning, emitted, filecheck, program_of
from tilewright.dialect import ods
from tilewright.passes.base import run_passes
from tilewright.passes.tensor.common import Common
from tilewright.passes.tensor.factor import Factor
from tilewright.passes.tensor.fuse import Fuse
from tilewright.passes.tensor.product import is_contraction
from tilewright.passes.tile.contraction import Factors
from tilewright.passes.tile.factors import factors_of

SCALED = """
    kernel scaled<T: float>[M, N, K](a: T[M, K], g: T[K], b: T[K, N], c: T[N]; s: f32) -> (y: T[M, N]):
        y[i, j] = sum[k](s * a[i, k] * g[k] * b[k, j] * c[j])
"""


_LIVING: list[Any] = []
"""Modules whose values a test still holds: handles die with their module."""


def _folds(module: Any) -> list[Any]:
    found = []
    for function in module.body.operations:
        found += [op for op in ods.ops_of(function.operation.regions[0].blocks[0]) if op.name == "tw.fold"]
    return found


def _contraction(text: str, types: dict[str, str] | None = None) -> Factors | None:
    with emitted(text, types) as module:
        _LIVING.append(run_passes(module, [Common(), Factor()]))
        return factors_of(_folds(_LIVING[-1])[0])


def test_free_factors_move_behind_the_sum() -> None:
    with emitted(SCALED, {"T": "f32"}) as module:
        filecheck(
            run_passes(module, [Factor(), Fuse()]),
            """
            // CHECK: "tw.fold"()
            // CHECK: arith.mulf
            // CHECK: [[P:%.*]] = arith.mulf
            // CHECK-NOT: arith.mulf
            // CHECK: "tw.yield"([[P]])
            // CHECK: kinds = ["add"]
            // CHECK: "tw.map"()
            // CHECK: arith.mulf
            // CHECK: arith.mulf
            // CHECK-NOT: arith.mulf
        """,
        )


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_roles_of_a_batched_product(dtype: str) -> None:
    found = _contraction("""
        kernel k<T: float>[B, M, N, K](a: T[B, M, K], b: T[B, N, K]) -> (y: T[B, M, N]):
            y[z, i, j] = sum[k](b[z, j, k] * a[z, i, k])
    """, {"T": dtype})  # fmt: skip
    assert found is not None
    assert (found.rows, found.columns) == ((1,), (2,))
    assert str(found.left.type) == str(found.right.type) == "f32"


def test_a_convolution_is_a_contraction_by_its_index_maps() -> None:
    found = _contraction("""
        kernel conv[N, H, C, K, R](x: f32[N, H, C], w: f32[K, R, C]) -> (y: f32[N, H, K]):
            y[n, p, q] = sum[r, c]((x[n, p + r - 1, c] else 0) * w[q, r, c])
    """)
    assert found is not None
    assert (found.rows, found.columns) == ((0, 1), (2,))


@pytest.mark.parametrize(
    "value",
    [
        "sum[k](a[i, k] * a[i, k])",  # no columns: a row statistic
        "sum[k](a[i, k] + b[k, j])",  # no product
        "max[k](a[i, k] * b[k, j])",  # no sum
        "sum[k](a[i, k] * a[j, i] * b[i, j])",  # one factor is left when the free ones are out
    ],
)
def test_what_is_no_contraction(value: str) -> None:
    text = (
        f"kernel k[N](a: f32[N, N], b: f32[N, N]) -> (y: f32[N, N]):\n    y[i, j] = {value} + 0 * (a[i, j] + b[i, j])\n"
    )
    with emitted(text) as module:
        after = run_passes(module, [Common(), Factor()])
        assert [factors_of(fold) for fold in _folds(after)] == [None]


def test_a_factor_whose_read_is_checked_stays_inside() -> None:
    with emitted("""
        kernel k[M, N, K](a: f32[M, K], b: f32[K, N], c: f32[N], at: i32[M]) -> (y: f32[M, N]):
            y[i, j] = sum[k](c[at[i]] * a[i, k] * b[k, j])
    """) as module:  # fmt: skip
        after = run_passes(module, [Factor(), Fuse()])
        (fold,) = _folds(after)
        body = [op.name for op in ods.ops_of(fold.regions[0].blocks[0])]
        assert body.count("arith.mulf") == 2


@pytest.mark.parametrize(("op", "expected"), [("*", True), ("+", False)])
def test_products_of_integers_are_contractions(op: str, expected: bool) -> None:
    text = f"""
        kernel k[M, N, K](a: i8[M, K], b: i8[K, N]) -> (y: i32[M, N]):
            y[i, j] = sum[k](a[i, k] {op} b[k, j])
    """
    with emitted(text) as module:
        assert is_contraction(program_of(module).comprehensions[0]) is expected


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_meaning_stays(seed: int) -> None:
    assert_same_meaning(SCALED, [Factor(), Common(), Fuse()], seed, {"T": "f32"})
