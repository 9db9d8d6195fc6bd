"""128-bit registers: moves, loads, stores and atomics of ``.b128`` (PTX ISA, "mov", "ld", "st", "atom").

A 128-bit register is two neighbouring rows of the 64-bit file, low half first; actions reach it through ``Rows``.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator.action import Action, Mask, Order, Site, Source
from tilewright.runtime.emulator.decode import Context, Modifiers, address, destination, elements, operands, source
from tilewright.runtime.emulator.memory import INITIALISED, VALID, WRITABLE
from tilewright.runtime.emulator.ops_atomic import in_turns
from tilewright.runtime.emulator.ops_memory import CACHE, SCOPES, SPACES, read_ordering, read_space
from tilewright.runtime.emulator.registers import Rows
from tilewright.runtime.emulator.scalar_types import B64, TYPES, Array
from tilewright.runtime.emulator.syntax import Instruction, Operand, Register, Sink, Vector

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

B128 = TYPES["b128"]
BYTES = 16


def is_wide(instruction: Instruction) -> bool:
    """Whether an instruction works on 128-bit registers."""
    return "b128" in instruction.parts


def _register(m: Modifiers, operand: Operand) -> Source:
    if not isinstance(operand, Register) or operand.bits != 128:
        raise m.fault(f"{operand} is not a 128-bit register")
    return Source(B128, rows=(operand,))


def _action(
    instruction: Instruction, function: Any, inputs: tuple[Source, ...], written: tuple[Source, ...], order: Order
) -> Action:
    """An effect that writes its first ``written`` operands in place."""
    touched = tuple(register for operand in written for register in operand.rows or ())
    action = Action(instruction, function, (*written, *inputs), (), order, effect=True, touches=touched)
    action.packable = False
    return action


def move(context: Context, instruction: Instruction) -> Action:
    """``mov.b128`` between registers, and from or to a pair of 64-bit registers (PTX ISA, "mov")."""
    m = Modifiers(instruction)
    m.need("b128")
    m.finish()
    items = operands(instruction, 2)
    if isinstance(items[0], Vector):
        parts = elements(items[0])
        if len(parts) != 2:
            raise m.fault("needs two 64-bit registers")
        results = tuple(destination(instruction, part, B64) for part in parts)
        return Action(instruction, _halves, (_register(m, items[1]),), results, effect=True, packable=False)
    goal = (_register(m, items[0]),)
    if isinstance(items[1], Vector):
        halves = elements(items[1])
        if len(halves) != 2:
            raise m.fault("needs two 64-bit registers")
        inputs = tuple(source(context, instruction, part, B64) for part in halves)
        return _action(instruction, _join, inputs, goal, Order.PURE)
    return _action(instruction, _copy, (_register(m, items[1]),), goal, Order.PURE)


def _halves(machine: Machine, site: Site, mask: Mask, value: Rows) -> Any:
    rows = value.read()
    return rows[:1].copy(), rows[1:].copy()


def _join(machine: Machine, site: Site, mask: Mask, goal: Rows, low: Array, high: Array) -> None:
    _write(machine, mask, goal, low, high)


def _copy(machine: Machine, site: Site, mask: Mask, goal: Rows, value: Rows) -> None:
    low, high = value.read()
    _write(machine, mask, goal, low, high)


def _write(machine: Machine, mask: Mask, goal: Rows, low: Array, high: Array) -> None:
    """Write both halves of the active lanes."""
    lanes = machine.lane_ids(mask)
    values = np.stack([np.broadcast_to(np.asarray(half).reshape(-1), (machine.lanes,)) for half in (low, high)])
    goal.write(lanes, values[:, lanes])


def load(context: Context, instruction: Instruction) -> Action:
    """``ld.b128`` (PTX ISA, "ld")."""
    m = Modifiers(instruction)
    m.need("b128")
    semantics, scope = read_ordering(m)
    items = operands(instruction, 2, 3)
    (base, offset), declared = address(context, instruction, items[1])
    space = read_space(m, declared)
    m.finish()
    function = partial(_load, space, semantics, scope)
    order = Order.LOAD if semantics == "weak" else Order.STRICT
    return _action(instruction, function, (base, offset), (_register(m, items[0]),), order)


def _load(
    space: str,
    semantics: str,
    scope: str | None,
    machine: Machine,
    site: Site,
    mask: Mask,
    goal: Rows,
    base: Array,
    offset: Array,
) -> None:
    strong = machine.strong(site, mask, base, offset, space, BYTES, semantics, scope)
    with strong if semantics != "weak" else nullcontext():
        low, high = machine.memory.load(site, mask, space, base, offset, 8, 2)
    _write(machine, mask, goal, low, high)


def store(context: Context, instruction: Instruction) -> Action:
    """``st.b128`` (PTX ISA, "st")."""
    m = Modifiers(instruction)
    m.need("b128")
    semantics, scope = read_ordering(m)
    items = operands(instruction, 2, 3)
    (base, offset), declared = address(context, instruction, items[0])
    space = read_space(m, declared)
    m.finish()
    function = partial(_store, space, semantics, scope)
    order = Order.STORE if semantics == "weak" else Order.STRICT
    return _action(instruction, function, (_register(m, items[1]), base, offset), (), order)


def _store(
    space: str,
    semantics: str,
    scope: str | None,
    machine: Machine,
    site: Site,
    mask: Mask,
    value: Rows,
    base: Array,
    offset: Array,
) -> None:
    strong = machine.strong(site, mask, base, offset, space, BYTES, semantics, scope)
    with strong if semantics != "weak" else nullcontext():
        machine.memory.store(site, mask, space, base, offset, list(value.read()), 8)


def atomic(context: Context, instruction: Instruction) -> Action:
    """``atom.exch.b128`` and ``atom.cas.b128`` (PTX ISA, "atom")."""
    m = Modifiers(instruction)
    m.need("b128")
    semantics = m.choice("relaxed", "acquire", "release", "acq_rel") or "relaxed"
    scope = m.choice(*SCOPES) or "gpu"
    space = m.choice(*SPACES)
    operation = m.need("exch", "cas")
    while m.choice(*CACHE):
        pass
    m.finish()
    count = 2 if operation == "cas" else 1
    items = operands(instruction, 2 + count, 3 + count)
    (base, offset), declared = address(context, instruction, items[1])
    values = tuple(_register(m, item) for item in items[2 : 2 + count])
    goal = () if isinstance(items[0], Sink) else (_register(m, items[0]),)
    where = (space or declared or "generic").split("::")[0]
    function = partial(_atomic, where, semantics, scope, bool(goal))
    return _action(instruction, function, (base, offset, *values), goal, Order.STRICT)


def _atomic(
    space: str, semantics: str, scope: str, wants: bool, machine: Machine, site: Site, mask: Mask, *rest: Any
) -> None:
    goal, rest = (rest[0], rest[1:]) if wants else (None, rest)
    base, offset, *values = rest
    new = [np.stack(value.read(), axis=-1) for value in values]
    old = np.zeros((machine.lanes, 2), np.uint64)
    with machine.strong(site, mask, base, offset, space, BYTES, semantics, scope):
        addresses = machine.memory.addresses(base, offset, 1)
        for raw in machine.memory.resolve(site, mask, space, addresses, BYTES):
            access = machine.memory.checked(site, raw, VALID | INITIALISED | WRITABLE, "atomic access")
            if machine.races is not None and len(access.offsets):
                machine.races.atomic(site, access)
            machine.counters.memory(site, access, True)
            data = access.arena.view(False, 8, 2)
            for places, lanes in in_turns(machine, access, BYTES):
                before = data[places]
                old[lanes] = before
                swap = new[-1][lanes]
                if len(new) == 2:
                    swap = np.where((before == new[0][lanes]).all(axis=1)[:, None], swap, before)
                data[places] = swap
    machine.progress += 1
    if goal is not None:
        _write(machine, mask, goal, old[:, 0], old[:, 1])
