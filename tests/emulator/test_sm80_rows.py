"""Row kernels for sm_80: softmax, layernorm, rmsnorm and their like, against the reference and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from tests.emulator.sm80 import CHECKS, POLICIES, Checked, case_of, drawn, facts_for

GRID = [("random", "one"), ("cancelling", "ragged"), ("integers", "prime")]
ROWS = [
    ("f32", "softmax"), ("f32", "log_softmax"), ("f32", "logsumexp"), ("f32", "layernorm"), ("f32", "rmsnorm"),
    ("f32", "softmax_backward"), ("f16", "softmax"), ("f16", "rmsnorm"), ("bf16", "layernorm_train"),
    ("bf16", "log_softmax"), ("f64", "softmax"), ("f64", "layernorm"),
]  # fmt: skip
ALIGNED = [
    ("f32", "softmax"), ("bf16", "softmax"), ("f32", "layernorm"), ("f16", "rmsnorm"), ("bf16", "layernorm_train"),
]  # fmt: skip


def sizes_of(kernel: str, rows: int, columns: int) -> dict[str, int]:
    return {"M": rows, "C" if "norm" in kernel else "N": columns}


@pytest.mark.parametrize(("dtype", "kernel"), ROWS)
def test_rows_of_any_length(dtype: str, kernel: str) -> None:
    case = case_of(kernel)
    checked = Checked(case, dtype)
    for data, shape in GRID:
        checked.check(case.arguments(dtype, data, shape), f"{kernel} {data} {shape}")
    checked.check(case.arguments(dtype, "special", "prime"), f"{kernel} of special values", peer=False)
    for columns in (512, 1020):
        checked.check(drawn(case, dtype, sizes_of(kernel, 2, columns)), f"{kernel} of {columns} columns")
    assert checked.coverage.share >= 0.98, checked.coverage.missed


@pytest.mark.parametrize(("dtype", "kernel"), ALIGNED)
def test_aligned_rows_move_by_128_bits(dtype: str, kernel: str) -> None:
    case = case_of(kernel)
    sizes = sizes_of(kernel, 2, 1040)
    checked = Checked(case, dtype, facts_for(case, sizes))
    arguments = drawn(case, dtype, sizes)
    for policy in POLICIES if dtype == "f32" else POLICIES[-1:]:
        checked.check(arguments, kernel, check=CHECKS, **policy)
    ptx = checked.artifact.code["ptx"].decode()
    assert "ld.global.v4.b32" in ptx and "st.global.v4.b32" in ptx
    assert all(report.counters.bank_conflict_factor in (0.0, 1.0) for report in checked.reports.values())


def test_rows_are_the_same_bits_under_every_policy() -> None:
    case = case_of("softmax")
    checked = Checked(case, "f32")
    arguments = drawn(case, "f32", {"M": 3, "N": 1000})
    results = [checked(arguments, **policy)["y"] for policy in POLICIES]
    assert all(np.array_equal(result, results[0]) for result in results)


def test_empty_rows() -> None:
    case = case_of("softmax")
    checked = Checked(case, "f32")
    assert checked({"x": np.zeros((3, 0), np.float32)})["y"].shape == (3, 0)
    assert checked({"x": np.zeros((0, 3), np.float32)})["y"].shape == (0, 3)
