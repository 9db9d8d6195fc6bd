"""``setmaxnreg``: registers that move between the warps of a CTA through a pool (PTX ISA, "setmaxnreg").

A warp starts with what the kernel declares. Released registers go to the pool of the CTA, and an increase waits until
the pool holds enough. The registers of warps that have exited stay with them (assumed; the ISA does not say).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tilewright.runtime.emulator.action import Action, Mask, Order, Site
from tilewright.runtime.emulator.decode import Context, Decoder, Modifiers, operands
from tilewright.runtime.emulator.scalar_types import Array
from tilewright.runtime.emulator.syntax import Function, Immediate, Instruction

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

WARP = 32
GROUP = 4
FILE = 65536
"""Registers of a multiprocessor of sm_90."""
LEAST, MOST, STEP = 24, 256, 8


def registers_at_entry(function: Function) -> int | None:
    """Registers per thread that the assembler gives a kernel, None when its directives leave that open.

    ``.maxnreg`` says it; else the file is shared among the threads of ``.reqntid`` or ``.maxntid``, ``.minnctapersm``
    blocks at a time.
    """
    directives = function.directives
    if "maxnreg" in directives:
        return directives["maxnreg"][0] // STEP * STEP
    extents = directives.get("reqntid") or directives.get("maxntid")
    if extents is None:
        return None
    threads = -(-int(np.prod(extents)) // WARP) * WARP * max(directives.get("minnctapersm", (1,))[0], 1)
    return min(FILE // threads // STEP * STEP, MOST)


@dataclass(slots=True)
class Round:
    """One ``setmaxnreg`` of a warpgroup: its line, and the clock at which each warp executed it."""

    line: int
    clocks: dict[int, int] = field(default_factory=dict)


class RegisterPool:
    """What every warp of a machine owns, in registers per thread, and what the pool of every CTA holds."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        start = registers_at_entry(machine.program.function)
        self.known = start is not None and machine.options.assume.register_pool == "modelled"
        self.owned = np.full(machine.warps, start or 0, np.int64)
        self.free = np.zeros(len(machine.ctas), np.int64)
        self.rounds: dict[tuple[int, int], list[Round]] = {}
        self.executed = np.zeros(machine.warps, np.int64)

    def _slot(self, warp: int) -> int:
        return warp * WARP // self.machine.padded

    def ready(self, action: Action, mask: Array) -> Array:
        """Lanes whose warps may take their registers now, lower warps first."""
        if not self.known:
            return mask
        count = action.function.keywords["count"]  # type: ignore[attr-defined]
        left = self.free.copy()
        result = mask.copy()
        for warp in np.flatnonzero(mask.reshape(-1, WARP).any(1)).tolist():
            need = max(count - int(self.owned[warp]), 0)
            if need > left[self._slot(warp)]:
                result[warp * WARP : (warp + 1) * WARP] = False
            else:
                left[self._slot(warp)] -= need
        return result

    def change(self, site: Site, mask: Mask, count: int, increase: bool) -> None:
        """The warps of a mask own ``count`` registers per thread from now on."""
        lanes = self.machine.lane_ids(mask)
        for warp in np.unique(lanes // WARP).tolist():
            self._follow(site, warp)
            if self.known:
                self._change_one(site, warp, count, increase)
        if not self.known and self.machine.options.strict and self.machine.options.assume.register_pool == "modelled":
            message = "has no effect: the kernel declares neither .maxnreg nor .reqntid nor .maxntid"
            self.machine.finding("setmaxnreg-ignored", message, site, 0, lanes, severity="warning")

    def _change_one(self, site: Site, warp: int, count: int, increase: bool) -> None:
        before = int(self.owned[warp])
        if (count < before) if increase else (count > before):
            verb = "increases" if increase else "decreases"
            self._report(site, warp, f"{verb} the registers of a thread from {before} to {count}")
            return
        self.owned[warp] = count
        self.free[self._slot(warp)] += before - count
        if before > count:
            self.machine.engines.event = True
        self.machine.progress += 1

    # -- the rule of the warpgroup --------------------------------------------------------------------------------

    def _follow(self, site: Site, warp: int) -> None:
        """All warps of a warpgroup execute the same instructions and synchronise between them."""
        per_cta = self.machine.padded // WARP
        slot, inside = divmod(warp, per_cta)
        first = slot * per_cta + inside // GROUP * GROUP
        rounds = self.rounds.setdefault((slot, inside // GROUP), [])
        number = int(self.executed[warp])
        self.executed[warp] += 1
        if number and not self._synchronised(warp, first, rounds[number - 1]):
            self._report(site, warp, "the warpgroup does not synchronise between two of these")
        if number == len(rounds):
            rounds.append(Round(site.line(0)))
        elif rounds[number].line != site.line(0):
            self._report(site, warp, f"other warps of the warpgroup execute the one at PTX line {rounds[number].line}")
        rounds[number].clocks[warp] = self._clock(warp)

    def _clock(self, warp: int) -> int:
        races = self.machine.races
        if races is None:
            return 0
        lane = np.array([warp * WARP])
        clock = int(races.know.clocks(lane)[0])
        races.know.tick(lane)
        return clock

    def _synchronised(self, warp: int, first: int, past: Round) -> bool:
        """Whether a warp is ordered after the previous instruction of every other warp of its group."""
        others = [w for w in self._members(warp, first) if w != warp]
        if any(other not in past.clocks for other in others):
            return False
        races = self.machine.races
        if races is None:
            return True
        row = races.know.rows[warp * WARP]
        return all(row[races.know.column[other * WARP]] >= past.clocks[other] for other in others)

    def _members(self, warp: int, first: int) -> range:
        end = (self._slot(warp) + 1) * (self.machine.padded // WARP)
        return range(first, min(first + GROUP, end))

    def finish(self) -> None:
        """At the end of the launch every round must have had every warp of its group."""
        per_cta = self.machine.padded // WARP
        for (slot, group), rounds in self.rounds.items():
            first = slot * per_cta + group * GROUP
            members = self._members(first, first)
            for past in rounds:
                if len(past.clocks) < len(members):
                    missing = [w - slot * per_cta for w in members if w not in past.clocks]
                    message = f"warps {missing} of the warpgroup never execute the one at PTX line {past.line}"
                    self._report(None, min(past.clocks), message)

    def _report(self, site: Site | None, warp: int, message: str) -> None:
        self.machine.finding("setmaxnreg", message, site, 0, np.arange(warp * WARP, (warp + 1) * WARP))

    def describe(self, action: Action, mask: Array) -> str:
        """What the warps of a mask wait for."""
        warp = int(np.argmax(mask)) // WARP
        count = action.function.keywords["count"]  # type: ignore[attr-defined]
        need, free = count - int(self.owned[warp]), int(self.free[self._slot(warp)])
        return f"a warp needs {need} more registers a thread, the pool of its CTA holds {free}"


def setmaxnreg(context: Context, instruction: Instruction) -> Action:
    """``setmaxnreg.inc`` and ``.dec`` (PTX ISA, "setmaxnreg")."""
    m = Modifiers(instruction)
    action = m.need("inc", "dec")
    for piece in ("sync", "aligned", "u32"):
        m.need(piece)
    m.finish()
    (operand,) = operands(instruction, 1)
    count = int(operand.value) if isinstance(operand, Immediate) else -1
    if not LEAST <= count <= MOST or count % STEP:
        raise m.fault(f"needs a literal multiple of {STEP} from {LEAST} to {MOST}")
    if instruction.guard is not None:
        raise m.fault("a guarded form is not modelled; branch around it")
    function = partial(_change, count=count, increase=action == "inc")
    return Action(instruction, function, (), (), Order.STRICT, effect=True, converge=WARP)


def _change(machine: Machine, site: Site, mask: Mask, *, count: int, increase: bool) -> None:
    machine.engines.pool.change(site, mask, count, increase)


TABLE: dict[str, Decoder] = {"setmaxnreg": setmaxnreg}
