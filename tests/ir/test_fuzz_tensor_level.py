"""Random programs at the tensor level, as emitted: what the reference says, within its bound."""

from __future__ import annotations

import pytest

from tests.fuzz.backends import tensor_level
from tests.fuzz.generate import run_case

CASES = 100
BLOCK = 25


@pytest.mark.parametrize("start", range(20_000, 20_000 + CASES, BLOCK))
def test_emitted_programs_agree_with_the_reference(start: int) -> None:
    for seed in range(start, start + BLOCK):
        run_case(seed, [tensor_level])
