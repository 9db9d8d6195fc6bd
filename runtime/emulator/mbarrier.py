"""``mbarrier`` objects in shared memory: phases, pending arrivals, transaction bytes (PTX ISA, "mbarrier").

The state is kept beside the memory; the eight bytes themselves become read-only until ``mbarrier.inval``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator.action import Action, Mask, Site
from tilewright.runtime.emulator.memory import INITIALISED, VALID, WRITABLE, Access
from tilewright.runtime.emulator.scalar_types import Array

if TYPE_CHECKING:
    from tilewright.runtime.emulator.engines import Engines
    from tilewright.runtime.emulator.machine import Machine

MAX_COUNT = (1 << 20) - 1


@dataclass(slots=True)
class BarrierObject:
    """One mbarrier: ``expected`` arrivals per phase, ``pending`` missing ones, ``bytes`` of transactions due.

    ``completed`` counts the phases of all mbarriers that were at this place, so that the race detector can number them.
    """

    offset: int
    expected: int
    pending: int
    bytes: int = 0
    phase: int = 0
    line: int = 0
    completed: int = 0


class MemoryBarriers:
    """All mbarriers of a machine, by byte offset in the shared arena."""

    def __init__(self, machine: Machine, engines: Engines) -> None:
        self.machine = machine
        self.engines = engines
        self.objects: dict[int, BarrierObject] = {}
        self.ended: dict[int, int] = {}
        self.forced = np.zeros(machine.lanes, bool)
        self._operands: dict[int, list[Any]] = {}

    # -- addresses ------------------------------------------------------------------------------------------------

    def _access(self, site: Site, mask: Mask, space: str, base: Array, offset: Array) -> Access | None:
        memory = self.machine.memory
        address = memory.addresses(base, offset, site.count)
        for raw in memory.resolve(site, mask, space, address, 8):
            if raw.arena is not self.machine.shared:
                self.machine.finding("mbarrier", "the address is not in shared memory", site, 0, raw.lanes())
                continue
            access = memory.checked(site, raw, VALID, "mbarrier access")
            return access if len(access.offsets) else None
        return None

    def _object(self, site: Site, offset: int, lane: int) -> BarrierObject | None:
        found = self.objects.get(offset)
        if found is None:
            self.machine.finding(
                "mbarrier",
                "no initialised mbarrier at this address",
                site,
                0,
                [lane],
                offset % self.machine.shared_stride,
            )
        return found

    # -- operations -----------------------------------------------------------------------------------------------

    def init(self, site: Site, mask: Mask, space: str, base: Array, offset: Array, count: Array) -> None:
        access = self._access(site, mask, space, base, offset)
        if access is None:
            return
        counts = np.broadcast_to(np.asarray(count).reshape(-1), (self.machine.lanes,))
        lanes = access.lanes()
        if self.machine.races is not None:
            self.machine.races.barrier_object(site, access, "init")
        for place, lane in zip(access.offsets.tolist(), lanes.tolist(), strict=True):
            number = int(counts[lane])
            if not 1 <= number <= MAX_COUNT:
                self.machine.finding("mbarrier", f"count {number} is not in 1 to {MAX_COUNT}", site, 0, [lane])
            known = self.objects.get(place)
            if known is not None:
                self.machine.finding(
                    "mbarrier",
                    "initialised again without mbarrier.inval",
                    site,
                    0,
                    [lane],
                    place % self.machine.shared_stride,
                    other=f"first at PTX line {known.line}",
                )
            self.objects[place] = BarrierObject(
                place, number, number, line=site.line(0), completed=self.ended.get(place, 0)
            )
            self.machine.shared.state[place : place + 8] = VALID | INITIALISED
        self.machine.progress += 1

    def invalidate(self, site: Site, mask: Mask, space: str, base: Array, offset: Array) -> None:
        access = self._access(site, mask, space, base, offset)
        if access is None:
            return
        if self.machine.races is not None:
            self.machine.races.barrier_object(site, access, "inval")
        for place, lane in zip(access.offsets.tolist(), access.lanes().tolist(), strict=True):
            if self._object(site, place, lane) is not None:
                self.ended[place] = self.objects.pop(place).completed + 1
                self.machine.shared.state[place : place + 8] = VALID | WRITABLE

    def arrive(
        self,
        site: Site,
        mask: Mask,
        space: str,
        base: Array,
        offset: Array,
        count: Array | None,
        transaction: Array | None,
        drop: bool,
        complete: bool = True,
    ) -> Array:
        """Arrivals of the active lanes; returns the state token of each lane (the phase before it arrived)."""
        machine = self.machine
        tokens = np.zeros(machine.lanes, np.uint64)
        access = self._access(site, mask, space, base, offset)
        if access is None:
            return tokens
        counts = np.broadcast_to(np.asarray(1 if count is None else count).reshape(-1), (machine.lanes,))
        extra = None if transaction is None else np.broadcast_to(np.asarray(transaction).reshape(-1), (machine.lanes,))
        if machine.races is not None:
            machine.races.barrier_object(site, access, "arrive")
        for place, lane in zip(access.offsets.tolist(), access.lanes().tolist(), strict=True):
            barrier = self._object(site, place, lane)
            if barrier is None:
                continue
            tokens[lane] = barrier.phase | (barrier.pending << 1)
            if extra is not None:
                barrier.bytes += int(extra[lane])
            self.arrive_object(site, barrier, int(counts[lane]), lane, drop)
        return tokens

    def targets(
        self, site: Site, mask: Mask, space: str, base: Array, offset: Array
    ) -> list[tuple[BarrierObject, int]]:
        """The object and lane of every active lane that names a live mbarrier."""
        access = self._access(site, mask, space, base, offset)
        if access is None:
            return []
        pairs = [
            (self._object(site, place, lane), lane)
            for place, lane in zip(access.offsets.tolist(), access.lanes().tolist(), strict=True)
        ]
        return [(barrier, lane) for barrier, lane in pairs if barrier is not None]

    def arrive_object(
        self,
        site: Site | None,
        barrier: BarrierObject,
        count: int,
        lane: int,
        drop: bool = False,
        observed: bool = True,
    ) -> None:
        barrier.pending -= count
        if drop:
            barrier.expected -= count
        if barrier.pending < 0:
            self.machine.finding(
                "mbarrier",
                f"more arrivals than the {barrier.expected} that the phase expects",
                site,
                0,
                [lane],
                barrier.offset % self.machine.shared_stride,
            )
            barrier.pending = 0
        self.machine.progress += 1
        if self.machine.races is not None and observed:
            self.machine.races.barrier_arrive(barrier, lane)
        self._try_complete(barrier)

    def expect(
        self, site: Site, mask: Mask, space: str, base: Array, offset: Array, transaction: Array, sign: int
    ) -> None:
        """``expect_tx`` (sign +1) and ``complete_tx`` (sign -1) as instructions."""
        access = self._access(site, mask, space, base, offset)
        if access is None:
            return
        amounts = np.broadcast_to(np.asarray(transaction).reshape(-1), (self.machine.lanes,))
        for place, lane in zip(access.offsets.tolist(), access.lanes().tolist(), strict=True):
            barrier = self._object(site, place, lane)
            if barrier is not None:
                barrier.bytes += sign * int(amounts[lane])
                self.machine.progress += 1
                self._try_complete(barrier)

    def complete_bytes(self, site: Site, place: int, amount: int, lane: int) -> None:
        """An engine delivered bytes that count on the barrier at a shared offset."""
        barrier = self._object(site, place, lane)
        if barrier is None:
            return
        barrier.bytes -= amount
        self._try_complete(barrier)

    def _try_complete(self, barrier: BarrierObject) -> None:
        if barrier.pending or barrier.bytes or not barrier.expected:
            return
        barrier.phase ^= 1
        barrier.completed += 1
        barrier.pending = barrier.expected
        self.engines.event = True
        self.machine.progress += 1
        if self.machine.races is not None:
            self.machine.races.barrier_completed(barrier)

    # -- waits ----------------------------------------------------------------------------------------------------

    def _values(self, action: Action) -> list[Array]:
        fetches = self._operands.get(id(action))
        if fetches is None:
            binder = self.machine.binder
            fetches = self._operands[id(action)] = [binder.operand([operand]) for operand in action.sources[:3]]
        return [np.asarray(fetch() if callable(fetch) else fetch).reshape(-1) for fetch in fetches]

    def completed(self, action: Action, lanes: Array) -> Array:
        """For some lanes, whether the phase they ask about is over. ``action.function`` carries space and parity."""
        space = action.function.keywords["space"]  # type: ignore[attr-defined]
        base, offset, operand = (np.broadcast_to(value, (self.machine.lanes,))[lanes] for value in self._values(action))
        flat = base.astype(np.int64) + offset.astype(np.int64)
        placed = self._place(space, flat, lanes)
        wanted = operand.astype(np.uint64) & np.uint64(1)
        phases = np.full(len(lanes), -1, np.int64)
        for place in np.unique(placed):
            barrier = self.objects.get(int(place))
            if barrier is not None:
                phases[placed == place] = barrier.phase
        return np.asarray((phases < 0) | (phases != wanted.astype(np.int64)))

    def _place(self, space: str, flat: Array, lanes: Array) -> Array:
        from tilewright.runtime.emulator.spaces import SHARED_WINDOW

        local = flat - SHARED_WINDOW if space == "generic" else flat
        positions = np.asarray(lanes)
        return self.machine.memory._shared_offsets(local, positions)

    def ready(self, action: Action, mask: Array) -> Array:
        lanes = np.flatnonzero(mask)
        result = np.zeros(self.machine.lanes, bool)
        result[lanes] = self.completed(action, lanes)
        result |= self.forced & mask
        self.forced &= ~mask
        return result

    def wait(self, site: Site, mask: Mask, space: str, action_sources: tuple[Array, Array, Array]) -> Array:
        """The result of ``try_wait`` for lanes that were let through; acquires what the phase released."""
        machine = self.machine
        access = self._access(site, mask, space, action_sources[0], action_sources[1])
        result = np.zeros(machine.lanes, bool)
        if access is None:
            return np.ones(machine.lanes, bool)
        wanted = np.broadcast_to(np.asarray(action_sources[2]).reshape(-1), (machine.lanes,)).astype(np.uint64)
        lanes = access.lanes()
        for place in np.unique(access.offsets):
            chosen = lanes[access.offsets == place]
            barrier = self._object(site, int(place), int(chosen[0]))
            if barrier is None:
                result[chosen] = True
                continue
            done = (wanted[chosen] & np.uint64(1)).astype(np.int64) != barrier.phase
            result[chosen] = done
            if machine.races is not None and done.any():
                machine.races.barrier_object(site, access, "wait")
                machine.races.barrier_waited(barrier, chosen[done])
        return result

    def describe(self, action: Action, mask: Array) -> str:
        """What the lanes of a mask wait for."""
        lanes = np.flatnonzero(mask)
        base, offset, operand = (np.broadcast_to(value, (self.machine.lanes,))[lanes] for value in self._values(action))
        space = action.function.keywords["space"]  # type: ignore[attr-defined]
        placed = self._place(space, base.astype(np.int64) + offset.astype(np.int64), lanes)
        texts = []
        for place in np.unique(placed)[:4]:
            barrier = self.objects.get(int(place))
            wanted = int(operand[placed == place][0]) & 1
            if barrier is not None:
                texts.append(
                    f"mbarrier at shared {int(place) % self.machine.shared_stride:#x}, phase {barrier.phase}, waits "
                    f"for phase {wanted} to end: {barrier.pending} of {barrier.expected} arrivals and "
                    f"{barrier.bytes} bytes are missing"
                )
        return "; ".join(texts)
