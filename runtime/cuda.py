"""Owns CUDA devices as an engine, on the driver API through cuda-python, which is imported when it is first needed.

Launches go to PyTorch's current stream where PyTorch is loaded, else to the default stream. Errors that poison a
context are told apart (``DeviceLost``): after one of them nothing is launched any more.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from tilewright.runtime.dtypes import DTYPES
from tilewright.runtime.errors import DeviceError, DeviceLost
from tilewright.runtime.launch import Frame, Placed, Step, Value

LOST = ("ILLEGAL_ADDRESS", "MISALIGNED_ADDRESS", "LAUNCH_FAILED", "ASSERT", "LAUNCH_TIMEOUT", "HARDWARE_STACK_ERROR",
        "ILLEGAL_INSTRUCTION", "INVALID_ADDRESS_SPACE", "INVALID_PC", "ECC_UNCORRECTABLE")  # fmt: skip
UNCHECKED = 0  # the null pointer in the place of the status: gathers are not checked
DYNAMIC_SHARED_LIMIT = 48 * 1024  # above it a kernel has to opt in


@dataclass(frozen=True)
class DeviceMemory:
    """Memory on the device, from the driver's stream-ordered allocator."""

    pointer: int
    size: int


class CudaEngine:
    """A cubin loaded in the primary context of the current device."""

    device = "cuda"

    def __init__(self, cubin: bytes, launches: Sequence[str], ordinal: int = 0) -> None:
        self._driver = driver()
        self._lost = False
        context = self._call("cuDevicePrimaryCtxRetain", self._call("cuDeviceGet", ordinal))
        self._call("cuCtxSetCurrent", context)
        self._module = self._call("cuModuleLoadData", cubin)
        self._functions = {name: self._call("cuModuleGetFunction", self._module, name.encode()) for name in launches}

    def _call(self, name: str, *arguments: Any) -> Any:
        """A driver call; its result, or the error that it reported as an exception."""
        if self._lost:
            raise DeviceLost("TW1206", "the CUDA context was lost earlier", remedy="restart the process")
        code, *results = getattr(self._driver, name)(*arguments)
        if code.value == 0:
            return results[0] if results else None
        text = code.name.removeprefix("CUDA_ERROR_")
        if text in LOST:
            self._lost = True
            raise DeviceLost("TW1206", f"{name}: {text}; the CUDA context is lost", remedy="restart the process")
        raise DeviceError("TW1206", f"{name}: {text}")

    def take(self, size: int) -> DeviceMemory:
        if size == 0:
            return DeviceMemory(0, 0)
        return DeviceMemory(int(self._call("cuMemAllocAsync", size, _stream())), size)

    def give(self, workspace: DeviceMemory) -> None:
        """Freed in stream order: the launches that use it come before."""
        if workspace.size:
            self._call("cuMemFreeAsync", workspace.pointer, _stream())

    def keep(self, content: bytes) -> DeviceMemory:
        memory = DeviceMemory(int(self._call("cuMemAlloc", max(1, len(content)))), len(content))
        self._call("cuMemcpyHtoD", memory.pointer, content, len(content))
        return memory

    def bind(self, step: Step) -> Callable[[Frame], None]:
        launch, function = step.launch, self._functions[step.launch.name]
        if launch.shared_bytes > DYNAMIC_SHARED_LIMIT:
            attribute = self._driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            self._call("cuFuncSetAttribute", function, attribute, launch.shared_bytes)
        grid = (*step.cells, 1, 1, 1)[:3]
        types = (*(kind for operand in step.operands for kind in _types(operand)), ctypes.c_void_p)

        def run(frame: Frame) -> None:
            values = (*(value for operand in step.operands for value in _values(operand, frame)), UNCHECKED)
            self._call("cuLaunchKernel", function, *grid, *launch.block, launch.shared_bytes, _stream(),
                       (values, types), 0)  # fmt: skip

        return run


def driver() -> ModuleType:
    """cuda-python's driver module, initialised; ``DeviceError`` TW1203 where there is none, or no device."""
    try:
        from cuda.bindings import driver as bindings  # pyright: ignore[reportAttributeAccessIssue]
    except ImportError as cause:
        raise DeviceError("TW1203", "cuda-python is not installed", remedy="pip install cuda-python") from cause
    try:
        (code,) = bindings.cuInit(0)
        reason = "" if code.value == 0 else code.name
    except RuntimeError as cause:
        reason = str(cause)
    if reason:
        raise DeviceError("TW1203", f"there is no CUDA device here: {reason}",
                          remedy='run with device="emulator", or on a machine with a driver')  # fmt: skip
    return bindings  # type: ignore[no-any-return]


def _stream() -> int:
    """PyTorch's current stream, else the default one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    return int(torch.cuda.current_stream().cuda_stream)


_BY_SIZE = {1: ctypes.c_uint8, 2: ctypes.c_uint16, 4: ctypes.c_uint32, 8: ctypes.c_uint64}


def _types(operand: Placed | Value) -> list[Any]:
    """The parameter types of an operand: a pointer (and run-time strides), or the bits of a scalar."""
    if isinstance(operand, Placed):
        return [ctypes.c_void_p, *([ctypes.c_int64] * (len(operand.strides) if operand.layout == "strided" else 0))]
    return [_BY_SIZE[DTYPES[operand.dtype].itemsize]]


def _values(operand: Placed | Value, frame: Frame) -> list[int]:
    if isinstance(operand, Placed):
        return [frame[operand.source], *(operand.strides if operand.layout == "strided" else ())]
    return [operand.constant if operand.source is None else frame[operand.source]]
