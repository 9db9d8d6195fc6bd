"""Owns the element types of the language at the tensor level: dtype names, MLIR types, constants.

IR types are signless: what a dtype says about the sign is kept here and turns into the choice of operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tilewright.compiler.language.typed import INDEX
from tilewright.dialect.faults import InternalFault
from tilewright.dialect.folds import constant_of
from tilewright.dialect.mlir import ir

_INTEGER_BITS = {"bool": 1, "i8": 8, "i16": 16, "i32": 32, "i64": 64, "u8": 8, "u16": 16, "u32": 32}
_FLOAT_BITS = {"f16": 16, "bf16": 16, "f32": 32, "f64": 64}
_UNSIGNED = frozenset({"bool", "u8", "u16", "u32"})
INDEX_BITS = 64


@dataclass(frozen=True)
class Kind:
    """What operations depend on: ``name`` is the dtype or ``"index"``."""

    name: str
    is_float: bool
    bits: int
    unsigned: bool


def kind_of(dtype: str) -> Kind:
    """The kind of a dtype; InternalFault for one that has no type at the tensor level (f8)."""
    if dtype == INDEX:
        return Kind(dtype, False, INDEX_BITS, False)
    if dtype in _FLOAT_BITS:
        return Kind(dtype, True, _FLOAT_BITS[dtype], False)
    if dtype in _INTEGER_BITS:
        return Kind(dtype, False, _INTEGER_BITS[dtype], dtype in _UNSIGNED)
    raise InternalFault(f"dtype {dtype!r} has no element type at the tensor level")


def mlir_type(dtype: str) -> Any:
    """The signless MLIR type of a dtype, ``index`` for index arithmetic."""
    kind = kind_of(dtype)
    if dtype == INDEX:
        return ir.IndexType.get()
    if not kind.is_float:
        return ir.IntegerType.get_signless(kind.bits)
    return {"f16": ir.F16Type, "bf16": ir.BF16Type, "f32": ir.F32Type, "f64": ir.F64Type}[dtype].get()


def constant(dtype: str, value: bool | int | float) -> Any:
    """``arith.constant``; integers wrap to the type's width (the checker has refused those that do not fit)."""
    kind = kind_of(dtype)
    if kind.is_float:
        return constant_of(mlir_type(dtype), float(value))
    return constant_of(mlir_type(dtype), _signed(int(value), kind.bits))


def _signed(value: int, bits: int) -> int:
    if bits == 1:
        return -(value & 1)
    half = 1 << (bits - 1)
    return ((value + half) & ((1 << bits) - 1)) - half
