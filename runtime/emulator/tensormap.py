"""Tensor maps: the description of a global tensor that TMA reads, in an encoding of the emulator's own.

The 128 opaque bytes hold a magic number, so that a map that never was encoded is recognised. The rules of a valid map
(CUDA driver API, "Tensor Map Object Management") are in ``MapFields.fault``: they hold for maps made on the host and
for maps that ``tensormap.replace`` changed on the device.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tilewright.runtime.emulator.errors import LaunchError
from tilewright.runtime.emulator.scalar_types import Array

MAGIC = 0x7469_6C65
SWIZZLES = (0, 32, 64, 128)
INTERLEAVES = (0, 16, 32)
ELEMENTS = ("u8", "u16", "u32", "s32", "u64", "s64", "f16", "f32", "f32.ftz", "f64", "bf16", "tf32", "tf32.ftz")
"""Element types in the order of ``tensormap.replace.elemtype`` (PTX ISA, "tensormap.replace")."""
ITEMS = (1, 2, 4, 4, 8, 8, 2, 4, 4, 8, 2, 4, 4)
FLOATS = frozenset(("f16", "f32", "f64", "bf16", "tf32"))
BYTES = 128
MAX_RANK = 5
LAYOUT = struct.Struct("<I8BQ5Q5Q5H5B3h3h")
CORNER_BITS = {3: 15, 4: 7, 5: 4}
"""Bits of a corner of the pixel box, beside the sign, by rank."""
ARRAY_ELEMENTS = {
    "float16": "f16",
    "float32": "f32",
    "float64": "f64",
    "bfloat16": "bf16",
    "int32": "s32",
    "int64": "s64",
    "uint32": "u32",
    "uint64": "u64",
}


@dataclass(frozen=True, slots=True)
class MapFields:
    """Decoded contents; all extents inner-first.

    Attributes:
        dims: elements per dimension; with interleaving ``dims[0]`` counts channels, padded to whole slices.
        strides: bytes per dimension; ``strides[0]`` is the element, or with interleaving the step between slices.
        box: extents of the tile; in im2col mode (channels per pixel, pixels per column).
        lower, upper: corners of the pixel box of the im2col mode, one per spatial dimension.
    """

    address: int = 0
    element: str = "u8"
    rank: int = 1
    swizzle: int = 0
    interleave: int = 0
    fill: int = 0
    im2col: bool = False
    dims: tuple[int, ...] = (0,)
    strides: tuple[int, ...] = (1,)
    box: tuple[int, ...] = (0,)
    element_strides: tuple[int, ...] = (1,)
    lower: tuple[int, ...] = ()
    upper: tuple[int, ...] = ()

    @property
    def item(self) -> int:
        """Bytes of an element."""
        return ITEMS[ELEMENTS.index(self.element)]

    def pack(self) -> bytes:
        """The 128 bytes of the map."""
        head = (
            MAGIC,
            ELEMENTS.index(self.element),
            self.rank,
            SWIZZLES.index(self.swizzle),
            INTERLEAVES.index(self.interleave),
            self.fill,
            self.im2col,
            0,
            0,
            self.address,
        )
        parts = (
            _padded(self.dims, 5),
            _padded(self.strides, 5),
            _padded(self.box, 5),
            _padded(self.element_strides, 5),
        )
        corners = (*_padded(self.lower, 3), *_padded(self.upper, 3))
        return LAYOUT.pack(*head, *(value for part in parts for value in part), *corners).ljust(BYTES, b"\0")

    def fault(self) -> str | None:
        """What rule of a valid map is broken, None when all hold."""
        return _general_fault(self) or (_im2col_fault(self) if self.im2col else _tiled_fault(self))


def _padded(values: tuple[int, ...], count: int) -> tuple[int, ...]:
    return (*values, *(0,) * (count - len(values)))


def unpack(data: bytes, whole: bool = False) -> MapFields | None:
    """The fields of an encoded map, None when the bytes are not one.

    Args:
        whole: keep the entries past the rank, as ``tensormap.replace`` may set them before the rank.
    """
    magic, element, rank, swizzle, interleave, fill, im2col, _, _, address, *rest = LAYOUT.unpack_from(data)
    small = 1 <= rank <= MAX_RANK and element < len(ELEMENTS) and swizzle < 4 and interleave < 3
    if magic != MAGIC or not small:
        return None
    count = MAX_RANK if whole else rank
    extents = 2 if im2col and not whole else count
    corners = 3 if whole else rank - 2 if im2col else 0
    strides = rest[5 : 5 + count] if interleave else [ITEMS[element], *rest[6 : 5 + count]]
    return MapFields(
        address,
        ELEMENTS[element],
        rank,
        SWIZZLES[swizzle],
        INTERLEAVES[interleave],
        fill,
        bool(im2col),
        tuple(rest[:count]),
        tuple(strides),
        tuple(rest[10 : 10 + extents]),
        tuple(rest[15 : 15 + count]),
        tuple(rest[20 : 20 + corners]),
        tuple(rest[23 : 23 + corners]),
    )


def _general_fault(fields: MapFields) -> str | None:
    unit = fields.interleave or 16
    bad_stride = next((s for s in fields.strides[1:] if s % unit or not 0 <= s < 1 << 40), None)
    rules = [
        (".ftz" in fields.element, f"element type {fields.element} is not modelled"),
        (fields.address % unit != 0, f"the tensor must be {unit}-byte aligned"),
        (bool(fields.interleave) and fields.rank < 3, "an interleaved map needs rank 3 to 5"),
        (any(not 1 <= extent <= 1 << 32 for extent in fields.dims), f"extents {fields.dims} must be 1 to 2^32"),
        (bad_stride is not None, f"stride of {bad_stride} bytes is not a multiple of {unit} below 2^40"),
        (
            any(not 1 <= step <= 8 for step in fields.element_strides),
            f"element strides {fields.element_strides} must be 1 to 8",
        ),
        (
            not fields.interleave and fields.box[0] * fields.item % 16 != 0,
            f"the inner box extent is {fields.box[0] * fields.item} bytes, not a multiple of 16",
        ),
        (
            bool(fields.interleave) and fields.box[0] * fields.item % unit != 0,
            f"the inner box extent is {fields.box[0] * fields.item} bytes, not whole slices of {unit}",
        ),
        (
            bool(fields.swizzle) and not fields.interleave and fields.box[0] * fields.item > fields.swizzle,
            f"the inner box extent of {fields.box[0] * fields.item} bytes exceeds the {fields.swizzle}-byte swizzle",
        ),
        (
            bool(fields.interleave) and fields.element_strides[0] != 1,
            "an element stride between the channels of an interleaved map is not modelled",
        ),
        (fields.interleave == 32 and fields.swizzle != 32, "32-byte interleaving needs the 32-byte swizzle"),
        (fields.fill == 1 and fields.element not in FLOATS, f"NaN cannot fill a tensor of {fields.element}"),
    ]
    return next((message for broken, message in rules if broken), None)


def _tiled_fault(fields: MapFields) -> str | None:
    if any(not 1 <= extent <= 256 for extent in fields.box):
        return f"box {fields.box}: extents must be 1 to 256"
    return None


def _im2col_fault(fields: MapFields) -> str | None:
    channels, pixels = fields.box
    limit = 1 << CORNER_BITS[fields.rank]
    corners = (*fields.lower, *fields.upper)
    spatial = zip(fields.lower, fields.upper, fields.dims[1:-1], strict=True)
    rules = [
        (not 1 <= channels <= 256, f"{channels} channels per pixel, must be 1 to 256"),
        (not 1 <= pixels <= 1024, f"{pixels} pixels per column, must be 1 to 1024"),
        (
            any(not -limit <= corner < limit for corner in corners),
            f"corners {fields.lower}, {fields.upper} must be {-limit} to {limit - 1}",
        ),
        (
            any(low > extent - 1 + high for low, high, extent in spatial),
            f"the pixel box from {fields.lower} to {fields.upper} is empty",
        ),
    ]
    return next((message for broken, message in rules if broken), None)


@dataclass(frozen=True)
class TensorMap:
    """A tensor map over an array, made by ``tiled`` or ``im2col``; ``fields`` lacks only the address."""

    array: Array
    fields: MapFields

    @property
    def box(self) -> tuple[int, ...]:
        """Extents of the tile, inner-first; in im2col mode (channels, pixels)."""
        return self.fields.box

    @property
    def swizzle(self) -> int:
        """Width of the swizzle in bytes, 0 for none."""
        return self.fields.swizzle

    @property
    def fill(self) -> int:
        """0 for zeros outside the tensor, 1 for NaN."""
        return self.fields.fill

    @property
    def element_strides(self) -> tuple[int, ...]:
        """Steps from element to element, inner-first."""
        return self.fields.element_strides

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
            array: the global tensor, rank 1 to 5; its innermost axis must be contiguous. With interleaving the axes are
                (batch, channel slices, spatial axes ..., channels of a slice), one more than the rank of the map.
            box: extents of the tile in shared memory, inner-first; with interleaving ``box[0]`` counts channels.
            swizzle: 0, 32, 64 or 128 bytes.
            fill: 0 for zeros outside the tensor, 1 for NaN.
            interleave: 0, or the 16 or 32 bytes of a channel slice.

        Raises:
            LaunchError: when a rule of the driver is broken.
        """
        return cls._made(array, tuple(box), swizzle, element_strides, fill, interleave, None)

    @classmethod
    def im2col(
        cls,
        array: Array,
        lower: Sequence[int],
        upper: Sequence[int],
        channels: int,
        pixels: int,
        swizzle: int = 0,
        element_strides: Sequence[int] | None = None,
        fill: int = 0,
        interleave: int = 0,
    ) -> TensorMap:
        """A map in im2col mode, as ``cuTensorMapEncodeIm2col`` makes it.

        Args:
            array: images as NWC, NHWC or NDHWC; interleaved as for ``tiled``.
            lower, upper: corners of the pixel box, inner-first (W, H, D), counted from the first and the last pixel.
            channels: elements per pixel (``channelsPerPixel``).
            pixels: pixels per tile (``pixelsPerColumn``).

        Raises:
            LaunchError: when a rule of the driver is broken.
        """
        corners = (tuple(lower), tuple(upper))
        return cls._made(array, (channels, pixels), swizzle, element_strides, fill, interleave, corners)

    @classmethod
    def _made(
        cls,
        array: Array,
        box: tuple[int, ...],
        swizzle: int,
        element_strides: Sequence[int] | None,
        fill: int,
        interleave: int,
        corners: tuple[tuple[int, ...], tuple[int, ...]] | None,
    ) -> TensorMap:
        if swizzle not in SWIZZLES or interleave not in INTERLEAVES or fill not in (0, 1):
            raise LaunchError(f"swizzle {swizzle}, interleave {interleave} or fill {fill} does not exist")
        dims, strides = _shape(array, interleave)
        rank = len(dims)
        if not (3 if corners else 1) <= rank <= MAX_RANK:
            raise LaunchError(f"a tensor map needs rank {3 if corners else 1} to 5, got {rank}")
        steps = tuple(element_strides) if element_strides is not None else (1,) * rank
        wanted = [(steps, rank), (box, 2 if corners else rank), *((corner, rank - 2) for corner in corners or ())]
        if any(len(values) != count for values, count in wanted):
            raise LaunchError(f"a tensor map of rank {rank} does not go with {[values for values, _ in wanted]}")
        lower, upper = corners if corners else ((), ())
        fields = MapFields(
            0,
            _element(array),
            rank,
            swizzle,
            interleave,
            fill,
            corners is not None,
            dims,
            strides,
            tuple(int(x) for x in box),
            tuple(int(x) for x in steps),
            lower,
            upper,
        )
        made = cls(array, fields)
        made.check(0)
        return made

    def check(self, address: int) -> MapFields:
        """The fields with their address.

        Raises:
            LaunchError: naming the rule that the map breaks.
        """
        fields = replace(self.fields, address=address)
        fault = fields.fault()
        if fault is not None:
            raise LaunchError(f"tensor map: {fault}")
        return fields

    def encode(self, address: int) -> bytes:
        """The 128 bytes for a tensor at a device address.

        Raises:
            LaunchError: when the address is not aligned.
        """
        return self.check(address).pack()


def _shape(array: Array, interleave: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Extents and byte strides of the map, inner-first."""
    item = array.itemsize
    if array.ndim and array.strides[-1] != item and array.shape[-1] > 1:
        raise LaunchError("the innermost axis of a tensor map must be contiguous")
    shape, strides = array.shape[::-1], array.strides[::-1]
    if not interleave:
        return shape, (item, *strides[1:])
    if array.ndim < 4 or shape[0] * item != interleave:
        raise LaunchError(f"an interleaved tensor is (batch, slices, pixels ..., {interleave // item} channels)")
    *spatial, slices, batch = shape[1:]
    *steps, slice_step, batch_step = strides[1:]
    return (slices * shape[0], *spatial, batch), (slice_step, *steps, batch_step)


def _element(array: Array) -> str:
    """PTX name of the element type; what TMA cannot reduce is raw bytes."""
    return ARRAY_ELEMENTS.get(array.dtype.name, f"u{8 * min(array.itemsize, 8)}")
