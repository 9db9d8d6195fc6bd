"""Schedule blocks: they bend what the rule chose, survive in dumps, and never change a result beyond re-association."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import numpy as np
import pytest

import tilewright as tw
from tests.compiling import assert_right, built
from tests.library_cases import CASES, Case
from tilewright.compiler.jobs import artifact_of_ir
from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.language.typed import ScheduleSetting, TypedKernel
from tilewright.compiler.pipeline import Settings
from tilewright.runtime.errors import CallError
from tilewright.runtime.switches import Switches

PRODUCT = """
kernel product[M, N, K](a: f32[M, K], b: f32[K, N]) -> (y: f32[M, N]):
    y[i, j] = sum[k](a[i, k] * b[k, j])

schedule product for cpu:
    tile i=24, y.j=32
    tile k=8
"""
SIZES = (1, 2, 3, 8, 12, 16, 40, 64)


@pytest.mark.parametrize("case", CASES[::4], ids=lambda case: f"{case.module}.{case.id}")
def test_random_schedules_change_no_result(case: Case) -> None:
    _check_random_schedule(case, seed=0)


@pytest.mark.soak
def test_many_random_schedules_change_no_result() -> None:
    for case in CASES:
        for seed in range(4):
            _check_random_schedule(case, seed)


def _check_random_schedule(case: Case, seed: int) -> None:
    kernel = case.typed("f32")
    settings = _random_settings(kernel, random.Random(f"{case.id}/{seed}"))
    written = replace(kernel, schedules=(("cpu", settings), ("sm_80", ())))
    arguments = case.arguments("f32", "random", "ragged", seed)
    assert_right(written, kernel, arguments, Settings())


def _random_settings(kernel: TypedKernel, generator: random.Random) -> tuple[ScheduleSetting, ...]:
    """A size for some of the indices that the rule's schedule blocks."""
    schedule = built(kernel).notes["schedule.txt"]
    indices = sorted({index.partition(".")[0] for index in re.findall(r"(?:grid|loop|tile) (\S+)=\d+", schedule)})
    chosen = generator.sample(indices, generator.randint(1, len(indices))) if indices else []
    return tuple(ScheduleSetting(("tile", index), generator.choice(SIZES), kernel.span) for index in chosen)


def test_a_schedule_block_is_obeyed_told_and_kept_in_dumps() -> None:
    made = tw.compile(PRODUCT, target="cpu")
    assert "grid i=24; grid j=32" in made.schedule
    assert "tile k=8" in made.schedule
    explained = made.artifact.notes["explain.txt"]
    assert "tile i=24 as written" in explained
    assert "tile y.j=32 as written" in explained
    for level in ("tensor", "plan"):
        again = artifact_of_ir(made.ir(level), "cpu", Settings(), Switches())
        assert again.code == made.artifact.code, level
    a, b = np.ones((37, 19), np.float32), np.ones((19, 41), np.float32)
    np.testing.assert_array_equal(made(a, b), a @ b)


def test_a_block_for_another_target_changes_nothing() -> None:
    plain = tw.compile(PRODUCT.partition("schedule")[0], target="cpu")
    other = tw.compile(PRODUCT.replace("for cpu", "for sm_80"), target="cpu")
    assert other.schedule == plain.schedule


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("tile q=3", "q"), ("tile s.i=3", "s"), ("til i=3", "til"), ("tile i=0", "0"), ("tile 4", "4"),
        ("warps i=3", "i=3"), ("stages i", "i"), ("cluster 3", "3"), ("tile i=8, k=512", "k=512"),
    ],
)  # fmt: skip
def test_a_setting_that_means_nothing_is_refused_at_its_place(line: str, where: str) -> None:
    with pytest.raises(SourceErrors) as caught:
        tw.compile(PRODUCT.replace("tile k=8", line), target="cpu")
    (error,) = caught.value.diagnostics
    assert error.code == "TW0611"
    assert error.span.text == where


def test_a_dump_with_a_setting_that_means_nothing_is_refused() -> None:
    text = tw.compile(PRODUCT, target="cpu").ir("plan").replace('"tile k=8"', '"tile q=8"')
    with pytest.raises(CallError, match="no launch has a place for: tile q=8"):
        artifact_of_ir(text, "cpu", Settings(), Switches())
