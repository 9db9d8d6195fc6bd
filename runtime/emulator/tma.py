"""Bulk copies and TMA: tensor tiles between global and shared memory, signalled by mbarriers or bulk groups.

PTX ISA, "cp.async.bulk", "cp.async.bulk.tensor", "cp.reduce.async.bulk". A load counts the bytes of the whole box on
its mbarrier, also those outside the tensor (assumed, as published kernels need it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator.action import Site
from tilewright.runtime.emulator.memory import INITIALISED, VALID, WRITABLE, Access, Arena
from tilewright.runtime.emulator.ops_atomic import combine as combine_function
from tilewright.runtime.emulator.races import ATOMIC, ENGINE
from tilewright.runtime.emulator.scalar_types import TYPES, Array
from tilewright.runtime.emulator.spaces import GLOBAL_BASE
from tilewright.runtime.emulator.tensormap import BYTES, MapFields, unpack
from tilewright.runtime.emulator.tma_tiles import UNIT, Tile, placement_fault, tile_of
from tilewright.runtime.emulator.wgmma import swizzle

if TYPE_CHECKING:
    from tilewright.runtime.emulator.engines import Engines
    from tilewright.runtime.emulator.machine import Machine

REDUCTIONS = {
    "u32": ("add", "min", "max", "inc", "dec", "and", "or", "xor"),
    "s32": ("add", "min", "max", "and", "or", "xor"),
    "u64": ("add", "min", "max", "and", "or", "xor"),
    "s64": ("add", "min", "max", "and", "or", "xor"),
    "f16": ("add", "min", "max"),
    "bf16": ("add", "min", "max"),
    "f32": ("add",),
    "f64": ("add",),
}
"""Tensor reductions by element type (PTX ISA, "cp.reduce.async.bulk.tensor")."""
NAN_FILL = {2: 0x7FFF, 4: 0x7FFFFFFF, 8: 0x7FFFFFFFFFFFFFFF}


def _view(arena: Arena, item: int) -> Array:
    """Memory as rows of one element or one 16-byte unit."""
    return arena.view(False, min(item, 8), max(item // 8, 1))


def map_place(machine: Machine, site: Site, lane: int, address: int) -> tuple[Arena, int] | None:
    """Arena and offset of a tensor map that TMA may read; what is wrong becomes a finding."""
    only = np.arange(machine.lanes) == lane
    place: tuple[Arena, int] | None = None
    for half in (0, BYTES // 2):
        addresses = np.full((1, machine.lanes), address + half, np.int64)
        for access in machine.memory.resolve(site, only, "generic", addresses, BYTES // 2):
            access = machine.memory.checked(site, access, VALID | INITIALISED, "tensor map read")
            if not len(access.offsets):
                return None
            place = place or (access.arena, int(access.offsets[0]))
    if place is None or place[0] in (machine.global_memory, machine.parameters):
        return place
    message = "TMA reads tensor maps from parameters, constants and global memory only"
    machine.finding("tensor-map", message, site, 0, [lane], address)
    return None


class TensorLoad:
    """A pending load of bytes into shared memory; ``targets`` are (byte places, mbarrier offset).

    ``reduction`` is the element function and type of a bulk reduction, None for a copy.
    """

    __slots__ = ("done", "engine", "fields", "lane", "reads", "reduction", "site", "targets", "tile")

    def __init__(
        self,
        engine: BulkEngine,
        site: Site,
        lane: int,
        tile: Tile,
        fields: MapFields | None,
        targets: list[tuple[Array, int]],
        reads: Any,
        reduction: tuple[Any, Any] | None = None,
    ) -> None:
        self.engine, self.site, self.lane, self.reduction = engine, site, lane, reduction
        self.tile, self.fields, self.targets, self.reads = tile, fields, targets, reads
        self.done = False

    def finish(self) -> None:
        self.done = True
        machine, tile = self.engine.machine, self.tile
        values = _view(self.reads, tile.item)[np.maximum(tile.origin, 0) // tile.item]
        if not tile.valid.all():
            values = np.where(tile.valid[:, None], values, self._fill(values))
        for places, barrier in self.targets:
            _view(machine.shared, tile.item)[places // tile.item] = self._combined(places, values)
            machine.shared.mark(places, tile.item)
            machine.counters.bytes_written["shared"] += tile.bytes
            machine.engines.barriers.complete_bytes(self.site, barrier, tile.bytes, self.lane)

    def _combined(self, places: Array, values: Array) -> Array:
        """What is written: the values, or the old contents combined with them."""
        if self.reduction is None:
            return values
        function, kind = self.reduction
        old = _view(self.engine.machine.shared, self.tile.item)[places // self.tile.item]
        return np.ascontiguousarray(function(old.view(kind), np.ascontiguousarray(values).view(kind))).view(old.dtype)

    def _fill(self, like: Array) -> Any:
        fields = self.fields
        if fields is None or not fields.fill:
            return like.dtype.type(0)
        pattern = NAN_FILL.get(fields.item, 0x7F).to_bytes(fields.item, "little")
        return np.frombuffer(pattern * (like.itemsize // fields.item), like.dtype)[0]


class TensorStore:
    """A pending store or reduction from shared to global memory; reading and writing may happen apart."""

    __slots__ = ("combine", "done", "engine", "group", "kind", "lane", "places", "site", "tile", "values")

    def __init__(
        self, engine: BulkEngine, site: Site, lane: int, tile: Tile, places: Array, group: int, combine: Any, kind: Any
    ) -> None:
        self.engine, self.site, self.lane, self.tile = engine, site, lane, tile
        self.places, self.group, self.combine, self.kind = places, group, combine, kind
        self.values: Array | None = None
        self.done = False

    def read(self) -> None:
        """Take the bytes out of shared memory."""
        if self.values is None:
            self.values = _view(self.engine.machine.shared, self.tile.item)[self.places // self.tile.item]

    def finish(self) -> None:
        self.read()
        self.done = True
        assert self.values is not None
        machine, tile = self.engine.machine, self.tile
        good = tile.valid
        index = tile.origin[good] // tile.item
        target = _view(machine.global_memory, tile.item)
        values = self.values[good]
        if self.combine is None:
            target[index] = values
        else:
            size = self.kind.itemsize
            typed = machine.global_memory.view(False, size, 1)[:, 0].view(self.kind)
            places = (tile.origin[good][:, None] + np.arange(0, tile.item, size)).reshape(-1) // size
            added = np.ascontiguousarray(values).reshape(-1).view(self.kind)
            typed[places] = self.combine(typed[places], added)
        machine.global_memory.mark(tile.origin[good], tile.item)
        machine.counters.bytes_written["global"] += len(index) * tile.item


class BulkEngine:
    """Bulk copies of every kind and the bulk groups of every thread."""

    def __init__(self, machine: Machine, engines: Engines) -> None:
        self.machine = machine
        self.engines = engines
        self.committed = np.zeros(machine.lanes, np.int64)
        self.stores: list[TensorStore] = []

    # -- maps and addresses ---------------------------------------------------------------------------------------

    def fields(self, site: Site, lane: int, address: int) -> MapFields | None:
        """Decode the tensor map at a generic or parameter address."""
        machine = self.machine
        place = map_place(machine, site, lane, address)
        if place is None:
            return None
        arena, start = place
        found = unpack(arena.data[start : start + BYTES].tobytes())
        fault = found.fault() if found is not None else "the address holds no tensor map"
        if fault is not None:
            machine.finding("tensor-map", fault, site, 0, [lane], address)
            return None
        self.engines.map_fences.used(site, lane, arena, start)
        return found

    def _suitable(
        self,
        site: Site,
        lane: int,
        map_address: int,
        coordinates: list[int],
        offsets: list[int] | None,
        stores: bool = False,
    ) -> MapFields | None:
        """The fields of a map whose mode and rank go with the operands."""
        fields = self.fields(site, lane, map_address)
        if fields is None:
            return None
        fault = placement_fault(fields, coordinates, offsets or [], stores)
        if fields.im2col != (offsets is not None):
            fault = f"the map is in {'im2col' if fields.im2col else 'tile'} mode, the instruction is not"
        if fault is not None:
            self.machine.finding("tensor-map", fault, site, 0, [lane], map_address)
            return None
        return fields

    def shared_place(self, site: Site, lane: int, address: int, size: int, alignment: int) -> int | None:
        """Arena offset of a shared address that an engine will use."""
        machine = self.machine
        offset = int(machine.memory._shared_offsets(np.array([address]), np.array([lane]))[0])
        if offset < 0:
            machine.finding("out-of-bounds", "bulk copy outside shared memory", site, 0, [lane], address)
            return None
        if offset % alignment:
            machine.finding(
                "misaligned", f"a bulk copy needs {alignment}-byte alignment in shared memory", site, 0, [lane], address
            )
            return None
        if offset % machine.shared_stride + size > machine.shared_stride:
            machine.finding(
                "out-of-bounds", f"bulk copy of {size} bytes runs past shared memory", site, 0, [lane], address
            )
            return None
        return offset

    def _slots(self, lane: int, cta_mask: int | None, offset: int) -> list[int]:
        """Arena offsets of the same place in every CTA of a multicast."""
        machine = self.machine
        if cta_mask is None:
            return [offset]
        first = int(machine.cluster_first[lane])
        inner = offset % machine.shared_stride
        return [
            (first + rank) * machine.shared_stride + inner
            for rank in range(machine.cluster_size)
            if cta_mask >> rank & 1
        ]

    # -- loads ----------------------------------------------------------------------------------------------------

    def load_tensor(
        self,
        site: Site,
        lane: int,
        target: int,
        map_address: int,
        coordinates: list[int],
        offsets: list[int] | None,
        barrier: int,
        cta_mask: int | None,
    ) -> None:
        """A tile into shared memory; ``offsets`` are those of the im2col mode, None in tile mode."""
        fields = self._suitable(site, lane, map_address, coordinates, offsets)
        if fields is None:
            return
        tile = tile_of(fields, coordinates, offsets or [], self.machine.options.assume.interleaved_box)
        place = self.shared_place(site, lane, target, tile.bytes, 128)
        if place is None:
            return
        tile = self._checked_origin(site, lane, tile)
        self._start_load(site, lane, tile, fields, place, barrier, cta_mask, fields.swizzle, self.machine.global_memory)

    def _start_load(
        self,
        site: Site,
        lane: int,
        tile: Tile,
        fields: MapFields | None,
        place: int,
        barrier: int,
        cta_mask: int | None,
        width: int,
        reads: Any,
        reduction: tuple[Any, Any] | None = None,
    ) -> None:
        machine = self.machine
        barrier_place = self.shared_place(site, lane, barrier, 8, 8)
        if barrier_place is None:
            return
        targets = []
        for base, object_ in zip(
            self._slots(lane, cta_mask, place), self._slots(lane, cta_mask, barrier_place), strict=True
        ):
            places = self._swizzled(base, tile.inside, width)
            if not self._writable(site, lane, places, tile.item, INITIALISED if reduction else 0):
                continue
            known = machine.engines.barriers.objects.get(object_)
            if machine.races is not None and known is not None:
                unit = places if tile.item == UNIT else np.unique(places // UNIT) * UNIT
                machine.races.engine_write(site, lane, unit, UNIT, known, ATOMIC if reduction else ENGINE)
            targets.append((places, object_))
        machine.counters.bytes_read["global"] += int(np.count_nonzero(tile.valid)) * tile.item
        machine.engines.submit(TensorLoad(self, site, lane, tile, fields, targets, reads, reduction))

    def _swizzled(self, base: int, inside: Array, width: int) -> Array:
        if not width:
            return base + inside
        start = base % self.machine.shared_stride
        return swizzle(start + inside, width) + (base - start)

    def _writable(self, site: Site, lane: int, places: Array, item: int, more: int) -> bool:
        machine = self.machine
        access = Access(machine.shared, places, np.full(len(places), lane), machine.lanes, item)
        return len(
            machine.memory.checked(site, access, VALID | WRITABLE | more, "bulk copy destination").offsets
        ) == len(places)

    def _checked_origin(self, site: Site, lane: int, tile: Tile) -> Tile:
        """Elements that the map claims but memory does not have become findings and zeros."""
        machine = self.machine
        picked = np.flatnonzero(tile.valid)
        if not len(picked):
            return tile
        access = Access(machine.global_memory, tile.origin[picked], picked * 0 + lane, machine.lanes, tile.item)
        access = machine.memory.checked(site, access, VALID | INITIALISED, "bulk tensor load")
        if machine.races is not None and len(access.offsets):
            machine.races.access(site, access, False)
        if len(access.offsets) == len(picked):
            return tile
        kept = np.isin(tile.origin, access.offsets)
        return Tile(np.where(kept, tile.origin, -1), tile.inside, tile.item, tile.bytes)

    def load_bytes(
        self,
        site: Site,
        lane: int,
        target: int,
        origin: int,
        size: int,
        barrier: int,
        cta_mask: int | None,
        from_shared: bool,
        reduction: tuple[Any, Any] | None = None,
    ) -> None:
        """A plain bulk copy or reduction into shared memory, from global memory or the CTA's own shared memory."""
        machine = self.machine
        if not self._size_ok(site, lane, size):
            return
        place = self.shared_place(site, lane, target, size, 16)
        if place is None:
            return
        if from_shared:
            start = self.shared_place(site, lane, origin, size, 16)
            if start is None:
                return
            self._observe_source(site, lane, start + np.arange(0, size, UNIT), barrier)
            reads = machine.shared
        else:
            start, reads = origin - GLOBAL_BASE, machine.global_memory
        steps = np.arange(0, size, UNIT, dtype=np.int64)
        tile = Tile(start + steps, steps, UNIT, size)
        if not from_shared:
            if start % 16:
                machine.finding(
                    "misaligned", "a bulk copy needs 16-byte alignment in global memory", site, 0, [lane], origin
                )
                return
            tile = self._checked_origin(site, lane, tile)
        self._start_load(site, lane, tile, None, place, barrier, cta_mask, 0, reads, reduction)

    def _observe_source(self, site: Site, lane: int, places: Array, barrier: int) -> None:
        """A copy between shared memories reads until the mbarrier of its destination has counted its bytes."""
        machine = self.machine
        read = Access(machine.shared, places, np.full(len(places), lane), machine.lanes, UNIT)
        machine.memory.checked(site, read, VALID | INITIALISED, "bulk copy source")
        place = self.shared_place(site, lane, barrier, 8, 8)
        known = machine.engines.barriers.objects.get(place) if place is not None else None
        if machine.races is not None and known is not None:
            machine.races.engine_read_until(site, lane, places, UNIT, known)

    def _size_ok(self, site: Site, lane: int, size: int) -> bool:
        if size % 16 or size <= 0:
            self.machine.finding("bulk-copy", f"size {size} is not a positive multiple of 16", site, 0, [lane])
            return False
        return True

    # -- stores ---------------------------------------------------------------------------------------------------

    def store_tensor(
        self,
        site: Site,
        lane: int,
        map_address: int,
        coordinates: list[int],
        offsets: list[int] | None,
        origin: int,
        operation: str | None,
    ) -> None:
        """A tile out of shared memory; ``operation`` combines it with what is there, by the element type of the map."""
        fields = self._suitable(site, lane, map_address, coordinates, offsets, stores=True)
        if fields is None:
            return
        combine, kind = None, None
        if operation is not None:
            if operation not in REDUCTIONS.get(fields.element, ()):
                message = f"no reduction .{operation} of {fields.element} elements"
                self.machine.finding("tensor-map", message, site, 0, [lane], map_address)
                return
            kind = TYPES[fields.element].dtype
            combine = combine_function(operation, TYPES[fields.element])
        tile = tile_of(fields, coordinates, offsets or [], self.machine.options.assume.interleaved_box)
        place = self.shared_place(site, lane, origin, tile.bytes, 128)
        if place is not None:
            self._start_store(site, lane, tile, self._swizzled(place, tile.inside, fields.swizzle), combine, kind)

    def store_bytes(self, site: Site, lane: int, target: int, origin: int, size: int, combine: Any, kind: Any) -> None:
        place = self.shared_place(site, lane, origin, size, 16) if self._size_ok(site, lane, size) else None
        if place is None:
            return
        steps = np.arange(0, size, UNIT, dtype=np.int64)
        self._start_store(
            site, lane, Tile(target - GLOBAL_BASE + steps, steps, UNIT, size), place + steps, combine, kind
        )

    def _start_store(self, site: Site, lane: int, tile: Tile, places: Array, combine: Any, kind: Any) -> None:
        machine = self.machine
        good = np.flatnonzero(tile.valid)
        access = Access(machine.global_memory, tile.origin[good], good * 0 + lane, machine.lanes, tile.item)
        kept = machine.memory.checked(site, access, VALID | WRITABLE, "bulk store")
        if len(kept.offsets) != len(good):
            return
        read = Access(machine.shared, places[good], good * 0 + lane, machine.lanes, tile.item)
        machine.memory.checked(site, read, VALID | INITIALISED, "bulk store source")
        self._observe_read(site, lane, places if tile.item == UNIT else np.unique(places // UNIT) * UNIT)
        if machine.races is not None and len(kept.offsets):
            machine.races.access(site, kept, True, 1 if combine is not None else 0)
        work = TensorStore(self, site, lane, tile, places, int(self.committed[lane]), combine, kind)
        self.stores.append(work)
        machine.engines.submit(work)

    def _observe_read(self, site: Site, lane: int, places: Array) -> None:
        races = self.machine.races
        if races is None:
            return
        column = int(races.know.column[lane])
        actor = races.know.actor(("bulk", column), f"bulk store of {races.know.describe(column, 0)}")
        races.engine_read(site, lane, places, 16, actor, int(self.committed[lane]) + 1)

    def commit(self, lanes: Array) -> None:
        self.committed[lanes] += 1

    def wait(self, lanes: Array, allowed: int, only_reads: bool) -> None:
        """All but the latest ``allowed`` groups of the lanes have read their sources, or are complete."""
        member = np.zeros(self.machine.lanes, bool)
        member[lanes] = True
        for work in self.stores:
            if not work.done and member[work.lane] and work.group < self.committed[work.lane] - allowed:
                if only_reads:
                    work.read()
                else:
                    work.finish()
        self.stores = [work for work in self.stores if not work.done]
        races = self.machine.races
        if races is not None:
            for lane in lanes.tolist():
                actor = races.know.actors.get(("bulk", int(races.know.column[lane])))
                if actor is not None:
                    done = max(int(self.committed[lane]) - allowed, 0)
                    races.know.rows[lane, actor] = max(int(races.know.rows[lane, actor]), done)

    def exited(self, ended: Array) -> None:
        """A CTA whose threads are gone must not have stores that still read its shared memory."""
        for work in self.stores:
            if work.values is None and not work.done and ended[work.lane]:
                self.machine.finding(
                    "bulk-store",
                    "the CTA exits before a bulk store has read its shared memory",
                    work.site,
                    0,
                    [work.lane],
                )
                work.finish()
