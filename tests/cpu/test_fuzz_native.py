"""Random programs on the whole road: reference, tensor passes, tile passes, native code; 2,000 in this suite.

Every program runs natively. 40 of them also have the IR verified and run by the interpreters before and after each
pass. What the 1,930 and the 40 compile for is this CPU with vectors of four and small tiles, so that extents of one to
six fill, overlap and undercut tiles; LLVM chooses their instructions quickly, without its code generator's own
optimisations. The other 30 take the public door, with this CPU's own tiles and LLVM's usual effort.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.fuzz.backends import native, native_judged, native_small
from tests.fuzz.checks import failing
from tests.fuzz.generate import Backend, generate, run_case
from tilewright.compiler.emit_refuse import NOT_COMPILED
from tilewright.compiler.language.errors import SourceErrors
from tilewright.runtime.errors import RunError

QUICK, JUDGED, PUBLIC = range(30_000, 31_930), range(40_000, 40_040), range(50_000, 50_030)
LEAVING = range(55_000, 55_600)
BLOCK = 100
SOAK_START, SOAK_PROGRAMS = 1_000_000, 20_000


def blocks(seeds: range, size: int = BLOCK) -> list[range]:
    return [seeds[start : start + size] for start in range(0, len(seeds), size)]


@dataclass(frozen=True)
class Tally:
    """How many programs ran, and of how many nothing was learned."""

    programs: int = 0
    undecided: int = 0
    refused: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.programs + other.programs, self.undecided + other.undecided, self.refused + other.refused
        )

    def check(self) -> None:
        """Few are undecided, and fewer still refused as not compiled yet."""
        assert self.undecided <= 0.05 * self.programs + 2, self
        assert self.refused <= 0.01 * self.programs + 1, self


def run_counted(seeds: Sequence[int], road: Backend) -> Tally:
    """Every program agrees with the reference."""
    tally = Tally()
    for seed in seeds:
        try:
            tally += Tally(1, int(run_case(seed, [road]).undecided > 0))
        except SourceErrors as errors:
            assert {d.code for d in errors.diagnostics} == {NOT_COMPILED}, f"seed {seed}: {errors}"
            tally += Tally(1, refused=1)
    return tally


def run_all(seeds: Sequence[int], road: Backend) -> None:
    run_counted(seeds, road).check()


@pytest.mark.parametrize("seeds", blocks(QUICK), ids=lambda seeds: str(seeds.start))
def test_native_code_agrees_with_the_reference(seeds: range) -> None:
    run_all(seeds, native_small)


@pytest.mark.parametrize("seeds", blocks(JUDGED, 10), ids=lambda seeds: str(seeds.start))
def test_no_pass_changes_what_a_program_means(seeds: range) -> None:
    run_all(seeds, native_judged)


@pytest.mark.parametrize("seeds", blocks(PUBLIC, 10), ids=lambda seeds: str(seeds.start))
def test_programs_through_the_public_door(seeds: range) -> None:
    run_all(seeds, native)


@pytest.mark.parametrize("seeds", blocks(LEAVING, 300), ids=lambda seeds: str(seeds.start))
def test_a_check_that_fails_in_the_reference_fails_in_native_code(seeds: range) -> None:
    """One subscript from a tensor is moved outside."""
    found = [one for one in map(failing, map(generate, seeds)) if one is not None]
    assert len(found) >= 3
    for program, kernel in found:
        with pytest.raises(RunError, match="TW1015"):
            native_small(program, kernel)
            print(f"seed {program.seed}:\n{program.source}")


@pytest.mark.soak
def test_soak(soak_seconds: float) -> None:
    """The 20,000 programs of a long run, from the first until the time is over; every tenth has its passes judged."""
    deadline = time.monotonic() + soak_seconds
    total = Tally()
    for seeds in blocks(range(SOAK_START, SOAK_START + SOAK_PROGRAMS), 10):
        total += run_counted(seeds[:1], native_judged)
        total += run_counted(seeds[1:], native_small)
        if time.monotonic() > deadline:
            break
    print(f"{total.programs} of {SOAK_PROGRAMS} programs: {total.undecided} undecided, {total.refused} refused")
    total.check()
