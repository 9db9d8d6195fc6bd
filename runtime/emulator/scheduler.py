"""Runs a machine: which lanes execute which block next, where they wait, and when nothing can move any more.

The unit is a *strand*: a block and the mask of lanes that are about to enter it. Strands at the same block merge.
Preferring the smallest reverse post-order number makes lanes reconverge early without a divergence stack; correctness
never depends on it, because warp-synchronous operations wait for the lanes they name (as since Volta).
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator.barriers import CtaBarriers
from tilewright.runtime.emulator.blocks import Block, End
from tilewright.runtime.emulator.errors import EmulationStopped
from tilewright.runtime.emulator.scalar_types import Array

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

WARP = 32
FAIRNESS = 256
CHECK_EVERY = 509
MAX_STALE_WAKES = 3


class Scheduler:
    """Executes every lane of a machine to its exit.

    Raises:
        EmulationStopped: after a deadlock, a trap, or the step limit; a finding says which.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.blocks = machine.program.blocks
        self.strands: dict[int, Array] = {}
        self.parked: dict[int, Array] = {}
        self.gathering: dict[int, Array] = {}
        self.barriers = CtaBarriers(machine, self)
        self.policy = machine.options.schedule
        self.age: dict[int, int] = {}
        self.stale_wakes = 0
        self.forced_at = -1
        self.last_progress = 0
        self.states: set[tuple[int, bytes, int]] = set()

    # -- strands --------------------------------------------------------------------------------------------------

    def add(self, block: int, mask: Array) -> None:
        """Put lanes in front of a block; -1 means they left the kernel."""
        if block < 0:
            self._exit(mask)
            return
        known = self.strands.get(block)
        if known is None:
            self.strands[block] = mask
            self.age[block] = self.machine.steps
        else:
            self.strands[block] = known | mask

    def run(self) -> None:
        machine = self.machine
        self.strands[0] = machine.alive.copy()
        self.age[0] = 0
        while self.strands or self._unblock():
            if self.strands:
                self._run_strand(*self._pick())

    def _pick(self) -> tuple[int, Array]:
        strands = self.strands
        if len(strands) == 1 and self.policy == "in-order":
            return strands.popitem()
        if self.policy == "random":
            return self._pick_random()
        blocks = self.blocks
        if self.policy == "reverse":
            return self._pick_reverse()
        oldest = min(strands, key=self.age.__getitem__)
        if self.machine.steps - self.age[oldest] > FAIRNESS:
            return oldest, strands.pop(oldest)
        chosen = min(strands, key=lambda index: blocks[index].priority)
        return chosen, strands.pop(chosen)

    def _pick_random(self) -> tuple[int, Array]:
        random = self.machine.random
        chosen = random.choice(list(self.strands))
        mask = self.strands.pop(chosen)
        warps = np.flatnonzero(mask.reshape(-1, WARP).any(1))
        if len(warps) > 1:
            some = random.sample(list(warps), random.randint(1, len(warps)))
            return chosen, self._only(chosen, mask, np.array(some))
        return chosen, mask

    def _pick_reverse(self) -> tuple[int, Array]:
        """The upper half of the warps at the furthest block first."""
        oldest = min(self.strands, key=self.age.__getitem__)
        starving = self.machine.steps - self.age[oldest] > FAIRNESS
        chosen = oldest if starving else max(self.strands, key=lambda index: self.blocks[index].priority)
        mask = self.strands.pop(chosen)
        warps = np.flatnonzero(mask.reshape(-1, WARP).any(1))
        if len(warps) > 1 and not starving:
            return chosen, self._only(chosen, mask, warps[len(warps) // 2 :])
        return chosen, mask

    def _only(self, block: int, mask: Array, warps: Array) -> Array:
        """Restrict a strand to some warps and put the rest back."""
        keep = np.zeros(self.machine.warps, bool)
        keep[warps] = True
        lanes = np.repeat(keep, WARP)
        rest = mask & ~lanes
        if rest.any():
            self.add(block, rest)
        return np.asarray(mask & lanes)

    # -- running --------------------------------------------------------------------------------------------------

    def _run_strand(self, index: int, mask: Array) -> None:
        """Run a strand until it ends, splits, waits, or another strand should go first."""
        machine = self.machine
        while True:
            machine.steps += 1
            if machine.steps % CHECK_EVERY == 0:
                self._check_limits(index, mask)
            block = self.blocks[index]
            if block.converge:
                found = self._converge(block, mask)
                if found is None:
                    return
                mask = found
            if block.wait is not None:
                ready = self._ready(block, mask)
                if ready is None:
                    return
                mask = ready
            full = machine.all_alive and bool(mask.all())
            machine.counters.block(index, mask)
            if machine.hazards is not None and machine.program.matrix_events[index]:
                machine.hazards.block(machine.program.matrix_events[index], mask)
            argument: Any = True if full else mask
            for step in machine.block_steps(index):
                step(argument)
            if self.policy == "random":
                machine.engines.maybe_complete()
            following = self._leave(block, mask)
            if following is None:
                return
            if self.policy == "random" or (self.strands and self._yields()):
                self.add(following, mask)
                return
            index = following

    def _yields(self) -> bool:
        """Whether another strand goes first: always in order; in reverse only when one has waited long."""
        if self.policy != "reverse":
            return True
        return self.machine.steps - min(self.age[index] for index in self.strands) > FAIRNESS

    def _leave(self, block: Block, mask: Array) -> int | None:
        """Next block when the whole strand goes there, else None after distributing its lanes."""
        if block.end is End.FALL:
            return self._to(block.next, mask)
        taken = mask
        if block.guard is not None:
            predicate = self.machine.registers.files[1][self.machine.program.rows.rows[block.guard]]
            taken = mask & (~predicate if block.negated else predicate)
            if not taken.any():
                return self._to(block.next, mask)
        rest = mask & ~taken if block.guard is not None else None
        if rest is not None and rest.any():
            self.add(block.next, rest)
            self._take(block, taken)
            return None
        if block.end is End.BRANCH:
            return self._to(block.targets[0], mask)
        self._take(block, taken)
        return None

    def _to(self, index: int, mask: Array) -> int | None:
        if index < 0:
            self._exit(mask)
            return None
        return index

    def _take(self, block: Block, taken: Array) -> None:
        if block.end is End.BRANCH:
            self.add(block.targets[0], taken)
        elif block.end is End.TABLE:
            self._jump_table(block, taken)
        elif block.end is End.EXIT:
            self._exit(taken)
        elif block.end is End.BARRIER:
            self.barriers.arrive(block, taken)
        else:
            instruction = block.instructions[-1]
            self.machine.report("trap", "the kernel executed a trap", instruction, np.flatnonzero(taken))
            raise EmulationStopped("trap")

    def _jump_table(self, block: Block, taken: Array) -> None:
        value = self.machine.binder.operand([block.selector])
        value = value() if callable(value) else value
        index = np.broadcast_to(np.asarray(value).reshape(1, -1), (1, self.machine.lanes))[0]
        for entry, target in enumerate(block.targets):
            chosen = taken & (index == entry)
            if chosen.any():
                self.add(target, chosen)
        outside = taken & (index >= len(block.targets))
        if outside.any():
            self.machine.report(
                "branch-table", "index outside the branch table", block.instructions[-1], np.flatnonzero(outside)
            )
            self._exit(outside)

    def _exit(self, mask: Array) -> None:
        machine = self.machine
        machine.alive = machine.alive & ~mask
        machine.progress += 1
        self.barriers.recheck()
        for index in list(self.gathering):
            self.add(index, self.gathering.pop(index))
        machine.engines.lanes_exited(mask)

    # -- rendezvous -----------------------------------------------------------------------------------------------

    def _converge(self, block: Block, mask: Array) -> Array | None:
        """The lanes whose partners have all arrived; the others wait here."""
        waiting = self.gathering.pop(block.index, None)
        if waiting is not None:
            mask = mask | waiting
        group = block.converge if self.machine.padded % block.converge == 0 else WARP
        present = mask.reshape(-1, group)
        needed = self._needed(block, mask).reshape(-1, group)
        complete = ((needed & ~present) == 0).all(1) if needed.dtype != bool else ~(needed & ~present).any(1)
        lanes = np.repeat(complete, group)
        rest = mask & ~lanes
        if rest.any():
            self.gathering[block.index] = rest
            mask = mask & lanes
        return mask if mask.any() else None

    def _needed(self, block: Block, mask: Array) -> Array:
        """Living lanes that must be here before the warps of ``mask`` may go on."""
        machine = self.machine
        if block.members is None:
            touched = mask.reshape(-1, WARP).any(1) if block.converge == WARP else np.ones(machine.warps, bool)
            if block.converge > WARP:
                group = block.converge // WARP
                touched = (
                    np.repeat(mask.reshape(-1, block.converge).any(1), group)
                    if machine.padded % block.converge == 0
                    else np.ones(machine.warps, bool)
                )
            return np.asarray(machine.alive & np.repeat(touched, WARP))
        members = self._members(block)
        lane = np.arange(WARP, dtype=np.uint32)
        own = (members.reshape(-1, WARP) >> lane & 1).astype(bool).reshape(-1)
        if (mask & ~own).any():
            machine.report(
                "member-mask",
                "a thread executes a .sync instruction whose member mask leaves it out",
                self._gathering_instruction(block.index),
                np.flatnonzero(mask & ~own),
            )
        named = np.where(mask, members, 0).reshape(-1, WARP)
        union = np.bitwise_or.reduce(named, axis=1)
        return np.asarray(((union[:, None] >> lane) & 1).astype(bool).reshape(-1) & machine.alive)

    def _members(self, block: Block) -> Array:
        if isinstance(block.members, int):
            return np.full(self.machine.lanes, block.members, np.uint32)
        value = self.machine.binder.operand([block.members])
        value = value() if callable(value) else value
        return np.asarray(
            np.broadcast_to(np.asarray(value).reshape(1, -1), (1, self.machine.lanes))[0].astype(np.uint32)
        )

    def _ready(self, block: Block, mask: Array) -> Array | None:
        """The lanes whose wait condition holds; the others are parked until something changes."""
        ready = self.machine.engines.ready(block, mask)
        blocked = mask & ~ready
        if blocked.any():
            known = self.parked.get(block.index)
            self.parked[block.index] = blocked if known is None else known | blocked
            mask = mask & ready
        return mask if mask.any() else None

    # -- progress -------------------------------------------------------------------------------------------------

    def _unblock(self) -> bool:
        """Nothing is runnable: complete async work, wake parked lanes. False when everything has finished."""
        machine = self.machine
        if machine.engines.complete_one():
            self._wake()
            return True
        if self.parked and machine.engines.take_event():
            self._wake()
            return True
        if not self.parked and not self.gathering and not self.barriers.waiting:
            return False
        if self._force_waits():
            return True
        self._deadlock()
        return True

    def _force_waits(self) -> bool:
        """A try_wait may return false: let the parked lanes through, until a few rounds have changed nothing."""
        machine = self.machine
        mask = np.zeros(machine.lanes, bool)
        for index, held in self.parked.items():
            if self.blocks[index].instructions[0].mnemonic == "mbarrier":
                mask |= held
        if machine.progress != self.forced_at:
            self.forced_at, self.stale_wakes = machine.progress, 0
        if not mask.any() or self.stale_wakes >= MAX_STALE_WAKES:
            return False
        self.stale_wakes += 1
        machine.engines.force(mask)
        self._wake()
        return True

    def _wake(self) -> None:
        parked, self.parked = self.parked, {}
        for index, mask in parked.items():
            self.add(index, mask)

    def wake_parked(self) -> None:
        if self.parked:
            self._wake()

    def _deadlock(self) -> None:
        machine = self.machine
        for index, mask in self.parked.items():
            block = self.blocks[index]
            machine.report(
                "deadlock",
                "threads wait for ever",
                block.instructions[0],
                np.flatnonzero(mask),
                other=machine.engines.describe_wait(block, mask),
            )
        for index, mask in self.gathering.items():
            machine.report(
                "deadlock",
                "threads wait for the rest of their warp, which never arrives",
                self._gathering_instruction(index),
                np.flatnonzero(mask),
                other=self._whereabouts(mask),
            )
        self.barriers.report_deadlock()
        raise EmulationStopped("deadlock")

    def _gathering_instruction(self, index: int) -> Any:
        for action in self.blocks[index].actions:
            if action.converge:
                return action.instruction
        return self.blocks[index].instructions[0]

    def _whereabouts(self, mask: Array) -> str:
        """Where the missing lanes of the warps of a mask are."""
        machine = self.machine
        warps = np.repeat(mask.reshape(-1, WARP).any(1), WARP)
        missing = warps & machine.alive & ~mask
        places = []
        for name, table in (("wait", self.parked), ("gather", self.gathering)):
            for index, held in table.items():
                lanes = np.flatnonzero(held & missing)
                if len(lanes):
                    line = self.blocks[index].instructions[0].line
                    places.append(f"threads {_short(machine.thread_of[lanes])} {name} at PTX line {line}")
        return "; ".join(places + self.barriers.describe(missing)) or "all others have exited"

    def _repeats(self, index: int, mask: Array) -> bool:
        """Whether the same strand was here before with the same registers, and nothing was stored since."""
        checksum = 0
        for rows in self.machine.registers.files.values():
            checksum = zlib.crc32(rows, checksum)  # type: ignore[arg-type]
        key = (index, mask.tobytes(), checksum)
        known = key in self.states
        self.states.add(key)
        return known

    def _check_limits(self, index: int, mask: Array) -> None:
        machine = self.machine
        if machine.progress != self.last_progress:
            self.last_progress = machine.progress
            self.states.clear()
        elif self._repeats(index, mask):
            if machine.engines.complete_one():
                self.wake_parked()
                return
            machine.report(
                "deadlock",
                "threads spin for ever: no register and no memory changes any more",
                self.blocks[index].instructions[0],
                np.flatnonzero(mask),
            )
            raise EmulationStopped("livelock")
        if machine.steps > machine.options.max_steps:
            machine.report(
                "step-limit",
                f"stopped after {machine.steps} blocks",
                self.blocks[index].instructions[0],
                np.flatnonzero(mask),
            )
            raise EmulationStopped("step limit")


def _short(threads: Array) -> str:
    shown = ", ".join(str(int(thread)) for thread in threads[:8])
    return shown + (" ..." if len(threads) > 8 else "")
