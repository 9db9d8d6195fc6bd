"""The mutation tool makes the mistakes that it says, in one process alone; the long run is a soak."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.fuzz.features import REQUIRED
from tests.mutation.judges import Judge, covering
from tests.mutation.mutants import Mutant, mutants_of, mutated_code
from tests.mutation.run import all_mutants, draw, judged, run
from tilewright.passes.tile import values
from tilewright.passes.tile.values import Linear

SOURCE = '''
def clamp(x: int) -> int:
    """Text with 1 and 2."""
    if x < 0:
        return 0
    return x - 1 if x > 5 and x != 7 else x
'''


def _results(mutant: Mutant) -> list[int]:
    def clamp(x: int) -> int:
        return x

    clamp.__code__ = mutated_code(mutant, SOURCE, "clamp.py")
    return [clamp(x) for x in (-1, 0, 6, 7)]


def test_every_mutant_of_a_function_is_what_it_says() -> None:
    found = {m.what: _results(m) for m in mutants_of("clamp.py", SOURCE)}
    assert found["Lt -> LtE"] == [0, 0, 5, 7]
    assert found["guard removed"] == [-1, 0, 5, 7]
    assert found["guard turned round"] == [-1, 0, 0, 0]
    assert found["and <-> or"] == [0, -1, 5, 6]
    assert found["NotEq -> Eq"] == [0, 0, 6, 6]
    assert found["Sub -> Add"] == [0, 0, 7, 7]
    assert found["operands swapped"] == [0, 0, -5, 7]
    assert found["branches swapped"] == [0, -1, 6, 6]
    assert not any("Text" in what for what in found)


def test_the_only_block_of_an_op_is_no_place_for_a_mistake() -> None:
    source = "def body(op):\n    return op.regions[0].blocks[0].arguments[1]\n"
    assert {m.what for m in mutants_of("body.py", source)} == {"1 -> 2", "1 -> 0"}


def test_the_first_of_several_is_mistaken_for_the_second() -> None:
    source = "def first(op):\n    return op.operands[0]\n"
    (mutant,) = mutants_of("first.py", source)
    assert mutant.what == "0 -> 1" and mutated_code(mutant, source, "first.py").co_consts[-1] == 1


def test_an_assertion_is_no_place_for_a_mistake() -> None:
    source = "def pairs(a, b):\n    assert a < 3\n    return list(zip(a, b, strict=True))\n"
    assert not mutants_of("pairs.py", source)


def test_operands_that_commute_are_not_exchanged() -> None:
    source = """
def ops(e, a, b):
    e.same("arith.addi", a, b)
    e.same("arith.subi", a, b)
    return gcd(a, b) + arith.andi(a, b) + divide(a, b) + (arith.maxsi if e else arith.minsi)(a, b)
"""
    found = [m.line for m in mutants_of("ops.py", source) if m.what == "last two arguments swapped"]
    assert found == [4, 5]


def test_random_programs_of_the_judges_show_every_form_several_times() -> None:
    found = Counter(form for program in covering() for form in program.features)
    assert min(found[form] for form in REQUIRED) >= 3


def test_all_files_have_mutants_that_compile() -> None:
    mutants = all_mutants()
    assert len({m.file for m in mutants}) >= 60
    for mutant in draw(mutants, 40, 0):
        source = Path(values.__file__).parents[2].joinpath(mutant.file).read_text(encoding="utf-8")
        assert mutated_code(mutant, source, mutant.file).co_qualname == mutant.function
        ast.parse(source)


def test_a_child_judges_and_this_process_stays_as_it_is() -> None:
    source = Path(values.__file__).read_text(encoding="utf-8")
    mutants = mutants_of("passes/tile/values.py", source)
    mutant = next(m for m in mutants if m.function == "Linear.is_constant" and m.what == "Is -> IsNot")

    def ask() -> None:
        assert Linear(constant=3).is_constant

    assert judged(mutant, [Judge("constant", ask)]).noticed == "constant"
    assert judged(None, [Judge("constant", ask)]).noticed == ""
    ask()


def _spin() -> None:
    while True:
        pass


def test_a_mutant_that_never_ends_is_noticed() -> None:
    assert judged(None, [Judge("spin", _spin, 1)]).noticed == "time"


@pytest.mark.soak
def test_four_of_five_mutants_are_noticed(soak_seconds: float) -> None:
    verdicts = list(run(draw(all_mutants(), 10_000, 1), soak_seconds))
    survivors = [f"{v.mutant.place} {v.mutant.what}" for v in verdicts if not v.noticed]
    assert len(survivors) <= 0.2 * len(verdicts) + 2, "\n".join(survivors)
