"""Owns the layout of a tile as the encoding of its tensor type: the first thing below the fork to the GPU.

``tensor<16x8xf32, #tile.layout<"register(2@0,1 2@8,0) lane(4@0,2 8@1,0) -> dim0(16) dim1(8)">>``: elementwise ops,
loops and upstream passes carry it, and the verifier demands that operands agree. (No ``from __future__ import
annotations`` here: the bindings read the classes' annotations as objects.)
"""

# pyright: reportInvalidTypeForm=false
# The bindings are untyped modules: their classes are values to a type checker, and annotations of ops all the same.

import functools
from collections.abc import Sequence
from typing import Any

from tilewright.dialect import layout as layouts
from tilewright.dialect import ods
from tilewright.dialect.faults import InternalFault
from tilewright.dialect.mlir import ext, ir
from tilewright.dialect.tile import TileDialect


class LayoutAttribute(TileDialect.Attribute, name="layout"):  # type: ignore[name-defined,misc,call-arg]
    """The text form of a `Layout` from hardware axes to the axes of a tile."""

    text: ir.StringAttr


def layout_attribute(layout: layouts.Layout) -> Any:
    """``#tile.layout<"…">`` for a layout."""
    return LayoutAttribute.get(ir.StringAttr.get(str(layout)))


def laid_out(shape: Sequence[int], element: Any, layout: layouts.Layout) -> Any:
    """The type of a tile with a layout. Raises `InternalFault` if the layout is for another shape."""
    if layout.shape != tuple(shape):
        raise InternalFault(f"a layout of shape {layout.shape} on a tile of shape {tuple(shape)}")
    return ir.RankedTensorType.get(list(shape), element, encoding=layout_attribute(layout))


def layout_of(type_: Any) -> layouts.Layout | None:
    """The layout of a tile's type; None for a type without one."""
    encoding = ir.RankedTensorType(type_).encoding
    if encoding is None or not str(encoding).startswith("#tile.layout<"):
        return None
    return _parsed(ir.StringAttr(LayoutAttribute(encoding).params[0]).value)


@functools.lru_cache(maxsize=4096)
def _parsed(text: str) -> layouts.Layout:
    return layouts.parse(text)


class ConvertOp(TileDialect.Operation, name="convert", traits=[ods.Pure]):  # type: ignore[name-defined,misc,call-arg]
    """The same tile in another layout: through registers, shuffles or shared memory, as the layouts demand."""

    tile: ext.Operand[Any]
    result: ext.Result[Any]
