"""``cp.async``: non-bulk asynchronous copies with per-thread groups (PTX ISA, "cp.async")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator.action import Mask, Site
from tilewright.runtime.emulator.memory import INITIALISED, VALID, WRITABLE, Access
from tilewright.runtime.emulator.scalar_types import Array

if TYPE_CHECKING:
    from tilewright.runtime.emulator.engines import Engines
    from tilewright.runtime.emulator.machine import Machine


class CopyWork:
    """The copies of one executed instruction; lanes may finish at different times.

    Attributes:
        target, origin: byte offsets in shared and global memory; ``lanes`` who issued; ``group`` their group number.
        filled: per copy, how many of ``size`` bytes come from the source; the rest is zero.
    """

    __slots__ = ("done", "filled", "group", "lanes", "machine", "notify", "origin", "size", "site", "target")

    def __init__(
        self,
        machine: Machine,
        site: Site,
        lanes: Array,
        target: Array,
        origin: Array,
        filled: Array,
        size: int,
        group: Array,
    ) -> None:
        self.machine, self.site, self.size = machine, site, size
        self.lanes, self.target, self.origin, self.filled, self.group = lanes, target, origin, filled, group
        self.done = not len(lanes)

    def finish(self) -> None:
        self.perform(np.ones(len(self.lanes), bool))

    def perform(self, chosen: Array) -> None:
        """Do the copies of some lanes and forget them."""
        machine, size = self.machine, self.size
        target, origin, filled = self.target[chosen], self.origin[chosen], self.filled[chosen]
        item = min(size, 8)
        shared, source = machine.shared, machine.global_memory
        data = source.view(False, item, size // item)[np.where(filled > 0, origin, 0) // size]
        if (filled < size).any():
            raw = np.ascontiguousarray(data).view(np.uint8).reshape(-1, size)
            raw = np.where(np.arange(size) < filled[:, None], raw, np.uint8(0))
            data = raw.view(data.dtype)
        shared.view(False, item, size // item)[target // size] = data
        shared.mark(target, size)
        keep = ~chosen
        self.lanes, self.target, self.origin = self.lanes[keep], self.target[keep], self.origin[keep]
        self.filled, self.group = self.filled[keep], self.group[keep]
        self.done = not len(self.lanes)
        machine.progress += 1


class CopyEngine:
    """Pending ``cp.async`` work and the group counters of every lane."""

    def __init__(self, machine: Machine, engines: Engines) -> None:
        self.machine = machine
        self.engines = engines
        self.committed = np.zeros(machine.lanes, np.int64)
        self.work: list[CopyWork] = []

    def issue(
        self,
        site: Site,
        mask: Mask,
        target_space: str,
        bases: tuple[Array, Array, Array, Array],
        size: int,
        filled: Array | None,
    ) -> None:
        """Start the copies of the active lanes.

        Args:
            bases: base and offset of the destination, base and offset of the source.
            filled: bytes taken from the source per lane (the rest is zero), None for all.
        """
        machine, memory = self.machine, self.machine.memory
        rows = site.count
        target = memory.addresses(bases[0], bases[1], rows)
        origin = memory.addresses(bases[2], bases[3], rows)
        amount = np.broadcast_to(np.asarray(size if filled is None else filled, np.int64), (rows, machine.lanes))
        self._check_amount(site, mask, amount, size)
        amount = np.minimum(amount, size)
        for raw in memory.resolve(site, mask, target_space, target, size):
            access = memory.checked(site, raw, VALID | WRITABLE, "cp.async destination")
            places = access.positions if access.positions is not None else np.arange(len(access.offsets))
            self._issue_checked(site, access, places, origin.reshape(-1)[places], amount.reshape(-1)[places], size)

    def _check_amount(self, site: Site, mask: Mask, amount: Array, size: int) -> None:
        wrong = (amount > size) & (np.asarray(mask) if mask is not True else True)
        if wrong.any():
            row, lane = (int(x) for x in np.argwhere(np.broadcast_to(wrong, amount.shape))[0])
            self.machine.finding("cp.async", f"src-size is larger than cp-size {size}", site, row, [lane])

    def _issue_checked(
        self, site: Site, access: Access, places: Array, origin: Array, amount: Array, size: int
    ) -> None:
        """Check the source bytes that will be read, then queue."""
        machine, memory = self.machine, self.machine.memory
        lanes = places % machine.lanes
        offsets = np.zeros(len(places), np.int64)
        good = np.ones(len(places), bool)
        for wanted in np.unique(amount):
            chosen = np.flatnonzero(amount == wanted)
            if not wanted:
                continue
            source = self._source(site, places[chosen], origin[chosen], int(wanted), size)
            kept = (
                np.isin(places[chosen], source.positions)
                if source.positions is not None
                else np.ones(len(chosen), bool)
            )
            good[chosen] = kept
            offsets[chosen[kept]] = source.offsets
        target = access.offsets
        if machine.races is not None:
            machine.races.copy_issued(site, Access(access.arena, target, places, machine.lanes, size), lanes)
        amount = np.where(good, amount, 0)
        work = CopyWork(machine, site, lanes, target, offsets, amount, size, self.committed[lanes].copy())
        machine.counters.bytes_read["global"] += int(amount.sum())
        machine.counters.bytes_written["shared"] += size * len(lanes)
        self.work.append(work)
        self.engines.submit(work)
        if len(self.work) > 64:
            self.work = [item for item in self.work if not item.done]
        del memory

    def _source(self, site: Site, places: Array, origin: Array, wanted: int, size: int) -> Access:
        """The global bytes that will be read, checked; alignment is that of the full copy."""
        machine, memory = self.machine, self.machine.memory
        from tilewright.runtime.emulator.spaces import GLOBAL_BASE

        access = Access(machine.global_memory, origin - GLOBAL_BASE, places, machine.lanes, size)
        if wanted == size:
            access = memory.checked(site, access, VALID | INITIALISED, "cp.async load")
            if machine.races is not None and len(access.offsets):
                machine.races.access(site, access, False)
            return access
        bad = access.offsets & (size - 1)
        if bad.any():
            machine.finding(
                "misaligned",
                f"cp.async source of {size} bytes is not aligned",
                site,
                0,
                places[bad != 0] % machine.lanes,
            )
            access = access.keep(bad == 0)
        return self._bytes(site, access, wanted, size)

    def _bytes(self, site: Site, access: Access, wanted: int, size: int) -> Access:
        """A partial copy is checked byte by byte."""
        machine, memory = self.machine, self.machine.memory
        assert access.positions is not None
        spread = (access.offsets[:, None] + np.arange(wanted)).reshape(-1)
        single = Access(access.arena, spread, np.repeat(access.positions, wanted), machine.lanes, 1)
        kept = memory.checked(site, single, VALID | INITIALISED, "cp.async load")
        if kept.positions is None or len(kept.offsets) == len(spread):
            return access
        whole, counts = np.unique(kept.positions, return_counts=True)
        return access.keep(np.isin(access.positions, whole[counts == wanted]))

    def commit(self, lanes: Array) -> None:
        self.committed[lanes] += 1

    def wait(self, lanes: Array, allowed: int) -> None:
        """All but the latest ``allowed`` groups of the lanes are complete."""
        limit = np.full(self.machine.lanes, -1, np.int64)
        limit[lanes] = self.committed[lanes] - allowed
        for work in self.work:
            if not work.done:
                due = work.group < limit[work.lanes]
                if due.any():
                    work.perform(due)
        self.work = [item for item in self.work if not item.done]
        if self.machine.races is not None:
            self.machine.races.copies_waited(lanes, limit[lanes])

    def outstanding(self, lanes: Array) -> list[Any]:
        """Work that some of the lanes have issued and that is not finished."""
        member = np.zeros(self.machine.lanes, bool)
        member[lanes] = True
        return [work for work in self.work if not work.done and member[work.lanes].any()]
