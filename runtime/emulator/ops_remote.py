"""Asynchronous stores and reductions by threads into the shared memory of a cluster.

PTX ISA, "st.async", "red.async". The bytes count on an mbarrier in the CTA of the destination; they are written through
the generic proxy at some time before its phase ends.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator.action import Action, Mask, Order, Site
from tilewright.runtime.emulator.decode import Context, Modifiers, address, elements, operands, source
from tilewright.runtime.emulator.memory import INITIALISED, VALID, WRITABLE, Access
from tilewright.runtime.emulator.ops_atomic import combine
from tilewright.runtime.emulator.races import ATOMIC, PLAIN
from tilewright.runtime.emulator.scalar_types import Array, ScalarType, bits_type
from tilewright.runtime.emulator.syntax import Instruction

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

COMPLETION = "mbarrier::complete_tx::bytes"
STORED = ("b32", "b64", "u32", "u64", "s32", "s64", "f32", "f64")
REDUCED = {
    "inc": ("u32",),
    "dec": ("u32",),
    "min": ("u32", "s32"),
    "max": ("u32", "s32"),
    "add": ("u32", "s32", "u64", "s64"),
    "and": ("b32",),
    "or": ("b32",),
    "xor": ("b32",),
}


class RemoteWrite:
    """A pending store or reduction of one lane; ``combine`` is None for a store."""

    __slots__ = ("barrier", "combine", "done", "kind", "lane", "machine", "place", "site", "values")

    def __init__(
        self, machine: Machine, site: Site, lane: int, place: int, values: Array, barrier: int, kind: Any, combine: Any
    ) -> None:
        self.machine, self.site, self.lane, self.place = machine, site, lane, place
        self.values, self.barrier, self.kind, self.combine = values, barrier, kind, combine
        self.done = False

    def finish(self) -> None:
        """Write, then count the bytes."""
        self.done = True
        machine, size = self.machine, self.values.nbytes
        target = machine.shared.data[self.place : self.place + size].view(self.kind)
        target[:] = self.values if self.combine is None else self.combine(target, self.values)
        machine.shared.state[self.place : self.place + size] = VALID | INITIALISED | WRITABLE
        machine.counters.bytes_written["shared"] += size
        machine.engines.barriers.complete_bytes(self.site, self.barrier, size, self.lane)


def store_async(context: Context, instruction: Instruction) -> Action:
    """``st.async`` of one, two or four values (PTX ISA, "st.async")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    m.need("async")
    m.flag("weak")
    vector = int((m.choice("v2", "v4") or "v1")[1:])
    if kind.name not in STORED or vector * kind.bits > 128:
        raise m.fault("stores 32- and 64-bit values, 16 bytes at most")
    return _decoded(context, instruction, m, kind, vector, None)


def reduce_async(context: Context, instruction: Instruction) -> Action:
    """``red.async`` (PTX ISA, "red.async")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    for piece in ("async", "relaxed", "cluster"):
        m.need(piece)
    operation = m.need(*REDUCED)
    if kind.name not in REDUCED[operation]:
        raise m.fault(f".{operation} exists for {', '.join(REDUCED[operation])}")
    return _decoded(context, instruction, m, kind, 1, operation)


def _decoded(
    context: Context, instruction: Instruction, m: Modifiers, kind: ScalarType, vector: int, operation: str | None
) -> Action:
    m.need("shared::cluster")
    m.need(COMPLETION)
    m.finish()
    items = operands(instruction, 3)
    target, barrier = (address(context, instruction, item)[0] for item in (items[0], items[2]))
    parts = elements(items[1])
    if len(parts) != vector:
        raise m.fault("the vector length does not match the operand")
    typed = kind if operation is not None or kind.kind == "f" else bits_type(kind.bits)
    values = [source(context, instruction, part, typed) for part in parts]
    function = partial(_issue, typed, combine(operation, kind) if operation else None)
    return Action(instruction, function, (*target, *barrier, *values), (), Order.STRICT, effect=True)


def _issue(
    kind: ScalarType,
    function: Any,
    machine: Machine,
    site: Site,
    mask: Mask,
    base: Array,
    offset: Array,
    barrier: Array,
    barrier_offset: Array,
    *values: Array,
) -> None:
    size = kind.bits // 8 * len(values)
    columns = np.empty((machine.lanes, len(values)), kind.dtype)
    for index, value in enumerate(values):
        columns[:, index] = np.asarray(value).reshape(-1)
    need = VALID | WRITABLE | (INITIALISED if function else 0)
    places = _places(machine, site, mask, base, offset, size, need)
    signals = machine.engines.barriers.targets(site, mask, "shared", barrier, barrier_offset)
    for known, lane in signals:
        place = places.get(lane)
        if place is None:
            continue
        if known.offset // machine.shared_stride != place // machine.shared_stride:
            machine.finding("mbarrier", "the mbarrier is not in the CTA of the destination", site, 0, [lane])
            continue
        if machine.races is not None:
            written = np.arange(place, place + size, kind.bits // 8)
            machine.races.engine_write(site, lane, written, kind.bits // 8, known, ATOMIC if function else PLAIN)
        work = RemoteWrite(machine, site, lane, place, columns[lane].copy(), known.offset, kind.dtype, function)
        machine.engines.submit(work)
    machine.progress += 1


def _places(
    machine: Machine, site: Site, mask: Mask, base: Array, offset: Array, size: int, need: int
) -> dict[int, int]:
    """Arena offset of the shared address of every active lane for which it is good."""
    found: dict[int, int] = {}
    for raw in machine.memory.resolve(site, mask, "shared", machine.memory.addresses(base, offset, 1), size):
        access: Access = machine.memory.checked(site, raw, need, "asynchronous access")
        found.update(zip(access.lanes().tolist(), access.offsets.tolist(), strict=True))
    return found
