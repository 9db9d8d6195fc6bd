"""What is written for the library is what was recorded: a lost optimisation shows here, where results stay right."""

from __future__ import annotations

import pytest

from tests.ir.mixes import known, written
from tests.library_cases import CASES, Case


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.module}.{case.id}")
def test_the_code_is_made_of_the_recorded_ops(case: Case) -> None:
    assert written(case) == known()[f"{case.module}.{case.id}"]
