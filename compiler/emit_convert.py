"""Owns conversions between dtypes: what ``Cast`` and ``bitcast`` become in ``arith``.

Floats to integers truncate and saturate and NaN gives 0; integers to narrower integers saturate; floats round to
nearest even. Every expansion is free of traps and poison, because bodies are straight-line code.
"""

from __future__ import annotations

from typing import Any

from tilewright.compiler.emit_types import Kind, constant, kind_of, mlir_type
from tilewright.compiler.language.typed import INDEX
from tilewright.dialect.mlir import arith, math

P = arith.CmpIPredicate
F = arith.CmpFPredicate


def convert(value: Any, source: str, target: str) -> Any:
    """``value`` of dtype ``source`` as dtype ``target``."""
    if source == target:
        return value
    start, end = kind_of(source), kind_of(target)
    if target == "bool":
        return _to_bool(value, start)
    if start.is_float and end.is_float:
        return _float_to_float(value, start, end)
    if start.is_float:
        return _float_to_integer(value, start, end)
    if end.is_float:
        return _integer_to_float(value, start, end)
    return _integer_to_integer(value, start, end)


def bitcast(value: Any, source: str, target: str) -> Any:
    """The same bits as another dtype of the same width."""
    if mlir_type(source) == mlir_type(target):
        return value
    return arith.bitcast(mlir_type(target), value)


def _to_bool(value: Any, start: Kind) -> Any:
    zero = constant(start.name, 0)
    if start.is_float:
        return arith.cmpf(F.UNE, value, zero)
    return arith.cmpi(P.ne, value, zero)


def _float_to_float(value: Any, start: Kind, end: Kind) -> Any:
    change = arith.extf if start.bits < end.bits else arith.truncf
    return change(mlir_type(end.name), value)


def _integer_to_float(value: Any, start: Kind, end: Kind) -> Any:
    if start.name == INDEX:
        value = arith.index_cast(mlir_type("i64"), value)
    change = arith.uitofp if start.unsigned else arith.sitofp
    return change(mlir_type(end.name), value)


def _float_to_integer(value: Any, start: Kind, end: Kind) -> Any:
    """Truncate; the range is tested on the truncated float, whose limits are powers of two and so exact."""
    if start.bits < 32:
        value, start = arith.extf(mlir_type("f32"), value), kind_of("f32")
    whole = math.trunc(value)
    low, high = _range(end)
    below = arith.cmpf(F.OLT, whole, constant(start.name, float(low)))
    above = arith.cmpf(F.OGE, whole, constant(start.name, float(high + 1)))
    number = arith.cmpf(F.ORD, value, value)
    inside = arith.andi(number, arith.xori(arith.ori(below, above), constant("bool", True)))
    safe = arith.select(inside, whole, constant(start.name, 0.0))
    truncate = arith.fptoui if end.unsigned else arith.fptosi
    narrow = truncate(mlir_type(end.name), safe)
    saturated = arith.select(above, constant(end.name, high), narrow)
    return arith.select(below, constant(end.name, low), saturated)


def _range(kind: Kind) -> tuple[int, int]:
    if kind.unsigned:
        return 0, (1 << kind.bits) - 1
    return -(1 << (kind.bits - 1)), (1 << (kind.bits - 1)) - 1


def _integer_to_integer(value: Any, start: Kind, end: Kind) -> Any:
    return _resize(_clamped(value, start, end), start, end)


def _clamped(value: Any, start: Kind, end: Kind) -> Any:
    """``value`` limited to what ``end`` can hold, still in the type of ``start``."""
    (low, high), (least, most) = _range(start), _range(end)
    if low < least:
        value = arith.maxsi(value, constant(start.name, least))
    if high > most:
        smaller = arith.minui if start.unsigned else arith.minsi
        value = smaller(value, constant(start.name, most))
    return value


def _resize(value: Any, start: Kind, end: Kind) -> Any:
    """Change the width; the value is known to fit, index counts as i64."""
    if start.bits == end.bits and INDEX not in (start.name, end.name):
        return value
    type_ = mlir_type(end.name)
    if INDEX in (start.name, end.name):
        change = arith.index_castui if start.unsigned else arith.index_cast
        return change(type_, value)
    if start.bits > end.bits:
        return arith.trunci(type_, value)
    return (arith.extui if start.unsigned else arith.extsi)(type_, value)
