"""Comparisons, selections and logic of predicates (PTX ISA, "Comparison and Selection Instructions")."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.emulator.scalar_ptx import execute

SPECIAL = [
    0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 2.0**-149, -(2.0**-126), 3.4028234663852886e38, 1.5, -2.5,
]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"]
)
def test_float_comparisons(name: str) -> None:
    a, b = (np.array(SPECIAL, np.float32)[index] for index in np.divmod(np.arange(144), 12))
    unordered = np.isnan(a) | np.isnan(b)
    table = {"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}
    if name in ("num", "nan"):
        expected = unordered if name == "nan" else ~unordered
    elif name in table:
        expected = table[name] & ~unordered
    else:
        expected = table[name[:-1]] | unordered
    result = execute(f"setp.{name}.f32 o0, a0, a1;", [("f32", a), ("f32", b)], ["pred"])[0]
    np.testing.assert_array_equal(result.astype(bool), expected)


def test_setp_with_combination_and_complement() -> None:
    a, b = np.arange(32) % 5, np.arange(32) % 3
    first, second = execute(
        "setp.gt.s32 %q, a0, 2; setp.lt.and.s32 o0|o1, a0, a1, %q;", [("s32", a), ("s32", b)], ["pred", "pred"]
    )
    np.testing.assert_array_equal(first.astype(bool), (a < b) & (a > 2))
    np.testing.assert_array_equal(second.astype(bool), ~(a < b) & (a > 2))


def test_selp_slct_and_predicate_logic() -> None:
    a, b = np.arange(-16, 16), np.arange(32)
    body = "setp.lt.s32 %q, a0, 0; selp.b32 o0, a0, a1, %q; slct.s32.s32 o1, a1, a0, a0;"
    chosen, signed = execute(body, [("s32", a), ("s32", b)], ["s32", "s32"])
    np.testing.assert_array_equal(chosen, np.where(a < 0, a, b))
    np.testing.assert_array_equal(signed, np.where(a >= 0, b, a))
