"""What is known to divide index values of a tile program: it must divide them all, and be as large as it can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cpu.native_kernels import loop
from tests.cpu.native_programs import constant, program, tensor
from tilewright.dialect import ods, tile
from tilewright.dialect.mlir import arith
from tilewright.passes.gpu.divisors import Divisors

FACTS = ("N % 16 == 0", "M % 6 == 0")
"""``i`` is the first point of a cell of 8, ``k`` steps by 12 from M on."""
VALUES: dict[str, tuple[Callable[[Any, Any, Any, Any], Any], int]] = {
    "a dim": (lambda m, n, i, k: n, 16),
    "a cell": (lambda m, n, i, k: i, 8),
    "a loop": (lambda m, n, i, k: k, 6),
    "a number": (lambda m, n, i, k: constant(-20), 20),
    "zero": (lambda m, n, i, k: constant(0), 0),
    "a sum": (lambda m, n, i, k: arith.addi(n, constant(12)), 4),
    "a sum with zero": (lambda m, n, i, k: arith.addi(n, constant(0)), 16),
    "a difference": (lambda m, n, i, k: arith.subi(n, i), 8),
    "a product": (lambda m, n, i, k: arith.muli(constant(3), n), 48),
    "a product the other way": (lambda m, n, i, k: arith.muli(n, constant(3)), 48),
    "a product of two": (lambda m, n, i, k: arith.muli(m, i), 48),
    "the smaller of two": (lambda m, n, i, k: arith.minsi(n, m), 2),
    "the larger of two": (lambda m, n, i, k: arith.maxsi(n, constant(24)), 8),
    "one of two": (
        lambda m, n, i, k: arith.select(arith.cmpi(arith.CmpIPredicate.slt, i, n), n, constant(12)), 4
    ),
    "a quotient": (lambda m, n, i, k: arith.divui(n, constant(2)), 1),
    "a remainder": (lambda m, n, i, k: arith.remui(n, constant(32)), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_what_divides_a_value(name: str) -> None:
    make, expected = VALUES[name]
    found: list[Any] = []

    def body(x: Any, m: Any, n: Any) -> None:
        def step(i: Any, k: Any) -> list[Any]:
            found.append(make(m, n, i, k))
            return []

        tile.grid([n], [8], lambda i: loop(m, n, 12, [], lambda k: step(i, k)) and None)

    with ods.session():
        module = program(["M", "N"], [tensor("x", "f32", ["M", "N"])], body)
        (function,) = ods.ops_of(module.body)
        function.attributes["tile.facts"] = ods.strings(FACTS)
        divisors = Divisors(function)
        assert divisors.of(found[0]) == expected
        view = function.regions[0].blocks[0].arguments[0]
        assert (divisors.extent(view, 0), divisors.extent(view, 1)) == (6, 16)
