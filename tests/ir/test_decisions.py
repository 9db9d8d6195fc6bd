"""Launches and schedules of the library are the recorded ones: a change of a rule shows in what it decides."""

from __future__ import annotations

import pytest

from tests.ir.decisions import decided, known
from tests.library_cases import CASES, Case


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.module}.{case.id}")
def test_the_decisions_are_the_recorded_ones(case: Case) -> None:
    assert decided(case) == known()[f"{case.module}.{case.id}"]
