"""Race detection in shared memory by happens-before, and the synchronisation events that order accesses.

A shadow cell remembers its last writer and the last reader of every warp, each with its clock and line. An access is a
race when it conflicts with one that its lane is not ordered after. The async proxy additionally needs a proxy fence on
the way from a generic write (PTX ISA, "Memory Consistency Model", "Proxies").
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator.action import Mask, Site
from tilewright.runtime.emulator.knowledge import Knowledge, merge
from tilewright.runtime.emulator.memory import Access
from tilewright.runtime.emulator.scalar_types import Array

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine
    from tilewright.runtime.emulator.mbarrier import BarrierObject
    from tilewright.runtime.emulator.races_global import GlobalRaces

WARP = 32
PLAIN, ATOMIC, COPY, ENGINE, OBJECT = 0, 1, 2, 3, 4
"""How a cell was last written: a thread's store, an atomic, cp.async, the async proxy, an mbarrier operation."""


class Shadow:
    """Last accesses of every cell of the shared arena."""

    def __init__(self, size: int, cell: int, warps: int) -> None:
        count = size // cell + 64
        self.cell = cell
        self.warps = warps
        self.writer = np.full(count, -1, np.int32)
        self.write_clock = np.zeros(count, np.uint32)
        self.write_line = np.zeros(count, np.int32)
        self.write_kind = np.zeros(count, np.uint8)
        self.reader = np.full((count, 2 * warps), -1, np.int32)
        self.read_clock = np.zeros((count, 2 * warps), np.uint32)
        self.read_line = np.zeros((count, 2 * warps), np.int32)
        self.was_read = np.zeros(count, bool)

    def cells(self, offsets: Array, size: int) -> Array:
        """(accesses, cells) numbers."""
        first = offsets // self.cell
        if size <= self.cell:
            return first[:, None]
        return first[:, None] + np.arange(size // self.cell)


class RaceDetector:
    """Observes accesses and synchronisation of one machine."""

    def __init__(self, machine: Machine, cell: int, proxies: bool, global_races: GlobalRaces | None) -> None:
        self.machine = machine
        self.know = Knowledge(machine, proxies, global_races is not None and machine.program.spins)
        self.shadow = Shadow(len(machine.shared.data), cell, self.know.domain // WARP)
        self.globals = global_races
        self.released: dict[int, tuple[Array, Array | None]] = {}
        self.collecting: dict[int, tuple[Array, Array | None]] = {}
        self.group_of: dict[int, int] = {}
        self.strong_now = False

    # -- accesses by threads --------------------------------------------------------------------------------------

    def access(self, site: Site, access: Access, write: bool, kind: int = PLAIN, new: Array | None = None) -> None:
        """A load or store by threads in program order; ``new`` are the values of a store, (accesses, items)."""
        lanes = access.lanes()
        kind = ATOMIC if self.strong_now and kind == PLAIN else kind
        if access.arena is self.machine.shared:
            actors = self.know.column[lanes]
            clocks = self.know.clocks(lanes)
            self.shared(site, access, lanes, actors, clocks, write, kind, new)
            if write and new is not None:
                self._collisions(site, access, lanes, actors, new)
        elif access.arena is self.machine.global_memory and self.globals is not None:
            self.globals.access(self, site, access, lanes, write, kind, new)

    def atomic(self, site: Site, access: Access) -> None:
        self.access(site, access, True, ATOMIC)

    def barrier_object(self, site: Site, access: Access, what: str) -> None:
        """An mbarrier operation: init and inval write the object, the others use it."""
        self.access(site, access, what in ("init", "inval"), OBJECT)

    def _collisions(self, site: Site, access: Access, lanes: Array, actors: Array, new: Array) -> None:
        """Two lanes of one store hit one place with different values: which one stays is undefined."""
        cells = self.shadow.cells(access.offsets, access.size)
        lost = (self.shadow.writer[cells] != actors[:, None]).any(axis=1)
        if not lost.any():
            return
        places, last = np.unique(access.offsets[::-1], return_index=True)
        winner = len(access.offsets) - 1 - last[np.searchsorted(places, access.offsets)]
        different = lost & (new != new[winner]).any(axis=1)
        if different.any():
            index = int(np.argmax(different))
            self._finding(
                site,
                access,
                index,
                lanes,
                int(np.count_nonzero(different)),
                "two lanes write different values",
                int(actors[winner[index]]),
                site.line(int(access.rows()[index])),
                "error",
            )

    def shared(
        self,
        site: Site,
        access: Access,
        lanes: Array,
        actors: Array,
        clocks: Array,
        write: bool,
        kind: int,
        new: Array | None = None,
    ) -> None:
        """Check and record accesses. ``lanes`` give the knowledge, ``actors`` and ``clocks`` are recorded."""
        shadow = self.shadow
        cells = shadow.cells(access.offsets, access.size)
        lines = np.array([instruction.line for instruction in site.instructions], np.int32)[
            np.minimum(access.rows(), site.count - 1)
        ]
        self._against_writers(site, access, cells, lanes, actors, write, kind, new)
        if not write:
            bank = shadow.warps if kind == ENGINE else 0
            column = ((lanes % self.know.domain) // WARP + bank)[:, None]
            shadow.reader[cells, column] = actors[:, None]
            shadow.read_clock[cells, column] = clocks[:, None]
            shadow.read_line[cells, column] = lines[:, None]
            shadow.was_read[cells] = True
            return
        self._against_readers(site, access, cells, lanes, actors, kind)
        shadow.writer[cells] = actors[:, None]
        shadow.write_clock[cells] = clocks[:, None]
        shadow.write_line[cells] = lines[:, None]
        shadow.write_kind[cells] = kind

    def _against_writers(
        self,
        site: Site,
        access: Access,
        cells: Array,
        lanes: Array,
        actors: Array,
        write: bool,
        kind: int,
        new: Array | None,
    ) -> None:
        shadow, know = self.shadow, self.know
        writer = shadow.writer[cells]
        if (writer < 0).all():
            return
        past = np.maximum(writer, 0)
        bad = (writer >= 0) & (writer != actors[:, None])
        bad &= shadow.write_clock[cells] > know.rows[lanes[:, None], past]
        if kind == ATOMIC and bad.any():
            bad &= shadow.write_kind[cells] != ATOMIC
        if new is not None and bad.any():
            bad &= ~self.unchanged(access, new)[:, None]
        if bad.any():
            self._report(site, access, cells, lanes, bad, "write after write" if write else "read after write")
        if kind == ENGINE and know.fenced is not None:
            self._against_generic(site, access, cells, lanes, writer, past, bad, write)

    def _against_generic(
        self,
        site: Site,
        access: Access,
        cells: Array,
        lanes: Array,
        writer: Array,
        past: Array,
        already: Array,
        write: bool,
    ) -> None:
        """The async proxy meets data written through the generic proxy."""
        shadow, know = self.shadow, self.know
        if write:
            return
        assert know.fenced is not None
        written = shadow.write_kind[cells]
        generic = (writer >= 0) & (writer < 2 * know.domain) & ~already & (written != OBJECT)
        bad = generic & (shadow.write_clock[cells] > know.fenced[lanes[:, None], past])
        if not bad.any():
            return
        row, column = np.argwhere(bad)[0]
        lenient = written[row, column] == COPY
        if lenient and not self.machine.options.strict:
            return
        self.machine.finding(
            "missing-proxy-fence",
            "the async proxy reads data written through the generic proxy with no fence.proxy.async between",
            site,
            int(access.rows()[row]),
            [int(lanes[row])],
            int(access.offsets[row]) % self.machine.shared_stride,
            other=self._party(int(writer[row, column]), int(shadow.write_line[cells[row, column]])),
            severity="warning" if lenient else "error",
        )

    def _against_readers(
        self, site: Site, access: Access, cells: Array, lanes: Array, actors: Array, kind: int
    ) -> None:
        shadow, know = self.shadow, self.know
        touched = shadow.was_read[cells]
        if not touched.any():
            return
        picked = np.flatnonzero(touched.any(axis=1))
        part = cells[picked]
        reader = shadow.reader[part]
        known = know.rows[lanes[picked][:, None, None], np.maximum(reader, 0)]
        bad = (reader >= 0) & (reader != actors[picked][:, None, None]) & (shadow.read_clock[part] > known)
        if bad.any():
            certain = (
                bad & ~self._known_by_group(reader, shadow.read_clock[part], lanes[picked]) if self.group_of else bad
            )
            chosen = certain if certain.any() else bad
            row, column, slot = np.argwhere(chosen)[0]
            cell = part[row, column]
            self._finding(
                site,
                access,
                int(picked[row]),
                lanes,
                int(np.count_nonzero(chosen.any(axis=(1, 2)))),
                "write after read",
                int(shadow.reader[cell, slot]),
                int(shadow.read_line[cell, slot]),
                "error" if certain.any() else "warning",
            )
        shadow.reader[part] = -1
        shadow.was_read[part] = False

    def unchanged(self, access: Access, new: Array) -> Array:
        """Stores of the value that is there already: every order gives the same memory."""
        item = access.size // new.shape[1]
        old = access.arena.view(False, item, new.shape[1])[access.offsets // access.size]
        return np.asarray((old == new).all(axis=1))

    def _known_by_group(self, reader: Array, clocks: Array, lanes: Array) -> Array:
        """wgmma reads that are over if a wait by one warp covers its whole warpgroup (the lenient reading)."""
        table = np.full(self.know.width, -1)
        for actor, group in self.group_of.items():
            table[actor] = group
        column = table[np.maximum(reader, 0)]
        known = self.know.rows[lanes[:, None, None], np.maximum(column, 0)]
        return np.asarray((column >= 0) & (clocks <= known))

    def _report(self, site: Site, access: Access, cells: Array, lanes: Array, bad: Array, what: str) -> None:
        row, column = np.argwhere(bad)[0]
        cell = cells[row, column]
        count = int(np.count_nonzero(bad.any(axis=1)))
        self._finding(
            site,
            access,
            int(row),
            lanes,
            count,
            what,
            int(self.shadow.writer[cell]),
            int(self.shadow.write_line[cell]),
            "error",
        )

    def _finding(
        self,
        site: Site,
        access: Access,
        index: int,
        lanes: Array,
        count: int,
        what: str,
        actor: int,
        line: int,
        severity: str,
    ) -> None:
        machine = self.machine
        lane = int(lanes[index])
        if severity == "warning":
            if not machine.options.strict:
                return
            what += " (ordered only if a wgmma wait covers the warpgroup)"
        machine.finding(
            "race" if severity == "error" else "strict-wgmma-wait",
            f"{what} in shared memory without synchronisation",
            site,
            int(access.rows()[index]),
            [lane],
            int(access.offsets[index]) % machine.shared_stride,
            other=self._party(actor, line),
            severity=severity,
            count=count,
        )

    def _party(self, actor: int, line: int) -> str:
        return f"{self.know.describe(actor, 0)} at PTX line {line}"

    # -- cp.async -------------------------------------------------------------------------------------------------

    def copy_issued(self, site: Site, access: Access, lanes: Array) -> None:
        """cp.async writes shared memory some time before the wait for its group."""
        groups = self.machine.engines.copies.committed[lanes] + 1
        self.shared(
            site, access, lanes, self.know.column[lanes] + self.know.domain, groups.astype(np.uint32), True, COPY
        )

    def copies_waited(self, lanes: Array, groups: Array) -> None:
        """The lanes' copies up to these group numbers are done."""
        columns = self.know.column[lanes] + self.know.domain
        done = np.maximum(groups, 0).astype(np.uint32)
        self.know.rows[lanes, columns] = np.maximum(self.know.rows[lanes, columns], done)

    # -- synchronisation ------------------------------------------------------------------------------------------

    def barrier(self, arrived: Array, released: Array) -> None:
        self.know.join(arrived, released)

    def warp_barrier(self, lanes: Array) -> None:
        self.know.join_warps(lanes)

    def fence(self, lanes: Array, proxy: str | None, space: str | None, semantics: str, scope: str) -> None:
        if proxy is not None and proxy.startswith("async"):
            self.know.proxy_fence(lanes)
        if proxy == "mbarrier_init":
            self.know.proxy_fence(lanes)
        if self.globals is not None and proxy is None and scope in ("gpu", "sys", "cluster"):
            self.globals.fence(self, lanes)

    def barrier_arrive(self, barrier: BarrierObject, lane: int) -> None:
        row, fenced = self.know.snapshot(lane)
        old, old_fenced = self.collecting.get(barrier.offset, (None, None))
        self.collecting[barrier.offset] = (merge(old, row), None if fenced is None else merge(old_fenced, fenced))
        self.know.tick(np.array([lane]))

    def copy_arrival(self, barrier: BarrierObject, lane: int, group: int) -> None:
        """The arrival of cp.async work: whoever waits for the phase also sees the lane's copies up to the group."""
        column = int(self.know.column[lane])
        row = np.zeros(self.know.width, np.uint32)
        row[column + self.know.domain] = group
        old, old_fenced = self.collecting.get(barrier.offset, (None, None))
        self.collecting[barrier.offset] = (merge(old, row), old_fenced)

    def barrier_completed(self, barrier: BarrierObject) -> None:
        """The phase ends: what its arrivals knew, and what its transactions wrote, can be acquired."""
        row, fenced = self.collecting.pop(barrier.offset, (np.zeros(1, np.uint32), None))
        old, old_fenced = self.released.get(barrier.offset, (None, None))
        row = merge(old, row)
        actor = self.know.actors.get(("tma", barrier.offset))
        if actor is not None:
            row = merge(row, np.zeros(actor + 1, np.uint32))
            row[actor] = max(int(row[actor]), barrier.completed)
        if fenced is not None:
            old_fenced = merge(old_fenced, fenced)
        self.released[barrier.offset] = (row, old_fenced)

    def barrier_waited(self, barrier: BarrierObject, lanes: Array) -> None:
        found = self.released.get(barrier.offset)
        if found is not None:
            self.know.learn(lanes, *found)

    # -- the async proxy ------------------------------------------------------------------------------------------

    def engine_write(
        self, site: Site, lane: int, offsets: Array, size: int, barrier: BarrierObject, kind: int = ENGINE
    ) -> None:
        """TMA (or, with another kind, an asynchronous store) writes; it is over when the barrier's phase is."""
        actor = self._barrier_actor(barrier)
        clock = barrier.completed + 1
        self._same_phase(site, lane, offsets, size, actor, clock, kind)
        self._engine(site, lane, offsets, size, actor, clock, True, kind)
        if kind == ENGINE:
            self._init_visible(site, lane, barrier)

    def _init_visible(self, site: Site, lane: int, barrier: BarrierObject) -> None:
        """The async proxy signals an mbarrier whose init no fence has made visible to it (strict reading)."""
        know, cell = self.know, barrier.offset // self.shadow.cell
        writer = int(self.shadow.writer[cell])
        if know.fenced is None or writer < 0 or not self.machine.options.strict:
            return
        if self.shadow.write_kind[cell] == OBJECT and self.shadow.write_clock[cell] > know.fenced[lane, writer]:
            self.machine.finding(
                "missing-init-fence",
                "the async proxy uses an mbarrier whose init no fence.mbarrier_init or fence.proxy.async follows",
                site,
                0,
                [lane],
                barrier.offset % self.machine.shared_stride,
                other=self._party(writer, int(self.shadow.write_line[cell])),
                severity="warning",
            )

    def _same_phase(self, site: Site, lane: int, offsets: Array, size: int, actor: int, clock: int, kind: int) -> None:
        """Nothing orders two asynchronous writes of one phase; only reductions may meet at a place."""
        shadow = self.shadow
        cells = shadow.cells(offsets, size)
        twice = (shadow.writer[cells] == actor) & (shadow.write_clock[cells] == clock)
        if kind == ATOMIC:
            twice &= shadow.write_kind[cells] != ATOMIC
        if not twice.any():
            return
        row, column = (int(x) for x in np.argwhere(twice)[0])
        self.machine.finding(
            "race",
            "two asynchronous writes of one phase of an mbarrier hit one place",
            site,
            0,
            [lane],
            int(offsets[row]) % self.machine.shared_stride,
            other=self._party(actor, int(shadow.write_line[cells[row, column]])),
        )

    def engine_read_until(self, site: Site, lane: int, offsets: Array, size: int, barrier: BarrierObject) -> None:
        """The async proxy reads shared memory; it is over when the phase of an mbarrier is."""
        actor = self._barrier_actor(barrier)
        self._engine(site, lane, offsets, size, actor, barrier.completed + 1, False)

    def _barrier_actor(self, barrier: BarrierObject) -> int:
        place = barrier.offset % self.machine.shared_stride
        return self.know.actor(("tma", barrier.offset), f"asynchronous copies of the mbarrier at shared {place:#x}")

    def engine_read(self, site: Site, lane: int, offsets: Array, size: int, actor: int, clock: int) -> None:
        self._engine(site, lane, offsets, size, actor, clock, False)

    def _engine(
        self,
        site: Site,
        lane: int,
        offsets: Array,
        size: int,
        actor: int,
        clock: int,
        write: bool,
        kind: int = ENGINE,
    ) -> None:
        lanes = np.full(len(offsets), lane)
        positions = lanes.copy()
        access = Access(self.machine.shared, offsets, positions, self.machine.lanes, size)
        self.shared(
            site,
            access,
            lanes,
            np.full(len(offsets), actor, np.int64),
            np.full(len(offsets), clock, np.uint32),
            write,
            kind,
        )

    def strong(
        self,
        site: Site,
        mask: Mask,
        base: Array,
        offset: Array,
        space: str,
        size: int,
        semantics: str,
        scope: str | None,
    ) -> AbstractContextManager[None]:
        from contextlib import nullcontext

        if self.globals is None:
            return nullcontext()
        return self.globals.strong(self, site, mask, base, offset, space, size, semantics, scope)


def global_cell(program: Any) -> int:
    """Bytes of the smallest global access of a kernel."""
    smallest = 16
    for block in program.blocks:
        for instruction in block.instructions:
            if instruction.mnemonic in ("ld", "st", "atom", "red"):
                if not any(part.split("::")[0] in ("shared", "param", "local", "const") for part in instruction.parts):
                    smallest = min(smallest, _access_bytes(instruction.parts))
            elif instruction.mnemonic == "wmma":
                smallest = min(smallest, 4)
            elif instruction.mnemonic == "cp":
                smallest = min(smallest, 1 if "tensor" in instruction.parts else 4)
    return smallest


def detector_options(program: Any) -> tuple[int, bool]:
    """Cell size in bytes and whether the async proxy is used, from the kernel's instructions."""
    smallest, proxies = 16, False
    for block in program.blocks:
        for instruction in block.instructions:
            name = instruction.mnemonic
            proxies = proxies or name == "wgmma" or "bulk" in instruction.parts
            if name in ("ld", "st", "atom", "red"):
                if {"global", "param", "local", "const"} & set(instruction.parts):
                    continue
                smallest = min(smallest, _access_bytes(instruction.parts))
            elif name == "cp" and "bulk" not in instruction.parts:
                smallest = min(smallest, 4)
            elif name in ("mbarrier", "wmma"):
                smallest = min(smallest, 8 if name == "mbarrier" else 4)
    return smallest, proxies


def _access_bytes(parts: list[str]) -> int:
    bits = int("".join(character for character in parts[-1].split("x")[0] if character.isdigit()) or 32)
    count = next((int(part[1:]) for part in parts if part in ("v2", "v4", "v8")), 1)
    return max(bits // 8 * (2 if "x2" in parts[-1] else 1), 1) * count
