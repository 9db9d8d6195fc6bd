"""The elements that one TMA instruction moves: where they lie in global memory and where inside the tile.

PTX ISA, "Tensors": tiled mode, im2col mode, interleaved layouts. A tile is a flat list, innermost element fastest; the
swizzle is applied by whoever places it in shared memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilewright.runtime.emulator.scalar_types import Array
from tilewright.runtime.emulator.spaces import GLOBAL_BASE
from tilewright.runtime.emulator.tensormap import MapFields

UNIT = 16


@dataclass(frozen=True, slots=True)
class Tile:
    """The elements of a box: arena offsets in global memory (-1 outside the tensor), byte offsets inside the box."""

    origin: Array
    inside: Array
    item: int
    bytes: int

    @property
    def valid(self) -> Array:
        return self.origin >= 0


def tile_of(fields: MapFields, coordinates: list[int], offsets: list[int], box_order: str = "memory") -> Tile:
    """The tile of a map at inner-first coordinates.

    Args:
        offsets: im2col offsets (W, H, D); empty in tile mode and for stores.
        box_order: where the slices of an interleaved box go: ``memory`` outside the pixels as in global memory,
            ``logical`` inside them.
    """
    item = UNIT if _in_units(fields, coordinates) else fields.item
    channel, good_channel = _channels(fields, coordinates[0], item)
    if fields.im2col:
        pixel, good_pixel = _column(fields, coordinates, offsets or [0] * (fields.rank - 2))
    else:
        pixel, good_pixel = _block(fields, coordinates)
    address = pixel[..., None] + channel + (fields.address - GLOBAL_BASE)
    good = good_pixel[..., None] & good_channel
    if fields.interleave and box_order == "memory":
        address, good = (_slices_outside(x, fields, item) for x in (address, good))
    count = address.size
    return Tile(np.where(good, address, -1).reshape(-1), np.arange(count) * item, item, count * item)


def _in_units(fields: MapFields, coordinates: list[int]) -> bool:
    """Whether 16-byte units are either inside or outside the tensor, so that they can be moved whole."""
    item = fields.item
    whole = fields.dims[0] * item % UNIT == 0 and coordinates[0] * item % UNIT == 0
    return whole and fields.box[0] * item % UNIT == 0


def _channels(fields: MapFields, start: int, item: int) -> tuple[Array, Array]:
    """Byte offsets of the innermost dimension, and whether they are inside the tensor."""
    place = start + np.arange(0, fields.box[0], item // fields.item, dtype=np.int64)
    good = (place >= 0) & (place < fields.dims[0])
    if not fields.interleave:
        return place * fields.item, good
    slices, inside = np.divmod(place, fields.interleave // fields.item)
    return slices * fields.strides[0] + inside * fields.item, good


def _block(fields: MapFields, coordinates: list[int]) -> tuple[Array, Array]:
    """Byte offsets of the pixels of a tiled box, outermost axis first."""
    steps = fields.element_strides[1:]
    shape = tuple(-(-extent // step) for extent, step in zip(fields.box[1:], steps, strict=True))
    address = np.zeros(shape[::-1], np.int64)
    good = np.ones(shape[::-1], bool)
    grid = np.indices(shape[::-1])[::-1]
    for axis, index in enumerate(grid, 1):
        place = coordinates[axis] + index * fields.element_strides[axis]
        good &= (place >= 0) & (place < fields.dims[axis])
        address += place * fields.strides[axis]
    return address, good


def _column(fields: MapFields, coordinates: list[int], offsets: list[int]) -> tuple[Array, Array]:
    """Byte offsets of the pixels of an im2col column.

    The filter's base walks through the pixel box from the coordinates on, W fastest, then H, D and the image; the pixel
    read is the base plus the offsets.
    """
    count = fields.box[1]
    address, good = np.zeros(count, np.int64), np.ones(count, bool)
    carry = np.arange(count, dtype=np.int64)
    for axis, (low, high) in enumerate(zip(fields.lower, fields.upper, strict=True), 1):
        step, last = fields.element_strides[axis], fields.dims[axis] - 1 + high
        base, carry = _walk(coordinates[axis], low, last, step, carry)
        place = base + offsets[axis - 1]
        good &= (place >= 0) & (place < fields.dims[axis])
        address += place * fields.strides[axis]
    image = coordinates[-1] + carry
    good &= (image >= 0) & (image < fields.dims[-1])
    return address + image * fields.strides[-1], good


def _walk(start: int, low: int, last: int, step: int, moves: Array) -> tuple[Array, Array]:
    """Positions after some moves by ``step``, wrapping from past ``last`` to ``low``, and how often they wrapped."""
    first_row = max((last - start) // step + 1, 1)
    per_row = (last - low) // step + 1
    rest = moves - first_row
    wrapped = np.where(rest < 0, 0, rest // per_row + 1)
    return np.where(rest < 0, start + moves * step, low + rest % per_row * step), wrapped


def _slices_outside(values: Array, fields: MapFields, item: int) -> Array:
    """(batch, pixels ..., channels) to (batch, slices, pixels ..., channels of a slice); a column has no batch axis."""
    per_slice = fields.interleave // item
    split = values.reshape(*values.shape[:-1], -1, per_slice)
    return np.moveaxis(split, -2, 0 if fields.im2col else 1)


def placement_fault(fields: MapFields, coordinates: list[int], offsets: list[int], stores: bool) -> str | None:
    """What is wrong with the operands of an instruction in the mode of its map (PTX ISA, "im2col mode")."""
    if len(coordinates) != fields.rank:
        return f"a map of rank {fields.rank} with {len(coordinates)} coordinates"
    if not fields.im2col:
        return None
    limit = 1 << (16 if fields.rank == 3 else 8 if fields.rank == 4 else 5)
    if any(not 0 <= offset < limit for offset in offsets):
        return f"im2col offsets {tuple(offsets)} must be 0 to {limit - 1}"
    corners = zip(coordinates[1:-1], fields.lower, fields.upper, fields.dims[1:-1], strict=True)
    if any(not low <= place <= extent - 1 + high for place, low, high, extent in corners):
        return f"the filter base {tuple(coordinates[1:-1])} is outside the pixel box"
    if stores and (min(fields.lower) < 0 or max(fields.upper) > 0 or min(coordinates) < 0):
        return "a store in im2col mode must stay inside the tensor"
    return None
