"""Random programs on the whole road: reference, tensor passes, tile passes, native code; 2,000 in this suite.

Every program runs natively. 60 of them also have each pass judged by the interpreters on data of its own. What the
1,900 and the 60 compile for is this CPU with vectors of four and small tiles, so that extents of one to six fill,
overlap and undercut tiles; 40 take the public door and this CPU's own tiles. LLVM chooses instructions quickly for the
former (no optimisation of its code generator), with its usual effort for the latter.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest
from tests.fuzz.backends import native, native_judged, native_small
from tests.fuzz.generate import Backend, run_case
from tests.fuzz.program import Outcome

QUICK, JUDGED, PUBLIC = range(30_000, 31_900), range(40_000, 40_060), range(50_000, 50_040)
BLOCK = 100
SOAK_START, SOAK_PROGRAMS = 1_000_000, 20_000


def blocks(seeds: range, size: int = BLOCK) -> list[range]:
    return [seeds[start : start + size] for start in range(0, len(seeds), size)]


def run_all(seeds: Iterable[int], road: Backend) -> list[Outcome]:
    return [run_case(seed, [road]) for seed in seeds]


def assert_decided(outcomes: list[Outcome]) -> None:
    """At most one case of twenty may have an element that the reference cannot decide."""
    undecided = sum(outcome.undecided > 0 for outcome in outcomes)
    assert undecided <= 0.05 * len(outcomes) + 2, f"{undecided} of {len(outcomes)}"


@pytest.mark.parametrize("seeds", blocks(QUICK), ids=lambda seeds: str(seeds.start))
def test_native_code_agrees_with_the_reference(seeds: range) -> None:
    assert_decided(run_all(seeds, native_small))


@pytest.mark.parametrize("seeds", blocks(JUDGED, 20), ids=lambda seeds: str(seeds.start))
def test_no_pass_changes_what_a_program_means(seeds: range) -> None:
    assert_decided(run_all(seeds, native_judged))


@pytest.mark.parametrize("seeds", blocks(PUBLIC, 20), ids=lambda seeds: str(seeds.start))
def test_programs_through_the_public_door(seeds: range) -> None:
    assert_decided(run_all(seeds, native))


@pytest.mark.soak
def test_soak(soak_seconds: float) -> None:
    """The 20,000 programs of a long run, from the first until the time is over; every tenth has its passes judged."""
    deadline = time.monotonic() + soak_seconds
    outcomes: list[Outcome] = []
    for seed in range(SOAK_START, SOAK_START + SOAK_PROGRAMS):
        outcomes += run_all([seed], native_judged if seed % 10 == 0 else native_small)
        if time.monotonic() > deadline:
            break
    assert_decided(outcomes)
    print(f"{len(outcomes)} of {SOAK_PROGRAMS} programs")
