"""Affine expressions, linear forms and facts: what they say about every point they speak of."""

from __future__ import annotations

import itertools

import pytest

from tilewright.dialect import ods
from tilewright.dialect.affine import NotAffine, coefficients, evaluate, evaluate_map
from tilewright.dialect.facts import BadFact, divisor_of, interval_of, parse_facts
from tilewright.dialect.linear import linear_form
from tilewright.dialect.mlir import ir

EXPRESSIONS = {
    "d0 * 3 + s0 - 2": lambda d, s: d * 3 + s - 2,
    "(s0 + 5) floordiv 3": lambda d, s: (s + 5) // 3,
    "s0 ceildiv 4 + d0": lambda d, s: -(-s // 4) + d,
    "(d0 - 7) mod 4": lambda d, s: (d - 7) % 4,
    "s0 * s0": lambda d, s: s * s,
}


def expression(text: str) -> object:
    return ir.AffineMapAttr(ir.Attribute.parse(f"affine_map<(d0)[s0] -> ({text})>")).value.results[0]


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_evaluation(text: str) -> None:
    with ods.session():
        for d, s in itertools.product(range(-3, 9), range(9)):
            assert evaluate(expression(text), [d], [s]) == EXPRESSIONS[text](d, s)


def test_coefficients() -> None:
    with ods.session():
        assert coefficients(expression("d0 * 3 + s0 * -2 + 7 - d0"), 1, 1) == ((2,), (-2,), 7)
        assert coefficients(expression("d0 floordiv 2"), 1, 1) is None
        assert coefficients(expression("s0 * s0"), 1, 1) is None


def test_a_zero_divisor_is_refused() -> None:
    with ods.session():
        divided = ir.AffineMapAttr(ir.Attribute.parse("affine_map<()[s0, s1] -> (s0 floordiv s1)>")).value
        assert evaluate_map(divided, (), [7, 2]) == [3]
        with pytest.raises(NotAffine, match="divides by zero"):
            evaluate_map(divided, (), [7, 0])


LINEAR = """
func.func @f(%i: index, %j: index, %n: index, %x: i32) {
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %N = "tw.dim"() {symbol = "N"} : () -> index
  %a = arith.muli %i, %c2 : index
  %b = arith.addi %a, %N : index
  %c = arith.subi %b, %j : index
  %d = arith.floordivsi %N, %c3 : index
  %e = arith.addi %c, %d : index
  %f = arith.muli %i, %j : index
  %g = arith.floordivsi %i, %c2 : index
  %h = arith.subi %i, %i : index
  %k = arith.addi %n, %i : index
  %l = arith.muli %N, %i : index
  %m = arith.index_cast %x : i32 to index
  return
}
"""


def test_linear_forms() -> None:
    with ods.session():
        module = ir.Module.parse(LINEAR)
        block = ods.ops_of(module.body)[0].regions[0].blocks[0]
        i, j, n, x = block.arguments
        names = {}
        for name, op in zip("2 3 N a b c d e f g h k l m".split(), ods.ops_of(block), strict=False):
            names[name] = op.results[0]
        form = linear_form(names["e"], ["N"])
        assert form is not None and (form.coefficient(i), form.coefficient(j), form.coefficient(n)) == (2, -1, 0)
        assert [evaluate(form.offset, [], [size]) for size in (0, 7)] == [0, 9] and form.constant is None
        assert linear_form(names["f"], ["N"]) is None and linear_form(names["g"], ["N"]) is None
        assert linear_form(names["l"], ["N"]) is None
        nothing = linear_form(names["h"], ["N"])
        assert nothing is not None and nothing.leaves == () and nothing.constant == 0
        known = linear_form(names["k"], ["N"], {n: 0})
        assert known is not None and known.leaves == (i,) and evaluate(known.offset, [], [5]) == 5
        cast = linear_form(names["m"], ["N"])
        assert cast is not None and cast.leaves == (x,)


FACTS = ["K % 8 == 0", "K % 12 == 0", "N >= 1", "N <= 64", "align(a) >= 16", "index32"]


def test_facts_are_joined_and_printed() -> None:
    facts = parse_facts(FACTS)
    assert facts.divisor("K") == 24 and facts.divisor("M") == 1 and facts.interval("N") == (1, 64)
    assert facts.alignment("a") == 16 and facts.alignment("b") == 1 and facts.index32
    assert parse_facts(facts.texts()) == facts


@pytest.mark.parametrize("text", ["K % 8 = 0", "N > 1", "aligned", "K % -8 == 0"])
def test_what_is_no_fact(text: str) -> None:
    with pytest.raises(BadFact, match="not a fact"):
        parse_facts([text])


SIZES = [
    "s0 * 2 + 8",
    "s0 floordiv 4",
    "s0 mod 3",
    "s0 ceildiv 5",
    "(s0 + 3) floordiv 4",
    "s0 * s0",
    "s0 - 5",
    "0",
    "s0 mod 4",
]


@pytest.mark.parametrize("text", SIZES)
def test_what_facts_say_of_an_expression_holds_for_every_dim_they_admit(text: str) -> None:
    facts = parse_facts(["N % 4 == 0", "N >= 4", "N <= 40"])
    with ods.session():
        size = expression(text)
        divisor, (low, high) = divisor_of(size, ["N"], facts), interval_of(size, ["N"], facts)
        for n in range(4, 41, 4):
            value = evaluate(size, [0], [n])
            assert value == 0 if divisor == 0 else value % divisor == 0
            assert (low is None or low <= value) and (high is None or value <= high)
    assert text != "s0 * 2 + 8" or (divisor, low, high) == (8, 16, 88)
