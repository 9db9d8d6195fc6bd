"""Owns constant folding: operations on literals whose value is exact.

What rounds is left to the back ends, as ``exp`` and its like are: LLVM folds it too, and the interpreters that judge
passes hold more digits than the type and would see the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from tilewright.dialect.mlir import arith, ir
from tilewright.passes.tensor.program import Apply, Constant
from tilewright.passes.tensor.structure import predicate

Number = Any
"""A NumPy scalar of the operand's type, or a Python integer."""

_FLOATS: dict[str, Any] = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64}


def folded(node: Apply) -> Constant | None:
    """The value of an operation on constants, or None where it is not folded."""
    operands = [operand for operand in node.arguments if isinstance(operand, Constant)]
    if len(operands) != len(node.arguments) or not operands:
        return None
    rule = _RULES.get(node.name)
    if rule is None:
        return None
    values = [_value(operand) for operand in operands]
    with np.errstate(all="ignore"):
        value = rule(node, *values)
        if value is None or (node.name in _ROUNDING and _is_rounded(node, value, values)):
            return None
    return constant(node.type, value, node.location)


def _is_rounded(node: Apply, value: Number, operands: list[Number]) -> bool:
    """Whether ``value`` differs from what f64 gives; f64 itself is what the interpreters hold."""
    if node.name in _FROM_INTEGERS:
        return bool(float(value) != operands[0])
    wide = _RULES[node.name](node, *(np.float64(operand) for operand in operands))
    return bool(np.float64(value) != wide and wide == wide)


def constant(type_: Any, value: Number, location: Any) -> Constant:
    """A constant of an MLIR type; integers wrap to its width."""
    if isinstance(type_, ir.FloatType):
        return Constant(type_, location, ir.FloatAttr.get(type_, float(value)))
    return Constant(type_, location, ir.IntegerAttr.get(type_, _signed(int(value), _bits(type_))))


def _value(node: Constant) -> Number:
    if isinstance(node.type, ir.FloatType):
        return _FLOATS[str(node.type)](node.value)
    return _signed(int(node.value), _bits(node.type))


def _bits(type_: Any) -> int:
    return 64 if isinstance(type_, ir.IndexType) else int(ir.IntegerType(type_).width)


def _signed(value: int, bits: int) -> int:
    half = 1 << (bits - 1)
    return ((value + half) & ((1 << bits) - 1)) - half


def _unsigned(value: int, bits: int) -> int:
    return value & ((1 << bits) - 1)


# ---------------------------------------------------------------- rules


def _same(function: Callable[..., Number]) -> Callable[..., Number]:
    return lambda node, *operands: function(*operands)


def _on_unsigned(function: Callable[..., Number]) -> Callable[..., Number]:
    return lambda node, *operands: function(*(_unsigned(o, _bits(node.arguments[0].type)) for o in operands))


def _floor_divide(node: Apply, left: int, right: int) -> Number:
    return None if right == 0 else left // right


def _shift(node: Apply, value: int, amount: int) -> Number:
    bits = _bits(node.type)
    if not 0 <= amount < bits:
        return None
    if node.name == "arith.shli":
        return value << amount
    return (value if node.name == "arith.shrsi" else _unsigned(value, bits)) >> amount


def _compare_integers(node: Apply, left: int, right: int) -> Number:
    P = arith.CmpIPredicate
    which, bits = predicate(node), _bits(node.arguments[0].type)
    if which in {p.value for p in (P.ult, P.ule, P.ugt, P.uge)}:
        left, right = _unsigned(left, bits), _unsigned(right, bits)
    relations: tuple[tuple[tuple[Any, ...], bool], ...] = (
        ((P.eq,), left == right), ((P.ne,), left != right), ((P.slt, P.ult), left < right),
        ((P.sle, P.ule), left <= right), ((P.sgt, P.ugt), left > right), ((P.sge, P.uge), left >= right),
    )  # fmt: skip
    return next(holds for names, holds in relations if which in {p.value for p in names})


def _compare_floats(node: Apply, left: Number, right: Number) -> Number:
    F = arith.CmpFPredicate
    unordered = bool(left != left or right != right)
    table = {
        F.OLT: left < right, F.OLE: left <= right, F.OGT: left > right, F.OGE: left >= right,
        F.OEQ: left == right, F.UNE: left != right, F.ORD: not unordered, F.UNO: unordered,
    }  # fmt: skip
    return next((bool(holds) for which, holds in table.items() if which.value == predicate(node)), None)


def _extreme(choose: Callable[[Number, Number], bool]) -> Callable[..., Number]:
    def rule(node: Apply, left: Number, right: Number) -> Number:
        if left != left or right != right:
            return left + right
        if left == right == 0:
            return None  # the sign of a zero is the hardware's choice
        return left if choose(left, right) else right

    return rule


def _to_float(node: Apply, value: Number) -> Number:
    return _FLOATS[str(node.type)](value)


def _narrowed(node: Apply, value: Number) -> Number:
    """f64 to the 16-bit types would round twice on the way NumPy takes; it is left alone."""
    if str(node.arguments[0].type) == "f64" and str(node.type) != "f32":
        return None
    return _FLOATS[str(node.type)](value)


def _from_unsigned(node: Apply, value: int) -> Number:
    return _FLOATS[str(node.type)](_unsigned(value, _bits(node.arguments[0].type)))


def _extended_unsigned(node: Apply, value: int) -> Number:
    return _unsigned(value, _bits(node.arguments[0].type))


def _to_integer(node: Apply, value: Number) -> Number:
    limit = 2.0 ** (_bits(node.type) - int(node.name == "arith.fptosi"))
    inside = -limit <= float(value) < limit if node.name == "arith.fptosi" else 0 <= float(value) < limit
    return int(value) if inside else None


_FROM_INTEGERS = frozenset({"arith.sitofp", "arith.uitofp"})
_ROUNDING = _FROM_INTEGERS | {"arith.addf", "arith.subf", "arith.mulf", "arith.divf", "math.sqrt"}

_RULES: dict[str, Callable[..., Number]] = {
    "arith.addf": _same(lambda a, b: a + b),
    "arith.subf": _same(lambda a, b: a - b),
    "arith.mulf": _same(lambda a, b: a * b),
    "arith.divf": _same(lambda a, b: a / b),
    "arith.negf": _same(lambda a: -a),
    "arith.maximumf": _extreme(lambda a, b: bool(a > b)),
    "arith.minimumf": _extreme(lambda a, b: bool(a < b)),
    "math.absf": _same(abs),
    "math.sqrt": _same(np.sqrt),
    "math.floor": _same(np.floor),
    "math.ceil": _same(np.ceil),
    "math.trunc": _same(np.trunc),
    "math.roundeven": _same(np.rint),
    "arith.addi": _same(lambda a, b: a + b),
    "arith.subi": _same(lambda a, b: a - b),
    "arith.muli": _same(lambda a, b: a * b),
    "arith.andi": _same(lambda a, b: a & b),
    "arith.ori": _same(lambda a, b: a | b),
    "arith.xori": _same(lambda a, b: a ^ b),
    "arith.maxsi": _same(max),
    "arith.minsi": _same(min),
    "arith.maxui": _on_unsigned(max),
    "arith.minui": _on_unsigned(min),
    "arith.floordivsi": _floor_divide,
    "arith.divui": lambda node, a, b: None if b == 0 else _on_unsigned(lambda x, y: x // y)(node, a, b),
    "arith.remui": lambda node, a, b: None if b == 0 else _on_unsigned(lambda x, y: x % y)(node, a, b),
    "arith.shli": _shift,
    "arith.shrsi": _shift,
    "arith.shrui": _shift,
    "arith.cmpi": _compare_integers,
    "arith.cmpf": _compare_floats,
    "arith.extf": _to_float,
    "arith.truncf": _narrowed,
    "arith.sitofp": _to_float,
    "arith.uitofp": _from_unsigned,
    "arith.fptosi": _to_integer,
    "arith.fptoui": _to_integer,
    "arith.extsi": _same(lambda a: a),
    "arith.extui": _extended_unsigned,
    "arith.trunci": _same(lambda a: a),
    "arith.index_cast": _same(lambda a: a),
    "arith.index_castui": _extended_unsigned,
}
