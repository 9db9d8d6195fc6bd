"""Random programs on the whole road: reference, tensor passes, tile passes, native code; 2,000 in this suite.

Every program runs natively. 40 of them also have the IR verified and run by the interpreters before and after each
pass. What the 1,930 and the 40 compile for is this CPU with vectors of four and small tiles, so that extents of one to
six fill, overlap and undercut tiles; LLVM chooses their instructions quickly, without its code generator's own
optimisations. The other 30 take the public door, with this CPU's own tiles and LLVM's usual effort.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from tests.fuzz.backends import native, native_judged, native_small
from tests.fuzz.generate import Backend, run_case
from tests.fuzz.program import Outcome
from tilewright.compiler.emit_refuse import NOT_COMPILED
from tilewright.compiler.language.errors import SourceErrors

QUICK, JUDGED, PUBLIC = range(30_000, 31_930), range(40_000, 40_040), range(50_000, 50_030)
BLOCK = 100
SOAK_START, SOAK_PROGRAMS = 1_000_000, 20_000


def blocks(seeds: range, size: int = BLOCK) -> list[range]:
    return [seeds[start : start + size] for start in range(0, len(seeds), size)]


def run_all(seeds: Sequence[int], road: Backend) -> None:
    """Every program agrees with the reference; few are undecided, and fewer still refused as not compiled yet."""
    outcomes: list[Outcome] = []
    refused = 0
    for seed in seeds:
        try:
            outcomes.append(run_case(seed, [road]))
        except SourceErrors as errors:
            assert {d.code for d in errors.diagnostics} == {NOT_COMPILED}, f"seed {seed}: {errors}"
            refused += 1
    undecided = sum(outcome.undecided > 0 for outcome in outcomes)
    assert undecided <= 0.05 * len(seeds) + 2, f"{undecided} of {len(seeds)} undecided"
    assert refused <= 0.01 * len(seeds) + 1, f"{refused} of {len(seeds)} refused"


@pytest.mark.parametrize("seeds", blocks(QUICK), ids=lambda seeds: str(seeds.start))
def test_native_code_agrees_with_the_reference(seeds: range) -> None:
    run_all(seeds, native_small)


@pytest.mark.parametrize("seeds", blocks(JUDGED, 10), ids=lambda seeds: str(seeds.start))
def test_no_pass_changes_what_a_program_means(seeds: range) -> None:
    run_all(seeds, native_judged)


@pytest.mark.parametrize("seeds", blocks(PUBLIC, 10), ids=lambda seeds: str(seeds.start))
def test_programs_through_the_public_door(seeds: range) -> None:
    run_all(seeds, native)


@pytest.mark.soak
def test_soak(soak_seconds: float) -> None:
    """The 20,000 programs of a long run, from the first until the time is over; every tenth has its passes judged."""
    deadline = time.monotonic() + soak_seconds
    done = 0
    for seeds in blocks(range(SOAK_START, SOAK_START + SOAK_PROGRAMS), 10):
        run_all(seeds[:1], native_judged)
        run_all(seeds[1:], native_small)
        done += len(seeds)
        if time.monotonic() > deadline:
            break
    print(f"{done} of {SOAK_PROGRAMS} programs")
