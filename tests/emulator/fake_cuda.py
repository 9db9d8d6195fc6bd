"""A stand-in for ``cuda.bindings.driver``: device memory in the host, kernels run by the emulator, each call checked.

The image of a module is PTX text, so what loads it has to be built without ptxas.
"""

from __future__ import annotations

import ctypes
from enum import Enum, IntEnum
from itertools import count
from typing import Any

import numpy as np

from tilewright.runtime.emulator import Module, launch

CAPABILITY = {"CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR": 0, "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR": 1}


class Result(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_NOT_FOUND = 500
    CUDA_ERROR_LAUNCH_FAILED = 719


OK = Result.CUDA_SUCCESS
Answer = tuple[Any, ...]


class FakeDriver:
    """The calls that a launch needs; each returns its status and its results, as the real ones do.

    Args:
        capability: compute capability of the only device.
    """

    CUdevice_attribute = Enum("CUdevice_attribute", CAPABILITY)  # type: ignore[misc]

    def __init__(self, capability: tuple[int, int]) -> None:
        self.capability = capability
        self.memory: dict[int, Any] = {}
        self.modules: dict[int, Module] = {}
        self.handles = count(1)
        self.current: int | None = None
        self.calls: set[str] = set()

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("cu"):
            self.calls.add(name)
        return object.__getattribute__(self, name)

    def cuDeviceGet(self, ordinal: int) -> Answer:
        return (OK, 0) if ordinal == 0 else (Result.CUDA_ERROR_INVALID_VALUE, None)

    def cuDevicePrimaryCtxRetain(self, device: int) -> Answer:
        return OK, 77

    def cuCtxSetCurrent(self, context: int) -> Answer:
        self.current = context
        return (OK,)

    def cuCtxSynchronize(self) -> Answer:
        return (OK,)

    def cuDeviceGetAttribute(self, attribute: Any, device: int) -> Answer:
        return OK, self.capability[attribute.value]

    def cuDeviceGetName(self, length: int, device: int) -> Answer:
        return OK, b"A device of paper".ljust(length, b"\0")

    def cuDriverGetVersion(self) -> Answer:
        return OK, 13000

    def cuModuleLoadData(self, image: bytes) -> Answer:
        assert isinstance(image, bytes) and self.current == 77
        handle = next(self.handles)
        self.modules[handle] = Module.parse(image.decode())
        return OK, handle

    def cuModuleUnload(self, module: int) -> Answer:
        del self.modules[module]
        return (OK,)

    def cuModuleGetFunction(self, module: int, name: bytes) -> Answer:
        if name.decode() not in self.modules[module].entries:
            return Result.CUDA_ERROR_NOT_FOUND, None
        return OK, (module, name.decode())

    def cuMemAlloc(self, size: int) -> Answer:
        pointer = next(self.handles) << 20
        self.memory[pointer] = np.full(size, 0xA5, np.uint8)
        return OK, pointer

    def cuMemFree(self, pointer: int) -> Answer:
        del self.memory[pointer]
        return (OK,)

    def cuMemcpyHtoD(self, target: int, source: int, size: int) -> Answer:
        self.memory[target][:size] = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(source))
        return (OK,)

    def cuMemcpyDtoH(self, target: int, source: int, size: int) -> Answer:
        assert size <= len(self.memory[source])
        ctypes.memmove(target, self.memory[source].ctypes.data, size)
        return (OK,)

    def cuLaunchKernel(
        self, function: tuple[int, str], gx: int, gy: int, gz: int, bx: int, by: int, bz: int, shared: int, stream: int,
        arguments: tuple[tuple[Any, ...], tuple[Any, ...]], extra: int,
    ) -> Answer:  # fmt: skip
        """Kernel parameters are a pair: the values, and a ctypes type for each."""
        module, entry = function
        values, types = arguments
        assert len(values) == len(types) and all(kind is ctypes.c_void_p for kind in types)
        args = [self.memory[value] for value in values]
        report = launch(self.modules[module], entry, (gx, gy, gz), (bx, by, bz), shared_bytes=shared, args=args)
        return (OK,) if not report.errors else (Result.CUDA_ERROR_LAUNCH_FAILED,)
