"""Owns loads and stores of tiles: which machine access each piece becomes.

Unit stride is a vector access, masked where conditions vary along it; a condition that is the same for all lanes picks
the address instead (zeros to read, a sink to write), so no branch is needed. A vector across
rows that are contiguous along another axis is read in blocks and transposed. Every other stride, gathers, and masks on
elements below 32 bits go lane by lane.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tilewright.passes.cpu.place import Place
from tilewright.passes.cpu.tiles import HeldTile, Position, Tile, cover, hold, main_axis
from tilewright.passes.machine.elements import from_storage, storage_type, to_storage
from tilewright.passes.machine.emit import Emitter

Merge = Callable[[Any, Any], Any]
BLOCK = 4  # rows and columns of a block that is transposed in registers


class LoadTile(Tile):
    """What a load gives, element by element, when it is asked for."""

    def __init__(self, emitter: Emitter, place: Place, otherwise: Tile | None) -> None:
        varies = [
            place.varies(axis) or (otherwise is not None and bool(otherwise.shape) and otherwise.varies[axis])
            for axis in range(len(place.shape))
        ]
        super().__init__(emitter, place.shape, place.view.element, varies, emitter.depth)
        self.place = place
        self.otherwise = None if otherwise is not None and otherwise.constant == 0 else otherwise
        self.location = emitter.location
        self._blocks: dict[tuple[Position, int], list[Any]] = {}

    def _scalar(self, at: Position) -> Any:
        e, place = self.emitter, self.place
        condition = place.condition(at)
        pointer = place.pointer(at)
        if condition is not None:
            pointer = e.select(condition, pointer, place.buffers.zeros)
        return self._or_otherwise(condition, self._read(pointer, 1), at, None, 1)

    def _vector(self, at: Position, axis: int, lanes: int) -> Any:
        place = self.place
        if place.step(axis) != 1:
            unit = self._contiguous_beside(axis)
            return super()._vector(at, axis, lanes) if unit is None else self._across(at, axis, lanes, unit)
        if not place.condition_varies(axis):
            return self._whole(at, axis, lanes)
        if place.can_mask(axis):
            return self._masked(at, axis, lanes)
        return super()._vector(at, axis, lanes)

    def _contiguous_beside(self, axis: int) -> int | None:
        """Another axis along which memory is contiguous for at least a block."""
        for other, size in enumerate(self.shape):
            if other != axis and size >= BLOCK and self.place.step(other) == 1:
                return other
        return None

    def _across(self, at: Position, axis: int, lanes: int, unit: int) -> Any:
        """A vector across rows: blocks of ``BLOCK`` rows are read along memory and transposed in registers."""
        e = self.emitter
        if lanes > BLOCK:
            half = lanes // 2
            later = (*at[:axis], at[axis] + half, *at[axis + 1 :])
            return e.shuffle(self.vector(at, axis, half), self.vector(later, axis, half), range(lanes))
        start = at[unit] - at[unit] % BLOCK
        if lanes < BLOCK or start + BLOCK > self.shape[unit]:
            return super()._vector(at, axis, lanes)
        corner = (*at[:unit], start, *at[unit + 1 :])
        if (corner, axis) not in self._blocks:
            rows = [(*corner[:axis], corner[axis] + n, *corner[axis + 1 :]) for n in range(BLOCK)]
            self._blocks[corner, axis] = transposed(e, [self.vector(row, unit, BLOCK) for row in rows])
        return self._blocks[corner, axis][at[unit] - start]

    def _whole(self, at: Position, axis: int, lanes: int) -> Any:
        e, place = self.emitter, self.place
        condition = place.condition(at)
        pointer = place.pointer(at)
        if condition is not None:
            pointer = e.select(condition, pointer, place.buffers.zeros)
        return self._or_otherwise(condition, self._read(pointer, lanes), at, axis, lanes)

    def _masked(self, at: Position, axis: int, lanes: int) -> Any:
        e, place = self.emitter, self.place
        mask = place.mask(at, axis, lanes)
        type_ = e.vector_type(lanes, storage_type(e, self.element))
        if self.otherwise is None:
            other = e.constant(type_, 0)
        else:
            other = to_storage(e, self._other(at, axis, lanes), self.element)
        loaded = e.masked_load(type_, place.pointer(at), mask, other, place.alignment)
        return from_storage(e, loaded, self.element)

    def _read(self, pointer: Any, lanes: int) -> Any:
        e = self.emitter
        element = storage_type(e, self.element)
        type_ = element if lanes == 1 else e.vector_type(lanes, element)
        return from_storage(e, e.load(type_, pointer, self.place.alignment), self.element)

    def _or_otherwise(self, condition: Any, value: Any, at: Position, axis: int | None, lanes: int) -> Any:
        if condition is None or self.otherwise is None:
            return value
        return self.emitter.select(condition, value, self._other(at, axis, lanes))

    def _other(self, at: Position, axis: int | None, lanes: int) -> Any:
        assert self.otherwise is not None
        if axis is None:
            return self.otherwise.scalar(at if self.otherwise.shape else ())
        if self.otherwise.shape:
            return self.otherwise.vector(at, axis, lanes)
        return self.emitter.broadcast(self.otherwise.scalar(()), lanes)


def transposed(e: Emitter, rows: list[Any]) -> list[Any]:
    """Four vectors of four, transposed by interleaving pairs twice."""
    low = [e.shuffle(rows[n], rows[n + 1], (0, 4, 1, 5)) for n in (0, 2)]
    high = [e.shuffle(rows[n], rows[n + 1], (2, 6, 3, 7)) for n in (0, 2)]
    return [e.shuffle(a, b, lanes) for a, b in (low, high) for lanes in ((0, 1, 4, 5), (2, 3, 6, 7))]


def load(emitter: Emitter, place: Place, otherwise: Tile | None) -> Tile:
    """The loaded tile; read at once if this function also writes into the view."""
    tile = LoadTile(emitter, place, otherwise)
    if not place.view.written:
        return tile
    return hold(tile, _memory_axis(place, tile))


def _memory_axis(place: Place, tile: Tile) -> int | None:
    """The axis along which memory is contiguous, the longest if there are several; else the tile's own."""
    contiguous = [a for a, size in enumerate(place.shape) if size > 1 and place.step(a) == 1]
    if contiguous:
        return max(contiguous, key=lambda a: place.shape[a])
    return tile.axis if isinstance(tile, HeldTile) else main_axis(place.shape, place.emitter.target.lanes)


def store(emitter: Emitter, place: Place, tile: Tile, merge: Merge | None) -> None:
    """Store ``tile``; with ``merge`` the old element and the new one are merged first."""
    axis = _memory_axis(place, tile)
    for at, lanes in cover(place.shape, axis, emitter.target.lanes):
        if axis is None or lanes == 1:
            _store_scalar(emitter, place, at, tile.scalar(at), merge)
        else:
            _store_vector(emitter, place, at, axis, lanes, tile.vector(at, axis, lanes), merge)


def _store_vector(
    e: Emitter, place: Place, at: Position, axis: int, lanes: int, value: Any, merge: Merge | None
) -> None:
    if place.step(axis) == 1 and not place.condition_varies(axis):
        _store_at(e, place, place.condition(at), place.pointer(at), value, merge)
    elif place.step(axis) == 1 and place.can_mask(axis):
        _store_masked(e, place, place.mask(at, axis, lanes), place.pointer(at), value, merge)
    else:
        for lane in range(lanes):
            one = (*at[:axis], at[axis] + lane, *at[axis + 1 :])
            _store_scalar(e, place, one, e.lane(value, lane), merge)


def _store_scalar(e: Emitter, place: Place, at: Position, value: Any, merge: Merge | None) -> None:
    _store_at(e, place, place.condition(at), place.pointer(at), value, merge)


def _store_at(e: Emitter, place: Place, condition: Any, pointer: Any, value: Any, merge: Merge | None) -> None:
    if condition is not None:
        pointer = e.select(condition, pointer, place.buffers.sink)
    element = place.view.element
    stored = to_storage(e, value, element)
    if merge is not None:
        old = from_storage(e, e.load(stored.type, pointer, place.alignment), element)
        stored = to_storage(e, merge(old, value), element)
    e.store(stored, pointer, place.alignment)


def _store_masked(e: Emitter, place: Place, mask: Any, pointer: Any, value: Any, merge: Merge | None) -> None:
    element = place.view.element
    stored = to_storage(e, value, element)
    if merge is not None:
        old = from_storage(e, e.masked_load(stored.type, pointer, mask, stored, place.alignment), element)
        stored = to_storage(e, merge(old, value), element)
    e.masked_store(stored, pointer, mask, place.alignment)
