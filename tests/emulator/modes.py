"""Owns the ways to run a kernel that a correct one cannot tell apart: schedules, completion policies, their seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from tilewright.runtime.emulator import Report
from tilewright.runtime.emulator.launch import COMPLETIONS, SCHEDULES


@dataclass(frozen=True)
class Mode:
    """How one launch orders warps and when its asynchronous work happens."""

    schedule: str
    completion: str
    seed: int

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of ``launch``."""
        return asdict(self)


def modes(seed: int, random_schedules: int = 1) -> Iterator[Mode]:
    """Each schedule with each completion policy, the random schedule several times."""
    schedules = [name for name in SCHEDULES if name != "random"] + ["random"] * random_schedules
    for number, (schedule, completion) in enumerate(product(schedules, COMPLETIONS)):
        yield Mode(schedule, completion, seed + number)


def assert_clean(report: Report, mode: Mode, warnings: frozenset[str] = frozenset()) -> None:
    """The launch ended without an error, and warned of exactly the given kinds."""
    assert report.errors == [], (mode, [str(finding) for finding in report.errors])
    assert report.completed, mode
    assert {finding.kind for finding in report.warnings} == warnings, (mode, [str(f) for f in report.warnings])
