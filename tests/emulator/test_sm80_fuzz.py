"""Random programs compiled for sm_80 in tiles of any size and run in the emulator: results, races, bad addresses."""

from __future__ import annotations

import time

import pytest
from tests.fuzz.backends import emulated
from tests.fuzz.generate import run_case

from tilewright.compiler.emit_refuse import NOT_COMPILED
from tilewright.compiler.language.errors import SourceErrors
from tilewright.dialect.faults import Unsupported

PROGRAMS, BLOCK = range(60_000, 60_120), 20
SOAK_START, SOAK_PROGRAMS = 2_000_000, 5_000


def run_all(seeds: range) -> None:
    """Every program agrees; few ask for a function that the GPU end lacks, or for what is not compiled yet."""
    lacking = 0
    for seed in seeds:
        try:
            run_case(seed, [emulated])
        except Unsupported:
            lacking += 1
        except SourceErrors as errors:
            assert {d.code for d in errors.diagnostics} == {NOT_COMPILED}, f"seed {seed}: {errors}"
            lacking += 1
    assert lacking <= 0.06 * len(seeds) + 2, f"{lacking} of {len(seeds)} are refused"


@pytest.mark.parametrize("start", PROGRAMS[::BLOCK])
def test_ptx_agrees_with_the_reference(start: int) -> None:
    run_all(range(start, start + BLOCK))


@pytest.mark.soak
def test_soak(soak_seconds: float) -> None:
    """From the first program until the time is over."""
    deadline = time.monotonic() + soak_seconds
    for start in range(SOAK_START, SOAK_START + SOAK_PROGRAMS, BLOCK):
        run_all(range(start, start + BLOCK))
        if time.monotonic() > deadline:
            break
    print(f"{start + BLOCK - SOAK_START} of {SOAK_PROGRAMS} programs")
