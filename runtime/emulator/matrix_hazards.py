"""Registers of unfinished wgmma work: nothing else may touch accumulators or write A registers before the wait, and a
``wgmma.fence`` must follow ordinary writes to them (PTX ISA, "wgmma.fence", "wgmma.mma_async")."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tilewright.runtime.emulator.action import Action
from tilewright.runtime.emulator.blocks import Block
from tilewright.runtime.emulator.pack import reads, writes
from tilewright.runtime.emulator.scalar_types import Array
from tilewright.runtime.emulator.syntax import Immediate, Instruction, Register

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

WARPGROUP = 128
Registers = frozenset[Register]


@dataclass(frozen=True, slots=True)
class Event:
    """A step of a block that matters: ``use``, ``fence``, ``issue``, ``commit`` or ``wait``.

    ``first`` are registers read (use) or accumulators (issue), ``second`` those written (use) or A registers (issue).
    """

    kind: str
    instruction: Instruction
    first: Registers = frozenset()
    second: Registers = frozenset()
    count: int = 0


def block_events(block: Block, universe: Registers) -> list[Event]:
    """The events of a block, in program order."""
    events = []
    for action in block.actions:
        event = _event(action, universe)
        if event is not None:
            events.append(event)
    return events


def _event(action: Action, universe: Registers) -> Event | None:
    instruction = action.instruction
    if instruction.mnemonic == "wgmma":
        name = instruction.parts[1]
        if name == "mma_async":
            lists = [frozenset(operand.rows) for operand in action.sources if operand.rows is not None]
            return Event("issue", instruction, lists[0], frozenset().union(*lists[1:]))
        count = instruction.operands[0] if instruction.operands else None
        number = int(count.value) if isinstance(count, Immediate) else 0
        return Event({"commit_group": "commit", "wait_group": "wait"}.get(name, name), instruction, count=number)
    read, written = universe.intersection(reads(action)), universe.intersection(writes(action))
    return Event("use", instruction, read, written) if read or written else None


def register_universe(blocks: list[Block]) -> Registers:
    """Every register that some wgmma uses."""
    actions = (action for block in blocks for action in block.actions if action.instruction.mnemonic == "wgmma")
    rows = (operand.rows or () for action in actions for operand in action.sources)
    return frozenset(register for part in rows for register in part)


@dataclass(slots=True)
class WarpgroupState:
    """Registers in flight, by group, and those written since the last fence."""

    accumulators: list[set[Register]] = field(default_factory=lambda: [set()])
    inputs: list[set[Register]] = field(default_factory=lambda: [set()])
    dirty: set[Register] = field(default_factory=set)
    fenced: bool = False
    ever: bool = False


class MatrixHazards:
    """Follows the warpgroups of a machine through the events of the blocks they run."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.states: dict[int, WarpgroupState] = {}

    def block(self, events: list[Event], mask: Array) -> None:
        """Lanes of ``mask`` run a block with these events."""
        for warpgroup in np.unique(np.flatnonzero(mask) // WARPGROUP).tolist():
            lanes = np.arange(warpgroup * WARPGROUP, (warpgroup + 1) * WARPGROUP)
            leads = bool(mask[lanes[0]]) if len(lanes) else False
            state = self.states.setdefault(warpgroup, WarpgroupState())
            for event in events:
                self._apply(state, event, lanes, leads)

    def _apply(self, state: WarpgroupState, event: Event, lanes: Array, leads: bool) -> None:
        if event.kind == "use":
            self._use(state, event, lanes)
        elif event.kind == "fence":
            state.dirty.clear()
            state.fenced = True
        elif event.kind == "issue":
            self._issue(state, event, lanes)
        elif event.kind == "commit" and leads:
            state.accumulators.append(set())
            state.inputs.append(set())
        elif event.kind == "wait":
            self._wait(state, event.count)

    def _use(self, state: WarpgroupState, event: Event, lanes: Array) -> None:
        busy = set().union(*state.accumulators)
        inputs = set().union(*state.inputs)
        clash = (busy & (event.first | event.second)) | (inputs & event.second)
        if clash:
            self._report(
                "wgmma-register",
                "a register of an unfinished wgmma is used before wgmma.wait_group",
                event,
                clash,
                lanes,
            )
        state.dirty |= event.second

    def _issue(self, state: WarpgroupState, event: Event, lanes: Array) -> None:
        dirty = state.dirty & (event.first | event.second)
        if dirty or not state.ever:
            self._unfenced(state, event, dirty or set(event.first), lanes)
        state.ever = True
        state.accumulators[-1] |= event.first
        state.inputs[-1] |= event.second

    def _unfenced(self, state: WarpgroupState, event: Event, registers: set[Register], lanes: Array) -> None:
        """Certain when no fence lies between the last wait and this product; else only constants moved past one."""
        if state.fenced:
            if self.machine.options.strict and registers & state.dirty:
                self._report(
                    "late-register-write",
                    "registers are written between wgmma.fence and the product",
                    event,
                    registers,
                    lanes,
                    "warning",
                )
        else:
            self._report(
                "missing-wgmma-fence", "registers were written and no wgmma.fence follows", event, registers, lanes
            )
        state.dirty.clear()

    def _wait(self, state: WarpgroupState, allowed: int) -> None:
        """The last element is the open group; it and ``allowed`` committed ones stay."""
        keep = allowed + 1
        state.fenced = False
        state.accumulators = state.accumulators[-keep:]
        state.inputs = state.inputs[-keep:]

    def _report(
        self, kind: str, message: str, event: Event, registers: set[Register], lanes: Array, severity: str = "error"
    ) -> None:
        names = sorted(register.name for register in registers)[:4]
        self.machine.report(kind, f"{message} ({', '.join(names)})", event.instruction, lanes, severity=severity)
