"""Owns reading a DLPack capsule: where the tensor lies and what it is, without consuming the capsule.

Structures and codes follow the DLPack specification 1.1 (``DLManagedTensor`` and ``DLManagedTensorVersioned``).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from tilewright.runtime.dtypes import BY_DLPACK

_CPU_DEVICES = (1, 3)  # kDLCPU, kDLCUDAHost: host memory
_CUDA_DEVICES = (2, 13)  # kDLCUDA, kDLCUDAManaged
_READ_ONLY = 1  # DLPACK_FLAG_BITMASK_READ_ONLY


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    ]


@dataclass(frozen=True, slots=True)
class Description:
    """A tensor behind a capsule; ``dtype`` is None when the language has no such type."""

    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str | None
    type_code: tuple[int, int, int]
    writable: bool
    device: str
    capsule: Any


def describe(value: Any) -> Description:
    """What ``value.__dlpack__()`` exports; ``BufferError`` or ``ValueError`` where it exports nothing readable."""
    capsule = _export(value)
    tensor, writable = _read(capsule)
    shape = tuple(tensor.shape[axis] for axis in range(tensor.ndim))
    strides = tuple(tensor.strides[axis] for axis in range(tensor.ndim)) if tensor.strides else _dense(shape)
    code = (tensor.code, tensor.bits, tensor.lanes)
    dtype = BY_DLPACK.get((tensor.code, tensor.bits)) if tensor.lanes == 1 else None
    device = _device(tensor.device_type, tensor.device_id)
    return Description((tensor.data or 0) + tensor.byte_offset, shape, strides, dtype, code, writable, device, capsule)


def _export(value: Any) -> Any:
    """The capsule, versioned where the producer knows versions (only those say whether memory is read-only)."""
    try:
        return value.__dlpack__(max_version=(1, 0))
    except TypeError:
        return value.__dlpack__()


def _read(capsule: Any) -> tuple[_Tensor, bool]:
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    is_valid = ctypes.pythonapi.PyCapsule_IsValid
    is_valid.restype, is_valid.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]
    if is_valid(capsule, b"dltensor_versioned"):
        versioned = _Versioned.from_address(pointer_of(capsule, b"dltensor_versioned"))
        if versioned.major != 1:
            raise ValueError(f"DLPack version {versioned.major}.{versioned.minor}")
        return versioned.tensor, not versioned.flags & _READ_ONLY
    return _Tensor.from_address(pointer_of(capsule, b"dltensor")), True


def _dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def _device(kind: int, number: int) -> str:
    if kind in _CPU_DEVICES:
        return "cpu"
    if kind in _CUDA_DEVICES:
        return f"cuda:{number}"
    raise ValueError(f"memory of DLPack device type {kind}")
