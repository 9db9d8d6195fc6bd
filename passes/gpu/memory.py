"""Owns the thread's view of memory: views in global memory, stage buffers in shared memory, typed pointers into both.

Elements are moved in their storage type: 16-bit floats as ``i16``, bools and bytes as ``i8``, indices as ``i64``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tilewright.dialect.layout import Layout
from tilewright.dialect.mlir import ir
from tilewright.passes.machine.elements import from_storage, storage_bytes, storage_type, to_storage
from tilewright.passes.machine.emit import Emitter

GLOBAL, SHARED = 1, 3
DYNAMIC_INDEX = -(1 << 31)
SHARED_SYMBOL = "tilewright_shared"
VECTOR_BYTES = 16


@dataclass(frozen=True)
class GlobalView:
    """A view: its pointer, extents and strides (index values or ints, in elements), and what divides each of them."""

    pointer: Any
    element: Any
    extents: tuple[Any, ...]
    strides: tuple[Any, ...]
    divisors: tuple[int, ...]  # of the strides
    alignment: int  # bytes, of the pointer


@dataclass(frozen=True)
class SharedBuffer:
    """A stage buffer: byte offset in shared memory, and the layout from tile coordinates to elements.

    ``ring`` is the number of copies that follow each other, ``slot`` the index value of the current one (None: 0).
    """

    start: Any
    element: Any
    shape: tuple[int, ...]
    layout: Layout
    bytes_each: int


def pointer_type(space: int) -> Any:
    return ir.Type.parse(f"!llvm.ptr<{space}>")


def advance(e: Emitter, pointer: Any, element: Any, count: Any) -> Any:
    """``pointer`` plus ``count`` (an int or an index value) elements."""
    dynamic: list[Any] = []
    raw = count
    if not isinstance(count, int):
        dynamic, raw = [e.value("arith.index_cast", e.i64, count)], DYNAMIC_INDEX
    elif count == 0:
        return pointer
    return e.value(
        "llvm.getelementptr",
        pointer.type,
        pointer,
        *dynamic,
        elem_type=ir.TypeAttr.get(storage_type(e, element)),
        rawConstantIndices=ir.DenseI32ArrayAttr.get([raw]),
    )


def load(e: Emitter, pointer: Any, element: Any, count: int) -> list[Any]:
    """``count`` neighbouring elements by one access, which they must be aligned to."""
    scalar = storage_type(e, element)
    alignment = ir.IntegerAttr.get(e.i64, storage_bytes(element) * count)
    if count == 1:
        return [from_storage(e, e.value("llvm.load", scalar, pointer, alignment=alignment), element)]
    vector = e.value("llvm.load", e.vector_type(count, scalar), pointer, alignment=alignment)
    return [from_storage(e, e.lane(vector, k), element) for k in range(count)]


def store(e: Emitter, values: list[Any], pointer: Any, element: Any) -> None:
    """Store neighbouring elements by one access, which they must be aligned to."""
    alignment = ir.IntegerAttr.get(e.i64, storage_bytes(element) * len(values))
    stored = [to_storage(e, value, element) for value in values]
    value = stored[0] if len(stored) == 1 else e.from_lanes(stored)
    e.op("llvm.store", [], [value, pointer], {"alignment": alignment})


def shared_base(e: Emitter) -> Any:
    """The start of the CTA's dynamic shared memory."""
    with e.at(0):
        symbol = ir.FlatSymbolRefAttr.get(SHARED_SYMBOL)
        return e.op("llvm.mlir.addressof", [pointer_type(SHARED)], [], {"global_name": symbol}).results[0]


def barrier(e: Emitter) -> None:
    """All threads of the CTA arrive, and see what the others wrote before (PTX ISA, "bar.sync")."""
    e.op("nvvm.barrier", [], [], {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, 0, 0])})
