"""How the interpreters hold values: NumPy arrays, signless integers as signed ones, i1 as bool, index as int64.

``precision="exact"`` computes each op in its element type (16-bit floats through float32, which rounds correctly).
``"wide"`` holds every float in float64 and rounds only where the IR says so, by a cast.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import ml_dtypes
import numpy as np
import numpy.typing as npt

from tilewright.dialect.mlir import ir

Array = npt.NDArray[Any]
Precision = Literal["exact", "wide"]

_STORAGE: dict[str, Any] = {
    "i1": np.bool_,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "index": np.int64,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f32": np.float32,
    "f64": np.float64,
}

_LANGUAGE: dict[str, Any] = {
    **{name: dtype for name, dtype in _STORAGE.items() if name not in ("i1", "index")},
    "bool": np.bool_,
    "u8": np.uint8,
    "u16": np.uint16,
    "u32": np.uint32,
    "u64": np.uint64,
}

POISON_BYTE = 0xA5
"""Every byte of an integer that was never written."""


def element_of(type_: Any) -> Any:
    """The element type of a shaped type; a scalar type itself."""
    return type_.element_type if isinstance(type_, ir.ShapedType) else type_


def is_float(type_: Any) -> bool:
    return isinstance(element_of(type_), ir.FloatType)


def storage(type_: Any) -> np.dtype[Any]:
    """The dtype that has exactly the values of an element type."""
    found: np.dtype[Any] = np.dtype(_STORAGE[str(element_of(type_))])
    return found


def language_dtype(name: str) -> np.dtype[Any]:
    """The dtype of a language type: ``"u8"``, ``"bool"``, ``"bf16"`` …"""
    found: np.dtype[Any] = np.dtype(_LANGUAGE[name])
    return found


@dataclass(frozen=True)
class Numbers:
    """The dtypes of one interpretation."""

    precision: Precision = "exact"

    def dtype(self, type_: Any) -> np.dtype[Any]:
        """The dtype in which values of this type are held."""
        if self.precision == "wide" and is_float(type_):
            return np.dtype(np.float64)
        return storage(type_)

    def rounded(self, value: Array, type_: Any) -> Array:
        """`value` rounded to the element type, held as this interpretation holds it."""
        return value.astype(storage(type_)).astype(self.dtype(type_))

    def taken(self, value: Any, type_: Any) -> Array:
        """A caller's array or scalar as a value of this type (u8 as the bits of i8, bool as i1 or as a byte)."""
        array = np.asarray(value)
        target = self.dtype(type_)
        if array.dtype.kind == "u" and target.kind == "i":
            return array.astype(f"u{target.itemsize}").view(target)
        return array.astype(target)

    def given(self, value: Array, dtype: str) -> Array:
        """A value as the caller sees it: by the language's dtype; floats stay float64 when wide."""
        target = language_dtype(dtype)
        if target.kind == "u":
            return value.view(target)
        if self.precision == "wide" and value.dtype == np.float64:
            return value
        return value.astype(target)

    def poison(self, shape: tuple[int, ...], type_: Any) -> Array:
        """Values that nothing may depend on: NaN, or a pattern of bytes."""
        dtype = self.dtype(type_)
        if is_float(type_):
            return np.full(shape, np.nan, dtype)
        if dtype == np.bool_:
            return np.ones(shape, np.bool_)
        return np.full(shape, int.from_bytes([POISON_BYTE] * dtype.itemsize, "little", signed=True), dtype)

    def stand_in(self, value: float, array: Array) -> Array:
        """`value` as an element of `array`: a fraction is cut off where integers are held."""
        return np.asarray(value).astype(array.dtype)

    def constant(self, attribute: Any, type_: Any) -> Array:
        """The value of a constant's attribute."""
        dtype = self.dtype(type_)
        if not isinstance(attribute, ir.DenseElementsAttr):
            return _scalar(attribute.value, dtype)
        shape = tuple(type_.shape)
        if attribute.is_splat:
            return np.full(shape, _scalar(attribute.get_splat_value().value, dtype))
        return _dense(attribute, type_).reshape(shape).astype(dtype)


def _scalar(value: Any, dtype: np.dtype[Any]) -> Array:
    """Integers are signless in attributes: 255 : i8 may be written for -1."""
    if dtype.kind == "i":
        bits = 8 * dtype.itemsize
        value = (int(value) + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)
    return np.asarray(value, dtype)


def _dense(attribute: Any, type_: Any) -> Array:
    """The bindings cannot read dense bf16: its text can be."""
    if str(element_of(type_)) != "bf16":
        return np.array(attribute)
    body = str(attribute).partition("<")[2].rpartition(">")[0].rpartition(">")[0]
    words = re.findall(r"0x[0-9A-Fa-f]+|-?[0-9][0-9.eE+-]*", body)
    return np.array([_bfloat16(word) for word in words], ml_dtypes.bfloat16)


def _bfloat16(word: str) -> Any:
    if word.startswith("0x"):
        return np.uint16(int(word, 16)).view(ml_dtypes.bfloat16)
    return ml_dtypes.bfloat16(float(word))
