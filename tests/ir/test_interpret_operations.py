"""The meaning of scalar ops at both levels, against Python's own arithmetic."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

import numpy as np
import pytest

from tilewright.dialect import ods
from tilewright.dialect.interpret.faults import InterpreterFault
from tilewright.dialect.interpret.numbers import Numbers, Precision
from tilewright.dialect.interpret.operations import OPERATIONS, apply
from tilewright.dialect.mlir import ir

NAN, INF = math.nan, math.inf


def evaluate(line: str, types: list[str], values: list[object], precision: Precision = "exact") -> list[object]:
    """Run one op, written with ``%0, %1 …`` for its operands, on scalars."""
    arguments = ", ".join(f"%{number}: {type_}" for number, type_ in enumerate(types))
    with ods.session():
        module = ir.Module.parse(f"func.func @f({arguments}) {{ %r = {line}\n return }}")
        block = ods.ops_of(module.body)[0].regions[0].blocks[0]
        numbers = Numbers(precision)
        arrays = [numbers.taken(value, argument.type) for value, argument in zip(values, block.arguments, strict=True)]
        return [result[()] for result in apply(numbers, ods.ops_of(block)[0], arrays)]


def one(line: str, types: list[str], *values: object, precision: Precision = "exact") -> object:
    (result,) = evaluate(line, types, list(values), precision)
    return result


def wrapped(value: int, bits: int) -> int:
    return (value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


EDGES = [-128, -127, -7, -3, -1, 0, 1, 2, 3, 7, 100, 127]

SIGNED: dict[str, Callable[[int, int], int]] = {
    "addi": lambda a, b: a + b,
    "subi": lambda a, b: a - b,
    "muli": lambda a, b: a * b,
    "andi": lambda a, b: a & b,
    "ori": lambda a, b: a | b,
    "xori": lambda a, b: a ^ b,
    "maxsi": max,
    "minsi": min,
    "maxui": lambda a, b: max(a % 256, b % 256),
    "minui": lambda a, b: min(a % 256, b % 256),
}


@pytest.mark.parametrize("name", SIGNED)
def test_integers_wrap(name: str) -> None:
    for a in EDGES:
        for b in EDGES:
            assert one(f"arith.{name} %0, %1 : i8", ["i8", "i8"], a, b) == wrapped(SIGNED[name](a, b), 8)


DIVISIONS: dict[str, Callable[[int, int], int]] = {
    "divsi": lambda a, b: int(math.trunc(a / b)),
    "remsi": lambda a, b: int(math.fmod(a, b)),
    "floordivsi": lambda a, b: a // b,
    "ceildivsi": lambda a, b: -(-a // b),
    "divui": lambda a, b: (a % 256) // (b % 256),
    "remui": lambda a, b: (a % 256) % (b % 256),
    "ceildivui": lambda a, b: -(-(a % 256) // (b % 256)),
}


@pytest.mark.parametrize("name", DIVISIONS)
def test_divisions_round_as_named(name: str) -> None:
    for a in EDGES:
        for b in EDGES:
            if b != 0 and (a, b) != (-128, -1):
                assert one(f"arith.{name} %0, %1 : i8", ["i8", "i8"], a, b) == wrapped(DIVISIONS[name](a, b), 8)


@pytest.mark.parametrize("name", DIVISIONS)
def test_divisions_that_trap_are_faults(name: str) -> None:
    with pytest.raises(InterpreterFault, match="divides by zero"):
        one(f"arith.{name} %0, %1 : i8", ["i8", "i8"], 5, 0)
    if not name.endswith("ui"):
        with pytest.raises(InterpreterFault, match="least number by -1"):
            one(f"arith.{name} %0, %1 : i8", ["i8", "i8"], -128, -1)


@pytest.mark.parametrize(
    ("line", "values", "expected"),
    [
        ("arith.shli %0, %1 : i8", (0x41, 1), -126),
        ("arith.shrsi %0, %1 : i8", (-8, 2), -2),
        ("arith.shrui %0, %1 : i8", (-8, 2), 62),
        ("math.ctpop %0 : i8", (-1,), 8),
        ("math.ctlz %0 : i8", (3,), 6),
        ("math.cttz %0 : i8", (8,), 3),
        ("math.cttz %0 : i8", (0,), 8),
        ("math.absi %0 : i8", (-128,), -128),
        ("math.ipowi %0, %1 : i8", (3, 4), 81),
        ("math.ipowi %0, %1 : i8", (-1, -3), -1),
    ],
)
def test_bits_and_shifts(line: str, values: tuple[int, ...], expected: int) -> None:
    assert one(line, ["i8"] * len(values), *values) == expected


def test_a_shift_by_the_width_is_poison_not_a_number_to_rely_on() -> None:
    assert one("arith.shli %0, %1 : i32", ["i32", "i32"], 1, 32) == np.int32(np.uint32(0xA5A5A5A5).view(np.int32))


def test_extended_products() -> None:
    line = "arith.mulsi_extended %0, %1 : i32"
    low, high = pair(line, -5, 2**31 - 1)
    assert (low % 2**32) + high * 2**32 == -5 * (2**31 - 1)


def pair(line: str, a: int, b: int) -> tuple[int, int]:
    with ods.session():
        module = ir.Module.parse(f"func.func @f(%0: i32, %1: i32) {{ %l, %h = {line}\n return }}")
        op = ods.ops_of(ods.ops_of(module.body)[0].regions[0].blocks[0])[0]
        low, high = apply(Numbers(), op, [np.asarray(a, np.int32), np.asarray(b, np.int32)])
        return int(low), int(high)


PREDICATES = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "slt": lambda a, b: a < b,
    "sle": lambda a, b: a <= b,
    "sgt": lambda a, b: a > b,
    "sge": lambda a, b: a >= b,
    "ult": lambda a, b: a % 256 < b % 256,
    "ule": lambda a, b: a % 256 <= b % 256,
    "ugt": lambda a, b: a % 256 > b % 256,
    "uge": lambda a, b: a % 256 >= b % 256,
}


@pytest.mark.parametrize("predicate", PREDICATES)
def test_integer_comparisons(predicate: str) -> None:
    for a, b in [(-1, 1), (1, -1), (5, 5), (-128, 127), (0, -1)]:
        assert one(f"arith.cmpi {predicate}, %0, %1 : i8", ["i8", "i8"], a, b) == PREDICATES[predicate](a, b)


FLOAT_PREDICATES = {
    "eq": lambda a, b: a == b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "ne": lambda a, b: a != b,
}


@pytest.mark.parametrize("predicate", FLOAT_PREDICATES)
def test_float_comparisons(predicate: str) -> None:
    for a, b in [(1.0, 2.0), (2.0, 1.0), (1.0, 1.0), (-0.0, 0.0), (NAN, 1.0), (1.0, NAN), (INF, INF)]:
        nan = math.isnan(a) or math.isnan(b)
        plain = FLOAT_PREDICATES[predicate](a, b)
        assert one(f"arith.cmpf o{predicate}, %0, %1 : f32", ["f32", "f32"], a, b) == (plain and not nan)
        assert one(f"arith.cmpf u{predicate}, %0, %1 : f32", ["f32", "f32"], a, b) == (plain or nan)
        assert one("arith.cmpf ord, %0, %1 : f32", ["f32", "f32"], a, b) == (not nan)
        assert one("arith.cmpf uno, %0, %1 : f32", ["f32", "f32"], a, b) == nan


@pytest.mark.parametrize(("name", "larger"), [("maximumf", True), ("minimumf", False)])
def test_nan_wins_and_zeros_are_ordered(name: str, larger: bool) -> None:
    for a, b in [(NAN, 1.0), (1.0, NAN), (NAN, INF)]:
        assert math.isnan(float(one(f"arith.{name} %0, %1 : f32", ["f32", "f32"], a, b)))  # type: ignore[arg-type]
    for a, b in [(-0.0, 0.0), (0.0, -0.0)]:
        zero = float(one(f"arith.{name} %0, %1 : f32", ["f32", "f32"], a, b))  # type: ignore[arg-type]
        assert math.copysign(1, zero) == (1 if larger else -1)
    other = "maxnumf" if larger else "minnumf"
    assert one(f"arith.{other} %0, %1 : f32", ["f32", "f32"], NAN, 1.0) == 1.0


REFERENCES: dict[str, Callable[[float], float]] = {
    "exp": math.exp,
    "exp2": lambda x: 2.0**x,
    "expm1": math.expm1,
    "log": lambda x: math.log(abs(x)),
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "tanh": math.tanh,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "erf": math.erf,
    "erfc": math.erfc,
    "atan": math.atan,
    "asinh": math.asinh,
    "floor": math.floor,
    "ceil": math.ceil,
    "trunc": math.trunc,
    "absf": abs,
    "cbrt": lambda x: math.copysign(abs(x) ** (1 / 3), x),
    "roundeven": round,
    "round": lambda x: math.copysign(math.floor(abs(x) + 0.5), x),
}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("element", ["f64", "f32", "f16", "bf16"])
def test_functions(name: str, element: str) -> None:
    tolerance = {"f64": 1e-15, "f32": 3e-7, "f16": 6e-4, "bf16": 5e-3}[element]
    for x in (0.5, 1.5, 2.5, 0.25, -1.25, -2.5):
        value = abs(x) if name == "log" else x
        found = float(one(f"math.{name} %0 : {element}", [element], value))  # type: ignore[arg-type]
        assert abs(found - REFERENCES[name](value)) <= 4 * tolerance * max(1e-2, abs(REFERENCES[name](value)))


def test_sixteen_bit_floats_round_after_every_op_unless_wide() -> None:
    assert one("arith.addf %0, %1 : bf16", ["bf16", "bf16"], 256.0, 1.0) == 256.0
    assert one("arith.addf %0, %1 : bf16", ["bf16", "bf16"], 256.0, 1.0, precision="wide") == 257.0
    assert one("arith.truncf %0 : f32 to bf16", ["f32"], 257.0, precision="wide") == 256.0
    assert one("arith.extf %0 : bf16 to f32", ["bf16"], 257.0, precision="wide") == 257.0


@pytest.mark.parametrize(
    ("line", "type_", "value", "expected"),
    [
        ("arith.extsi %0 : i8 to i32", "i8", -3, -3),
        ("arith.extui %0 : i8 to i32", "i8", -3, 253),
        ("arith.extsi %0 : i1 to i8", "i1", True, -1),
        ("arith.extui %0 : i1 to i8", "i1", True, 1),
        ("arith.trunci %0 : i32 to i8", "i32", 300, 44),
        ("arith.trunci %0 : i32 to i1", "i32", 3, True),
        ("arith.index_cast %0 : i8 to index", "i8", -3, -3),
        ("arith.index_castui %0 : i8 to index", "i8", -3, 253),
        ("arith.sitofp %0 : i8 to f32", "i8", -3, -3.0),
        ("arith.uitofp %0 : i8 to f32", "i8", -3, 253.0),
        ("arith.uitofp %0 : i1 to f32", "i1", True, 1.0),
        ("arith.fptosi %0 : f32 to i8", "f32", -3.9, -3),
        ("arith.fptoui %0 : f32 to i8", "f32", 200.5, -56),
        ("arith.sitofp %0 : i32 to f32", "i32", 2**24 + 1, 2.0**24),
        ("arith.bitcast %0 : f32 to i32", "f32", 1.0, struct.unpack("i", struct.pack("f", 1.0))[0]),
        ("arith.bitcast %0 : i16 to bf16", "i16", 0x3FC0, 1.5),
        ("math.isnan %0 : f32", "f32", NAN, True),
        ("math.isinf %0 : f32", "f32", -INF, True),
        ("math.isfinite %0 : f32", "f32", NAN, False),
    ],
)
@pytest.mark.parametrize("precision", ["exact", "wide"])
def test_casts(line: str, type_: str, value: object, expected: object, precision: Precision) -> None:
    assert one(line, [type_], value, precision=precision) == expected


@pytest.mark.parametrize(
    ("line", "types", "values", "expected"),
    [
        ("math.fma %0, %1, %2 : f32", ["f32"] * 3, (2.0, 3.0, 4.0), 10.0),
        ("math.powf %0, %1 : f32", ["f32"] * 2, (2.0, 3.0), 8.0),
        ("math.fpowi %0, %1 : f32, i32", ["f32", "i32"], (2.0, -2), 0.25),
        ("math.copysign %0, %1 : f32", ["f32"] * 2, (2.0, -0.0), -2.0),
        ("math.atan2 %0, %1 : f64", ["f64"] * 2, (1.0, -1.0), math.atan2(1, -1)),
        ("math.rsqrt %0 : f32", ["f32"], (4.0,), 0.5),
        ("arith.remf %0, %1 : f32", ["f32"] * 2, (-7.0, 4.0), -3.0),
        ("arith.negf %0 : f32", ["f32"], (1.0,), -1.0),
        ("arith.divf %0, %1 : f32", ["f32"] * 2, (1.0, 0.0), INF),
        ("arith.select %0, %1, %2 : f32", ["i1", "f32", "f32"], (False, 1.0, 2.0), 2.0),
    ],
)
def test_other_ops(line: str, types: list[str], values: tuple[object, ...], expected: float) -> None:
    assert one(line, types, *values) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dense<[1.5, -2.0]> : tensor<2xbf16>", [1.5, -2.0]),
        ("dense<[0x7F80, 0.5]> : tensor<2xbf16>", [INF, 0.5]),
        ("dense<[1.5, -2.0]> : tensor<2xf16>", [1.5, -2.0]),
        ("dense<[true, false]> : tensor<2xi1>", [True, False]),
        ("dense<255> : tensor<2xi8>", [-1, -1]),
        ("dense<[[1], [2]]> : tensor<2x1xindex>", [[1], [2]]),
    ],
)
def test_constants(text: str, expected: list[object]) -> None:
    with ods.session():
        module = ir.Module.parse(f"func.func @f() {{ %c = arith.constant {text}\n return }}")
        op = ods.ops_of(ods.ops_of(module.body)[0].regions[0].blocks[0])[0]
        assert apply(Numbers(), op, [])[0].tolist() == expected


def test_an_op_without_meaning_is_refused_by_name() -> None:
    assert "arith.scaling_extf" not in OPERATIONS
    with pytest.raises(InterpreterFault, match="math.sincos: this op has no meaning"), ods.session():
        module = ir.Module.parse("func.func @f(%0: f32) { %s, %c = math.sincos %0 : f32\n return }")
        apply(Numbers(), ods.ops_of(ods.ops_of(module.body)[0].regions[0].blocks[0])[0], [np.float32(1)])
