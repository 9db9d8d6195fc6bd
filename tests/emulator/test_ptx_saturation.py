"""Integer arithmetic that clamps (PTX ISA, ".sat"): ``add``, ``sub`` and ``mad.hi`` of ``.s32``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.emulator.test_ptx_scalar import apply, integers

CLAMPED: dict[str, Callable[..., int]] = {
    "add.sat.s32": lambda a, b: a + b,
    "sub.sat.s32": lambda a, b: a - b,
    "mad.hi.sat.s32": lambda a, b, c: (a * b >> 32) + c,
}


@pytest.mark.parametrize("opcode", CLAMPED)
def test_sums_are_clamped(opcode: str) -> None:
    count = CLAMPED[opcode].__code__.co_argcount
    columns = [integers("s32", seed)[:: -1 if seed % 2 else 1] for seed in range(count)]
    expected = [min(max(CLAMPED[opcode](*row), -(2**31)), 2**31 - 1) for row in zip(*columns, strict=True)]
    found = apply(opcode, [("s32", column) for column in columns], "s32")
    np.testing.assert_array_equal(found, expected)
