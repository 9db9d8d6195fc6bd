"""Race detection in global memory: between CTAs, and between the threads of one.

One shadow lives for the whole launch. Inside a cluster the thread clocks decide. Between clusters knowledge travels
through strong operations (``.release``/``.acquire``, or relaxed ones with a fence on each side) on a common location
(PTX ISA, "Release and Acquire Patterns"): each release makes an *epoch* of its cluster, a history of what its threads
had done, and an acquire learns the epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tilewright.runtime.emulator.action import Mask, Site
from tilewright.runtime.emulator.knowledge import merge
from tilewright.runtime.emulator.memory import Access
from tilewright.runtime.emulator.scalar_types import Array

if TYPE_CHECKING:
    from tilewright.runtime.emulator.launch import Geometry
    from tilewright.runtime.emulator.memory import Arena
    from tilewright.runtime.emulator.races import RaceDetector

STRONG = 1
"""Kind of an access that is an atomic, relaxed or volatile; two of these never race."""


@dataclass(slots=True)
class SyncVariable:
    """What releases at one location have published: epochs by cluster, and clock rows inside a cluster."""

    epochs: dict[int, int] = field(default_factory=dict)
    rows: dict[int, Array] = field(default_factory=dict)


class GlobalRaces:
    """Shadow of the global arena and the release history of every cluster of the grid.

    Args:
        cell: bytes per shadow cell.
    """

    def __init__(self, arena: Arena, cell: int, geometry: Geometry) -> None:
        count = len(arena.data) // cell + 64
        self.cell = cell
        self.geometry = geometry
        self.padded = -(-geometry.threads // 32) * 32
        self.writer = np.zeros(count, np.int32)
        self.write_clock = np.zeros(count, np.uint32)
        self.write_line = np.zeros(count, np.int32)
        self.write_kind = np.zeros(count, np.uint8)
        self.reader = np.zeros((count, 2), np.int32)
        self.read_clock = np.zeros((count, 2), np.uint32)
        self.read_line = np.zeros((count, 2), np.int32)
        self.read_kind = np.zeros((count, 2), np.uint8)
        self.history: dict[int, list[Array]] = {}
        self.variables: dict[int, SyncVariable] = {}

    # -- accesses -------------------------------------------------------------------------------------------------

    def access(
        self, races: RaceDetector, site: Site, access: Access, lanes: Array, write: bool, kind: int, new: Array | None
    ) -> None:
        """Check an access by threads against the shadow and record it."""
        machine = races.machine
        first = access.offsets // self.cell
        cells = first[:, None] + np.arange(max(access.size // self.cell, 1))
        ids = (np.asarray(machine.ctas)[machine.cta_of[lanes]] * self.padded + machine.thread_of[lanes] + 1).astype(
            np.int32
        )
        lines = np.array([i.line for i in site.instructions], np.int32)[np.minimum(access.rows(), site.count - 1)]
        clocks = races.know.clocks(lanes)
        writer = self.writer[cells]
        bad = (writer != 0) & (writer != ids[:, None])
        if kind == STRONG:
            bad &= self.write_kind[cells] != STRONG
        if bad.any() and write and new is not None:
            bad &= ~races.unchanged(access, new)[:, None]
        if bad.any():
            self._judge(
                races,
                site,
                access,
                lanes,
                cells,
                bad,
                writer,
                self.write_clock[cells],
                self.write_line,
                "write after write" if write else "read after write",
            )
        if not write:
            self._record_read(cells, ids, clocks, lines, kind)
            return
        self._against_readers(races, site, access, lanes, cells, ids, kind)
        self.writer[cells] = ids[:, None]
        self.write_clock[cells] = clocks[:, None]
        self.write_line[cells] = lines[:, None]
        self.write_kind[cells] = kind

    def _record_read(self, cells: Array, ids: Array, clocks: Array, lines: Array, kind: int) -> None:
        """Two readers per cell are kept: the latest, and the latest of another CTA."""
        old = self.reader[cells, 0]
        moved = (old != 0) & ((old - 1) // self.padded != ((ids - 1) // self.padded)[:, None])
        if moved.any():
            picked = cells[moved]
            for table in (self.reader, self.read_clock, self.read_line, self.read_kind):
                table[picked, 1] = table[picked, 0]
        self.reader[cells, 0] = ids[:, None]
        self.read_clock[cells, 0] = clocks[:, None]
        self.read_line[cells, 0] = lines[:, None]
        self.read_kind[cells, 0] = kind

    def _against_readers(
        self, races: RaceDetector, site: Site, access: Access, lanes: Array, cells: Array, ids: Array, kind: int
    ) -> None:
        for slot in (0, 1):
            reader = self.reader[cells, slot]
            bad = (reader != 0) & (reader != ids[:, None])
            if kind == STRONG:
                bad &= self.read_kind[cells, slot] != STRONG
            if bad.any():
                self._judge(
                    races,
                    site,
                    access,
                    lanes,
                    cells,
                    bad,
                    reader,
                    self.read_clock[cells, slot],
                    self.read_line[:, slot],
                    "write after read",
                )
            self.reader[cells, slot] = 0

    def _judge(
        self,
        races: RaceDetector,
        site: Site,
        access: Access,
        lanes: Array,
        cells: Array,
        bad: Array,
        others: Array,
        clocks: Array,
        line: Array,
        what: str,
    ) -> None:
        """Of the conflicting pairs, report the first that nothing orders."""
        rows, columns = np.nonzero(bad)
        other, clock, lane = others[rows, columns].astype(np.int64) - 1, clocks[rows, columns], lanes[rows]
        unordered = ~self._ordered(races, lane, other, clock)
        if not unordered.any():
            return
        index = int(np.argmax(unordered))
        row, column = int(rows[index]), int(columns[index])
        cta, thread = divmod(int(other[index]), self.padded)
        place = self.geometry.cta_coordinates(cta)
        races.machine.finding(
            "race",
            f"{what} in global memory without synchronisation",
            site,
            int(access.rows()[row]),
            [int(lane[index])],
            int(access.offsets[row]) + access.arena.origin,
            other=f"thread {thread} of CTA {place} at PTX line {int(line[cells[row, column]])}",
            count=int(np.count_nonzero(unordered)),
        )

    def _ordered(self, races: RaceDetector, lanes: Array, others: Array, clocks: Array) -> Array:
        """Whether each lane is ordered after the event (thread, clock) of another thread."""
        machine, know = races.machine, races.know
        size = machine.cluster_size
        mine = np.asarray(machine.ctas)[machine.cta_of[lanes]] // size
        theirs = others // self.padded // size
        column = others // self.padded % size * self.padded + others % self.padded
        result = (mine == theirs) & (clocks <= know.rows[lanes, column])
        foreign = np.flatnonzero(mine != theirs)
        for domain in np.unique(theirs[foreign]).tolist():
            actor = know.actors.get(("domain", domain))
            past = self.history.get(domain)
            if actor is None or past is None:
                continue
            chosen = foreign[theirs[foreign] == domain]
            epochs = know.rows[lanes[chosen], actor]
            for epoch in np.unique(epochs[epochs > 0]).tolist():
                part = chosen[epochs == epoch]
                result[part] = clocks[part] <= past[epoch - 1][column[part]]
        return np.asarray(result)

    def after(self, races: RaceDetector, lane: int, thread: int, clock: int) -> bool:
        """Whether a lane is ordered after an event of a thread of the grid."""
        return bool(self._ordered(races, np.array([lane]), np.array([thread]), np.array([clock]))[0])

    # -- release and acquire --------------------------------------------------------------------------------------

    @contextmanager
    def strong(
        self,
        races: RaceDetector,
        site: Site,
        mask: Mask,
        base: Array,
        offset: Array,
        space: str,
        size: int,
        semantics: str,
        scope: str | None,
    ) -> Iterator[None]:
        """Around one strong operation: publish before a write, learn after a read."""
        name = site.instructions[0].mnemonic
        memory = races.machine.memory
        accesses = memory.resolve(site, mask, space, memory.addresses(base, offset, 1), size)
        if name != "ld":
            for access in accesses:
                self._release(races, access, semantics in ("release", "acq_rel"))
        races.strong_now = True
        try:
            yield
        finally:
            races.strong_now = False
        if name in ("ld", "atom"):
            for access in accesses:
                self._acquire(races, access, semantics in ("acquire", "acq_rel"))

    def _key(self, races: RaceDetector, access: Access, offset: int) -> int:
        """One name space for locations of both memories; shared ones are private to the machine."""
        return offset if access.arena is races.machine.global_memory else -1 - offset - (id(races) << 40)

    def _release(self, races: RaceDetector, access: Access, fenced: bool) -> None:
        machine, know = races.machine, races.know
        for offset, lane in zip(access.offsets.tolist(), access.lanes().tolist(), strict=True):
            table = know.rows if fenced or know.published is None else know.published
            row = table[lane]
            if not row.any():
                continue
            domain = machine.ctas[int(machine.cta_of[lane])] // machine.cluster_size
            past = self.history.setdefault(domain, [])
            done = row[: know.domain].copy()
            past.append(np.maximum(past[-1], done) if past else done)
            variable = self.variables.setdefault(self._key(races, access, offset), SyncVariable())
            variable.epochs[domain] = len(past)
            for key, actor in know.actors.items():
                if isinstance(key, tuple) and key[0] == "domain" and row[actor]:
                    variable.epochs[key[1]] = max(variable.epochs.get(key[1], 0), int(row[actor]))
            variable.rows[domain] = merge(variable.rows.get(domain), row)
            know.tick(np.array([lane]))

    def _acquire(self, races: RaceDetector, access: Access, now: bool) -> None:
        for offset, lane in zip(access.offsets.tolist(), access.lanes().tolist(), strict=True):
            variable = self.variables.get(self._key(races, access, offset))
            if variable is not None:
                self._learn(races, lane, variable, now)

    def _learn(self, races: RaceDetector, lane: int, variable: SyncVariable, now: bool) -> None:
        """The lane knows what the variable's releases published, now or after its next fence."""
        machine, know = races.machine, races.know
        own = machine.ctas[int(machine.cta_of[lane])] // machine.cluster_size
        epochs = {
            know.actor(("domain", domain), f"cluster {domain}"): epoch
            for domain, epoch in variable.epochs.items()
            if domain != own
        }
        row = variable.rows.get(own, np.zeros(0, np.uint32))
        columns = np.array([*range(len(row)), *epochs])
        clocks = np.array([*row, *epochs.values()], np.uint32)
        if now:
            know.rows[lane, columns] = np.maximum(know.rows[lane, columns], clocks)
        else:
            know.observe(lane, columns, clocks)

    def fence(self, races: RaceDetector, lanes: Array) -> None:
        """A gpu-scope fence: earlier relaxed reads become acquires, earlier events may be published by later writes."""
        races.know.acquire(lanes)
        races.know.publish(lanes)
