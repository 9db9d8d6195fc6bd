"""Decoders of bulk copies and TMA (PTX ISA, "cp.async.bulk", "cp.async.bulk.tensor")."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator.action import Action, Mask, Order, Site, Source
from tilewright.runtime.emulator.decode import (
    Context,
    Modifiers,
    address,
    elements,
    operands,
    source,
)
from tilewright.runtime.emulator.ops_atomic import combine
from tilewright.runtime.emulator.scalar_types import TYPES, U32, Array, ScalarType
from tilewright.runtime.emulator.spaces import PARAM_WINDOW
from tilewright.runtime.emulator.syntax import Immediate, Instruction, Memory, Operand, Symbol, Vector

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

DIMENSIONS = ("1d", "2d", "3d", "4d", "5d")
LATER_MODES = ("im2col::w", "im2col::w::128", "tile::gather4", "tile::scatter4")
SHARED = ("shared::cluster", "shared::cta")
REDUCTIONS = ("add", "min", "max", "inc", "dec", "and", "or", "xor")
BITS_ONLY = {name: ("b32",) for name in ("and", "or", "xor")}
SHARED_REDUCTIONS = {
    "add": ("u32", "s32", "u64"),
    "min": ("u32", "s32"),
    "max": ("u32", "s32"),
    "inc": ("u32",),
    "dec": ("u32",),
    **BITS_ONLY,
}
GLOBAL_REDUCTIONS = {
    "add": ("f16", "bf16", "f32", "f64", "u32", "s32", "u64"),
    "min": ("f16", "bf16", "u32", "s32", "u64", "s64"),
    "max": ("f16", "bf16", "u32", "s32", "u64", "s64"),
    "inc": ("u32",),
    "dec": ("u32",),
    **{name: ("b32", "b64") for name in BITS_ONLY},
}
"""Element types of ``cp.reduce.async.bulk`` by operation and destination."""


def bulk(context: Context, instruction: Instruction) -> Action:
    """Every instruction with ``.bulk``."""
    m = Modifiers(instruction)
    reduces = m.flag("reduce")
    m.need("async")
    m.need("bulk")
    if m.flag("commit_group"):
        m.finish()
        return Action(instruction, _commit, (), (), Order.STRICT, effect=True)
    if m.flag("wait_group"):
        only_reads = m.flag("read")
        m.finish()
        count = operands(instruction, 1)[0]
        if not isinstance(count, Immediate):
            raise m.fault("the group count must be a literal")
        return Action(instruction, partial(_wait, int(count.value), only_reads), (), (), Order.STRICT, effect=True)
    if m.flag("prefetch"):
        return _prefetch(instruction, m)
    if m.flag("tensor"):
        return _tensor(context, instruction, m, reduces)
    return _bytes(context, instruction, m, reduces)


def _prefetch(instruction: Instruction, m: Modifiers) -> Action:
    """``cp.async.bulk.prefetch`` and its tensor form: hints without effect (PTX ISA, sections of these names)."""
    if m.flag("tensor"):
        m.need(*DIMENSIONS)
        mode = m.choice("tile", "im2col", *LATER_MODES)
        if mode in LATER_MODES:
            raise m.fault(f".{mode} needs sm_100")
    m.need("L2")
    m.need("global")
    m.flag("L2::cache_hint")
    m.finish()
    return Action(instruction, _nothing, (), (), Order.PURE, effect=True)


def _nothing(machine: Machine, site: Site, mask: Mask) -> None:
    """A hint."""


def _commit(machine: Machine, site: Site, mask: Mask) -> None:
    machine.engines.bulk.commit(machine.lane_ids(mask))


def _wait(count: int, only_reads: bool, machine: Machine, site: Site, mask: Mask) -> None:
    machine.engines.bulk.wait(machine.lane_ids(mask), count, only_reads)


def _directions(m: Modifiers) -> tuple[str, str]:
    """Destination and source space, in the order of the opcode."""
    spaces = [piece for piece in m.left if piece in (*SHARED, "global")]
    if len(spaces) != 2:
        raise m.fault("needs a destination and a source space")
    for piece in spaces:
        m.left.remove(piece)
    return spaces[0].split("::")[0], spaces[1].split("::")[0]


def _address_sources(context: Context, instruction: Instruction, operand: Operand) -> list[Source]:
    return list(address(context, instruction, operand)[0])


def _map_sources(context: Context, instruction: Instruction, operand: Operand) -> tuple[list[Source], list[Source]]:
    """Address of the tensor map, and the coordinates."""
    if not isinstance(operand, Memory) or not operand.parts or not isinstance(operand.parts[0], Vector):
        raise Modifiers(instruction).fault("expected [tensor map, {coordinates}]")
    base, offset = _address_sources(context, instruction, Memory(operand.base, operand.offset))
    if isinstance(operand.base, Symbol) and context.place(operand.base, instruction).space == "param":
        base = replace(base, constant=base.constant + np.int64(PARAM_WINDOW))
    coordinates = [source(context, instruction, item, TYPES["s32"]) for item in elements(operand.parts[0])]
    return [base, offset], coordinates


def _tensor(context: Context, instruction: Instruction, m: Modifiers, reduces: bool) -> Action:
    """``cp.async.bulk.tensor`` and ``cp.reduce.async.bulk.tensor`` (PTX ISA, sections of these names)."""
    rank = int(m.need(*DIMENSIONS)[0])
    mode = m.choice("tile", "im2col", "im2col_no_offs", *LATER_MODES) or "tile"
    if mode in LATER_MODES:
        raise m.fault(f".{mode} needs sm_100")
    target, _ = _directions(m)
    if mode != "tile" and (rank < 3 or (mode == "im2col") != (target == "shared")):
        raise m.fault("im2col needs rank 3 to 5: .im2col for loads, .im2col_no_offs for stores")
    hint = m.flag("L2::cache_hint")
    if target == "shared":
        m.need("mbarrier::complete_tx::bytes")
        multicast = m.flag("multicast::cluster")
        m.finish()
        items = operands(instruction, 3 + (mode == "im2col") + multicast + hint)
        place = _address_sources(context, instruction, items[0])
        tensor, coordinates = _map_sources(context, instruction, items[1])
        barrier = _address_sources(context, instruction, items[2])
        rest = list(items[3:])
        offsets = _offsets(context, instruction, rest, rank) if mode == "im2col" else None
        inputs = [*place, *tensor, *barrier, *coordinates, *(offsets or ())]
        inputs += [source(context, instruction, rest[0], TYPES["u16"])] if multicast else []
        function: Any = partial(_load_tensor, rank, None if offsets is None else rank - 2, multicast)
    else:
        operation = m.need(*REDUCTIONS) if reduces else None
        m.need("bulk_group")
        m.finish()
        items = operands(instruction, 2 + hint)
        tensor, coordinates = _map_sources(context, instruction, items[0])
        inputs = [*tensor, *_address_sources(context, instruction, items[1]), *coordinates]
        function = partial(_store_tensor, rank, None if mode == "tile" else [], operation)
    if len(coordinates) != rank:
        raise m.fault(f"needs {rank} coordinates")
    return Action(instruction, function, tuple(inputs), (), Order.STRICT, effect=True)


def _offsets(context: Context, instruction: Instruction, rest: list[Operand], rank: int) -> list[Source]:
    """The im2col offsets (W, H, D), taken from the operands after the mbarrier."""
    offsets = elements(rest.pop(0)) if rest else ()
    if len(offsets) != rank - 2:
        raise Modifiers(instruction).fault(f"needs {rank - 2} im2col offsets")
    return [source(context, instruction, item, TYPES["u16"]) for item in offsets]


def _columns(machine: Machine, values: tuple[Array, ...]) -> list[Array]:
    return [np.broadcast_to(np.asarray(value).reshape(-1), (machine.lanes,)) for value in values]


def _load_tensor(
    rank: int, spatial: int | None, multicast: bool, machine: Machine, site: Site, mask: Mask, *values: Array
) -> None:
    """``spatial`` is the number of im2col offsets, None in tile mode."""
    columns = _columns(machine, values)
    end = 6 + rank + (spatial or 0)
    for lane in machine.lane_ids(mask).tolist():
        target, place, barrier = (_sum(columns, i, lane) for i in (0, 2, 4))
        coordinates = [int(column[lane]) for column in columns[6 : 6 + rank]]
        offsets = None if spatial is None else [int(column[lane]) for column in columns[6 + rank : end]]
        cta_mask = int(columns[end][lane]) if multicast else None
        machine.engines.bulk.load_tensor(site, lane, target, place, coordinates, offsets, barrier, cta_mask)


def _sum(columns: list[Array], index: int, lane: int) -> int:
    return int(columns[index][lane]) + int(columns[index + 1][lane])


def _store_tensor(
    rank: int,
    offsets: list[int] | None,
    operation: str | None,
    machine: Machine,
    site: Site,
    mask: Mask,
    *values: Array,
) -> None:
    columns = _columns(machine, values)
    for lane in machine.lane_ids(mask).tolist():
        coordinates = [int(column[lane]) for column in columns[4 : 4 + rank]]
        tensor, origin = _sum(columns, 0, lane), _sum(columns, 2, lane)
        machine.engines.bulk.store_tensor(site, lane, tensor, coordinates, offsets, origin, operation)


def _check_reduction(m: Modifiers, operation: str, kind: ScalarType, target: str) -> None:
    """Refuse what ``cp.reduce.async.bulk`` has no form for."""
    allowed = (SHARED_REDUCTIONS if target == "shared" else GLOBAL_REDUCTIONS)[operation]
    if kind.name not in allowed:
        raise m.fault(f".{operation} into .{target} exists for {', '.join(allowed)}")
    if (kind.name in ("f16", "bf16") and operation == "add") != m.flag("noftz"):
        raise m.fault(".noftz goes with additions of f16 and bf16, and only with them")


def _bytes(context: Context, instruction: Instruction, m: Modifiers, reduces: bool) -> Action:
    """``cp.async.bulk`` and ``cp.reduce.async.bulk`` (PTX ISA, sections of these names)."""
    target, origin = _directions(m)
    hint = m.flag("L2::cache_hint")
    operation = m.need(*REDUCTIONS) if reduces else None
    kind = m.last_type() if reduces else None
    if operation is not None and kind is not None:
        _check_reduction(m, operation, kind, target)
    multicast = m.flag("multicast::cluster")
    items = operands(instruction, (4 if target == "shared" else 3) + multicast + hint)
    places = [*_address_sources(context, instruction, items[0]), *_address_sources(context, instruction, items[1])]
    size = source(context, instruction, items[2], U32)
    if target == "shared":
        m.need("mbarrier::complete_tx::bytes")
        m.finish()
        if reduces and (multicast or origin == "global"):
            raise m.fault("a reduction into shared memory comes from the CTA's own and has one destination")
        reduction = (combine(operation, kind), kind.dtype) if operation is not None and kind is not None else None
        inputs = [*places, size, *_address_sources(context, instruction, items[3])]
        inputs += [source(context, instruction, items[4], TYPES["u16"])] if multicast else []
        return Action(
            instruction,
            partial(_load_bytes, multicast, origin == "shared", reduction),
            tuple(inputs),
            (),
            Order.STRICT,
            effect=True,
        )
    m.need("bulk_group")
    m.finish()
    if multicast:
        raise m.fault("a store has one destination")
    function = combine(operation, kind) if operation is not None and kind is not None else None
    return Action(
        instruction,
        partial(_store_bytes, function, kind.dtype if kind is not None else None),
        (*places, size),
        (),
        Order.STRICT,
        effect=True,
    )


def _load_bytes(
    multicast: bool,
    from_shared: bool,
    reduction: tuple[Any, Any] | None,
    machine: Machine,
    site: Site,
    mask: Mask,
    *values: Array,
) -> None:
    columns = _columns(machine, values)
    for lane in machine.lane_ids(mask).tolist():
        cta_mask = int(columns[7][lane]) if multicast else None
        machine.engines.bulk.load_bytes(
            site,
            lane,
            _sum(columns, 0, lane),
            _sum(columns, 2, lane),
            int(columns[4][lane]),
            _sum(columns, 5, lane),
            cta_mask,
            from_shared,
            reduction,
        )


def _store_bytes(function: Any, kind: Any, machine: Machine, site: Site, mask: Mask, *values: Array) -> None:
    columns = _columns(machine, values)
    for lane in machine.lane_ids(mask).tolist():
        machine.engines.bulk.store_bytes(
            site, lane, _sum(columns, 0, lane), _sum(columns, 2, lane), int(columns[4][lane]), function, kind
        )
