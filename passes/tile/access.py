"""Owns loads and stores of the tiling pass: from evaluated subscripts to an index map, gathers, limits and guards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tilewright.dialect import tensor as tw
from tilewright.dialect import tile
from tilewright.dialect.mlir import arith, ir
from tilewright.passes.tile.body import ReadRequest
from tilewright.passes.tile.emitter import CELL, Emitter
from tilewright.passes.tile.values import Axis, Linear, Tile, Value, axis_union


def load(emitter: Emitter, view: Any, request: ReadRequest, is_bool: bool) -> Tile:
    """The tile that ``request`` reads from an argument of the launch."""
    axes = _axes_of(request)
    level = _level_of(request, axes)
    otherwise = None
    if request.otherwise is not None:
        otherwise = emitter.spread(_as_byte(emitter, request.otherwise) if is_bool else request.otherwise, axes)
    access = _access(emitter, view, request, axes)
    key = ("load", view, _access_key(access), otherwise, axes)

    def make() -> Any:
        with emitter.at(level):
            return tile.load(access, [a.size for a in axes], otherwise)

    loaded = Tile(emitter.cached(key, level, make), axes, level)
    return _as_truth(emitter, loaded) if is_bool else loaded


def store(emitter: Emitter, value: Tile, view: Any, subscripts: Sequence[Linear], axes: tuple[Axis, ...]) -> None:
    """Store ``value``, spread over ``axes``, at ``subscripts`` at the current level."""
    if isinstance(ir.RankedTensorType(value.value.type).element_type, ir.IntegerType):
        value = _as_byte(emitter, value)
    limits = tuple((k, a.limit) for k, a in enumerate(axes) if a.limit is not None)
    spread = emitter.spread(value, axes)
    offsets = tuple(emitter.scalar(_uniform_part(s)) for s in subscripts)
    with emitter.at(emitter.depth):
        tile.store(spread, tile.Access(view, offsets, _map_of(subscripts, axes), limits=limits))


def _axes_of(request: ReadRequest) -> tuple[Axis, ...]:
    groups = [s.axes for s in request.subscripts]
    groups += [t.axes for t in (request.active, request.otherwise) if t is not None]
    return axis_union(groups)


def _level_of(request: ReadRequest, axes: tuple[Axis, ...]) -> int:
    """The lowest level the read may stand at; in front of the grid there is no memory access."""
    levels = [s.level for s in request.subscripts] + [a.level for a in axes if a.limit is not None]
    levels += [t.level for t in (request.active, request.otherwise) if t is not None]
    return max([CELL, *levels])


def _access(emitter: Emitter, view: Any, request: ReadRequest, axes: tuple[Axis, ...]) -> tile.Access:
    zero = Linear()
    linear = [s if isinstance(s, Linear) else zero for s in request.subscripts]
    gathers = tuple((d, emitter.spread(s, axes)) for d, s in enumerate(request.subscripts) if isinstance(s, Tile))
    return tile.Access(
        view,
        tuple(emitter.scalar(_uniform_part(s)) for s in linear),
        _map_of(linear, axes),
        gathers,
        tuple((k, a.limit) for k, a in enumerate(axes) if a.limit is not None),
        tuple(d for d, m in enumerate(request.modes) if m is tw.ReadMode.GUARDED),
        tuple(d for d, m in enumerate(request.modes) if m is tw.ReadMode.GATHER),
        None if request.active is None else emitter.spread(request.active, axes),
    )


def _access_key(access: tile.Access) -> tuple[Any, ...]:
    return (
        access.offsets, str(access.map), access.gathers, access.limits, access.guarded, access.checked, access.active,
    )  # fmt: skip


def _uniform_part(value: Linear) -> Linear:
    return Linear(value.base, value.constant, (), value.level)


def _map_of(subscripts: Sequence[Value], axes: tuple[Axis, ...]) -> Any:
    return ir.AffineMap.get(len(axes), 0, [_row(s, axes) for s in subscripts])


def _row(subscript: Value, axes: tuple[Axis, ...]) -> Any:
    terms = subscript.terms if isinstance(subscript, Linear) else ()
    expression = ir.AffineConstantExpr.get(0)
    for axis, coefficient in terms:
        expression = expression + ir.AffineDimExpr.get(axes.index(axis)) * coefficient
    return expression


def _as_truth(emitter: Emitter, byte: Tile) -> Tile:
    zero = emitter.constant_tile(ir.IntegerType.get_signless(8), 0)
    return emitter.elementwise(lambda a, b: arith.cmpi(arith.CmpIPredicate.ne, a, b), byte, zero)


def _as_byte(emitter: Emitter, value: Tile) -> Tile:
    """A bool as the byte it is stored as; other integers unchanged."""
    element = ir.RankedTensorType(value.value.type).element_type
    if not isinstance(element, ir.IntegerType) or element.width != 1:
        return value
    byte = tile.tile_type([a.size for a in value.axes], ir.IntegerType.get_signless(8))
    return emitter.elementwise(lambda a: arith.extui(byte, a), value)
