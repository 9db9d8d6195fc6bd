"""What is written for many kernels is what was recorded: a lost optimisation shows here, where results stay right."""

from __future__ import annotations

import pytest

from tests.ir.mixes import Recorded, candidates, is_compiled, known, recorded, written


@pytest.mark.parametrize("one", recorded(), ids=lambda one: one.name)
def test_the_code_is_made_of_the_recorded_ops(one: Recorded) -> None:
    assert written(one) == known()[one.name]


def test_every_kernel_that_is_compiled_is_recorded() -> None:
    left_out = [one for one in candidates() if one.name not in known()]
    assert not any(map(is_compiled, left_out))
    assert set(known()) <= {one.name for one in candidates()}
