"""Kernel arguments: NumPy arrays become segments of global memory, everything is packed into the parameter block."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.runtime.emulator.errors import LaunchError
from tilewright.runtime.emulator.layout import GlobalImage
from tilewright.runtime.emulator.memory import INITIALISED, VALID, WRITABLE, Arena
from tilewright.runtime.emulator.module import Entry
from tilewright.runtime.emulator.scalar_types import TYPES, Array
from tilewright.runtime.emulator.spaces import GLOBAL_BASE, PARAM_WINDOW
from tilewright.runtime.emulator.syntax import Parameter
from tilewright.runtime.emulator.tensormap import TensorMap

ALIGNMENT = 512
RED_ZONE = 512
NEARBY = 1 << 16
"""Bytes up to which an address outside all objects is told by the nearest."""


@dataclass(frozen=True, slots=True)
class Uninitialised:
    """Wraps an output array whose old contents must not be read."""

    array: Array


@dataclass(slots=True)
class Segment:
    """A run of host bytes and where it lies in the arena.

    ``skew`` is how far it starts after an allocation boundary, which device allocations respect and views do not.
    """

    low: int
    high: int
    skew: int = 0
    offset: int = 0


def _array_of(argument: Any) -> Array | None:
    if isinstance(argument, Uninitialised):
        return argument.array
    if isinstance(argument, TensorMap):
        return argument.array
    if isinstance(argument, np.ndarray) and argument.ndim >= 0:
        return argument
    return None


class GlobalMemory:
    """The global arena of a launch, holding the module's globals and every array argument.

    Arrays that overlap in host memory overlap here too; gaps of strided views are not addressable.
    """

    def __init__(self, image: GlobalImage, args: Sequence[Any]) -> None:
        self.arrays = [array for array in map(_array_of, args) if array is not None and array.size]
        self.segments = _merge(self.arrays)
        cursor = -(-(image.end - GLOBAL_BASE) // ALIGNMENT) * ALIGNMENT
        for segment in self.segments:
            segment.offset = cursor + segment.skew
            cursor = -(-(segment.offset + segment.high - segment.low + RED_ZONE) // ALIGNMENT) * ALIGNMENT
        self.arena = Arena("global", cursor + RED_ZONE, GLOBAL_BASE)
        self._load_image(image)
        for segment in self.segments:
            self.arena.data[segment.offset : segment.offset + segment.high - segment.low] = _host(segment)
        for argument in args:
            self._mark(argument)
        self.objects = list(self._objects(image, args))

    def _objects(self, image: GlobalImage, args: Sequence[Any]) -> Iterator[tuple[str, int, int]]:
        """Name, address and bytes of whatever a finding may be about."""
        sizes = {address: size for address, _, size, _ in image.segments}
        for name, place in image.places.items():
            if place.address in sizes:
                yield f"`{name}`", place.address, sizes[place.address]
        for number, argument in enumerate(args):
            array = _array_of(argument)
            if array is not None and array.size:
                low, high = _bounds(array)
                yield f"argument {number}", self.address(array), high - low

    def describe(self, address: int) -> str | None:
        """A device address in the caller's terms: inside an argument or a variable, or just outside the nearest."""
        distances = [max(start - address, address - start - size + 1) for _, start, size in self.objects]
        nearest = min(zip(distances, self.objects, strict=True), default=None)
        if nearest is None:
            return None
        name, start, size = nearest[1]
        if start <= address < start + size:
            return f"byte {address - start} of {name}"
        after = address - start - size
        if 0 <= after < NEARBY:
            return f"{after} bytes after the end of {name}, which has {size}"
        return f"{start - address} bytes before {name}" if 0 < start - address < NEARBY else None

    def _load_image(self, image: GlobalImage) -> None:
        for address, values, size, writable in image.segments:
            start = address - GLOBAL_BASE
            self.arena.data[start : start + len(values)] = np.frombuffer(values, np.uint8)
            self.arena.state[start : start + size] = VALID | INITIALISED | (WRITABLE if writable else 0)

    def _mark(self, argument: Any) -> None:
        """Set the states of the bytes that the elements of an array occupy."""
        array = _array_of(argument)
        if array is None or not array.size:
            return
        state = VALID | (0 if isinstance(argument, Uninitialised) else INITIALISED)
        state |= WRITABLE if array.flags.writeable else 0
        view = np.lib.stride_tricks.as_strided(
            self.arena.state[self.offset(array) :], (*array.shape, array.itemsize), (*array.strides, 1)
        )
        view |= np.uint8(state)

    def offset(self, array: Array) -> int:
        """Arena offset of the first element of an array."""
        start = int(array.__array_interface__["data"][0])
        for segment in self.segments:
            if segment.low <= start < segment.high:
                return segment.offset + start - segment.low
        raise LaunchError("the array is not part of this launch")

    def address(self, array: Array) -> int:
        """Device address of an array; an empty array has an address that nothing may use."""
        return GLOBAL_BASE + (self.offset(array) if array.size else 0)

    def copy_back(self) -> None:
        """Copy every writable array back to the host."""
        for array in self.arrays:
            if array.flags.writeable:
                bytes_ = np.lib.stride_tricks.as_strided(
                    self.arena.data[self.offset(array) :], (*array.shape, array.itemsize), (*array.strides, 1)
                )
                target = np.lib.stride_tricks.as_strided(
                    _raw(array), (*array.shape, array.itemsize), (*array.strides, 1)
                )
                target[...] = bytes_


def _bounds(array: Array) -> tuple[int, int]:
    low, high = np.lib.array_utils.byte_bounds(array)
    return int(low), int(high)


def _raw(array: Array) -> Array:
    """Bytes from the first element of an array to its last, as a one-dimensional view."""
    start = int(array.__array_interface__["data"][0])
    _, high = _bounds(array)
    return _bytes_at(start, high - start)


def _bytes_at(address: int, size: int) -> Array:
    buffer = (ctypes.c_uint8 * size).from_address(address)
    return np.ctypeslib.as_array(buffer)


def _host(segment: Segment) -> Array:
    return _bytes_at(segment.low, segment.high - segment.low)


def _merge(arrays: list[Array]) -> list[Segment]:
    """Host byte ranges of the arrays, overlapping ones joined."""
    for array in arrays:
        if any(stride < 0 for stride in array.strides):
            raise LaunchError("arrays with negative strides cannot be passed")
    segments: list[Segment] = []
    for low, high, skew in sorted((*_bounds(array), _skew(array)) for array in arrays):
        if segments and low < segments[-1].high:
            segments[-1].high = max(segments[-1].high, high)
        else:
            segments.append(Segment(low, high, skew))
    return segments


def _skew(array: Array) -> int:
    """Distance of an array from the start of the array that owns its memory, below the allocation alignment."""
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    return (_bounds(array)[0] - _bounds(owner)[0]) % ALIGNMENT


def pack_parameters(entry: Entry, args: Sequence[Any], memory: GlobalMemory) -> Arena:
    """The parameter block as a read-only arena.

    Raises:
        LaunchError: naming the parameter whose argument has the wrong kind or size.
    """
    if len(args) != len(entry.parameters):
        raise LaunchError(f"`{entry.name}` takes {len(entry.parameters)} arguments, got {len(args)}")
    total = max((p.offset + p.size for p in entry.parameters), default=0)
    arena = Arena("param", max(total, 8), PARAM_WINDOW)
    for parameter, argument in zip(entry.parameters, args, strict=True):
        data = _pack(parameter, argument, memory)
        arena.data[parameter.offset : parameter.offset + parameter.size] = np.frombuffer(data, np.uint8)
        arena.state[parameter.offset : parameter.offset + parameter.size] = VALID | INITIALISED
    return arena


def _pack(parameter: Parameter, argument: Any, memory: GlobalMemory) -> bytes:
    if isinstance(argument, TensorMap):
        if parameter.size != 128:
            raise LaunchError(f"parameter `{parameter.name}` has {parameter.size} bytes, a tensor map has 128")
        return argument.encode(memory.address(argument.array))
    array = _array_of(argument)
    if array is not None and (array.ndim or isinstance(argument, Uninitialised)):
        if parameter.size != 8:
            raise LaunchError(f"parameter `{parameter.name}` has {parameter.size} bytes, a pointer has 8")
        return memory.address(array).to_bytes(8, "little")
    if isinstance(argument, bytes | bytearray):
        if len(argument) != parameter.size:
            raise LaunchError(f"parameter `{parameter.name}` has {parameter.size} bytes, got {len(argument)}")
        return bytes(argument)
    return _pack_scalar(parameter, argument)


def _pack_scalar(parameter: Parameter, argument: Any) -> bytes:
    kind = TYPES[parameter.type]
    if isinstance(argument, np.generic) or (isinstance(argument, np.ndarray) and argument.ndim == 0):
        raw = argument.tobytes()
        if len(raw) == parameter.size:
            return raw
        argument = argument.item()
    if argument is None and parameter.size == 8:
        return bytes(8)
    if isinstance(argument, bool | int) and kind.kind in "busx":
        return (int(argument) & ((1 << (8 * parameter.size)) - 1)).to_bytes(parameter.size, "little")
    if isinstance(argument, float | int) and parameter.size in (2, 4, 8):
        return np.array(argument, f"f{parameter.size}").tobytes()
    raise LaunchError(f"parameter `{parameter.name}` ({parameter.size} bytes) cannot take {argument!r}")
