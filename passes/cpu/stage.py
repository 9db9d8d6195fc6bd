"""Owns stage buffers: where each lies in the launch's scratch memory, and the view that stands for it.

Every stage of a launch has its own range, sized for the largest it can be and aligned to 64 bytes; a cell uses the
ranges again and again.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from tilewright.dialect import tile
from tilewright.dialect.mlir import ir
from tilewright.passes.cpu.bounds import UPPER, Bounds
from tilewright.passes.cpu.place import Stride, View
from tilewright.passes.cpu.tiles import Tile, UniformTile
from tilewright.passes.machine.elements import storage_bytes
from tilewright.passes.machine.emit import Emitter

ALIGNMENT = 64


def stages_of(operation: Any) -> Iterator[Any]:
    """The stages below ``operation``, in program order."""
    for region in operation.regions:
        for block in region.blocks:
            for op in block.operations:
                if op.operation.name == "tile.stage":
                    yield op.operation
                yield from stages_of(op.operation)


def layout(emitter: Emitter, bounds: Bounds, function: Any) -> tuple[dict[Any, Any], Any]:
    """The byte offset (index) of each stage of ``function``, and the total size."""
    offsets, total = {}, emitter.constant(emitter.index, 0)
    for stage in stages_of(function):
        offsets[stage] = total
        total = emitter.same("arith.addi", total, _largest(emitter, bounds, stage))
    return offsets, total


def _largest(emitter: Emitter, bounds: Bounds, stage: Any) -> Any:
    """The most bytes the stage can need, rounded up to the alignment."""
    buffer = ir.MemRefType(stage.results[0].type)
    number = partial(emitter.constant, emitter.index)
    size = number(storage_bytes(buffer.element_type))
    operands = iter(stage.operands)
    for extent in range(buffer.rank):
        if buffer.is_dynamic_dim(extent):
            bound = emitter.same("arith.maxsi", bounds.of(next(operands), UPPER), number(0))
        else:
            bound = number(buffer.shape[extent])
        size = emitter.same("arith.muli", size, bound)
    padded = emitter.same("arith.addi", size, number(2 * ALIGNMENT - 1))
    return emitter.same("arith.andi", padded, number(-ALIGNMENT))


def view_of(emitter: Emitter, stage: Any, sizes: list[Tile], pointer: Any) -> tuple[View, View]:
    """The buffer while it is filled, and afterwards; both lie at ``pointer``, row by row."""
    buffer = ir.MemRefType(stage.results[0].type)
    rest = iter(sizes)
    extents: list[Stride] = [
        next(rest) if buffer.is_dynamic_dim(d) else int(buffer.shape[d]) for d in range(buffer.rank)
    ]
    strides = row_strides(emitter, extents)
    known = (pointer, 0, buffer.element_type, tuple(extents), strides)
    return View(*known, written=True), View(*known, written=False)


def row_strides(emitter: Emitter, extents: list[Stride]) -> tuple[Stride, ...]:
    """Strides in elements of a dense array whose last axis is innermost."""
    strides: list[Stride] = [1]
    for extent in reversed(extents[1:]):
        strides.append(_times(emitter, strides[-1], extent))
    return tuple(reversed(strides)) if extents else ()


def _times(emitter: Emitter, a: Stride, b: Stride) -> Stride:
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    if a == 1:
        return b
    tiles = [t for t in (a, b) if isinstance(t, Tile)]
    depth = max(t.depth for t in tiles)
    with emitter.at(depth):
        values = [emitter.constant(emitter.index, t) if isinstance(t, int) else t.scalar(()) for t in (a, b)]
        return UniformTile(emitter, emitter.same("arith.muli", *values), emitter.index, depth)


def fills_conditionally(stage: Any) -> bool:
    """Whether some store into the buffer may leave elements untouched."""
    inner = stage.regions[0].blocks[0].arguments[0]
    return any(_is_conditional(use.owner) for use in inner.uses)


def _is_conditional(op: Any) -> bool:
    if op.operation.name != "tile.store":
        return False
    access = tile.store_view(op).access
    return bool(access.limits or access.guarded or access.gathers or access.active is not None)


def clear(emitter: Emitter, view: View) -> None:
    """Fill the buffer with zero bytes."""
    size = emitter.constant(emitter.index, storage_bytes(view.element))
    for extent in view.sizes:
        value = emitter.constant(emitter.index, extent) if isinstance(extent, int) else extent.scalar(())
        size = emitter.same("arith.muli", size, value)
    operands = [view.pointer, emitter.constant(emitter.i8, 0), emitter.to_i64(size)]
    emitter.op("llvm.intr.memset", [], operands, {"isVolatile": ir.BoolAttr.get(False)})
