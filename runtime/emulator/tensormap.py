"""Tensor maps: the description of a global tensor that TMA reads, in an encoding of the emulator's own.

The 128 opaque bytes hold a magic number, so that a map that never was encoded is recognised.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from tilewright.runtime.emulator.errors import LaunchError
from tilewright.runtime.emulator.scalar_types import Array

MAGIC = 0x7469_6C65
SWIZZLES = (0, 32, 64, 128)
HEADER = struct.Struct("<IBBBBBBBBQ")
ELEMENTS = ("u8", "u16", "u32", "s32", "u64", "s64", "f16", "f32", "f64", "bf16", "tf32", "s8", "s16")
BYTES = 128


@dataclass(frozen=True, slots=True)
class MapFields:
    """Decoded contents; all extents inner-first."""

    address: int
    item: int
    rank: int
    swizzle: int
    interleave: int
    fill: int
    im2col: bool
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    box: tuple[int, ...]
    element_strides: tuple[int, ...]
    lower: tuple[int, ...] = ()
    upper: tuple[int, ...] = ()
    is_float: bool = False
    element: str = "u8"


@dataclass(frozen=True)
class TensorMap:
    """A tensor map over an array, made by ``tiled`` or ``im2col``."""

    array: Array
    box: tuple[int, ...]
    swizzle: int = 0
    interleave: int = 0
    element_strides: tuple[int, ...] = ()
    fill: int = 0
    lower: tuple[int, ...] = field(default=())
    upper: tuple[int, ...] = field(default=())
    mode: str = "tiled"

    @classmethod
    def tiled(
        cls,
        array: Array,
        box: Sequence[int],
        swizzle: int = 0,
        element_strides: Sequence[int] | None = None,
        fill: int = 0,
        interleave: int = 0,
    ) -> TensorMap:
        """A map in tile mode, as ``cuTensorMapEncodeTiled`` makes it.

        Args:
            array: the global tensor, rank 1 to 5; its innermost axis must be contiguous.
            box: extents of the tile in shared memory, inner-first.
            swizzle: 0, 32, 64 or 128 bytes.
            fill: 0 for zeros outside the tensor, 1 for NaN.

        Raises:
            LaunchError: when a rule of the driver is broken.
        """
        strides = tuple(element_strides) if element_strides is not None else (1,) * array.ndim
        made = cls(array, tuple(int(extent) for extent in box), swizzle, interleave, strides, fill)
        made.check()
        return made

    def check(self) -> None:
        array = self.array
        item = array.itemsize
        if not 1 <= array.ndim <= 5 or len(self.box) != array.ndim or len(self.element_strides) != array.ndim:
            raise LaunchError(f"a tensor map needs rank 1 to 5 and a box of that rank, got {array.ndim} and {self.box}")
        if self.swizzle not in SWIZZLES or self.interleave not in (0, 16, 32):
            raise LaunchError(f"swizzle {self.swizzle} or interleave {self.interleave} does not exist")
        if array.strides[-1] != item and array.shape[-1] > 1:
            raise LaunchError("the innermost axis of a tensor map must be contiguous")
        for extent in self.box:
            if not 1 <= extent <= 256:
                raise LaunchError(f"box {self.box}: extents must be 1 to 256")
        for stride in array.strides[:-1]:
            if stride % 16:
                raise LaunchError(f"stride of {stride} bytes is not a multiple of 16")
        inner = self.box[0] * item
        if inner % 16:
            raise LaunchError(f"the inner box extent is {inner} bytes, not a multiple of 16")
        if self.swizzle and not self.interleave and inner > self.swizzle:
            raise LaunchError(f"the inner box extent of {inner} bytes exceeds the {self.swizzle}-byte swizzle")
        for stride in self.element_strides:
            if not 1 <= stride <= 8:
                raise LaunchError(f"element strides {self.element_strides} must be 1 to 8")

    def encode(self, address: int) -> bytes:
        """The 128 bytes for a tensor at a device address.

        Raises:
            LaunchError: when the address is not 16-byte aligned.
        """
        if address % 16:
            raise LaunchError("the tensor of a tensor map must be 16-byte aligned")
        array = self.array
        rank = array.ndim
        is_float = array.dtype.kind not in "iub"
        head = HEADER.pack(
            MAGIC,
            array.itemsize,
            rank,
            SWIZZLES.index(self.swizzle),
            self.interleave,
            self.fill,
            self.mode == "im2col",
            is_float,
            ELEMENTS.index(_element(array)),
            address,
        )
        dims = array.shape[::-1] + (1,) * (5 - rank)
        strides = (array.strides[::-1] + (0,) * (5 - rank))[1:]
        box = self.box + (1,) * (5 - len(self.box))
        steps = self.element_strides + (1,) * (5 - rank)
        body = struct.pack("<5I4Q5H5B", *dims, *strides, *box, *steps)
        corners = struct.pack("<3h3h", *(self.lower + (0, 0, 0))[:3], *(self.upper + (0, 0, 0))[:3])
        return (head + body + corners).ljust(BYTES, b"\0")


def _element(array: Array) -> str:
    """PTX name of the element type; what TMA cannot reduce is raw bytes."""
    table = {
        "float16": "f16",
        "float32": "f32",
        "float64": "f64",
        "bfloat16": "bf16",
        "int32": "s32",
        "int64": "s64",
        "int8": "s8",
        "int16": "s16",
    }
    return table.get(array.dtype.name, f"u{8 * min(array.itemsize, 8)}")


def decode_map(data: bytes) -> MapFields | None:
    """The fields of an encoded map, None when the bytes are not one."""
    magic, item, rank, swizzle, interleave, fill, im2col, is_float, element, address = HEADER.unpack_from(data)
    if magic != MAGIC or not 1 <= rank <= 5 or swizzle > 3:
        return None
    values = struct.unpack_from("<5I4Q5H5B", data, HEADER.size)
    corners = struct.unpack_from("<3h3h", data, HEADER.size + struct.calcsize("<5I4Q5H5B"))
    return MapFields(
        address,
        item,
        rank,
        SWIZZLES[swizzle],
        interleave,
        fill,
        bool(im2col),
        values[:rank],
        (item, *values[5 : 5 + rank - 1]),
        values[9 : 9 + rank],
        values[14 : 14 + rank],
        corners[:3],
        corners[3:],
        bool(is_float),
        ELEMENTS[element % len(ELEMENTS)],
    )
