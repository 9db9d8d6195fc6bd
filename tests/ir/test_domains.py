"""Affine forms of index expressions: their value at every point, the ends they lie between, the points they admit."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.seeds import fresh_seed
from tests.unit.build_typed import SPAN, binary, compare, dim, guarded, idx, num, read, reduce
from tilewright.compiler.emit_domain import Affine, Range, bounds_of, conjuncts, is_natural, unguarded_axis
from tilewright.compiler.language import typed
from tilewright.compiler.language.check.values import value_of
from tilewright.dialect import ods
from tilewright.dialect.affine import evaluate
from tilewright.dialect.mlir import ir

DIMS = ("M", "N")
INDICES = ("i", "j", "k")
WINDOW = 3
SIZES = ((2, 5), (1, 1), (3, 4))


def affine() -> Affine:
    """``i`` runs below N, ``j`` over a window of three that begins at ``i - 1``, ``k`` below 2 M."""
    m, n = ir.AffineExpr.get_symbol(0), ir.AffineExpr.get_symbol(1)
    window = Range(ir.AffineExpr.get_constant(WINDOW), binary("-", "i", 1))
    ranges = {"i": Range(n), "j": window, "k": Range(m * 2), "v": Range(None), "w": Range(n, idx("v"))}
    return Affine(DIMS, ranges, {name: k for k, name in enumerate(INDICES)})


def points(m: int, n: int) -> Iterator[tuple[list[int], dict[str, int]]]:
    """The numbers of a point in the domain, and the values of the names there."""
    for i, j, k in itertools.product(range(n), range(WINDOW), range(2 * m)):
        yield [i, j, k], {"i": i, "j": j + i - 1, "k": k, "M": m, "N": n}


def drawn(choice: random.Random, depth: int, indices: list[str]) -> typed.Expr:
    """A random affine expression in which each of ``indices`` stands once at most."""
    if depth == 0 or choice.random() < 0.2:
        if indices and choice.random() < 0.7:
            return idx(indices.pop())
        return dim(choice.choice(DIMS)) if choice.random() < 0.4 else num(choice.randint(-4, 4))
    op = choice.choice(["+", "-", "* left", "* right", "//", "%", "neg"])
    inner = drawn(choice, depth - 1, indices)
    factor = dim(choice.choice(DIMS)) if choice.random() < 0.3 else num(choice.randint(-3, 3))
    if op == "neg":
        return typed.Unary(SPAN, "index", "-", inner)
    if op.startswith("*"):
        return binary("*", inner, factor) if op == "* left" else binary("*", factor, inner)
    if op in ("//", "%"):
        return binary(op, inner, num(choice.randint(1, 4)))
    return binary(op, inner, drawn(choice, depth - 1, indices))


@pytest.mark.parametrize("several", range(4))
def test_an_expression_has_its_value_at_every_point_and_lies_between_its_ends(several: int) -> None:
    seed = fresh_seed()
    choice, tight = random.Random(seed), 0
    with ods.session():
        forms = affine()
        for _ in range(100):
            expr = drawn(choice, 3, choice.choice([["k", "i"], ["k", "j"]]))
            whole, ends = forms.expression(expr), forms.interval(expr)
            assert whole is not None
            for m, n in SIZES:
                values = [(evaluate(whole, at, [m, n]), value_of(expr, names)) for at, names in points(m, n)]
                assert all(found == expected for found, expected in values), expr
                if ends is not None:
                    low, high = (evaluate(end, [], [m, n]) for end in ends)
                    assert low <= min(v for _, v in values) and max(v for _, v in values) <= high, expr
                    tight += (low, high) == (min(v for _, v in values), max(v for _, v in values))
    assert tight >= 100


ENDS: dict[str, tuple[typed.Expr, str, str]] = {
    "a number": (num(3), "3", "3"),
    "a dim": (dim("N"), "s1", "s1"),
    "an index": (idx("i"), "0", "s1 - 1"),
    "an index of a window": (idx("j"), "-1", "s1"),
    "a negated index": (typed.Unary(SPAN, "index", "-", idx("i")), "-s1 + 1", "0"),
    "a sum": (binary("+", "i", "k"), "0", "s0 * 2 + s1 - 2"),
    "a difference": (binary("-", "i", "k"), "s0 * -2 + 1", "s1 - 1"),
    "a number times an index": (binary("*", 3, "i"), "0", "s1 * 3 - 3"),
    "an index times a number": (binary("*", "i", -3), "s1 * -3 + 3", "0"),
    "an index times a dim": (binary("*", "i", "M"), "0", "s1 * s0 - s0"),
    "a quotient": (binary("//", "i", 2), "0", "(s1 - 1) floordiv 2"),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_ends_of_an_expression_are_met(name: str) -> None:
    expr, low, high = ENDS[name]
    with ods.session():
        ends = affine().interval(expr)
        assert ends is not None
        for text, end in zip((low, high), ends, strict=True):
            wanted = ir.AffineMapAttr(ir.Attribute.parse(f"affine_map<()[s0, s1] -> ({text})>")).value.results[0]
            for m, n in SIZES:
                assert evaluate(end, [], [m, n]) == evaluate(wanted, [], [m, n])


@pytest.mark.parametrize(
    "expr",
    [
        binary("*", "i", "k"), binary("//", "i", "i"), binary("%", "i", binary("-", "M", 1)), binary("min", "i", "k"),
        read("at", "i64", "i"), binary("+", "i", read("at", "i64", "i")), idx("v"), idx("w"),
        binary("//", "i", binary("+", binary("-", "M", 5), "N")),
        binary("%", "i", binary("+", "N", binary("-", "M", 5))),
    ],
)  # fmt: skip
def test_what_is_not_affine_is_not_taken_for_it(expr: typed.Expr) -> None:
    with ods.session():
        assert affine().expression(expr) is None


@pytest.mark.parametrize("expr", [idx("v"), idx("w"), binary("+", "v", 1), binary("//", "i", "M"), binary("%", "i", 2)])
def test_what_has_no_ends_has_none(expr: typed.Expr) -> None:
    with ods.session():
        assert affine().interval(expr) is None


def test_dims_and_sums_of_dims_divide() -> None:
    with ods.session():
        for divisor in (dim("M"), binary("+", "M", "N"), binary("*", "M", 2), binary("+", 1, binary("*", "M", "N"))):
            for op in ("//", "%"):
                expr = binary(op, binary("+", "i", "k"), divisor)
                form = affine().expression(expr)
                assert form is not None
                for at, names in points(2, 5):
                    assert evaluate(form, at, [2, 5]) == value_of(expr, names)


CONDITIONS = [compare(op, binary("+", "i", 1), "k") for op in ("<", "<=", ">", ">=", "==")]
NEGATED = [
    typed.Unary(SPAN, "bool", "not", compare(op, "j", binary("*", 2, "k"))) for op in ("<", "<=", ">", ">=", "!=")
]


@pytest.mark.parametrize("condition", [*CONDITIONS, *NEGATED, num(True, "bool"), num(False, "bool")])
def test_constraints_admit_the_points_where_the_condition_holds(condition: Any) -> None:
    with ods.session():
        found = affine().constraints(condition)
        assert found is not None
        for at, names in points(3, 4):
            admitted = all(evaluate(one, at, [3, 4]) >= 0 for one in found)
            assert admitted == bool(value_of(condition, names))


def test_conditions_that_no_box_can_hold_are_no_constraints() -> None:
    with ods.session():
        different = compare("!=", "i", "k")
        for condition in (
            different, typed.Unary(SPAN, "bool", "not", compare("==", "i", "k")),
            compare("<", read("x", "f32", "i"), num(0.0, "f32")), compare("<", read("at", "i64", "i"), "i"),
            compare("<", "v", "i"), compare("<=", "i", "v"), compare("==", "v", "v"),
        ):  # fmt: skip
            assert affine().constraints(condition) is None


def test_conjuncts_are_told_apart() -> None:
    one, two, three = (compare("<", "i", k) for k in (1, 2, 3))
    joined = typed.Logical(SPAN, "bool", "and", typed.Logical(SPAN, "bool", "and", one, two), three)
    assert conjuncts(joined) == [one, two, three]
    assert conjuncts(typed.Logical(SPAN, "bool", "or", one, two)) == [typed.Logical(SPAN, "bool", "or", one, two)]
    assert conjuncts(num(True, "bool")) == [] and conjuncts(None) == []
    assert conjuncts(num(False, "bool")) == [num(False, "bool")]


def test_numbers_that_are_not_negative() -> None:
    with ods.session():
        assert is_natural(ir.AffineExpr.get_constant(0)) and is_natural(ir.AffineExpr.get_constant(2))
        assert not is_natural(ir.AffineExpr.get_constant(-1)) and not is_natural(ir.AffineExpr.get_symbol(0))


# ---------------------------------------------------------------- bounds of binders


def _bounds(low: Any, high: Any, axis: Any = None) -> Any:
    (binder,) = reduce("sum", [("l", low, high)], read("x", "f32", "l")).binders
    return bounds_of(binder, affine(), read("x", "f32", "l"), lambda index, body: axis)


def _is(expr: Any, text: str) -> bool:
    return str(expr) == text


def test_the_form_of_a_binder_follows_from_its_bounds() -> None:
    with ods.session():
        whole = _bounds(0, "N")
        assert _is(whole.range.extent, "s1") and whole.range.shift is None and whole.values is None
        window = _bounds("i", binary("+", "i", 3))
        assert _is(window.range.extent, "3") and window.range.shift == idx("i") and not window.range.constraints
        above = _bounds("i", "N")  # never negative: the index stays absolute over the whole box
        assert _is(above.range.extent, "s1") and above.range.shift is None and len(above.range.constraints) == 2
        below = _bounds(0, "i")
        assert _is(below.range.extent, "s1 - 1") and below.range.shift is None and len(below.range.constraints) == 1
        moved = _bounds(binary("-", "i", 2), binary("+", "k", 1))  # may be negative: shifted, as wide as it can be
        assert _is(moved.range.extent, "s0 * 2 + 2") and moved.range.shift == binary("-", "i", 2)
        assert len(moved.range.constraints) == 1 and moved.values is None


def test_bounds_that_values_decide() -> None:
    at = read("at", "i64", "i")
    with ods.session():
        n = ir.AffineExpr.get_symbol(1)
        counted = _bounds(0, at)
        assert counted.values == (num(0), at) and counted.range == Range(None, None, None)
        read_alone = _bounds(at, "N", axis=n)
        assert read_alone.values == (at, dim("N")) and read_alone.range == Range(None, None, n)
        shifted = _bounds(at, "N")
        assert shifted.range == Range(None, at, None)
        assert shifted.values == (num(0), binary("-", "N", at))


def test_the_axis_that_an_index_reads_alone() -> None:
    plain = read("x", "f32", "k", "i")
    assert unguarded_axis("i", plain) == ("x", 1) and unguarded_axis("k", plain) == ("x", 0)
    assert unguarded_axis("j", plain) is None
    assert unguarded_axis("i", read("x", "f32", binary("+", "i", 1))) is None
    access = (typed.Access.GUARDED,)
    inner = typed.Read(SPAN, "f32", "y", (idx("i"),), access)
    assert unguarded_axis("i", guarded(inner, num(0.0, "f32"))) is None
    both = binary("+", guarded(inner, num(0.0, "f32")), read("z", "f32", "i"))
    assert unguarded_axis("i", both) == ("z", 0)
