"""Warp-level communication: shfl, vote, match, redux, activemask, elect, warp barriers, and hints.

PTX ISA, "shfl.sync", "vote.sync", "match.sync", "redux.sync", "elect.sync", "bar.warp.sync".
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator.action import Action, Destination, Mask, Order, Site
from tilewright.runtime.emulator.decode import (
    Context,
    Decoder,
    Modifiers,
    destination,
    member_mask,
    operands,
    source,
)
from tilewright.runtime.emulator.scalar_types import B32, PRED, U32, Array
from tilewright.runtime.emulator.syntax import Instruction, Pair

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

WARP = 32
U4 = np.uint32


def _warps(machine: Machine, site: Site, value: Array) -> Array:
    """A value as (instructions, warps, 32)."""
    return np.broadcast_to(value, (site.count, machine.lanes)).reshape(site.count, -1, WARP)


def _active(machine: Machine, site: Site, mask: Mask) -> Array:
    return np.broadcast_to(np.asarray(mask), (site.count, machine.lanes)).reshape(site.count, -1, WARP)


def shfl(context: Context, instruction: Instruction) -> Action:
    """Values of other lanes of the warp (PTX ISA, "shfl.sync")."""
    m = Modifiers(instruction)
    m.last_type()
    sync = m.flag("sync")
    mode = m.need("up", "down", "bfly", "idx")
    m.finish()
    items = operands(instruction, 5 if sync else 4)
    first, second = (items[0].first, items[0].second) if isinstance(items[0], Pair) else (items[0], None)
    results: tuple[Destination, ...] = (destination(instruction, first, B32),)
    if second is not None:
        results += (destination(instruction, second, PRED),)
    inputs = tuple(
        source(context, instruction, item, kind) for item, kind in zip(items[1:4], (B32, U32, U32), strict=True)
    )
    members = member_mask(context, instruction, items[4]) if sync else None
    return Action(
        instruction,
        partial(_shuffle, mode, second is not None),
        inputs,
        results,
        Order.PURE,
        effect=True,
        converge=WARP,
        members=members,
    )


def _shuffle(
    mode: str,
    wants_predicate: bool,
    machine: Machine,
    site: Site,
    mask: Mask,
    value: Array,
    amount: Array,
    control: Array,
) -> Any:
    values, amounts, controls = (_warps(machine, site, x) for x in (value, amount, control))
    lane = np.arange(WARP, dtype=U4)
    clamp, segment = controls & U4(31), (controls >> U4(8)) & U4(31)
    low = lane & segment
    high = low | (clamp & ~segment & U4(31))
    shift = amounts & U4(31)
    if mode == "up":
        chosen = lane.astype(np.int64) - shift
        inside = chosen >= high
    elif mode == "idx":
        chosen = (low | (shift & ~segment & U4(31))).astype(np.int64)
        inside = chosen <= high
    else:
        chosen = (lane + shift if mode == "down" else lane ^ shift).astype(np.int64)
        inside = chosen <= high
    chosen = np.where(inside, chosen, lane)
    result = np.take_along_axis(values, chosen & 31, axis=2).reshape(site.count, machine.lanes)
    _check_source_lanes(machine, site, mask, chosen)
    return (result, inside.reshape(site.count, machine.lanes)) if wants_predicate else result


def _check_source_lanes(machine: Machine, site: Site, mask: Mask, chosen: Array) -> None:
    """Reading a lane that does not take part gives an undefined value."""
    if mask is True:
        return
    active = _active(machine, site, mask)
    reached = np.take_along_axis(active, chosen & 31, axis=2)
    bad = (active & ~reached).reshape(site.count, machine.lanes)
    if bad.any():
        row, lane = (int(x) for x in np.argwhere(bad)[0])
        machine.finding(
            "inactive-lane", "shuffle reads a lane that does not take part", site, row, [lane], severity="warning"
        )


def vote(context: Context, instruction: Instruction) -> Action:
    """A predicate over the lanes of the warp (PTX ISA, "vote.sync")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    sync = m.flag("sync")
    mode = m.need("all", "any", "uni", "ballot")
    m.finish()
    items = operands(instruction, 3 if sync else 2)
    members = member_mask(context, instruction, items[2]) if sync else None
    return Action(
        instruction,
        partial(_vote, mode),
        (source(context, instruction, items[1], PRED),),
        (destination(instruction, items[0], kind),),
        Order.PURE,
        effect=True,
        converge=WARP,
        members=members,
    )


def _vote(mode: str, machine: Machine, site: Site, mask: Mask, predicate: Array) -> Array:
    values, active = _warps(machine, site, predicate), _active(machine, site, mask)
    true = values & active
    result: Any
    if mode == "ballot":
        result = _bits(true)
    elif mode == "any":
        result = true.any(2)
    elif mode == "all":
        result = (values | ~active).all(2)
    else:
        result = (values | ~active).all(2) | ~true.any(2)
    return np.repeat(result, WARP, axis=1)


def _bits(flags: Array) -> Array:
    weights = U4(1) << np.arange(WARP, dtype=U4)
    return np.asarray(np.bitwise_or.reduce(np.where(flags, weights, U4(0)), axis=2))


def activemask(context: Context, instruction: Instruction) -> Action:
    """The lanes that execute together here (PTX ISA, "activemask")."""
    m = Modifiers(instruction)
    m.last_type()
    m.finish()
    result = (destination(instruction, operands(instruction, 1)[0], B32),)
    return Action(instruction, _active_mask, (), result, Order.PURE, effect=True)


def _active_mask(machine: Machine, site: Site, mask: Mask) -> Array:
    return np.repeat(_bits(_active(machine, site, mask)), WARP, axis=1)


def match(context: Context, instruction: Instruction) -> Action:
    """Lanes that hold the same value (PTX ISA, "match.sync")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    m.need("sync")
    mode = m.need("any", "all")
    m.finish()
    items = operands(instruction, 3)
    first, second = (items[0].first, items[0].second) if isinstance(items[0], Pair) else (items[0], None)
    results: tuple[Destination, ...] = (destination(instruction, first, B32),)
    if second is not None:
        results += (destination(instruction, second, PRED),)
    return Action(
        instruction,
        partial(_match, mode, second is not None),
        (source(context, instruction, items[1], kind),),
        results,
        Order.PURE,
        effect=True,
        converge=WARP,
        members=member_mask(context, instruction, items[2]),
    )


def _match(mode: str, wants_predicate: bool, machine: Machine, site: Site, mask: Mask, value: Array) -> Any:
    values, active = _warps(machine, site, value), _active(machine, site, mask)
    equal = (values[..., :, None] == values[..., None, :]) & active[..., None, :] & active[..., :, None]
    weights = U4(1) << np.arange(WARP, dtype=U4)
    bits = np.bitwise_or.reduce(np.where(equal, weights, U4(0)), axis=3)
    whole = np.broadcast_to(_bits(active)[..., None], bits.shape)
    same = bits == whole
    shape = (site.count, machine.lanes)
    if mode == "any":
        return (bits.reshape(shape), same.reshape(shape)) if wants_predicate else bits.reshape(shape)
    result = np.where(same, whole, U4(0)).reshape(shape)
    return (result, same.reshape(shape)) if wants_predicate else result


def redux(context: Context, instruction: Instruction) -> Action:
    """A reduction over the lanes of the warp (PTX ISA, "redux.sync")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    m.need("sync")
    mode = m.need("add", "min", "max", "and", "or", "xor")
    absolute, nan = m.flag("abs"), m.flag("NaN")
    m.finish()
    items = operands(instruction, 3)
    return Action(
        instruction,
        partial(_reduce, mode, absolute, nan),
        (source(context, instruction, items[1], kind),),
        (destination(instruction, items[0], kind),),
        Order.PURE,
        effect=True,
        converge=WARP,
        members=member_mask(context, instruction, items[2]),
    )


def _reduce(mode: str, absolute: bool, nan: bool, machine: Machine, site: Site, mask: Mask, value: Array) -> Array:
    values, active = _warps(machine, site, value), _active(machine, site, mask)
    values = np.abs(values) if absolute else values
    kind = values.dtype
    integer: dict[str, Any] = {
        "add": (np.add, 0),
        "and": (np.bitwise_and, -1),
        "or": (np.bitwise_or, 0),
        "xor": (np.bitwise_xor, 0),
    }
    if mode in integer:
        function, neutral = integer[mode]
        result = function.reduce(np.where(active, values, np.array(neutral).astype(kind)), axis=2, dtype=kind)
    elif kind.kind == "f":
        function = (np.maximum if nan else np.fmax) if mode == "max" else (np.minimum if nan else np.fmin)
        result = function.reduce(np.where(active, values, kind.type(-np.inf if mode == "max" else np.inf)), axis=2)
    else:
        limits = np.iinfo(kind)
        function = np.maximum if mode == "max" else np.minimum
        result = function.reduce(np.where(active, values, limits.min if mode == "max" else limits.max), axis=2)
    return np.repeat(result.astype(kind), WARP, axis=1)


def elect(context: Context, instruction: Instruction) -> Action:
    """The leader is the lowest lane that takes part (the choice is the implementation's) (PTX ISA, "elect.sync")."""
    m = Modifiers(instruction)
    m.need("sync")
    m.finish()
    items = operands(instruction, 2)
    if not isinstance(items[0], Pair):
        raise m.fault("needs two destinations")
    results = (destination(instruction, items[0].first, B32), destination(instruction, items[0].second, PRED))
    return Action(
        instruction,
        _elect,
        (),
        results,
        Order.PURE,
        effect=True,
        converge=WARP,
        members=member_mask(context, instruction, items[1]),
    )


def _elect(machine: Machine, site: Site, mask: Mask) -> tuple[Array, Array]:
    active = _active(machine, site, mask)
    leader = np.argmax(active, axis=2).astype(U4)
    lane = np.arange(WARP, dtype=U4)
    shape = (site.count, machine.lanes)
    chosen = (lane == leader[..., None]).reshape(shape)
    return np.repeat(leader, WARP, axis=1), chosen


def warp_barrier(context: Context, instruction: Instruction) -> Action:
    m = Modifiers(instruction)
    m.need("warp")
    m.need("sync")
    m.finish()
    members = member_mask(context, instruction, operands(instruction, 1)[0])
    return Action(instruction, _warp_barrier, (), (), Order.STRICT, effect=True, converge=WARP, members=members)


def _warp_barrier(machine: Machine, site: Site, mask: Mask) -> None:
    if machine.races is not None:
        machine.races.warp_barrier(machine.lane_ids(mask))


def barrier(context: Context, instruction: Instruction) -> Action:
    """``bar.warp.sync`` and the cluster barrier; CTA barriers end a block and are decoded in ``barriers``.

    PTX ISA, "bar.warp.sync", "barrier.cluster".
    """
    if "cluster" in instruction.parts:
        from tilewright.runtime.emulator.clusters import cluster_barrier

        return cluster_barrier(context, instruction)
    return warp_barrier(context, instruction)


def hint(context: Context, instruction: Instruction) -> Action:
    """``nanosleep``, ``griddepcontrol``, ``pmevent``: no functional effect (PTX ISA, sections of these names)."""
    accepted = {
        "nanosleep": ("u32",),
        "griddepcontrol": ("launch_dependents", "wait"),
        "pmevent": ("mask",),
    }
    m = Modifiers(instruction)
    while m.choice(*accepted[instruction.mnemonic]):
        pass
    m.finish()
    return Action(instruction, _nothing, (), (), Order.PURE, effect=True)


def _nothing(machine: Machine, site: Site, mask: Mask) -> None:
    """A hint."""


TABLE: dict[str, Decoder] = {
    "shfl": shfl,
    "vote": vote,
    "activemask": activemask,
    "match": match,
    "redux": redux,
    "elect": elect,
    "bar": barrier,
    "barrier": barrier,
    "nanosleep": hint,
    "griddepcontrol": hint,
    "pmevent": hint,
}
