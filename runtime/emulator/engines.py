"""The asynchronous engines of a machine behind one face: pending work, groups, barriers in memory.

The completion policy decides when pending work happens: ``eager`` at issue, ``lazy`` at the last legal moment (a wait
that needs it, or when no thread can run), ``random`` anywhere between, seeded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tilewright.runtime.emulator.mbarrier import MemoryBarriers

from tilewright.runtime.emulator.async_copy import CopyEngine
from tilewright.runtime.emulator.blocks import Block
from tilewright.runtime.emulator.scalar_types import Array

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

RANDOM_COMPLETION = 0.2


class Pending(Protocol):
    """A piece of asynchronous work; ``finish`` does it, at most once."""

    done: bool

    def finish(self) -> None:
        """Do the work."""


class Engines:
    """Everything that happens outside the program order of threads."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.policy = machine.options.completion
        self.pending: list[Pending] = []
        self.event = False
        self.copies = CopyEngine(machine, self)
        self.barriers = MemoryBarriers(machine, self)

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

    def take_event(self) -> bool:
        """Whether something changed that parked lanes wait for."""
        happened, self.event = self.event, False
        return happened

    def ready(self, block: Block, mask: Array) -> Array:
        """Lanes whose wait at the start of the block is over."""
        assert block.wait is not None
        return self.barriers.ready(block.wait, mask)

    def describe_wait(self, block: Block, mask: Array) -> str:
        assert block.wait is not None
        return self.barriers.describe(block.wait, mask)

    def lanes_exited(self, mask: Array) -> None:
        """Hook for engines that count living threads."""
        self.barriers.lanes_exited(mask)
