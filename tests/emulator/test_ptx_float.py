"""Floating-point instructions in every rounding mode, on corners and random values, against exact integer references.

PTX ISA, "Floating-Point Instructions" and "Half Precision Floating-Point Instructions". NaN results count as equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from itertools import product as pairs
from typing import Any

import numpy as np
import pytest
from tests.emulator.scalar_ptx import Array, apply, execute
from tests.emulator.scalar_reference import FORMATS, NAN, Value, of_fraction, product, quotient, root, total

MODES = ("rn", "rz", "rm", "rp")
SEED = int(np.random.default_rng().integers(2**31))
ONE = Value(0, 1)


@lru_cache(maxsize=8)
def corners(kind: str) -> list[int]:
    """Zero, subnormals, the smallest normal, values about 1, the largest, infinity, NaN, of both signs."""
    form = FORMATS[kind]
    tiny, one = 1 << form.mantissa, form.bias << form.mantissa
    half = 1 << (form.mantissa - 1)
    found = [0, 1, tiny - 1, tiny, tiny + 1, one - 1, one, one + 1, one + half, one + tiny, one + tiny + half]
    found += [form.largest - 1, form.largest, form.infinity, form.nan]
    return found + [code | 1 << (form.width - 1) for code in found]


def random_codes(kind: str, count: int, seed: int, spread: int = 20) -> list[int]:
    """Values about 1, so that sums cancel and products stay in range, and a few of any exponent."""
    form, rng = FORMATS[kind], np.random.default_rng([SEED, seed])
    spread = min(spread, form.bias - 1)
    exponent = rng.integers(form.bias - spread, form.bias + spread, count)
    exponent[::8] = rng.integers(0, 2 * form.bias + 1, len(exponent[::8]))
    fraction = rng.integers(0, 1 << form.mantissa, count)
    fraction[::3] &= ~((1 << (form.mantissa // 2)) - 1)
    sign = rng.integers(0, 2, count)
    return [
        int(s) << (form.width - 1) | int(e) << form.mantissa | int(f)
        for s, e, f in zip(sign, exponent, fraction, strict=True)
    ]


def check(
    opcode: str, kind: str, columns: Sequence[Sequence[int]], reference: Callable[..., Value], mode: str = "rn"
) -> None:
    """Compare with the rounded reference; the reference of a NaN input is NaN unless it says otherwise."""
    print("seed", SEED)
    form = FORMATS[kind]
    storage = f"u{form.width // 8}"
    found = apply(opcode, [(f"b{form.width}", np.array(column, storage)) for column in columns], f"b{form.width}")
    for row, code in zip(zip(*columns, strict=True), found.tolist(), strict=True):
        expected = form.encode(reference(*map(form.decode, row)), mode)
        if expected == form.nan and form.decode(code).nan:
            continue
        assert code == expected, f"{opcode} of {[hex(c) for c in row]}: {code:#x}, expected {expected:#x}"


def columns(kind: str, arity: int, count: int = 600) -> list[list[int]]:
    """All tuples of corners for one and two operands, some of them for three, and random rows."""
    every = list(pairs(corners(kind), repeat=arity))
    if len(every) > 2000:
        every = [every[i] for i in np.random.default_rng([SEED, 9]).integers(0, len(every), 2000)]
    rows = [list(column) for column in zip(*every, strict=True)]
    return [column + random_codes(kind, count, index) for index, column in enumerate(rows)]


EXACT: dict[str, tuple[int, Callable[..., Value]]] = {
    "mul": (2, product),
    "div": (2, quotient),
    "rcp": (1, lambda a: quotient(ONE, a)),
    "sqrt": (1, root),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", sorted(EXACT))
@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_products_quotients_and_roots(kind: str, name: str, mode: str) -> None:
    arity, reference = EXACT[name]
    check(f"{name}.{mode}.{kind}", kind, columns(kind, arity), reference, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_sums(kind: str, mode: str) -> None:
    a, b = columns(kind, 2)
    check(f"add.{mode}.{kind}", kind, [a, b], lambda x, y: total(x, y, mode), mode)
    check(f"sub.{mode}.{kind}", kind, [a, b], lambda x, y: total(x, y.negated(), mode), mode)
    close = [code ^ 1 << (FORMATS[kind].width - 1) for code in a]
    check(f"add.{mode}.{kind}", kind, [a, close], lambda x, y: total(x, y, mode), mode)


def negated_product(kind: str, a: list[int], b: list[int]) -> list[int]:
    """-(a*b) rounded, so that a*b + c leaves only the rounding error."""
    form = FORMATS[kind]
    return [form.encode(product(form.decode(x), form.decode(y)).negated()) for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_fused_multiply_add(kind: str, mode: str) -> None:
    def reference(a: Value, b: Value, c: Value) -> Value:
        return total(product(a, b), c, mode)

    a, b, c = columns(kind, 3)
    check(f"fma.{mode}.{kind}", kind, [a, b, c], reference, mode)
    check(f"fma.{mode}.{kind}", kind, [a, b, negated_product(kind, a, b)], reference, mode)
    if kind == "f32":
        check(f"mad.{mode}.f32", kind, [a, b, c], reference, mode)


# -- flushing and saturation ------------------------------------------------------------------------------------------


def flushed(value: Value) -> Value:
    small = value.m is not None and value.m.bit_length() + value.e <= -126
    return Value(value.sign) if small else value


def clamped(value: Value) -> Value:
    if value.nan or value.sign or value.m == 0:
        return Value(0)
    return ONE if value.m is None or value.fraction() > 1 else value


@pytest.mark.parametrize("name", ["add", "mul", "fma", "div", "sqrt", "rcp", "min", "max", "neg", "abs"])
def test_ftz_flushes_inputs_and_results(name: str) -> None:
    """Results are flushed after rounding, so that what rounds up to the smallest normal number stays."""
    table: dict[str, tuple[int, Callable[..., Value]]] = {
        **EXACT,
        "add": (2, total),
        "fma": (3, lambda a, b, c: total(product(a, b), c)),
        "min": (2, lambda a, b: smaller(a, b)),
        "max": (2, lambda a, b: smaller(a, b, largest=True)),
        "neg": (1, Value.negated),
        "abs": (1, lambda a: Value(0, a.m, a.e, a.nan)),
    }
    arity, reference = table[name]
    single = FORMATS["f32"]

    def through(*values: Value) -> Value:
        return flushed(single.decode(single.encode(reference(*map(flushed, values)))))

    rounding = ".rn" if name in ("div", "sqrt", "rcp", "fma") else ""
    check(f"{name}{rounding}.ftz.f32", "f32", columns("f32", arity), through)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "fma"])
def test_sat_clamps_to_the_unit_interval(name: str) -> None:
    reference = HALF[name][1]
    rounding = ".rn" if name == "fma" else ""
    check(
        f"{name}{rounding}.sat.f32", "f32", columns("f32", 3 if name == "fma" else 2),
        lambda *values: clamped(reference(*values)),
    )  # fmt: skip


# -- minimum and maximum ----------------------------------------------------------------------------------------------


def order(value: Value) -> Any:
    """-0 before +0; infinities at the ends."""
    if value.m is None:
        return (Fraction(-(2**2000) if value.sign else 2**2000), 0)
    return (value.fraction(), -value.sign)


def smaller(a: Value, b: Value, largest: bool = False, quiet: bool = True) -> Value:
    """PTX ``min`` and ``max``: of a number and NaN the number, unless ``.NaN``."""
    if a.nan or b.nan:
        return (b if a.nan else a) if quiet else NAN
    return (max if largest else min)(a, b, key=order)


@pytest.mark.parametrize("name", ["min", "max"])
@pytest.mark.parametrize("kind", ["f32", "f64", "f16", "bf16"])
def test_minimum_and_maximum(kind: str, name: str) -> None:
    largest = name == "max"
    data = columns(kind, 2, 200)
    check(f"{name}.{kind}", kind, data, lambda a, b: smaller(a, b, largest))
    if kind == "f64":
        return
    check(f"{name}.NaN.{kind}", kind, data, lambda a, b: smaller(a, b, largest, quiet=False))

    def by_magnitude(a: Value, b: Value, quiet: bool) -> Value:
        found = smaller(Value(0, a.m, a.e, a.nan), Value(0, b.m, b.e, b.nan), largest, quiet)
        return found if found.nan else Value(a.sign ^ b.sign, found.m, found.e)

    numbers = [row for row in zip(*data, strict=True) if not any(FORMATS[kind].decode(code).nan for code in row)]
    named = [list(column) for column in zip(*numbers, strict=True)]
    check(f"{name}.xorsign.abs.{kind}", kind, named, lambda a, b: by_magnitude(a, b, True))
    check(f"{name}.NaN.xorsign.abs.{kind}", kind, data, lambda a, b: by_magnitude(a, b, False))


@pytest.mark.parametrize("name", ["min", "max"])
def test_minimum_of_three(name: str) -> None:
    data, largest = columns("f32", 3, 200), name == "max"
    check(f"{name}.f32", "f32", data, lambda a, b, c: smaller(smaller(a, b, largest), c, largest))
    check(
        f"{name}.NaN.f32", "f32", data,
        lambda a, b, c: smaller(smaller(a, b, largest, False), c, largest, False),
    )  # fmt: skip


# -- half precision ---------------------------------------------------------------------------------------------------

HALF: dict[str, tuple[int, Callable[..., Value]]] = {
    "add": (2, total),
    "sub": (2, lambda a, b: total(a, b.negated())),
    "mul": (2, product),
    "fma": (3, lambda a, b, c: total(product(a, b), c)),
}


@pytest.mark.parametrize("name", sorted(HALF))
@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_half_arithmetic_rounds_once(kind: str, name: str) -> None:
    arity, reference = HALF[name]
    data = columns(kind, arity)
    check(f"{name}.rn.{kind}", kind, data, reference)
    if name == "fma":
        check(f"fma.rn.{kind}", kind, [*data[:2], negated_product(kind, *data[:2])], reference)
        check(f"fma.rn.relu.{kind}", kind, data, lambda *v: positive(reference(*v)))
    if kind == "f16":
        check(f"{name}.rn.sat.f16", kind, data, lambda *v: clamped(reference(*v)))


def positive(value: Value) -> Value:
    return Value(0) if value.sign and not value.nan else value


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_packed_halves_are_two_halves(kind: str) -> None:
    for name, arity in (("add", 2), ("fma", 3), ("min", 2), ("max.NaN", 2), ("neg", 1), ("abs", 1)):
        data = [np.array(column, np.uint32) for column in columns(kind, arity, 301)]
        rounding = ".rn" if name in ("add", "fma") else ""
        one = apply(f"{name}{rounding}.{kind}", [("b16", column) for column in data], "b16").astype(np.uint32)
        packed = [column << 16 | column[::-1] for column in data]
        two = apply(f"{name}{rounding}.{kind}x2", [("b32", column) for column in packed], "b32")
        np.testing.assert_array_equal(two, one << 16 | one[::-1])


# -- signs and classes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_signs_and_classes(kind: str) -> None:
    form = FORMATS[kind]
    codes = columns(kind, 1)[0]
    values = [form.decode(code) for code in codes]
    check(f"neg.{kind}", kind, [codes], Value.negated)
    check(f"abs.{kind}", kind, [codes], lambda a: Value(0, a.m, a.e, a.nan))
    top, storage = 1 << (form.width - 1), f"u{form.width // 8}"
    source = [(f"b{form.width}", np.array(column, storage)) for column in (codes[::-1], codes)]
    expected = [code & ~top | sign & top for sign, code in zip(codes[::-1], codes, strict=True)]
    assert apply(f"copysign.{kind}", source, f"b{form.width}").tolist() == expected
    normal = [v.finite and v.m != 0 and v.m is not None and v.m.bit_length() > form.mantissa for v in values]
    tests = {
        "finite": [v.finite for v in values], "infinite": [v.infinite for v in values],
        "notanumber": [v.nan for v in values], "number": [not v.nan for v in values], "normal": normal,
        "subnormal": [v.finite and v.m != 0 and not n for v, n in zip(values, normal, strict=True)],
    }  # fmt: skip
    for name, members in tests.items():
        found = execute(f"testp.{name}.{kind} o0, a0;", [(f"b{form.width}", np.array(codes, storage))], ["pred"])[0]
        np.testing.assert_array_equal(found.astype(bool), members, err_msg=name)


# -- approximate functions: the correctly rounded value ---------------------------------------------------------------

DIGITS = 60


def _power(x: Fraction) -> Fraction:
    if abs(x) > 300:
        return Fraction(2) ** (400 if x > 0 else -400)
    with localcontext() as context:
        context.prec = DIGITS
        return Fraction((Decimal(x.numerator) / Decimal(x.denominator) * Decimal(2).ln()).exp())


def _logarithm(x: Fraction) -> Fraction:
    with localcontext() as context:
        context.prec = DIGITS
        return Fraction((Decimal(x.numerator).ln() - Decimal(x.denominator).ln()) / Decimal(2).ln())


def _series(x: Fraction, first: int) -> Fraction:
    """Sine (first = 1) or cosine (0) of a moderate argument by its power series, 200 bits beyond the point."""
    scale = 1 << 260
    value, term = 0, int(scale * (x if first else 1))
    square, k = int(x * x * scale), first
    while term:
        value += term
        term = (
            -term * square // ((k + 1) * (k + 2) * scale)
            if term > 0
            else -(term * square) // ((k + 1) * (k + 2) * scale)
        )
        k += 2
        if abs(term) <= 1:
            break
    return Fraction(value, scale)


def _hyperbolic_tangent(x: Fraction) -> Fraction:
    if abs(x) > 40:
        return Fraction(1 if x > 0 else -1) * (1 - Fraction(1, 2**100))
    with localcontext() as context:
        context.prec = DIGITS + 60
        power = (2 * Decimal(x.numerator) / Decimal(x.denominator)).exp()
        return Fraction((power - 1) / (power + 1))


def _of(
    function: Callable[[Fraction], Fraction], at_zero: Value | None, infinite: Callable[[int], Value]
) -> Callable[[Value], Value]:
    def reference(x: Value) -> Value:
        if x.nan:
            return NAN
        if x.m is None:
            return infinite(x.sign)
        if x.m == 0 and at_zero is not None:
            return at_zero if at_zero.m != 0 or at_zero.infinite else Value(x.sign)
        return of_fraction(function(x.fraction()))

    return reference


def _never(_: int) -> Value:
    return NAN


FUNCTIONS: dict[str, Callable[[Value], Value]] = {
    "ex2.approx": _of(_power, ONE, lambda sign: Value(0) if sign else Value(0, None)),
    "sin.approx": _of(lambda x: _series(x, 1), Value(0), _never),
    "cos.approx": _of(lambda x: _series(x, 0), ONE, _never),
    "tanh.approx": _of(_hyperbolic_tangent, Value(0), lambda sign: Value(sign, 1)),
    "rcp.approx": lambda a: quotient(ONE, a),
    "sqrt.approx": root,
    "rsqrt.approx": lambda a: quotient(ONE, root(a)) if a.m == 0 or not a.finite else _of_root(a),
    "lg2.approx": lambda a: _logarithm_of(a),
}


def _of_root(a: Value) -> Value:
    """1/sqrt(a) as sqrt(1/a), so that one rounding remains."""
    return NAN if a.sign else root(of_fraction(1 / a.fraction()))


def _logarithm_of(a: Value) -> Value:
    if a.m == 0:
        return Value(1, None)
    if a.nan or a.sign:
        return NAN
    return Value(0, None) if a.m is None else of_fraction(_logarithm(a.fraction()))


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_functions_are_correctly_rounded(name: str) -> None:
    """Corners of the ISA's tables and 400 values; arguments of sine and cosine up to 64."""
    codes = corners("f32") + random_codes("f32", 400, 77, 6)
    if name in ("sin.approx", "cos.approx"):
        single = FORMATS["f32"]
        values = [single.decode(code) for code in codes]
        codes = [c for c, v in zip(codes, values, strict=True) if not v.finite or abs(v.fraction()) < 64]
    check(f"{name}.f32", "f32", [codes], FUNCTIONS[name])


@pytest.mark.parametrize("name", ["div.approx", "div.full"])
def test_approximate_division_is_correctly_rounded(name: str) -> None:
    check(f"{name}.f32", "f32", columns("f32", 2, 200), quotient)


@pytest.mark.parametrize(("name", "kind"), [("ex2.approx", "f16"), ("tanh.approx", "f16"), ("tanh.approx", "bf16")])
def test_half_functions_are_correctly_rounded(name: str, kind: str) -> None:
    check(f"{name}.{kind}", kind, [corners(kind) + random_codes(kind, 300, 78, 6)], FUNCTIONS[name])


@pytest.mark.parametrize("kind", ["f64"])
def test_double_reciprocal_root(kind: str) -> None:
    """``rsqrt.approx.f64`` stays within the ISA's relative error of 2^-22."""
    codes = [c for c in random_codes(kind, 300, 79, 200) if not c >> 63]
    form = FORMATS[kind]
    found: Array = apply("rsqrt.approx.f64", [("b64", np.array(codes, np.uint64))], "f64")
    for code, value in zip(codes, found.tolist(), strict=True):
        x = form.decode(code)
        if x.finite and x.m:
            assert abs(Fraction(value) ** 2 * x.fraction() - 1) < Fraction(1, 2**21)
