"""Owns how a caller's tensors are seen: pointer, shape, strides, dtype, device, whatever framework they come from.

NumPy arrays and PyTorch tensors are read directly; everything else through DLPack, without taking the tensor over (the
capsule is kept alive, its own deleter frees it). Results go back through the same doors.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.runtime import dlpack
from tilewright.runtime.dtypes import BY_TORCH, DTYPES, name_of_numpy, numpy_dtype
from tilewright.runtime.errors import CallError

_NO_BYTES: Any = ctypes.c_char * 0


@dataclass(frozen=True, slots=True)
class TensorView:
    """Memory of a tensor: ``strides`` in elements, ``device`` ``cpu`` or ``cuda:<n>``; ``owner`` keeps it alive."""

    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    writable: bool
    device: str
    owner: Any

    @property
    def span(self) -> tuple[int, int]:
        """First byte and one past the last byte that its elements touch; empty tensors touch none."""
        if 0 in self.shape:
            return self.pointer, self.pointer
        reach = [(extent - 1) * stride for extent, stride in zip(self.shape, self.strides, strict=True)]
        item = DTYPES[self.dtype].itemsize
        lowest = self.pointer + item * sum(step for step in reach if step < 0)
        return lowest, self.pointer + item * (sum(step for step in reach if step > 0) + 1)


def view_of(value: Any, name: str) -> TensorView:
    """The view of argument ``name``; ``CallError`` TW1002 if it is no tensor, TW1004 if its dtype is not ours."""
    if isinstance(value, np.ndarray):
        return _numpy_view(value, name)
    if is_torch(value):
        return _torch_view(value, name)
    if hasattr(value, "__dlpack__"):
        return _dlpack_view(value, name)
    if hasattr(value, "__cuda_array_interface__"):
        return _cuda_view(value, name)
    if isinstance(value, np.generic | int | float | bool):
        return _numpy_view(np.asarray(value), name)
    raise CallError(
        "TW1002",
        f"argument {name} is not a tensor",
        argument=name,
        expected="a NumPy array, a torch tensor, or an object with __dlpack__",
        found=type(value).__name__,
        remedy="numpy.asarray(...) makes one from nested lists",
    )


def is_torch(value: Any) -> bool:
    """Whether ``value`` is a PyTorch tensor, without importing PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _no_dtype(name: str, found: object) -> CallError:
    return CallError(
        "TW1004", f"argument {name} has a dtype that the language lacks", argument=name,
        expected=" ".join(DTYPES), found=str(found),
    )  # fmt: skip


def _numpy_view(array: np.ndarray[Any, Any], name: str) -> TensorView:
    dtype = name_of_numpy(array.dtype)
    if dtype is None:
        raise _no_dtype(name, array.dtype)
    item = array.itemsize
    if any(step % item for step in array.strides):
        raise CallError("TW1008", f"argument {name}: strides are not whole elements", argument=name,
                        found=str(array.strides), remedy=f"pass numpy.ascontiguousarray({name})")  # fmt: skip
    strides = tuple(step // item for step in array.strides)
    return TensorView(array.ctypes.data, array.shape, strides, dtype, array.flags.writeable, "cpu", array)


def _torch_view(tensor: Any, name: str) -> TensorView:
    dtype = BY_TORCH.get(str(tensor.dtype))
    if dtype is None:
        raise _no_dtype(name, tensor.dtype)
    if tensor.requires_grad and sys.modules["torch"].is_grad_enabled():
        raise CallError("TW1016", f"argument {name} requires a gradient, and kernels record none", argument=name,
                        remedy=f"pass {name}.detach(), or call under torch.no_grad()")  # fmt: skip
    device = "cpu" if tensor.device.type == "cpu" else f"{tensor.device.type}:{tensor.device.index or 0}"
    return TensorView(tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), dtype, True, device, tensor)


def _dlpack_view(value: Any, name: str) -> TensorView:
    try:
        found = dlpack.describe(value)
    except (BufferError, TypeError, ValueError) as cause:
        raise CallError("TW1002", f"argument {name} cannot be read through DLPack: {cause}", argument=name) from cause
    if found.dtype is None:
        raise _no_dtype(name, found.type_code)
    return TensorView(
        found.pointer, found.shape, found.strides, found.dtype, found.writable, found.device, (value, found.capsule)
    )


def _cuda_view(value: Any, name: str) -> TensorView:
    """CUDA array interface, version 3: strides in bytes or None."""
    interface = value.__cuda_array_interface__
    dtype = name_of_numpy(np.dtype(interface["typestr"]))
    if dtype is None:
        raise _no_dtype(name, interface["typestr"])
    shape, item = tuple(interface["shape"]), DTYPES[dtype].itemsize
    steps = interface.get("strides")
    strides = row_major(shape) if steps is None else tuple(step // item for step in steps)
    pointer, read_only = interface["data"]
    return TensorView(pointer, shape, strides, dtype, not read_only, "cuda:0", value)


def address_of(array: np.ndarray[Any, Any]) -> int:
    """Where an array's data begins; the buffer protocol is four times faster than NumPy's own attributes."""
    try:
        return ctypes.addressof(_NO_BYTES.from_buffer(array))
    except (TypeError, ValueError, BufferError):  # read-only, strided, or of a dtype that buffers do not know
        pointer: int = array.__array_interface__["data"][0]
        return pointer


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Element strides of a dense row-major tensor."""
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def order_of(view: TensorView) -> tuple[int, ...] | None:
    """Axes from slowest to fastest if the tensor is dense in some axis order (identity first), else None.

    Axes of extent 1 have no stride of their own; a tensor without elements is dense in every order.
    """
    rank = len(view.shape)
    if 0 in view.shape or _is_dense(view, tuple(range(rank))):
        return tuple(range(rank))
    order = tuple(sorted(range(rank), key=lambda axis: (-view.strides[axis], axis)))
    return order if _is_dense(view, order) else None


def _is_dense(view: TensorView, order: tuple[int, ...]) -> bool:
    step = 1
    for axis in reversed(order):
        if view.shape[axis] != 1 and view.strides[axis] != step:
            return False
        step *= view.shape[axis]
    return True


Allocator = Callable[[tuple[int, ...], str, str], Any]


def axis_order(layout: str, rank: int) -> tuple[int, ...]:
    """The axes of a dense tensor from slowest to fastest; what is not ``order(…)`` is made row-major."""
    if not layout.startswith("order("):
        return tuple(range(rank))
    return tuple(int(axis) for axis in layout[len("order(") : -1].split(","))


def allocator_like(value: Any) -> Allocator:
    """A function of shape, dtype and layout that makes an uninitialised tensor in ``value``'s framework and device."""
    return _torch_allocator(value) if is_torch(value) else _numpy_empty


def _numpy_empty(shape: tuple[int, ...], dtype: str, layout: str) -> np.ndarray[Any, Any]:
    if layout == "row":
        return np.empty(shape, numpy_dtype(dtype))
    order = axis_order(layout, len(shape))
    return np.empty([shape[axis] for axis in order], numpy_dtype(dtype)).transpose(_inverse(order))


def _torch_allocator(like: Any) -> Allocator:
    torch = sys.modules["torch"]
    device = like.device

    def empty(shape: tuple[int, ...], dtype: str, layout: str) -> Any:
        order = axis_order(layout, len(shape))
        dense = torch.empty([shape[axis] for axis in order], dtype=getattr(torch, DTYPES[dtype].torch), device=device)
        return dense if layout == "row" else dense.permute(_inverse(order))

    return empty


def _inverse(order: tuple[int, ...]) -> list[int]:
    return [order.index(axis) for axis in range(len(order))]


def handed_back(result: Any, like: Any) -> Any:
    """``result`` (a NumPy array that we made) in the framework of ``like``, sharing memory where DLPack allows it."""
    if isinstance(like, np.ndarray) or is_torch(result) or not hasattr(like, "__dlpack__"):
        return result
    importer = _importer(like)
    return result if importer is None else importer(result)


def _importer(like: Any) -> Callable[[Any], Any] | None:
    """The ``from_dlpack`` of an array's own namespace or package; None where it has none."""
    namespace = like.__array_namespace__() if hasattr(like, "__array_namespace__") else None
    package = sys.modules.get(type(like).__module__.partition(".")[0])
    for home in (namespace, package):
        importer = getattr(home, "from_dlpack", None)
        if importer is not None:
            return importer  # type: ignore[no-any-return]
    return None


def as_numpy(view: TensorView) -> np.ndarray[Any, Any]:
    """A NumPy array over the same CPU memory (no copy), keeping the owner alive through the view that is passed."""
    dtype = numpy_dtype(view.dtype)
    low, high = view.span
    if low == high:
        return np.empty(view.shape, dtype)
    memory = (ctypes.c_byte * (high - low)).from_address(low)
    steps = tuple(stride * dtype.itemsize for stride in view.strides)
    array = np.ndarray(view.shape, dtype, memoryview(memory), view.pointer - low, steps)
    array.flags.writeable = view.writable
    return array
