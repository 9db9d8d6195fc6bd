"""CTA barriers: ``bar``/``barrier`` sync, arrive and reduce on the sixteen named barriers (PTX ISA, "bar, barrier")."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator.action import Destination, Source
from tilewright.runtime.emulator.blocks import Block
from tilewright.runtime.emulator.decode import Context, Modifiers, destination, operands, source
from tilewright.runtime.emulator.scalar_types import B32, PRED, U32, Array
from tilewright.runtime.emulator.syntax import Instruction

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine
    from tilewright.runtime.emulator.scheduler import Scheduler

WARP = 32
NAMED_BARRIERS = 16


@dataclass(frozen=True, slots=True)
class BarrierSpec:
    """A decoded CTA barrier instruction; ``action`` is sync, arrive or red."""

    action: str
    identity: Source
    count: Source | None
    aligned: bool
    reduction: str | None = None
    predicate: Source | None = None
    result: Destination | None = None


def decode_barrier(context: Context, instruction: Instruction) -> BarrierSpec:
    """Decode ``bar.*`` and ``barrier[.cta].*`` except the warp and cluster forms."""
    m = Modifiers(instruction)
    m.flag("cta")
    action = m.need("sync", "arrive", "red")
    aligned = m.flag("aligned") or instruction.mnemonic == "bar"
    reduction = m.choice("popc", "and", "or")
    if action != "red":
        m.finish()
        items = operands(instruction, 1, 2)
        count = source(context, instruction, items[1], U32) if len(items) > 1 else None
        if action == "arrive" and count is None:
            raise m.fault("needs a thread count")
        number = source(context, instruction, items[0], U32)  # pyright: ignore[reportGeneralTypeIssues]
        return BarrierSpec(action, number, count, aligned)
    kind = m.last_type()
    m.finish()
    if reduction is None:
        raise m.fault("needs .popc, .and or .or")
    items = operands(instruction, 3, 4)
    count = source(context, instruction, items[2], U32) if len(items) == 4 else None
    return BarrierSpec(
        action,
        source(context, instruction, items[1], U32),
        count,
        aligned,
        reduction,
        source(context, instruction, items[-1], PRED),
        destination(instruction, items[0], PRED if kind is PRED else B32),
    )


@dataclass(slots=True)
class BarrierState:
    """One barrier of one CTA that is in use."""

    arrived: Array
    lines: Array
    expected: int | None = None
    waiting: list[tuple[Block, Array]] = field(default_factory=list)
    predicate: Array | None = None


class CtaBarriers:
    """All named barriers of a machine, by (CTA slot, barrier number)."""

    def __init__(self, machine: Machine, scheduler: Scheduler) -> None:
        self.machine = machine
        self.scheduler = scheduler
        self.waiting: dict[tuple[int, int], BarrierState] = {}

    def _read(self, operand: Source | None) -> Array | None:
        if operand is None:
            return None
        value = self.machine.binder.operand([operand])
        value = value() if callable(value) else value
        return np.asarray(np.broadcast_to(np.asarray(value).reshape(1, -1), (1, self.machine.lanes))[0])

    def arrive(self, block: Block, mask: Array) -> None:
        """Lanes execute the barrier instruction at the end of a block."""
        machine = self.machine
        identities = self._read(block.barrier.identity)
        counts = self._read(block.barrier.count)
        predicate = self._read(block.barrier.predicate)
        assert identities is not None
        if block.barrier.action == "arrive":
            self.scheduler.add(block.next, mask)
        per_cta = mask.reshape(len(machine.ctas), -1)
        for slot in np.flatnonzero(per_cta.any(1)):
            lanes = np.zeros(machine.lanes, bool)
            lanes[slot * machine.padded : (slot + 1) * machine.padded] = per_cta[slot]
            for identity in np.unique(identities[lanes]):
                chosen = lanes & (identities == identity)
                self._arrive_one(block, int(slot), int(identity), chosen, counts, predicate)

    def _arrive_one(
        self, block: Block, slot: int, identity: int, lanes: Array, counts: Array | None, predicate: Array | None
    ) -> None:
        machine, instruction = self.machine, block.instructions[-1]
        if identity >= NAMED_BARRIERS:
            machine.report(
                "barrier", f"barrier {identity} does not exist (0 to 15)", instruction, np.flatnonzero(lanes)
            )
        state = self.waiting.get((slot, identity))
        if state is None:
            state = self.waiting[slot, identity] = BarrierState(
                np.zeros(machine.lanes, bool), np.zeros(machine.lanes, np.int32)
            )
        if (state.arrived & lanes).any():
            machine.report(
                "barrier",
                f"a thread arrives twice at barrier {identity} before it completes",
                instruction,
                np.flatnonzero(state.arrived & lanes),
            )
        if block.barrier.aligned:
            self._check_aligned(state, lanes, instruction)
        state.arrived = state.arrived | lanes
        state.lines[lanes] = instruction.line
        machine.counters.barrier_waits += int(np.count_nonzero(lanes))
        if block.barrier.action != "arrive":
            state.waiting.append((block, lanes))
        if predicate is not None:
            known = np.zeros(machine.lanes, bool) if state.predicate is None else state.predicate
            state.predicate = np.where(lanes, predicate, known)
        if counts is not None:
            self._set_count(state, slot, identity, int(counts[np.argmax(lanes)]), instruction, lanes)
        self._try_complete(slot, identity)

    def _check_aligned(self, state: BarrierState, lanes: Array, instruction: Instruction) -> None:
        machine = self.machine
        warps = np.repeat(lanes.reshape(-1, WARP).any(1), WARP)
        apart = warps & state.arrived & (state.lines != instruction.line)
        if apart.any() and machine.options.checks("barriers"):
            machine.report(
                "divergent-barrier",
                "the threads of a warp arrive through different .aligned barriers",
                instruction,
                np.flatnonzero(lanes),
                other=f"threads of the warp at PTX line {int(state.lines[apart][0])}",
            )

    def _set_count(
        self, state: BarrierState, slot: int, identity: int, count: int, instruction: Instruction, lanes: Array
    ) -> None:
        machine = self.machine
        if count % WARP or not count:
            machine.report(
                "barrier", f"thread count {count} is not a positive multiple of 32", instruction, np.flatnonzero(lanes)
            )
        if state.expected is not None and state.expected != count:
            machine.report(
                "barrier",
                f"barrier {identity} is used with counts {state.expected} and {count}",
                instruction,
                np.flatnonzero(lanes),
            )
        state.expected = count

    def _try_complete(self, slot: int, identity: int) -> None:
        machine = self.machine
        state = self.waiting.get((slot, identity))
        if state is None:
            return
        begin, end = slot * machine.padded, (slot + 1) * machine.padded
        arrived = int(np.count_nonzero(state.arrived))
        if state.expected is None:
            if (machine.alive[begin:end] & ~state.arrived[begin:end]).any():
                return
        else:
            padded = self._warp_count(state)
            if padded < state.expected:
                return
            if padded > state.expected:
                machine.report(
                    "barrier",
                    f"barrier {identity} expects {state.expected} threads, {arrived} arrived",
                    state.waiting[-1][0].instructions[-1] if state.waiting else None,
                    np.flatnonzero(state.arrived),
                )
        del self.waiting[slot, identity]
        self._complete(state)

    def _warp_count(self, state: BarrierState) -> int:
        """Threads that arrived; a partial last warp and exited threads of a warp count, as hardware counts warps."""
        machine = self.machine
        warps = state.arrived.reshape(-1, WARP)
        missing = ~machine.alive.reshape(-1, WARP) & ~warps
        return int(np.count_nonzero(warps) + np.count_nonzero(missing[warps.any(1)]))

    def _complete(self, state: BarrierState) -> None:
        machine = self.machine
        released = np.zeros(machine.lanes, bool)
        for _, lanes in state.waiting:
            released |= lanes
        if machine.races is not None:
            machine.races.barrier(np.flatnonzero(state.arrived), np.flatnonzero(released))
        machine.progress += 1
        for block, lanes in state.waiting:
            if block.barrier.result is not None:
                self._write_reduction(block.barrier, state, lanes)
            self.scheduler.add(block.next, lanes)

    def _write_reduction(self, spec: BarrierSpec, state: BarrierState, lanes: Array) -> None:
        assert state.predicate is not None and spec.result is not None
        values = state.predicate[state.arrived]
        value: Any = {"popc": np.uint32(np.count_nonzero(values)), "and": values.all(), "or": values.any()}[
            spec.reduction or "popc"
        ]
        writer = self.machine.binder.writer([spec.result])
        if writer is not None:
            writer(value, lanes)

    def recheck(self) -> None:
        """Lanes exited: barriers of all living threads may now be complete."""
        for slot, identity in list(self.waiting):
            self._try_complete(slot, identity)

    def describe(self, lanes: Array) -> list[str]:
        """Where some lanes wait at barriers."""
        return [
            f"{int(np.count_nonzero(state.arrived & lanes))} threads at barrier {identity} of CTA slot {slot}"
            for (slot, identity), state in self.waiting.items()
            if (state.arrived & lanes).any()
        ]

    def report_deadlock(self) -> None:
        machine = self.machine
        for (slot, identity), state in self.waiting.items():
            begin, end = slot * machine.padded, (slot + 1) * machine.padded
            expected = state.expected or int(np.count_nonzero(machine.alive[begin:end]))
            arrived = int(np.count_nonzero(state.arrived))
            for block, lanes in state.waiting:
                machine.report(
                    "deadlock",
                    f"barrier {identity}: {arrived} of {expected} threads arrived",
                    block.instructions[-1],
                    np.flatnonzero(lanes),
                )
