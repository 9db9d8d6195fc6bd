"""Products for sm_80: transposed forms, batches, epilogues, in the emulator against the reference and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from tests.emulator.sm80 import CHECKS, POLICIES, Checked, case_of, drawn, facts_for

PLAIN = [
    ("f32", "matmul"), ("f32", "matmul_tt"), ("bf16", "matmul_tn"), ("f16", "matmul_nt"), ("f64", "matmul_nt"),
    ("f32", "batched_matmul"), ("bf16", "linear_gelu_residual"), ("f16", "linear"), ("f32", "linear_gelu"),
]  # fmt: skip
ALIGNED = [
    ("bf16", "matmul"), ("bf16", "matmul_nt"), ("bf16", "matmul_tn"), ("bf16", "matmul_tt"), ("f16", "matmul_nt"),
    ("f16", "linear_gelu"), ("bf16", "linear_residual"), ("f32", "matmul_nt"), ("bf16", "batched_matmul"),
]  # fmt: skip
STAGES, DEPTH = 3, 32


@pytest.mark.parametrize(("dtype", "kernel"), PLAIN)
def test_products_of_any_size(dtype: str, kernel: str) -> None:
    case = case_of(kernel)
    checked = Checked(case, dtype)
    for data, shape in (("cancelling", "one"), ("integers", "ragged")):
        checked.check(case.arguments(dtype, data, shape), f"{kernel} {data} {shape}")
    checked.check(case.arguments(dtype, "special", "prime"), f"{kernel} of special values", peer=False)
    sizes = {"M": 67, "N": 130, "K": 41, "B": 1}
    checked.check(drawn(case, dtype, sizes), f"{kernel} of several cells")
    assert checked.coverage.share >= 0.98, checked.coverage.missed


@pytest.mark.parametrize(("dtype", "kernel"), ALIGNED)
def test_pipelined_products(dtype: str, kernel: str) -> None:
    """Full and partial tiles, so many steps of K that every slot of the ring is used again, and a remainder."""
    case = case_of(kernel)
    sizes = {"M": 144, "N": 80, "K": (2 * STAGES + 1) * (DEPTH if dtype != "f32" else 8) + 16, "B": 2}
    checked = Checked(case, dtype, facts_for(case, sizes))
    arguments = drawn(case, dtype, sizes)
    checked.check(arguments, kernel, check=CHECKS, completion="lazy")
    if dtype != "f32":  # where threads multiply on their own, their reads of a transposed factor do conflict
        assert all(report.counters.bank_conflict_factor == 1.0 for report in checked.reports.values())
    for k in (16, 0):
        checked.check(drawn(case, dtype, {**sizes, "M": 16, "K": k}, "integers"), f"{kernel} with K = {k}")
    assert checked.coverage.share >= 0.98, checked.coverage.missed


@pytest.mark.parametrize("kernel", ["matmul", "matmul_nt"])
def test_every_policy_gives_the_same_bits(kernel: str) -> None:
    case = case_of(kernel)
    sizes = {"M": 128, "N": 128, "K": 8 * DEPTH}
    checked = Checked(case, "bf16", facts_for(case, sizes))
    arguments = drawn(case, "bf16", sizes)
    results = [checked(arguments, check=CHECKS, **policy)["y"] for policy in POLICIES]
    assert all(np.array_equal(result, results[0]) for result in results)
    checked.check(arguments, kernel)


@pytest.mark.parametrize(("rows", "columns"), [(256, 256), (257, 129)], ids=["full", "one more"])
def test_cells_along_both_axes(rows: int, columns: int) -> None:
    """Two or three cells along each axis: the number of a cell says which rows and columns are its own."""
    case = case_of("matmul")
    checked = Checked(case, "f16")
    checked.check(drawn(case, "f16", {"M": rows, "N": columns, "K": 5}), f"{rows} x {columns}")


def test_small_integers_are_exact() -> None:
    case = case_of("matmul_nt")
    sizes = {"M": 48, "N": 32, "K": 64}
    for dtype in ("f32", "f16", "bf16"):
        checked = Checked(case, dtype, facts_for(case, sizes))
        arguments = drawn(case, dtype, sizes, "integers")
        exact = arguments["a"].astype(np.float64) @ arguments["b"].astype(np.float64).T
        assert np.array_equal(checked(arguments)["y"], exact.astype(arguments["a"].dtype))
