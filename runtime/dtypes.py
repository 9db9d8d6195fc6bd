"""Owns the language's dtypes as they lie in memory: their names in NumPy, DLPack and PyTorch, and their ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np


@dataclass(frozen=True)
class DType:
    """``dlpack`` is (type code, bits) of DLPack 1.1; ``bound`` the closed range of an integer, None for floats."""

    name: str
    bits: int
    dlpack: tuple[int, int]
    torch: str
    bound: tuple[int, int] | None = None

    @property
    def itemsize(self) -> int:
        return self.bits // 8

    @property
    def is_float(self) -> bool:
        return self.bound is None


def _signed(bits: int) -> DType:
    return DType(f"i{bits}", bits, (0, bits), f"int{bits}", (-(1 << bits - 1), (1 << bits - 1) - 1))


def _unsigned(bits: int) -> DType:
    return DType(f"u{bits}", bits, (1, bits), f"uint{bits}", (0, (1 << bits) - 1))


# Type codes of DLPack: 0 int, 1 uint, 2 float, 4 bfloat, 6 bool, 10 and 12 the two OCP 8-bit floats.
DTYPES: Mapping[str, DType] = {
    dtype.name: dtype
    for dtype in (
        DType("bool", 8, (6, 8), "bool", (0, 1)),
        *(_signed(bits) for bits in (8, 16, 32, 64)),
        *(_unsigned(bits) for bits in (8, 16, 32)),
        DType("f8e4m3", 8, (10, 8), "float8_e4m3fn"),
        DType("f8e5m2", 8, (12, 8), "float8_e5m2"),
        DType("f16", 16, (2, 16), "float16"),
        DType("bf16", 16, (4, 16), "bfloat16"),
        DType("f32", 32, (2, 32), "float32"),
        DType("f64", 64, (2, 64), "float64"),
    )
}

BY_DLPACK: Mapping[tuple[int, int], str] = {dtype.dlpack: name for name, dtype in DTYPES.items()}
BY_TORCH: Mapping[str, str] = {f"torch.{dtype.torch}": name for name, dtype in DTYPES.items()}

_NUMPY_NAMES = {
    "bool": "bool", "i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64", "u8": "uint8", "u16": "uint16",
    "u32": "uint32", "f16": "float16", "f32": "float32", "f64": "float64",
}  # fmt: skip
_ML_NAMES = {"bf16": "bfloat16", "f8e4m3": "float8_e4m3fn", "f8e5m2": "float8_e5m2"}
_NAMES_OF_NUMPY = {numpy_name: name for name, numpy_name in (*_NUMPY_NAMES.items(), *_ML_NAMES.items())}


@cache
def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype of a language dtype; the narrow floats are ml_dtypes'."""
    if name in _NUMPY_NAMES:
        return np.dtype(_NUMPY_NAMES[name])
    import ml_dtypes

    narrow: np.dtype[Any] = np.dtype(getattr(ml_dtypes, _ML_NAMES[name]))
    return narrow


@cache
def name_of_numpy(dtype: np.dtype[Any]) -> str | None:
    """The language dtype of a NumPy dtype in native byte order, None where there is none."""
    return _NAMES_OF_NUMPY.get(dtype.name) if dtype.isnative else None
