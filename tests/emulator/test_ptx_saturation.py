"""Integer arithmetic that clamps (PTX ISA, ".sat"): ``add``, ``sub`` and ``mad.hi`` of ``.s32``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.emulator.golden.case import case
from tests.emulator.golden.devices import EmulatorDevice
from tests.seeds import fresh_seed

CLAMPED: dict[str, Callable[..., int]] = {
    "add.sat.s32": lambda a, b: a + b,
    "sub.sat.s32": lambda a, b: a - b,
    "mad.hi.sat.s32": lambda a, b, c: (a * b >> 32) + c,
}


@pytest.mark.parametrize("opcode", CLAMPED)
def test_sums_are_clamped(opcode: str) -> None:
    made = case(opcode, "s32", *["s32"] * CLAMPED[opcode].__code__.co_argcount)
    given = made.draw(fresh_seed())
    ((found,),) = EmulatorDevice().run([made], [given])
    rows = zip(*(column.view(np.int32).tolist() for column in given), strict=True)
    expected = [min(max(CLAMPED[opcode](*row), -(2**31)), 2**31 - 1) for row in rows]
    np.testing.assert_array_equal(found.view(np.int32), expected)
