"""Instructions that change tensor maps on the device, and the fences of their proxy.

PTX ISA, "tensormap.replace", "tensormap.cp_fenceproxy", "fence.proxy.tensormap".
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator.action import Action, Mask, Order, Site
from tilewright.runtime.emulator.decode import Context, Decoder, Modifiers, address, operands, source
from tilewright.runtime.emulator.memory import INITIALISED, VALID, WRITABLE, Access
from tilewright.runtime.emulator.scalar_types import B32, B64, Array
from tilewright.runtime.emulator.syntax import Immediate, Instruction
from tilewright.runtime.emulator.tensormap import BYTES, ELEMENTS, INTERLEAVES, SWIZZLES, MapFields, unpack

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

WARP = 32
HALF = BYTES // 2
ENUMERATED: dict[str, tuple[str, tuple[Any, ...]]] = {
    "elemtype": ("element", ELEMENTS),
    "interleave_layout": ("interleave", INTERLEAVES),
    "swizzle_mode": ("swizzle", SWIZZLES),
    "fill_mode": ("fill", (0, 1)),
}
"""Fields whose new value is a literal: the attribute, and what the values that sm_90a knows stand for."""
LISTS = {
    "box_dim": ("box", 5),
    "global_dim": ("dims", 5),
    "global_stride": ("strides", 4),
    "element_stride": ("element_strides", 5),
}
"""Fields with one value per dimension: the attribute and how many there are."""
LIMITS = {"box_dim": 256, "element_stride": 8, "rank": 4}
EMPTY = MapFields(dims=(0,) * 5, strides=(0,) * 5, box=(0,) * 5, element_strides=(0,) * 5)


def tensormap(context: Context, instruction: Instruction) -> Action:
    """``tensormap.replace`` and ``tensormap.cp_fenceproxy`` (PTX ISA, sections of these names)."""
    m = Modifiers(instruction)
    if m.need("replace", "cp_fenceproxy") == "cp_fenceproxy":
        return _copy_fence(context, instruction, m)
    m.need("tile")
    if m.flag("swizzle_atomicity"):
        raise m.fault(".swizzle_atomicity needs sm_100")
    field = m.need("global_address", "rank", *LISTS, *ENUMERATED)
    space = m.choice("global", "shared::cta")
    m.need("b1024")
    kind = B64 if m.need("b64" if field in ("global_address", "global_stride") else "b32") == "b64" else B32
    m.finish()
    items = operands(instruction, 3 if field in LISTS else 2)
    ordinal = 0
    if field in LISTS:
        ordinal = _literal(m, items[1], LISTS[field][1])
    if field in ENUMERATED:
        _literal(m, items[-1], len(ENUMERATED[field][1]))
    (base, offset), declared = address(context, instruction, items[0])
    function = partial(_replace, field, ordinal, (space or declared or "generic").split("::")[0])
    inputs = (base, offset, source(context, instruction, items[-1], kind))
    return Action(instruction, function, inputs, (), Order.STRICT, effect=True)


def _literal(m: Modifiers, operand: Any, count: int) -> int:
    if not isinstance(operand, Immediate) or not 0 <= int(operand.value) < count:
        raise m.fault(f"needs a literal from 0 to {count - 1}")
    return int(operand.value)


def _replace(
    field: str,
    ordinal: int,
    space: str,
    machine: Machine,
    site: Site,
    mask: Mask,
    base: Array,
    offset: Array,
    value: Array,
) -> None:
    """A weak read and write of the whole map by every active lane, in turn."""
    values = np.broadcast_to(np.asarray(value).reshape(-1), (machine.lanes,))
    for lane in machine.lane_ids(mask).tolist():
        halves = _halves(machine, site, lane, space, base, offset, VALID | WRITABLE | INITIALISED)
        if halves is None:
            continue
        arena, start = halves[0].arena, int(halves[0].offsets[0])
        data = arena.data[start : start + BYTES]
        fields = unpack(data.tobytes(), whole=True) or (None if data.any() else EMPTY)
        changed: MapFields | str
        changed = (
            "the address holds no tensor map" if fields is None else _changed(fields, field, ordinal, int(values[lane]))
        )
        if isinstance(changed, str):
            machine.finding("tensor-map", changed, site, 0, [lane], start + arena.origin)
            continue
        if machine.races is not None:
            for access in halves:
                machine.races.access(site, access, False)
        _write(machine, site, halves, np.frombuffer(changed.pack(), np.uint8))
    machine.progress += 1


def _changed(fields: MapFields, field: str, ordinal: int, value: int) -> MapFields | str:
    """The fields with one of them replaced, or what is wrong with the new value."""
    low = 1 if field in LISTS and field != "global_stride" else 0
    if not low <= value <= LIMITS.get(field, (1 << 64) - 1):
        return f"{value} is not a valid .{field}"
    if field in LISTS:
        return _changed_list(fields, field, ordinal, value)
    if field == "global_address":
        return replace(fields, address=value)
    if field == "rank":
        return replace(fields, rank=value + 1)
    name, choices = ENUMERATED[field]
    return replace(fields, **{name: choices[value]})


def _changed_list(fields: MapFields, field: str, ordinal: int, value: int) -> MapFields | str:
    if field == "box_dim" and fields.im2col:
        return "a map in im2col mode has no .box_dim"
    if field == "global_stride" and fields.interleave:
        return "the strides of an interleaved map cannot be replaced here: their order is not documented"
    name, _ = LISTS[field]
    place = ordinal + (field == "global_stride")  # the innermost stride is the element itself
    values = list(getattr(fields, name))
    values[place] = value
    return replace(fields, **{name: tuple(values)})  # type: ignore[arg-type]


def _halves(
    machine: Machine, site: Site, lane: int, space: str, base: Array, offset: Array, need: int
) -> list[Access] | None:
    """The two aligned halves of a map, checked; None when any part of it is not there."""
    only = np.arange(machine.lanes) == lane
    found = []
    for half in (0, HALF):
        addresses = machine.memory.addresses(base, np.asarray(offset) + half, 1)
        for access in machine.memory.resolve(site, only, space, addresses, HALF):
            found.append(machine.memory.checked(site, access, need, "tensor map access"))
    return found if len(found) == 2 and all(len(access.offsets) for access in found) else None


def _write(machine: Machine, site: Site, halves: list[Access], data: Array) -> None:
    """Store the 128 bytes of a map through the generic proxy."""
    for access, part in zip(halves, data.view(np.uint64).reshape(2, 1, -1), strict=True):
        if machine.races is not None:
            machine.races.access(site, access, True, new=part)
        access.arena.view(False, 8, 8)[access.offsets // HALF] = part
        access.arena.mark(access.offsets, HALF)
        machine.counters.memory(site, access, True)


def _copy_fence(context: Context, instruction: Instruction, m: Modifiers) -> Action:
    for piece in ("global", "shared::cta", "tensormap::generic", "release", "sync", "aligned"):
        m.need(piece)
    m.need("cta", "cluster", "gpu", "sys")
    m.finish()
    items = operands(instruction, 3)
    if not isinstance(items[2], Immediate) or int(items[2].value) != BYTES:
        raise m.fault(f"the size must be {BYTES}")
    target, origin = (address(context, instruction, item)[0] for item in items[:2])
    return Action(instruction, _copy_map, (*target, *origin), (), Order.STRICT, effect=True, converge=WARP)


def _copy_map(
    machine: Machine, site: Site, mask: Mask, target: Array, target_offset: Array, origin: Array, origin_offset: Array
) -> None:
    """Every lane of a warp reads the source; one copy is made, which the whole warp then knows and has released."""
    lanes = machine.lane_ids(mask)
    for warp in np.unique(lanes // WARP).tolist():
        members = lanes[lanes // WARP == warp]
        sources = [
            _halves(machine, site, lane, "shared", origin, origin_offset, VALID | INITIALISED)
            for lane in members.tolist()
        ]
        goal = _halves(machine, site, int(members[0]), "global", target, target_offset, VALID | WRITABLE)
        if goal is None or sources[0] is None:
            continue
        for halves in sources:
            for access in halves or ():
                if machine.races is not None:
                    machine.races.access(site, access, False)
        start = int(sources[0][0].offsets[0])
        _write(machine, site, goal, machine.shared.data[start : start + BYTES].copy())
        if machine.races is not None:
            machine.races.warp_barrier(members)
        machine.engines.map_fences.release(members[:1])
    machine.progress += 1


def proxy_fence(context: Context, instruction: Instruction) -> Action:
    """``fence.proxy.tensormap::generic``: ``.release``, or ``.acquire`` on the 128 bytes of one map."""
    m = Modifiers(instruction)
    for piece in ("proxy", "tensormap::generic"):
        m.need(piece)
    acquires = m.need("acquire", "release") == "acquire"
    m.need("cta", "cluster", "gpu", "sys")
    m.finish()
    if not acquires:
        operands(instruction, 0)
        return Action(instruction, _release, (), (), Order.STRICT, effect=True)
    items = operands(instruction, 2)
    if not isinstance(items[1], Immediate) or int(items[1].value) != BYTES:
        raise m.fault(f"the size must be {BYTES}")
    return Action(instruction, _acquire, address(context, instruction, items[0])[0], (), Order.STRICT, effect=True)


def _release(machine: Machine, site: Site, mask: Mask) -> None:
    machine.engines.map_fences.release(machine.lane_ids(mask))


def _acquire(machine: Machine, site: Site, mask: Mask, base: Array, offset: Array) -> None:
    for lane in machine.lane_ids(mask).tolist():
        halves = _halves(machine, site, lane, "generic", base, offset, VALID | INITIALISED)
        if halves is not None and halves[0].arena is machine.global_memory:
            machine.engines.map_fences.acquire(lane, int(halves[0].offsets[0]))


TABLE: dict[str, Decoder] = {"tensormap": tensormap}
