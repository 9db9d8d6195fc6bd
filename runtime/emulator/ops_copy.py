"""Decoders of the ``cp`` family and of ``mbarrier`` (PTX ISA, "Data Movement: Asynchronous copy")."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator import ops_bulk, ops_mbarrier
from tilewright.runtime.emulator.action import Action, Mask, Order, Site, Source
from tilewright.runtime.emulator.decode import Context, Decoder, Modifiers, address, operands, source
from tilewright.runtime.emulator.ops_memory import CACHE
from tilewright.runtime.emulator.scalar_types import PRED, U32, Array
from tilewright.runtime.emulator.syntax import Immediate, Instruction, Negated, Register

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine


def copy(context: Context, instruction: Instruction) -> Action:
    """``cp.async`` and its groups; ``cp.async.bulk`` and ``cp.reduce`` live in ``ops_bulk`` (PTX ISA, "cp.async")."""
    parts = instruction.parts
    if "bulk" in parts:
        return ops_bulk.bulk(context, instruction)
    m = Modifiers(instruction)
    m.need("async")
    if m.flag("commit_group"):
        m.finish()
        return Action(instruction, _commit, (), (), Order.STRICT, effect=True)
    if m.flag("wait_all"):
        m.finish()
        return Action(instruction, _wait_all, (), (), Order.STRICT, effect=True)
    if m.flag("wait_group"):
        m.finish()
        count = operands(instruction, 1)[0]
        if not isinstance(count, Immediate):
            raise m.fault("the group count must be a literal")
        action = Action(instruction, partial(_wait, int(count.value)), (), (), Order.STRICT, effect=True)
        action.packable = False
        return action
    if m.flag("mbarrier"):
        return ops_mbarrier.copy_arrive(context, instruction, m)
    return _copy(context, instruction, m)


def _copy(context: Context, instruction: Instruction, m: Modifiers) -> Action:
    bypass = m.need("ca", "cg")
    space = "shared" if m.flag("shared", "shared::cta") else "generic"
    m.need("global")
    while m.choice(*CACHE):
        pass
    m.finish()
    items = operands(instruction, 3, 5)
    (target, target_offset), _ = address(context, instruction, items[0])
    (origin, origin_offset), _ = address(context, instruction, items[1])
    size = items[2]
    if not isinstance(size, Immediate) or int(size.value) not in ((16,) if bypass == "cg" else (4, 8, 16)):
        raise m.fault("cp-size must be 4, 8 or 16, and 16 for .cg")
    inputs = [target, target_offset, origin, origin_offset]
    amount = _amount(context, instruction, items[3:])
    inputs += [amount] if amount is not None else []
    action = Action(instruction, partial(_issue, space, int(size.value)), tuple(inputs), (), Order.STORE, effect=True)
    action.packable = not any(isinstance(item, Immediate) for item in items[3:])
    return action


def _amount(context: Context, instruction: Instruction, rest: tuple[Any, ...]) -> Source | None:
    """``src-size`` or ``ignore-src``; a trailing cache policy is a 64-bit register."""
    if not rest:
        return None
    operand = rest[0]
    if isinstance(operand, Negated) or (isinstance(operand, Register) and operand.bits == 1):
        return source(context, instruction, operand, PRED)
    if isinstance(operand, Register) and operand.bits == 64:
        return None
    return source(context, instruction, operand, U32)


def _issue(
    space: str,
    size: int,
    machine: Machine,
    site: Site,
    mask: Mask,
    target: Array,
    target_offset: Array,
    origin: Array,
    origin_offset: Array,
    amount: Array | None = None,
) -> None:
    if amount is not None and np.asarray(amount).dtype == bool:
        amount = np.where(amount, 0, size)
    machine.engines.copies.issue(site, mask, space, (target, target_offset, origin, origin_offset), size, amount)


def _commit(machine: Machine, site: Site, mask: Mask) -> None:
    machine.engines.copies.commit(machine.lane_ids(mask))


def _wait(count: int, machine: Machine, site: Site, mask: Mask) -> None:
    machine.engines.copies.wait(machine.lane_ids(mask), count)


def _wait_all(machine: Machine, site: Site, mask: Mask) -> None:
    lanes = machine.lane_ids(mask)
    machine.engines.copies.commit(lanes)
    machine.engines.copies.wait(lanes, 0)


TABLE: dict[str, Decoder] = {"cp": copy, "mbarrier": ops_mbarrier.mbarrier}
