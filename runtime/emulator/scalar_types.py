"""PTX scalar types and how their bits are viewed by NumPy (PTX ISA, "Fundamental Types")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class ScalarType:
    """One PTX type.

    Attributes:
        name: spelling without the dot, e.g. ``"s32"``.
        bits: width; predicates count one bit.
        kind: ``b`` untyped, ``u`` unsigned, ``s`` signed, ``f`` IEEE float with a NumPy type, ``x`` other packed or
            small float held as raw bits, ``p`` predicate.
        dtype: the NumPy view of a register of this type.
    """

    name: str
    bits: int
    kind: str
    dtype: np.dtype[Any]

    @property
    def signed(self) -> bool:
        return self.kind == "s"

    @property
    def is_integer(self) -> bool:
        return self.kind in "bus"


UNSIGNED: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.bool_),
    8: np.dtype(np.uint8),
    16: np.dtype(np.uint16),
    32: np.dtype(np.uint32),
    64: np.dtype(np.uint64),
}
SIGNED: dict[int, np.dtype[Any]] = {
    8: np.dtype(np.int8),
    16: np.dtype(np.int16),
    32: np.dtype(np.int32),
    64: np.dtype(np.int64),
}
FLOAT: dict[int, np.dtype[Any]] = {16: np.dtype(np.float16), 32: np.dtype(np.float32), 64: np.dtype(np.float64)}


def _table() -> dict[str, ScalarType]:
    rows = [ScalarType("pred", 1, "p", UNSIGNED[1])]
    for bits in (8, 16, 32, 64):
        rows.append(ScalarType(f"b{bits}", bits, "b", UNSIGNED[bits]))
        rows.append(ScalarType(f"u{bits}", bits, "u", UNSIGNED[bits]))
        rows.append(ScalarType(f"s{bits}", bits, "s", SIGNED[bits]))
    rows.extend(ScalarType(f"f{bits}", bits, "f", FLOAT[bits]) for bits in (16, 32, 64))
    raw = {
        "bf16": 16,
        "f16x2": 32,
        "bf16x2": 32,
        "tf32": 32,
        "e4m3": 8,
        "e5m2": 8,
        "e4m3x2": 16,
        "e5m2x2": 16,
        "e4m3x4": 32,
        "e5m2x4": 32,
        "u16x2": 32,
        "s16x2": 32,
        "f32x2": 64,
    }
    rows.extend(ScalarType(name, bits, "x", UNSIGNED[bits]) for name, bits in raw.items())
    rows.append(ScalarType("b128", 128, "b", UNSIGNED[64]))
    return {row.name: row for row in rows}


TYPES: dict[str, ScalarType] = _table()
PRED = TYPES["pred"]
U32 = TYPES["u32"]
B32 = TYPES["b32"]
B64 = TYPES["b64"]


def bits_type(bits: int) -> ScalarType:
    """The untyped type of a width."""
    return PRED if bits == 1 else TYPES[f"b{bits}"]
