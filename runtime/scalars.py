"""Owns run-time scalars: which Python values a dtype takes, and the bits they travel as."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tilewright.runtime.dtypes import DTYPES, numpy_dtype
from tilewright.runtime.errors import CallError

_PACKED: Mapping[str, struct.Struct] = {
    "f16": struct.Struct("<e"),
    "f32": struct.Struct("<f"),
    "f64": struct.Struct("<d"),
}


def encoder(name: str, dtype: str) -> Callable[[Any], int]:
    """A function from a value of scalar ``name`` to its bits, zero-extended to 64 (integers: two's complement).

    It raises ``CallError`` TW1010 for a value of the wrong kind or outside the dtype's range; floats are rounded to
    nearest even, and a finite value that would become infinite is refused.
    """
    if not DTYPES[dtype].is_float:
        return _integer_encoder(name, dtype)
    return _float_encoder(name, dtype)


def _integer_encoder(name: str, dtype: str) -> Callable[[Any], int]:
    low, high = DTYPES[dtype].bound or (0, 0)
    mask = (1 << DTYPES[dtype].bits) - 1

    def encode(value: Any) -> int:
        number = _number(value)
        if not isinstance(number, int):
            raise _refused(name, dtype, value, "an integer")
        if not low <= number <= high:
            raise _refused(name, dtype, value, f"{low} to {high}")
        return number & mask

    return encode


def _float_encoder(name: str, dtype: str) -> Callable[[Any], int]:
    pack = _packer(dtype)

    def encode(value: Any) -> int:
        number = _number(value)
        if isinstance(number, str):
            raise _refused(name, dtype, value, "a number")
        try:
            bits, rounded = pack(float(number))
        except OverflowError:
            raise _refused(name, dtype, value, f"a value within the range of {dtype}") from None
        if math.isinf(rounded) and not math.isinf(number):
            raise _refused(name, dtype, value, f"a value within the range of {dtype}")
        return bits

    return encode


def _packer(dtype: str) -> Callable[[float], tuple[int, float]]:
    """Bits of a float in ``dtype`` and the value they stand for."""
    if dtype in _PACKED:
        packed = _PACKED[dtype]

        def pack(value: float) -> tuple[int, float]:
            raw = packed.pack(value)
            return int.from_bytes(raw, "little"), packed.unpack(raw)[0]

        return pack
    target = numpy_dtype(dtype)

    def pack_narrow(value: float) -> tuple[int, float]:
        with np.errstate(over="ignore", invalid="ignore"):
            rounded = np.asarray(value, np.float32).astype(target)
        return int.from_bytes(rounded.tobytes(), "little"), float(rounded)

    return pack_narrow


def _number(value: Any) -> int | float | str:
    """A plain Python number; a string (its type's name) stands for what is none."""
    if isinstance(value, int | float):
        return value
    if isinstance(value, np.generic) or getattr(value, "shape", None) == ():
        item = value.item()
        return item if isinstance(item, int | float) else type(value).__name__
    return type(value).__name__


def _refused(name: str, dtype: str, value: Any, expected: str) -> CallError:
    found = repr(value) if isinstance(value, int | float | np.generic) else type(value).__name__
    return CallError("TW1010", f"argument {name} does not fit {dtype}", argument=name, expected=expected, found=found)
