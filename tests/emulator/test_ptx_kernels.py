"""Faults in kernels compiled by nvcc are found, each with its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.emulator.fixture_kernels import changed, fixture_module, fixture_text, split_k

from tilewright.runtime.emulator import Report, launch

SCHEDULES = [("in-order", 0), ("reverse", 0), ("random", 1)]


def run(entry: str, grid: int | tuple[int, ...], block: int, args: list[Any], **options: Any) -> Report:
    grid = (grid,) if isinstance(grid, int) else grid
    return launch(fixture_module("basic"), entry, grid, (block,), args=args, **options)


@pytest.mark.parametrize(
    ("which", "kind"), [(1, "out-of-bounds"), (2, "misaligned"), (3, "uninitialised"), (5, "race")]
)
def test_faults_are_found_with_their_place(which: int, kind: str) -> None:
    x = np.ones(32, np.float32)
    report = run("faults", 1, 32, [x, 32, which])
    found = [finding for finding in report.findings if finding.kind == kind]
    assert found, [str(finding) for finding in report.findings]
    text = fixture_text("basic").splitlines()[found[0].ptx_line - 1]
    assert text.split()[0].split(".")[0] in ("ld", "st"), text
    assert found[0].source_line is not None and found[0].source_line.startswith("basic.cu:")


def test_no_fault_no_finding_and_calls_are_inlined() -> None:
    x = np.arange(32, dtype=np.float32)
    report = run("faults", 1, 32, [x, 32, 0])
    assert report.findings == []
    np.testing.assert_array_equal(x, 2 * np.arange(32))


def test_a_thread_that_its_member_mask_leaves_out_is_reported() -> None:
    module = changed("basic", "row_softmax", "mov.u32 \t%r44, -1;", "mov.u32 \t%r44, 2147483647;")
    x = np.ones((2, 40), np.float32)
    report = launch(module, "row_softmax", (1,), (64,), args=[x, np.zeros_like(x), 2, 40])
    found = [finding for finding in report.findings if finding.kind == "member-mask"]
    assert found and set(found[0].lanes) == {31, 63}


def test_missing_barrier_is_a_race() -> None:
    module = changed("basic", "tiled_matmul", "bar.sync", "//", 1)
    a = np.ones((64, 48), np.float32)
    c = np.zeros((64, 64), np.float32)
    report = launch(module, "tiled_matmul", (1,), (256,), args=[a, np.ones((48, 64), np.float32), c, 64, 64, 48])
    races = [finding for finding in report.findings if finding.kind == "race"]
    assert races and races[0].other is not None and "PTX line" in races[0].other


def test_missing_store_to_a_barrier_wait_is_a_deadlock() -> None:
    module = changed("basic", "grid_barrier", "atom.global.add.u32", "//")
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


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_missing_fence_before_a_ticket_is_a_global_race(schedule: str, seed: int) -> None:
    module = changed("basic", "split_sum", "membar.gl", "//")
    args = [np.ones(600, np.float32), np.zeros(6, np.float32), np.zeros(1, np.uint32), np.zeros(1, np.float32), 600]
    report = launch(module, "split_sum", (6,), (128,), args=args, schedule=schedule, seed=seed)
    assert "race" in {finding.kind for finding in report.findings}, [str(f) for f in report.findings]


@pytest.mark.parametrize("fence", [0, 1], ids=["release", "acquire"])
def test_a_ticket_needs_the_fences_on_both_sides_of_the_barriers(fence: int) -> None:
    """All threads fence, then a barrier, then one takes the ticket: and the same on the way back."""
    module = changed("splitk", "split_k", "membar.gl", "//", fence)
    kinds = set()
    for seed in range(3):
        case = split_k(np.random.default_rng(seed), (40, 33, 51, 3))
        report = launch(module, "split_k", case.grid, case.block, args=case.args, schedule="random", seed=seed)
        kinds |= {finding.kind for finding in report.findings}
    assert kinds == {"race"}


def test_two_ctas_write_one_place() -> None:
    x = np.ones(32, np.float32)
    report = run("faults", 2, 32, [x, 32, 0])
    races = [finding for finding in report.findings if finding.kind == "race"]
    assert races and "CTA (" in str(races[0].other) and races[0].cta is not None
