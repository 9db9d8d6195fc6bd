"""Tensor maps that the kernel itself writes: which fences lie between the write and the TMA that reads them.

TMA reads maps through the tensormap proxy. A map written through the generic proxy is only seen after a release fence
behind the write and an acquire fence on the address of the map before the read (PTX ISA, "fence.proxy.tensormap",
"tensormap.cp_fenceproxy"). The shadow of global memory says who wrote a map last; maps that the host made need nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tilewright.runtime.emulator.action import Site
from tilewright.runtime.emulator.memory import Access, Arena
from tilewright.runtime.emulator.scalar_types import Array
from tilewright.runtime.emulator.tensormap import BYTES

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine
    from tilewright.runtime.emulator.races import RaceDetector


@dataclass(frozen=True, slots=True)
class Release:
    """A release fence: who, its clock, and what it knew."""

    lane: int
    clock: int
    known: Array


@dataclass(frozen=True, slots=True)
class Acquire:
    """An acquire fence on a map: who, its clock, and the state of the map it has seen."""

    lane: int
    clock: int
    state: bytes
    released: bool


class MapFences:
    """The tensormap-proxy fences of one machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.releases: list[Release] = []
        self.acquires: dict[int, list[Acquire]] = {}

    @property
    def _races(self) -> RaceDetector | None:
        """The race detector when it follows global memory and the fences are asked for."""
        races = self.machine.races
        required = self.machine.options.assume.tensormap_fence == "required"
        return races if required and races is not None and races.globals is not None else None

    def release(self, lanes: Array) -> None:
        """``fence.proxy.tensormap::generic.release`` by some lanes."""
        races = self._races
        if races is None:
            return
        know = races.know
        for lane in lanes.tolist():
            clock = int(know.rows[lane, know.column[lane]])
            self.releases.append(Release(lane, clock, know.rows[lane, : know.domain].copy()))
        know.tick(lanes)

    def acquire(self, lane: int, offset: int) -> None:
        """``fence.proxy.tensormap::generic.acquire`` by a lane on the map at an offset of global memory."""
        races = self._races
        if races is None:
            return
        know = races.know
        clock = int(know.rows[lane, know.column[lane]])
        state, released = self._state(offset), self._released(lane, offset)
        self.acquires.setdefault(offset, []).append(Acquire(lane, clock, state, released))
        know.tick(np.array([lane]))

    def used(self, site: Site, lane: int, arena: Arena, offset: int) -> None:
        """TMA reads a map for a lane: a read that must be ordered, and behind the fences when the kernel wrote it."""
        machine, races = self.machine, self._races
        if races is None or arena is not machine.global_memory:
            return
        places = np.array([offset, offset + BYTES // 2])
        races.access(site, Access(arena, places, np.full(2, lane), machine.lanes, BYTES // 2), False)
        if not self._writers(offset)[0].any():
            return
        missing = self._missing(lane, offset)
        if missing is None:
            return
        machine.finding(
            "missing-tensormap-fence",
            f"TMA reads a tensor map that the kernel wrote, with no {missing} between",
            site,
            0,
            [lane],
            offset + arena.origin,
            other=self._last_writer(offset),
        )

    def _missing(self, lane: int, offset: int) -> str | None:
        state = self._state(offset)
        seen = [
            fence
            for fence in self.acquires.get(offset, [])
            if fence.state == state and self._before(lane, fence.lane, fence.clock)
        ]
        if not seen:
            return "fence.proxy.tensormap::generic.acquire on its address"
        return None if any(fence.released for fence in seen) else "fence.proxy.tensormap::generic.release"

    def _before(self, lane: int, other: int, clock: int) -> bool:
        """Whether an event of another lane of the same cluster is ordered before what the lane does now."""
        races, machine = self._races, self.machine
        assert races is not None
        if lane == other:
            return True
        same = machine.cluster_first[lane] == machine.cluster_first[other]
        return bool(same and clock <= races.know.rows[lane, races.know.column[other]])

    # -- the shadow -----------------------------------------------------------------------------------------------

    def _cells(self, offset: int) -> Array:
        races = self._races
        assert races is not None and races.globals is not None
        cell = races.globals.cell
        return np.arange(offset // cell, (offset + BYTES) // cell)

    def _writers(self, offset: int) -> tuple[Array, Array]:
        """Thread numbers (plus one; 0 for the host) and clocks of the last writes of a map, cell by cell."""
        races = self._races
        assert races is not None and races.globals is not None
        cells = self._cells(offset)
        return races.globals.writer[cells], races.globals.write_clock[cells]

    def _state(self, offset: int) -> bytes:
        return b"".join(part.tobytes() for part in self._writers(offset))

    def _released(self, lane: int, offset: int) -> bool:
        """Whether each write of the map lies before a release fence that the lane is ordered after."""
        writers, clocks = self._writers(offset)
        pairs = {(int(w), int(c)) for w, c in zip(writers, clocks, strict=True) if w}
        return all(self._released_one(lane, writer - 1, clock) for writer, clock in pairs)

    def _released_one(self, lane: int, thread: int, clock: int) -> bool:
        races = self._races
        assert races is not None and races.globals is not None
        machine, padded = self.machine, races.globals.padded
        cta, inside = divmod(thread, padded)
        column = cta % machine.cluster_size * padded + inside
        cluster = cta // machine.cluster_size
        for fence in self.releases:
            home = machine.ctas[int(machine.cta_of[fence.lane])]
            if home // machine.cluster_size != cluster or fence.known[column] < clock:
                continue
            releaser = home * padded + int(machine.thread_of[fence.lane])
            if fence.lane == lane or races.globals.after(races, lane, releaser, fence.clock):
                return True
        return False

    def _last_writer(self, offset: int) -> str:
        races = self._races
        assert races is not None and races.globals is not None
        cells = self._cells(offset)
        index = int(np.argmax(races.globals.writer[cells] != 0))
        cta, thread = divmod(int(races.globals.writer[cells][index]) - 1, races.globals.padded)
        line = int(races.globals.write_line[cells][index])
        return f"thread {thread} of CTA {self.machine.geometry.cta_coordinates(cta)} at PTX line {line}"
