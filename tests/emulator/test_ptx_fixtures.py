"""Kernels compiled by nvcc are right, and nothing is found in them, whatever the order of warps and completions.

Each runs under five random schedules, each with every completion policy, besides the two fixed orders.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.emulator.fixture_kernels import FOLDER, KERNELS, Kernel, fixture_text
from tests.emulator.modes import assert_clean, modes
from tests.seeds import fresh_seed

RANDOM_SCHEDULES = 5
COVERED = 0.98
"""Share of the blocks that can run and do."""


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.entry)
def test_kernels_are_right_in_every_mode(kernel: Kernel) -> None:
    seed = fresh_seed()
    for sizes in kernel.sizes:
        for mode in modes(seed, RANDOM_SCHEDULES):
            case = kernel.case(np.random.default_rng(seed), sizes)
            assert_clean(kernel.launch(case, **mode.options), mode)
            assert case.right(), (mode, sizes)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.entry)
def test_every_block_runs_or_is_explained(kernel: Kernel) -> None:
    rng = np.random.default_rng(fresh_seed())
    reports = [kernel.launch(kernel.case(rng, sizes), check=()) for sizes in kernel.sizes]
    missed = set.intersection(*(set(report.coverage.missed_lines) for report in reports))
    explained = {reason: lines_of(kernel, reason) & missed for reason in kernel.unreached}
    assert all(explained.values()), "an explanation that explains nothing"
    possible = reports[0].coverage.total - len(set().union(*explained.values()))
    unexplained = missed.difference(*explained.values())
    assert len(unexplained) <= (1 - COVERED) * possible, sorted(unexplained)


def lines_of(kernel: Kernel, statement: str) -> set[int]:
    """PTX lines of a statement of the kernel; for a guarded branch forward those that it jumps over."""
    lines = [" ".join(line.split()) for line in fixture_text(kernel.fixture).splitlines()]
    start = next(number for number, line in enumerate(lines, 1) if f".entry {kernel.entry}(" in line)
    end = next((number for number, line in enumerate(lines, 1) if number > start and ".entry" in line), len(lines))
    places = [number for number in range(start, end) if lines[number - 1] == statement]
    if not statement.startswith("@"):
        return set(places)
    label = statement.split()[-1].rstrip(";") + ":"
    return {line for place in places for line in range(place, lines.index(label, place))}


RELEASE = re.compile(r"release \S+, V\S+")


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")
def test_the_script_rebuilds_what_is_stored(tmp_path: Path) -> None:
    release = RELEASE.search(subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout)
    if release is None or release[0] not in fixture_text("basic"):
        pytest.skip("the fixtures are of another release of nvcc")
    for path in (*FOLDER.glob("*.cu"), FOLDER / "rebuild.sh"):
        shutil.copy(path, tmp_path)
    subprocess.run(["sh", tmp_path / "rebuild.sh"], check=True)
    built = {path.name: _code(path) for path in tmp_path.glob("*.ptx")}
    assert built == {path.name: _code(path) for path in FOLDER.glob("*.ptx")}


def _code(path: Path) -> str:
    """The text without the comments, which name the build of the compiler."""
    return re.sub(r"//.*", "", path.read_text())
