"""The asynchronous engines of a machine behind one face: pending work, groups, barriers in memory.

The completion policy decides when pending work happens: ``eager`` at issue, ``lazy`` at the last legal moment (a wait
that needs it, or when no thread can run), ``random`` anywhere between, seeded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from tilewright.runtime.emulator.action import Mask, Site
from tilewright.runtime.emulator.async_copy import CopyEngine
from tilewright.runtime.emulator.blocks import Block
from tilewright.runtime.emulator.clusters import ClusterBarriers
from tilewright.runtime.emulator.map_fences import MapFences
from tilewright.runtime.emulator.mbarrier import BarrierObject, MemoryBarriers
from tilewright.runtime.emulator.register_pool import RegisterPool
from tilewright.runtime.emulator.scalar_types import Array
from tilewright.runtime.emulator.tma import BulkEngine
from tilewright.runtime.emulator.wgmma import MatrixEngine

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

RANDOM_COMPLETION = 0.2


class Pending(Protocol):
    """A piece of asynchronous work; ``finish`` does it, at most once."""

    done: bool

    def finish(self) -> None:
        """Do the work."""


class CopyArrival:
    """An arrival on an mbarrier that waits for the earlier cp.async of one lane."""

    __slots__ = ("barrier", "done", "engines", "group", "lane", "site")

    def __init__(self, engines: Engines, site: Site, barrier: BarrierObject, lane: int) -> None:
        self.engines, self.site, self.barrier, self.lane = engines, site, barrier, lane
        self.group = int(engines.copies.committed[lane])
        self.done = False

    def finish(self) -> None:
        self.done = True
        machine, copies = self.engines.machine, self.engines.copies
        lanes = np.array([self.lane])
        for work in copies.outstanding(lanes):
            work.perform((work.lanes == self.lane) & (work.group <= self.group))
        if machine.races is not None:
            machine.races.copy_arrival(self.barrier, self.lane, self.group + 1)
        self.engines.barriers.arrive_object(self.site, self.barrier, 1, self.lane, observed=False)


class Engines:
    """Everything that happens outside the program order of threads."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.policy = machine.options.completion
        self.pending: list[Pending] = []
        self.event = False
        self.copies = CopyEngine(machine, self)
        self.barriers = MemoryBarriers(machine, self)
        self.clusters = ClusterBarriers(machine, self)
        self.bulk = BulkEngine(machine, self)
        self.map_fences = MapFences(machine)
        self.pool = RegisterPool(machine)
        self.matrix = MatrixEngine(machine, self)

    def submit(self, work: Pending) -> None:
        """Take new work; the eager policy does it at once."""
        if self.policy == "eager":
            work.finish()
            return
        self.pending.append(work)

    def maybe_complete(self) -> None:
        """A chance for random completion, given after every block of a random schedule or completion."""
        if self.policy == "random" and self.pending and self.machine.random.random() < RANDOM_COMPLETION:
            self.complete_one()

    def complete_one(self) -> bool:
        """Finish one piece of pending work; False when there is none."""
        while self.pending:
            position = self.machine.random.randrange(len(self.pending)) if self.policy == "random" else 0
            work = self.pending.pop(position)
            if not work.done:
                work.finish()
                self.machine.progress += 1
                return True
        return False

    def finish_all(self) -> None:
        """At the end of the grid everything completes."""
        while self.complete_one():
            pass
        self.pool.finish()

    def take_event(self) -> bool:
        """Whether something changed that parked lanes wait for."""
        happened, self.event = self.event, False
        return happened

    def ready(self, block: Block, mask: Array) -> Array:
        """Lanes whose wait at the start of the block is over."""
        assert block.wait is not None
        if block.wait.instruction.mnemonic == "barrier":
            return self.clusters.ready(mask)
        if block.wait.instruction.mnemonic == "setmaxnreg":
            return self.pool.ready(block.wait, mask)
        return self.barriers.ready(block.wait, mask)

    def describe_wait(self, block: Block, mask: Array) -> str:
        assert block.wait is not None
        if block.wait.instruction.mnemonic == "barrier":
            return self.clusters.describe(mask)
        if block.wait.instruction.mnemonic == "setmaxnreg":
            return self.pool.describe(block.wait, mask)
        return self.barriers.describe(block.wait, mask)

    def force(self, mask: Array) -> None:
        """Let lanes through a potentially blocking wait once although their phase is not over."""
        self.barriers.forced |= mask

    def arrive_after_copies(self, site: Site, mask: Mask, space: str, base: Array, offset: Array, keep: bool) -> None:
        """``cp.async.mbarrier.arrive``: an arrival per lane that follows the lane's outstanding copies."""
        for barrier, lane in self.barriers.targets(site, mask, space, base, offset):
            if not keep:
                barrier.pending += 1
            self.submit(CopyArrival(self, site, barrier, lane))

    def lanes_exited(self, mask: Array) -> None:
        """Hook for engines that count living threads."""
        self.clusters.recheck()
        if self.bulk.stores:
            living = np.asarray(self.machine.alive.reshape(len(self.machine.ctas), -1).any(1))
            self.bulk.exited(~living[self.machine.cta_of])
