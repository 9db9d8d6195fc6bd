"""Whole kernels compiled by nvcc run right under every schedule, and faults in them are found."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tilewright.runtime.emulator import Module, Report, launch

FOLDER = Path(__file__).parent / "fixtures"
SCHEDULES = [("in-order", 0), ("reverse", 0), ("random", 1)]


@lru_cache(maxsize=8)
def fixture_module(name: str) -> Module:
    return Module.parse((FOLDER / f"{name}.ptx").read_text())


def run(entry: str, grid: int | tuple[int, ...], block: int, args: list[Any], **options: Any) -> Report:
    grid = (grid,) if isinstance(grid, int) else grid
    return launch(fixture_module("basic"), entry, grid, (block,), args=args, **options)


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
@pytest.mark.parametrize("shape", [(64, 64, 48), (70, 45, 19)])
def test_tiled_matmul(schedule: str, seed: int, shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)
    c = np.full((m, n), np.nan, np.float32)
    report = run("tiled_matmul", (-(-n // 64), -(-m // 64)), 256, [a, b, c, m, n, k], schedule=schedule, seed=seed)
    assert report.findings == []
    exact = a.astype(np.float64) @ b.astype(np.float64)
    bound = (2 * np.sqrt(k) + 4) * 2.0**-24 * (np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64))
    assert (np.abs(c - exact) <= bound).all()


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_row_softmax(schedule: str, seed: int) -> None:
    rows, columns = 5, 77
    x = np.random.default_rng(4).normal(size=(rows, columns)).astype(np.float32)
    y = np.full_like(x, np.nan)
    report = run("row_softmax", 3, 64, [x, y, rows, columns], schedule=schedule, seed=seed)
    assert report.findings == []
    exact = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    exact /= exact.sum(1, keepdims=True)
    np.testing.assert_allclose(y, exact, rtol=3e-6)


def collatz(value: int) -> int:
    steps = 0
    while value != 1:
        value = 3 * value + 1 if value & 1 else value // 2
        steps += 1
        if steps > 300:
            break
    return {0: steps + 10, 3: steps * 3, 5: steps ^ 0x55}.get(steps & 7, steps - 1)


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_divergence_and_atomics(schedule: str, seed: int) -> None:
    values = np.random.default_rng(5).integers(1, 3000, 200).astype(np.int32)
    output, histogram = np.zeros_like(values), np.zeros(16, np.int32)
    report = run("divergent", 2, 128, [values, output, 200, histogram], schedule=schedule, seed=seed)
    assert report.findings == []
    expected = np.array([collatz(int(value)) for value in values])
    np.testing.assert_array_equal(output, expected)
    np.testing.assert_array_equal(histogram, np.bincount(expected & 15, minlength=16))


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_split_sum_with_a_ticket(schedule: str, seed: int) -> None:
    values = np.arange(1000, dtype=np.float32)
    partial, ticket, output = np.zeros(6, np.float32), np.zeros(1, np.uint32), np.zeros(1, np.float32)
    report = run("split_sum", 6, 128, [values, partial, ticket, output, 1000], schedule=schedule, seed=seed)
    assert report.findings == []
    assert output[0] == 499500.0


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_grid_wide_barrier(schedule: str, seed: int) -> None:
    values, result, arrived = np.zeros(5, np.int32), np.zeros(5, np.int32), np.zeros(1, np.uint32)
    report = run("grid_barrier", 5, 32, [values, result, arrived], schedule=schedule, seed=seed)
    assert report.findings == []
    np.testing.assert_array_equal(result, (np.arange(5) + 1) % 5 * 7 + 1)


@pytest.mark.parametrize(
    ("which", "kind"), [(1, "out-of-bounds"), (2, "misaligned"), (3, "uninitialised"), (5, "race")]
)
def test_faults_are_found_with_their_place(which: int, kind: str) -> None:
    x = np.ones(32, np.float32)
    report = run("faults", 1, 32, [x, 32, which])
    found = [finding for finding in report.findings if finding.kind == kind]
    assert found, [str(finding) for finding in report.findings]
    text = (FOLDER / "basic.ptx").read_text().splitlines()[found[0].ptx_line - 1]
    assert text.split()[0].split(".")[0] in ("ld", "st"), text
    assert found[0].source_line is not None and found[0].source_line.startswith("basic.cu:")


def test_no_fault_no_finding_and_calls_are_inlined() -> None:
    x = np.arange(32, dtype=np.float32)
    report = run("faults", 1, 32, [x, 32, 0])
    assert report.findings == []
    np.testing.assert_array_equal(x, 2 * np.arange(32))


def test_a_thread_that_its_member_mask_leaves_out_is_reported() -> None:
    text = (FOLDER / "basic.ptx").read_text()
    entry = text.index(".entry row_softmax")
    position = text.index("mov.u32 \t%r44, -1;", entry)
    module = Module.parse(
        text[:position] + "mov.u32 \t%r44, 2147483647;" + text[position + len("mov.u32 \t%r44, -1;") :]
    )
    x = np.ones((2, 40), np.float32)
    report = launch(module, "row_softmax", (1,), (64,), args=[x, np.zeros_like(x), 2, 40])
    found = [finding for finding in report.findings if finding.kind == "member-mask"]
    assert found and set(found[0].lanes) == {31, 63}


def test_missing_barrier_is_a_race() -> None:
    text = (FOLDER / "basic.ptx").read_text()
    start = text.index(".entry tiled_matmul")
    position = text.index("bar.sync", text.index("bar.sync", start) + 1)
    module = Module.parse(text[:position] + "//" + text[position:])
    a = np.ones((64, 48), np.float32)
    c = np.zeros((64, 64), np.float32)
    report = launch(module, "tiled_matmul", (1,), (256,), args=[a, np.ones((48, 64), np.float32), c, 64, 64, 48])
    races = [finding for finding in report.findings if finding.kind == "race"]
    assert races and races[0].other is not None and "PTX line" in races[0].other


def test_missing_store_to_a_barrier_wait_is_a_deadlock() -> None:
    text = (FOLDER / "basic.ptx").read_text()
    position = text.index("atom.global.add.u32", text.index(".entry grid_barrier"))
    module = Module.parse(text[:position] + "//" + text[position:]) if "red" in text else Module.parse(text)
    report = launch(
        module, "grid_barrier", (2,), (32,), args=[np.zeros(2, np.int32), np.zeros(2, np.int32), np.zeros(1, np.uint32)]
    )
    assert not report.completed
    assert [finding.kind for finding in report.findings] == ["deadlock"]


def test_coverage_and_counters() -> None:
    x = np.ones(32, np.float32)
    report = run("faults", 1, 32, [x, 32, 0], check=("memory", "performance"))
    assert 0 < report.coverage.share < 1
    assert report.coverage.missed_lines
    assert report.counters.bytes_written["global"] == 128
    assert report.counters.instructions["st.global.f32"] + report.counters.instructions.get("st.global.b32", 0) == 32
    assert report.counters.sectors_per_request == 4.0


def without(text: str, entry: str, old: str, which: int = 0) -> Module:
    """The module with one occurrence of an instruction after the entry commented out."""
    position = text.index(f".entry {entry}")
    for _ in range(which + 1):
        position = text.index(old, position + 1)
    return Module.parse(text[:position] + "//" + text[position:])


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_missing_fence_before_a_ticket_is_a_global_race(schedule: str, seed: int) -> None:
    text = (FOLDER / "basic.ptx").read_text()
    module = without(text, "split_sum", "membar.gl" if "membar.gl" in text else "fence.sc.gpu")
    args = [np.ones(600, np.float32), np.zeros(6, np.float32), np.zeros(1, np.uint32), np.zeros(1, np.float32), 600]
    report = launch(module, "split_sum", (6,), (128,), args=args, schedule=schedule, seed=seed)
    assert "race" in {finding.kind for finding in report.findings}, [str(f) for f in report.findings]


def test_two_ctas_write_one_place() -> None:
    x = np.ones(32, np.float32)
    report = run("faults", 2, 32, [x, 32, 0])
    races = [finding for finding in report.findings if finding.kind == "race"]
    assert races and "CTA (" in str(races[0].other) and races[0].cta is not None
