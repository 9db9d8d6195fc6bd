"""Owns shared memory: stage buffers and their swizzles, plain and pipelined filling, conversions between layouts.

A stage that copies a load unchanged inside a loop is filled by ``cp.async``, ``stages - 1`` steps ahead, in a ring of
buffers with one barrier a step (PTX ISA, "cp.async", "cp.async.wait_group"); any other stage is stored by all threads
between two barriers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from tilewright.dialect import ods, tile
from tilewright.dialect.faults import Unsupported
from tilewright.dialect.layout import Layout
from tilewright.dialect.layout_algebra import compose
from tilewright.dialect.layout_library import memory_order, row_major, swizzled
from tilewright.dialect.mlir import ir
from tilewright.passes.gpu import memory
from tilewright.passes.gpu.access import coefficients
from tilewright.passes.gpu.layouts import slots
from tilewright.passes.gpu.memory import GlobalView, SharedBuffer
from tilewright.passes.gpu.registers import Registers
from tilewright.passes.machine.elements import storage_bytes

CHUNK_BYTES = 16
BANK_BYTES = 128
SMALLEST_COPY = 4


@dataclass(frozen=True)
class Copy:
    """A stage that stores one load unchanged."""

    stage: Any
    load: Any
    store: Any


class Stages:
    """Stage buffers of one kernel; ``remarks`` say how each loop's were filled, for people."""

    def __init__(self, kernel: Any, stages: int) -> None:
        self.kernel, self.stages = kernel, stages
        self.ring: dict[Any, SharedBuffer] = {}
        self.remarks: list[str] = []

    @property
    def emitter(self) -> Any:
        return self.kernel.emitter

    # ------------------------------------------------------------ buffers

    def buffer_of(self, stage: Any, copies: int) -> SharedBuffer:
        """New shared memory for a stage, swizzled for the order in which it is filled."""
        type_ = ir.MemRefType(stage.results[0].type)
        shape = tuple(type_.shape)
        if not type_.has_static_shape:
            raise Unsupported("a buffer of a size that is known at launch", stage.location)
        size = storage_bytes(type_.element_type)
        count = 1
        for extent in shape:
            count *= extent
        start = self.kernel.allocate(count * size * copies)
        layout = shared_layout(shape, _fast_axis(stage), size)
        return SharedBuffer(start, type_.element_type, shape, layout, count * size)

    def fill(self, stage: Any) -> None:
        """A stage outside of a pipeline: barrier, store by all threads, barrier."""
        if stage in self.ring:
            self.kernel.values[stage.results[0]] = self.ring[stage]
            return
        buffer = self.buffer_of(stage, 1)
        block = stage.regions[0].blocks[0]
        self.kernel.values[block.arguments[0]] = buffer
        memory.barrier(self.emitter)
        self.kernel.lower_block(block)
        memory.barrier(self.emitter)
        self.kernel.values[stage.results[0]] = buffer

    def store(self, value: Registers, buffer: SharedBuffer) -> None:
        """Store all slots of a tile into its buffer."""
        assert value.layout is not None
        placed = compose(buffer.layout, value.layout)
        base = self.kernel.threads.offset(placed)
        offsets = [o for (o,) in slots(placed)]
        width = _run(offsets, base.step, CHUNK_BYTES // storage_bytes(buffer.element))
        for first in range(0, len(offsets), width):
            pointer = self.kernel.contractions.pointer(buffer, base, offsets[first])
            memory.store(self.emitter, list(value.values[first : first + width]), pointer, buffer.element)

    def load(self, buffer: SharedBuffer, layout: Layout, element: Any) -> Registers:
        """Load a tile from its buffer in any layout."""
        placed = compose(buffer.layout, layout)
        base = self.kernel.threads.offset(placed)
        offsets = [o for (o,) in slots(placed)]
        width = _run(offsets, base.step, CHUNK_BYTES // storage_bytes(element))
        values: list[Any] = []
        for first in range(0, len(offsets), width):
            pointer = self.kernel.contractions.pointer(buffer, base, offsets[first])
            values += memory.load(self.emitter, pointer, element, width)
        return Registers(tuple(values), layout, element)

    def convert(self, value: Registers, layout: Layout) -> Registers:
        """The same tile in another layout, through shared memory."""
        assert value.layout is not None
        shape = value.layout.shape
        size = storage_bytes(value.element)
        count = 1
        for extent in shape:
            count *= extent
        buffer = SharedBuffer(self.kernel.allocate(count * size), value.element, shape, row_major(shape), count * size)
        memory.barrier(self.emitter)
        self.store(value, buffer)
        memory.barrier(self.emitter)
        return self.load(buffer, layout, value.element)

    # ------------------------------------------------------------ pipelines

    def pipelines(self, loop: Any) -> bool:
        """Whether the copies of a loop can run ahead of it; what is in the way becomes a remark."""
        stages = _stages_in(loop)
        obstacles = [self._obstacle(stage) for stage in stages] if self.stages > 1 else ["one buffer is asked for"]
        found = [text for text in obstacles if text]
        if stages and found:
            self.remarks.append(f"buffers are filled between barriers: {'; '.join(found)}")
        return bool(stages) and not found

    def _obstacle(self, stage: Any) -> str:
        """Why ``cp.async`` cannot fill a stage: it takes plain loads of 4 bytes at least. Empty if it can."""
        copy = copy_of(stage)
        view = tile.load_view(copy.load) if copy is not None else None
        held = self.kernel.values.get(view.access.view) if view is not None else None
        if copy is None or view is None or not isinstance(held, GlobalView):
            return "what is staged is computed first"
        name = self.kernel.divisors.arguments[view.access.view].name
        if view.otherwise is not None or view.access.checked:
            return f"{name} is checked, or has another value than 0 outside"
        size = self._copy_bytes(copy)
        if size < SMALLEST_COPY:
            return f"{name} is copied by {size} bytes, since no fact says that its rows begin at multiples of more"
        return ""

    def _copy_bytes(self, copy: Copy) -> int:
        """How many neighbouring bytes one thread can copy at once."""
        access = tile.load_view(copy.load).access
        held = self.kernel.values[access.view]
        width = self.kernel.accesses.width(held, access, self.kernel.tile_layout(copy.store.operands[0]))
        return int(width) * storage_bytes(held.element)

    def pipelined_loop(self, loop: Any) -> None:
        """The loop with its copies ``stages - 1`` steps ahead."""
        e = self.emitter
        copies = [copy for copy in map(copy_of, _stages_in(loop)) if copy is not None]
        sizes = ", ".join(str(self._copy_bytes(copy)) for copy in copies)
        self.remarks.append(f"{self.stages} buffers, filled {self.stages - 1} steps ahead by copies of {sizes} bytes")
        buffers = [self.buffer_of(c.stage, self.stages) for c in copies]
        low, high, step = (self.kernel.values[o] for o in list(loop.operands)[:3])
        for ahead in range(self.stages - 1):
            at = e.same("arith.addi", low, e.same("arith.muli", step, e.constant(e.index, ahead)))
            self._issue(loop, copies, buffers, at, high, e.constant(e.index, ahead))

        def before(iv: Any) -> None:
            number = e.same("arith.divui", e.same("arith.subi", iv, low), step)
            ring = e.constant(e.index, self.stages)
            e.op("nvvm.cp.async.wait.group", [], [], {"n": ir.IntegerAttr.get(e.i32, self.stages - 2)})
            memory.barrier(e)
            distance = e.constant(e.index, self.stages - 1)
            ahead = e.same("arith.addi", iv, e.same("arith.muli", step, distance))
            slot = e.same("arith.remui", e.same("arith.addi", number, distance), ring)
            self._issue(loop, copies, buffers, ahead, high, slot)
            now = e.same("arith.remui", number, ring)
            for copy, buffer in zip(copies, buffers, strict=True):
                self.ring[copy.stage] = self._slot(buffer, now)
            self.kernel.values[loop.regions[0].blocks[0].arguments[0]] = iv

        self.kernel.plain_loop(loop, before)
        e.op("nvvm.cp.async.wait.group", [], [], {"n": ir.IntegerAttr.get(e.i32, 0)})
        memory.barrier(e)

    def _slot(self, buffer: SharedBuffer, number: Any) -> SharedBuffer:
        e = self.emitter
        offset = e.same("arith.muli", number, e.constant(e.index, buffer.bytes_each))
        return replace(buffer, start=e.same("arith.addi", offset, e.constant(e.index, buffer.start)))

    def _issue(
        self, loop: Any, copies: list[Copy], buffers: list[SharedBuffer], iv: Any, high: Any, slot: Any
    ) -> None:
        """The copies of the step at ``iv`` (nothing is read past ``high``) as one group."""
        e = self.emitter
        exists = e.compare_int("slt", iv, high)
        saved = dict(self.kernel.values)
        self.kernel.values[loop.regions[0].blocks[0].arguments[0]] = iv
        needed = _operands_in(loop, copies)
        for op in ods.ops_of(loop.regions[0].blocks[0]):
            if op in needed:
                self.kernel.lower_op(op)
            elif op.name == "tile.stage":
                for inner in ods.ops_of(op.regions[0].blocks[0]):
                    if inner in needed:
                        self.kernel.lower_op(inner)
        for copy, buffer in zip(copies, buffers, strict=True):
            self._copy(copy, self._slot(buffer, slot), exists)
        self.kernel.values = saved
        e.op("nvvm.cp.async.commit.group")

    def _copy(self, copy: Copy, buffer: SharedBuffer, exists: Any) -> None:
        """``cp.async`` of every run of neighbours; what does not exist is written as zeros by the source size."""
        e, kernel = self.emitter, self.kernel
        access = tile.load_view(copy.load).access
        view = kernel.values[access.view]
        layout = kernel.tile_layout(copy.store.operands[0])
        placed = compose(buffer.layout, layout)
        base = kernel.threads.offset(placed)
        size = storage_bytes(buffer.element)
        for first, count, source, condition in kernel.accesses.runs(view, access, layout, kernel.operands(access)):
            (offset,) = slots(placed)[first]
            target = kernel.contractions.pointer(buffer, base, offset)
            inside = exists if condition is None else e.same("arith.andi", exists, condition)
            width = e.constant(e.i32, count * size)
            taken = e.select(inside, width, e.constant(e.i32, 0))
            modifier = "cg" if count * size == CHUNK_BYTES else "ca"
            attributes = {
                "size": ir.IntegerAttr.get(e.i32, count * size),
                "modifier": ir.Attribute.parse(f"#nvvm<load_cache_modifier {modifier}>"),
            }
            e.op("nvvm.cp.async.shared.global", [], [target, source, taken], attributes)


def shared_layout(shape: tuple[int, ...], fast: int, size: int) -> Layout:
    """From tile coordinates to elements: ``fast`` contiguous, 16-byte chunks swizzled over the rows of 128 bytes."""
    if len(shape) != 2:
        return memory_order(shape, [*[a for a in range(len(shape)) if a != fast], fast])
    rows, columns = shape[1 - fast], shape[fast]
    chunk = max(1, CHUNK_BYTES // size)
    chunks = columns // chunk
    if columns % chunk or chunks < 2 or chunks & (chunks - 1) or rows & (rows - 1):
        return memory_order(shape, [1 - fast, fast])
    period = min(8, chunks)
    repeat = max(1, BANK_BYTES // (columns * size))
    if repeat * period > rows:
        return memory_order(shape, [1 - fast, fast])
    plain = swizzled(rows, columns, chunk, period, repeat)
    return plain if fast == 1 else _transposed(plain)


def _transposed(layout: Layout) -> Layout:
    """The layout for the tile with its two axes exchanged."""
    row, column = layout.sources
    return Layout((replace(column, name=row.name), replace(row, name=column.name)), layout.results)


def _stages_in(loop: Any) -> list[Any]:
    """The stages that every step of a loop fills."""
    return [op for op in ods.ops_of(loop.regions[0].blocks[0]) if op.name == "tile.stage"]


def copy_of(stage: Any) -> Copy | None:
    """The copy that a stage is, if it is one."""
    stores = [op for op in ods.ops_of(stage.regions[0].blocks[0]) if op.name == "tile.store"]
    if len(stores) != 1:
        return None
    value = tile.store_view(stores[0]).tile
    if isinstance(value.owner, ir.Block) or value.owner.name != "tile.load":
        return None
    return Copy(stage, value.owner.operation, stores[0])


def _fast_axis(stage: Any) -> int:
    """The tile axis that is contiguous where a stage's data comes from; the last axis when unknown."""
    rank = ir.MemRefType(stage.results[0].type).rank
    copy = copy_of(stage)
    if copy is None:
        return int(rank) - 1
    access = tile.load_view(copy.load).access
    last = coefficients(access.map.results[-1], rank)
    return last.index(1) if 1 in last else int(rank) - 1


def _operands_in(loop: Any, copies: list[Copy]) -> set[Any]:
    """The ops of the loop's body that the copies' loads need, the loads apart."""
    block = loop.regions[0].blocks[0]
    inner = [c.stage.regions[0].blocks[0] for c in copies]
    found: set[Any] = set()
    stack = [o for c in copies for o in c.load.operands]
    while stack:
        value = stack.pop()
        if isinstance(value.owner, ir.Block):
            continue
        op = value.owner.operation
        if op.block in (block, *inner) and op not in found:
            found.add(op)
            stack.extend(op.operands)
    return found


def _run(offsets: list[int], step: int, most: int) -> int:
    """The largest power of two up to ``most`` such that offsets come in aligned runs of that many neighbours.

    ``step`` divides what is added to all of them.
    """
    width = math.gcd(step, most)
    while width > 1:
        starts = range(0, len(offsets), width)
        aligned = len(offsets) % width == 0 and all(offsets[s] % width == 0 for s in starts)
        if aligned and all(offsets[s + k] == offsets[s] + k for s in starts for k in range(width)):
            return width
        width //= 2
    return 1

