"""Owns what ``arith`` ops mean on machine values: the same op, except for half types and forms LLVM has no answer to.

``math`` ops are in ``math.py``. A rule is a function from machine operands to the machine result; it works on scalars
and on vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tilewright.dialect.mlir import ir
from tilewright.passes.machine import math
from tilewright.passes.machine.elements import from_f32, is_half, machine_type, rounded, to_f32
from tilewright.passes.machine.emit import Emitter, element_of

Rule = Callable[..., Any]

FLOAT_OPS = frozenset(
    ["arith.addf", "arith.subf", "arith.mulf", "arith.divf", "arith.negf", "arith.remf",
     "arith.maximumf", "arith.minimumf", "arith.maxnumf", "arith.minnumf"]
)  # fmt: skip
INT_OPS = frozenset(
    ["arith.addi", "arith.subi", "arith.muli", "arith.andi", "arith.ori", "arith.xori", "arith.shli", "arith.shrsi",
     "arith.shrui", "arith.maxsi", "arith.maxui", "arith.minsi", "arith.minui"]
)  # fmt: skip
DIVISIONS = frozenset(["arith.divsi", "arith.divui", "arith.remsi", "arith.remui"])
CAST_OPS = frozenset(
    ["arith.extsi", "arith.extui", "arith.trunci", "arith.index_cast", "arith.index_castui", "arith.sitofp",
     "arith.uitofp", "arith.fptosi", "arith.fptoui", "arith.extf", "arith.truncf", "arith.bitcast"]
)  # fmt: skip
ROUNDED_DIVISIONS = frozenset(["arith.floordivsi", "arith.ceildivsi"])
OTHER_OPS = frozenset(["arith.select", "arith.cmpf", "arith.cmpi"])
OPS = FLOAT_OPS | INT_OPS | DIVISIONS | CAST_OPS | ROUNDED_DIVISIONS | OTHER_OPS | math.OPS


def rule_of(emitter: Emitter, op: Any) -> Rule:
    """The machine meaning of an elementwise op of the tile level."""
    name = op.name
    source = element_of(op.operands[0].type)
    if name in FLOAT_OPS:
        return _float_rule(emitter, op, source)
    if name in math.OPS:
        return math.rule_of(emitter, op, source)
    if name in CAST_OPS:
        return _cast_rule(emitter, name, source, element_of(op.results[0].type))
    if name in DIVISIONS:
        return lambda a, b: _division(emitter, name, a, b)
    if name in ROUNDED_DIVISIONS:
        return lambda a, b: _rounded_division(emitter, name, a, b)
    if name == "arith.cmpf":
        return _compare_float_rule(emitter, op, source)
    if name == "arith.cmpi":
        predicate = op.attributes["predicate"]
        return lambda a, b: emitter.value(name, emitter.like(a.type, emitter.i1), a, b, predicate=predicate)
    if name == "arith.select":
        return emitter.select
    return lambda *values: emitter.same(name, *values)


def _float_rule(emitter: Emitter, op: Any, element: Any) -> Rule:
    name = op.name
    attributes = {"fastmath": op.attributes["fastmath"]} if "fastmath" in op.attributes else {}
    if name in ("arith.maximumf", "arith.minimumf"):
        plain: Rule = lambda a, b: extreme(emitter, name == "arith.maximumf", a, b)  # noqa: E731
    else:
        plain = lambda *values: emitter.same(name, *values, **attributes)  # noqa: E731
    if is_half(element):
        return lambda *values: rounded(emitter, element, plain, *values)
    return plain


def extreme(e: Emitter, largest: bool, a: Any, b: Any) -> Any:
    """max or min of floats where NaN wins. Three instructions on x86: its max gives the second operand on NaN."""
    chosen = e.select(e.compare_float("ogt" if largest else "olt", a, b), a, b)
    return e.select(e.compare_float("uno", a, a), a, chosen)


def _compare_float_rule(emitter: Emitter, op: Any, element: Any) -> Rule:
    predicate = op.attributes["predicate"]

    def compare(a: Any, b: Any) -> Any:
        if is_half(element):
            a, b = to_f32(emitter, a, element), to_f32(emitter, b, element)
        return emitter.value("arith.cmpf", emitter.like(a.type, emitter.i1), a, b, predicate=predicate)

    return compare


# ---------------------------------------------------------------- conversions


def _cast_rule(emitter: Emitter, name: str, source: Any, target: Any) -> Rule:
    if name == "arith.extf" or name == "arith.truncf":
        return lambda value: convert_float(emitter, value, source, target)
    if name == "arith.bitcast":
        return lambda value: _bitcast(emitter, value, target)
    return lambda value: _convert_number(emitter, name, value, source, target)


def convert_float(emitter: Emitter, value: Any, source: Any, target: Any) -> Any:
    """A float of type ``source`` as ``target``, rounded to nearest even; f64 to a half is rounded once."""
    if source == target:
        return value
    if is_half(target) and source == emitter.f64:
        value = _round_to_odd(emitter, value)
    elif source == emitter.f64:
        return emitter.value("arith.truncf", emitter.like(value.type, emitter.f32), value)
    if is_half(source):
        value = to_f32(emitter, value, source)
    if is_half(target):
        return from_f32(emitter, value, target)
    if target == emitter.f64:
        return emitter.value("arith.extf", emitter.like(value.type, emitter.f64), value)
    return value


def _round_to_odd(e: Emitter, value: Any) -> Any:
    """f64 to f32 rounded to odd, so that a second rounding to fewer bits is as if done once (Boldo, Melquiond 2008)."""
    near = e.value("arith.truncf", e.like(value.type, e.f32), value)
    back = e.value("arith.extf", value.type, near)
    bits = e.bitcast(near, e.i32)
    number = partial(e.constant, bits.type)
    exact = e.compare_float("ueq", back, value)
    magnitude = partial(e.same, "math.absf")
    away = e.compare_float("ogt", magnitude(back), magnitude(value))
    toward_zero = e.select(away, e.same("arith.subi", bits, number(1)), bits)
    odd = e.same("arith.ori", toward_zero, number(1))
    return e.bitcast(e.select(exact, bits, odd), e.f32)


def _bitcast(emitter: Emitter, value: Any, target: Any) -> Any:
    machine = machine_type(emitter, target)
    return value if element_of(value.type) == machine else emitter.bitcast(value, machine)


def _convert_number(emitter: Emitter, name: str, value: Any, source: Any, target: Any) -> Any:
    """Integer conversions, and between integers and floats; halves go through f32 (exact enough: one rounding more
    is avoided by converting wide integers in f64)."""
    if is_half(target):
        wide = emitter.f64 if str(source) in ("i32", "i64", "index") else emitter.f32
        number = emitter.value(name, emitter.like(value.type, wide), value)
        return convert_float(emitter, number, wide, target)
    if is_half(source):
        value = to_f32(emitter, value, source)
    return emitter.value(name, emitter.like(value.type, target), value)


def _division(e: Emitter, name: str, a: Any, b: Any) -> Any:
    """Truncating division or remainder that never traps: lanes that a mask left out may hold a zero divisor."""
    if _is_harmless(b):
        return e.same(name, a, b)
    zero, one = e.constant(b.type, 0), e.constant(b.type, 1)
    divisor = e.select(e.compare_int("eq", b, zero), one, b)
    if name in ("arith.divui", "arith.remui"):
        return e.same(name, a, divisor)
    minus_one = e.compare_int("eq", b, e.constant(b.type, -1))
    result = e.same(name, a, e.select(minus_one, one, divisor))
    return e.select(minus_one, e.same("arith.subi", zero, a), result) if name == "arith.divsi" else result


def _is_harmless(divisor: Any) -> bool:
    """Whether the divisor is written in the program, and is neither 0 nor -1."""
    owner = divisor.owner
    if isinstance(owner, ir.Block) or owner.name != "arith.constant":
        return False
    value = owner.attributes["value"]
    if isinstance(value, ir.DenseElementsAttr):
        if not value.is_splat:
            return False
        value = value.get_splat_value()
    return ir.IntegerAttr(value).value not in (0, -1)


def _rounded_division(e: Emitter, name: str, a: Any, b: Any) -> Any:
    """Division of integers rounded down or up, from the truncating one."""
    zero, one = e.constant(a.type, 0), e.constant(a.type, 1)
    quotient = _division(e, "arith.divsi", a, b)
    rest = e.same("arith.subi", a, e.same("arith.muli", quotient, b))
    inexact = e.compare_int("ne", rest, zero)
    opposite = e.compare_int("slt", e.same("arith.xori", a, b), zero)
    if name == "arith.floordivsi":
        return e.select(e.same("arith.andi", inexact, opposite), e.same("arith.subi", quotient, one), quotient)
    same_sign = e.same("arith.xori", opposite, e.constant(opposite.type, -1))
    return e.select(e.same("arith.andi", inexact, same_sign), e.same("arith.addi", quotient, one), quotient)
