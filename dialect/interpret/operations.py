"""The meaning of the ``arith`` and ``math`` ops that may stand at our levels: op name to NumPy function.

A function takes the op and the arrays of its operands and returns the arrays of its results. Integers wrap; what C
leaves undefined and MLIR calls poison (a shift by the width) gives a fixed odd pattern, and what traps (a division by
zero) is an `InterpreterFault`: the emitter must guard both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tilewright.dialect.interpret.faults import InterpreterFault
from tilewright.dialect.interpret.numbers import Array, Numbers, storage
from tilewright.dialect.mlir import ir

Meaning = Callable[[Numbers, Any, list[Array]], list[Array]]


def signed(value: Array) -> Array:
    """The signed reading of a signless integer (i1: 0 or -1)."""
    return -value.astype(np.int8) if value.dtype == np.bool_ else value


def unsigned(value: Array) -> Array:
    """The unsigned reading of a signless integer."""
    if value.dtype == np.bool_:
        return value.astype(np.uint8)
    return np.asarray(value).view(f"u{value.dtype.itemsize}")


def signless(value: Array, dtype: np.dtype[Any]) -> Array:
    """An integer array of any width reduced to the width of `dtype`."""
    if dtype == np.bool_:
        return (value & 1).astype(np.bool_)
    return value.astype(dtype)


# ---------------------------------------------------------------- floats


def _through_f32(value: Array) -> Array:
    return value.astype(np.float32) if value.dtype.itemsize == 2 else value


def _floats(function: Callable[..., Array]) -> Meaning:
    """A function of floats, rounded to the type of the result."""

    def meaning(numbers: Numbers, op: Any, values: list[Array]) -> list[Array]:
        result = function(*(_through_f32(value) for value in values))
        return [np.asarray(result).astype(numbers.dtype(op.results[0].type))]

    return meaning


def _maximum(a: Array, b: Array) -> Array:
    """NaN wins; +0 is above -0."""
    return np.asarray(np.where((a == 0) & (b == 0), np.where(np.signbit(a), b, a), np.maximum(a, b)))


def _minimum(a: Array, b: Array) -> Array:
    return np.asarray(np.where((a == 0) & (b == 0), np.where(np.signbit(a), a, b), np.minimum(a, b)))


def _erf(value: Array) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(value.astype(np.float64))).astype(value.dtype)


def _erfc(value: Array) -> Array:
    return np.asarray(np.vectorize(math.erfc, otypes=[np.float64])(value.astype(np.float64))).astype(value.dtype)


def _round_half_away(value: Array) -> Array:
    whole = np.trunc(value)
    return np.where(np.abs(value - whole) >= 0.5, whole + np.copysign(np.ones_like(value), value), whole)


def _fma(a: Array, b: Array, c: Array) -> Array:
    wide = a.astype(np.float64) * b.astype(np.float64) + c.astype(np.float64)
    return wide.astype(a.dtype)


FLOAT_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "arith.addf": np.add,
    "arith.subf": np.subtract,
    "arith.mulf": np.multiply,
    "arith.divf": np.divide,
    "arith.remf": np.fmod,
    "arith.negf": np.negative,
    "arith.maximumf": _maximum,
    "arith.minimumf": _minimum,
    "arith.maxnumf": np.fmax,
    "arith.minnumf": np.fmin,
    "math.absf": np.abs,
    "math.acos": np.arccos,
    "math.acosh": np.arccosh,
    "math.asin": np.arcsin,
    "math.asinh": np.arcsinh,
    "math.atan": np.arctan,
    "math.atan2": np.arctan2,
    "math.atanh": np.arctanh,
    "math.cbrt": np.cbrt,
    "math.ceil": np.ceil,
    "math.copysign": np.copysign,
    "math.cos": np.cos,
    "math.cosh": np.cosh,
    "math.erf": _erf,
    "math.erfc": _erfc,
    "math.exp": np.exp,
    "math.exp2": np.exp2,
    "math.expm1": np.expm1,
    "math.floor": np.floor,
    "math.fma": _fma,
    "math.log": np.log,
    "math.log10": np.log10,
    "math.log1p": np.log1p,
    "math.log2": np.log2,
    "math.powf": np.power,
    "math.round": _round_half_away,
    "math.roundeven": np.rint,
    "math.rsqrt": lambda x: 1 / np.sqrt(x),
    "math.sin": np.sin,
    "math.sinh": np.sinh,
    "math.sqrt": np.sqrt,
    "math.tan": np.tan,
    "math.tanh": np.tanh,
    "math.trunc": np.trunc,
}


# ---------------------------------------------------------------- integers


def _integers(function: Callable[..., Array], read: Callable[[Array], Array] = signed) -> Meaning:
    """A function of integers that wraps; `read` chooses their signedness."""

    def meaning(numbers: Numbers, op: Any, values: list[Array]) -> list[Array]:
        result = np.asarray(function(*(read(value) for value in values)))
        return [signless(result, numbers.dtype(op.results[0].type))]

    return meaning


def _division(function: Callable[[Array, Array], Array], read: Callable[[Array], Array]) -> Meaning:
    def meaning(numbers: Numbers, op: Any, values: list[Array]) -> list[Array]:
        left, right = read(values[0]), read(values[1])
        if np.any(right == 0):
            raise InterpreterFault(op, "divides by zero, which traps")
        if left.dtype.kind == "i" and np.any((right == -1) & (left == np.iinfo(left.dtype).min)):
            raise InterpreterFault(op, "divides the least number by -1, which traps")
        return [signless(np.asarray(function(left, right)), numbers.dtype(op.results[0].type))]

    return meaning


def _truncating(left: Array, right: Array) -> Array:
    quotient = left // right
    return np.asarray(quotient + ((left - quotient * right != 0) & ((left < 0) != (right < 0))))


def _ceiling(left: Array, right: Array) -> Array:
    quotient = left // right
    return np.asarray(quotient + (quotient * right != left))


def _shift(function: Callable[[Array, Array], Array], read: Callable[[Array], Array]) -> Meaning:
    def meaning(numbers: Numbers, op: Any, values: list[Array]) -> list[Array]:
        amount = unsigned(values[1])
        width = 1 if values[0].dtype == np.bool_ else 8 * values[0].dtype.itemsize
        left = read(values[0])
        inside = amount < width
        shifted = function(left, np.where(inside, amount, 0).astype(left.dtype))
        poison = numbers.poison((), op.results[0].type)
        return [np.where(inside, signless(np.asarray(shifted), poison.dtype), poison)]

    return meaning


def _extended(read: Callable[[Array], Array]) -> Meaning:
    """Low and high half of the full product."""

    def meaning(numbers: Numbers, op: Any, values: list[Array]) -> list[Array]:
        dtype = numbers.dtype(op.results[0].type)
        bits = 8 * dtype.itemsize
        product = np.asarray(read(values[0]).astype(object) * read(values[1]).astype(object), dtype=object)
        mask = (1 << bits) - 1
        halves = [product & mask, (product >> bits) & mask]
        return [np.asarray(half, object).astype(f"u{dtype.itemsize}").view(dtype) for half in halves]

    return meaning


def _leading_zeros(value: Array) -> Array:
    bits = 8 * value.dtype.itemsize
    return np.asarray(np.sum([value >> np.array(shift, value.dtype) == 0 for shift in range(bits)], axis=0))


def _trailing_zeros(value: Array) -> Array:
    bits = 8 * value.dtype.itemsize
    return np.asarray(np.sum([value << np.array(shift, value.dtype) == 0 for shift in range(bits)], axis=0))


def _integer_power(base: Array, exponent: Array) -> Array:
    if np.any(exponent < 0):
        ones = np.where(base == 1, 1, np.where(base == -1, np.where(exponent % 2 == 0, 1, -1), 0))
        return np.where(exponent < 0, ones, base ** np.maximum(exponent, 0))
    return np.asarray(base**exponent)


INTEGER_MEANINGS: dict[str, Meaning] = {
    "arith.addi": _integers(np.add),
    "arith.subi": _integers(np.subtract),
    "arith.muli": _integers(np.multiply),
    "arith.andi": _integers(np.bitwise_and),
    "arith.ori": _integers(np.bitwise_or),
    "arith.xori": _integers(np.bitwise_xor),
    "arith.maxsi": _integers(np.maximum),
    "arith.minsi": _integers(np.minimum),
    "arith.maxui": _integers(np.maximum, unsigned),
    "arith.minui": _integers(np.minimum, unsigned),
    "arith.divsi": _division(_truncating, signed),
    "arith.divui": _division(np.floor_divide, unsigned),
    "arith.floordivsi": _division(np.floor_divide, signed),
    "arith.ceildivsi": _division(_ceiling, signed),
    "arith.ceildivui": _division(_ceiling, unsigned),
    "arith.remsi": _division(np.fmod, signed),
    "arith.remui": _division(np.fmod, unsigned),
    "arith.shli": _shift(np.left_shift, signed),
    "arith.shrsi": _shift(np.right_shift, signed),
    "arith.shrui": _shift(np.right_shift, unsigned),
    "arith.mulsi_extended": _extended(signed),
    "arith.mului_extended": _extended(unsigned),
    "math.absi": _integers(np.abs),
    "math.ctpop": _integers(np.bitwise_count, unsigned),
    "math.ctlz": _integers(_leading_zeros, unsigned),
    "math.cttz": _integers(_trailing_zeros, unsigned),
    "math.ipowi": _integers(_integer_power),
}


# ---------------------------------------------------------------- comparisons, choice, casts

_INT_PREDICATES: tuple[tuple[Callable[[Array, Array], Array], Callable[[Array], Array]], ...] = (
    (np.equal, signed),
    (np.not_equal, signed),
    (np.less, signed),
    (np.less_equal, signed),
    (np.greater, signed),
    (np.greater_equal, signed),
    (np.less, unsigned),
    (np.less_equal, unsigned),
    (np.greater, unsigned),
    (np.greater_equal, unsigned),
)

_ORDERED = (np.equal, np.greater, np.greater_equal, np.less, np.less_equal, np.not_equal)


def _predicate(op: Any) -> int:
    return int(ir.IntegerAttr(op.attributes["predicate"]).value)


def _cmpi(numbers: Numbers, op: Any, values: list[Array]) -> list[Array]:
    compare, read = _INT_PREDICATES[_predicate(op)]
    return [np.asarray(compare(read(values[0]), read(values[1])))]


def _cmpf(numbers: Numbers, op: Any, values: list[Array]) -> list[Array]:
    """Predicates in MLIR's order: false, six ordered, ord, six unordered, uno, true."""
    predicate = _predicate(op)
    left, right = (_through_f32(value) for value in values)
    nan = np.isnan(left) | np.isnan(right)
    if predicate in (0, 15):
        return [np.full(nan.shape, predicate == 15)]
    if predicate in (7, 14):
        return [nan if predicate == 14 else ~nan]
    if predicate < 7:
        return [~nan & _ORDERED[predicate - 1](left, right)]
    return [nan | _ORDERED[predicate - 8](left, right)]


def _select(numbers: Numbers, op: Any, values: list[Array]) -> list[Array]:
    return [np.where(*values)]


def _float_cast(numbers: Numbers, op: Any, values: list[Array]) -> list[Array]:
    """A cast rounds. One that only undoes a widening does not, also where values are held wider than their type."""
    owner = op.operands[0].owner
    widened = not isinstance(owner, ir.Block) and owner.name == "arith.extf"
    if numbers.precision == "wide" and widened and owner.operands[0].type == op.results[0].type:
        return values
    return [numbers.rounded(values[0], op.results[0].type)]


def _extend(numbers: Numbers, op: Any, values: list[Array]) -> list[Array]:
    return [values[0].astype(numbers.dtype(op.results[0].type))]


def _integer_cast(read: Callable[[Array], Array]) -> Meaning:
    def meaning(numbers: Numbers, op: Any, values: list[Array]) -> list[Array]:
        return [signless(read(values[0]), numbers.dtype(op.results[0].type))]

    return meaning


def _to_float(read: Callable[[Array], Array]) -> Meaning:
    def meaning(numbers: Numbers, op: Any, values: list[Array]) -> list[Array]:
        type_ = op.results[0].type
        whole = read(values[0])
        return [whole.astype(storage(type_)).astype(numbers.dtype(type_))]

    return meaning


def _to_integer(low_bits: int) -> Meaning:
    """`low_bits` is 1 for a signed target (one bit is the sign), 0 for an unsigned one."""

    def meaning(numbers: Numbers, op: Any, values: list[Array]) -> list[Array]:
        type_ = op.results[0].type
        dtype = numbers.dtype(type_)
        bits = 1 if dtype == np.bool_ else 8 * dtype.itemsize
        whole = np.trunc(values[0].astype(np.float64))
        low, high = -(2.0 ** (bits - 1)) if low_bits else 0.0, 2.0 ** (bits - low_bits)
        inside = (whole >= low) & (whole < high)
        safe = np.where(inside, whole, 0.0).astype(np.int64 if low_bits else np.uint64)
        return [np.where(inside, signless(safe, dtype), numbers.poison((), type_))]

    return meaning


def _bitcast(numbers: Numbers, op: Any, values: list[Array]) -> list[Array]:
    source, target = op.operands[0].type, op.results[0].type
    bits = np.ascontiguousarray(values[0].astype(storage(source)))
    return [bits.view(storage(target)).reshape(values[0].shape).astype(numbers.dtype(target))]


def _float_class(function: Callable[[Array], Array]) -> Meaning:
    def meaning(numbers: Numbers, op: Any, values: list[Array]) -> list[Array]:
        return [np.asarray(function(_through_f32(values[0])))]

    return meaning


def _power_of_integer(numbers: Numbers, op: Any, values: list[Array]) -> list[Array]:
    base = _through_f32(values[0])
    return [np.power(base, values[1].astype(base.dtype)).astype(numbers.dtype(op.results[0].type))]


def _constant(numbers: Numbers, op: Any, values: list[Array]) -> list[Array]:
    return [numbers.constant(op.attributes["value"], op.results[0].type)]


OPERATIONS: dict[str, Meaning] = {
    **{name: _floats(function) for name, function in FLOAT_FUNCTIONS.items()},
    **INTEGER_MEANINGS,
    "arith.constant": _constant,
    "arith.cmpi": _cmpi,
    "arith.cmpf": _cmpf,
    "arith.select": _select,
    "arith.extf": _extend,
    "arith.truncf": _float_cast,
    "arith.extsi": _integer_cast(signed),
    "arith.extui": _integer_cast(unsigned),
    "arith.trunci": _integer_cast(signed),
    "arith.index_cast": _integer_cast(signed),
    "arith.index_castui": _integer_cast(unsigned),
    "arith.sitofp": _to_float(signed),
    "arith.uitofp": _to_float(unsigned),
    "arith.fptosi": _to_integer(1),
    "arith.fptoui": _to_integer(0),
    "arith.bitcast": _bitcast,
    "math.fpowi": _power_of_integer,
    "math.isnan": _float_class(np.isnan),
    "math.isinf": _float_class(np.isinf),
    "math.isfinite": _float_class(np.isfinite),
}
"""Every scalar op that may stand at the tensor and the tile level."""


def apply(numbers: Numbers, op: Any, values: list[Array]) -> list[Array]:
    """The results of one ``arith`` or ``math`` op on arrays that broadcast."""
    meaning = OPERATIONS.get(op.name)
    if meaning is None:
        raise InterpreterFault(op, "this op has no meaning at this level")
    with np.errstate(all="ignore"):
        return meaning(numbers, op, values)
