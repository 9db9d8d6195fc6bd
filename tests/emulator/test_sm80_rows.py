"""Row kernels for sm_80: softmax, layernorm, rmsnorm and their like, against the reference and NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.emulator.sm80 import CHECKS, POLICIES, Checked, case_of, drawn, facts_for

KERNELS = ("softmax", "log_softmax", "logsumexp", "layernorm", "rmsnorm", "softmax_backward", "layernorm_train")
GRID = [("random", "one"), ("random", "prime"), ("random", "ragged"), ("cancelling", "ragged"), ("integers", "prime")]
SPECIAL = [("tiny", "prime"), ("huge", "prime"), ("special", "prime")]
COLUMNS = {"M": 3, "N": 1040, "C": 1040}  # more than one step of a row, divisible by 16


def sizes_of(kernel: str, rows: int, columns: int) -> dict[str, int]:
    return {"M": rows, "C" if "norm" in kernel else "N": columns}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "f64"])
def test_rows_of_any_length(kernel: str, dtype: str) -> None:
    case = case_of(kernel)
    checked = Checked(case, dtype)
    for data, shape in GRID:
        checked.check(case.arguments(dtype, data, shape), f"{kernel} {data} {shape}")
    for data, shape in SPECIAL:
        checked.check(case.arguments(dtype, data, shape), f"{kernel} {data} {shape}", peer=False)
    for columns in (511, 512, 513, 1100):
        checked.check(drawn(case, dtype, sizes_of(kernel, 2, columns)), f"{kernel} of {columns} columns")
    assert checked.coverage.share >= 0.98, checked.coverage.missed


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_aligned_rows_move_by_128_bits(kernel: str, dtype: str) -> None:
    case = case_of(kernel)
    sizes = sizes_of(kernel, 3, 1040)
    checked = Checked(case, dtype, facts_for(case, sizes))
    arguments = drawn(case, dtype, sizes)
    for policy in POLICIES:
        checked.check(arguments, kernel, check=CHECKS, **policy)
    ptx = checked.artifact.code["ptx"].decode()
    assert "ld.global.v4.b32" in ptx
    assert "st.global.v4.b32" in ptx or kernel == "logsumexp"
    for report in checked.reports.values():
        assert report.counters.bank_conflict_factor in (0.0, 1.0)
    checked.check(drawn(case, dtype, sizes_of(kernel, 2, 512)), f"{kernel} of one step")
    assert checked.coverage.share >= 0.98, checked.coverage.missed


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
