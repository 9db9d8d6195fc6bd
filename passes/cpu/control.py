"""Owns loops, branches and the grid: how tiles are carried through regions as machine values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tilewright.dialect.mlir import ir
from tilewright.passes.cpu.tiles import HeldTile, Tile, UniformTile, cover, main_axis
from tilewright.passes.machine.elements import machine_type
from tilewright.passes.machine.emit import Emitter

Body = Callable[[Sequence[Tile]], Sequence[Tile]]


class Carried:
    """The form in which tiles cross the edge of a region: for each a vector axis, and its values in order."""

    def __init__(
        self, emitter: Emitter, shapes: Sequence[tuple[int, ...]], elements: Sequence[Any], axes: Sequence[int | None]
    ) -> None:
        self.emitter = emitter
        self.shapes, self.elements, self.axes = shapes, elements, axes

    @staticmethod
    def like(emitter: Emitter, tiles: Sequence[Tile]) -> Carried:
        """The form for tiles such as these."""
        lanes = emitter.target.lanes
        axes = [t.axis if isinstance(t, HeldTile) else main_axis(t.shape, lanes) for t in tiles]
        return Carried(emitter, [t.shape for t in tiles], [t.element for t in tiles], axes)

    @staticmethod
    def of_types(emitter: Emitter, types: Sequence[Any]) -> Carried:
        """The form for values of these types of the old program."""
        shapes = [shape_of_type(t) for t in types]
        axes = [main_axis(s, emitter.target.lanes) for s in shapes]
        return Carried(emitter, shapes, [element_of_type(t) for t in types], axes)

    def _covers(self) -> list[list[tuple[tuple[int, ...], int]]]:
        lanes = self.emitter.target.lanes
        return [list(cover(s, a, lanes)) for s, a in zip(self.shapes, self.axes, strict=True)]

    def values(self, tiles: Sequence[Tile]) -> list[Any]:
        """The machine values of ``tiles``, computed here."""
        return [
            tile.piece(at, axis, width)
            for tile, axis, parts in zip(tiles, self.axes, self._covers(), strict=True)
            for at, width in parts
        ]

    def types(self) -> list[Any]:
        e = self.emitter
        result = []
        for element, parts in zip(self.elements, self._covers(), strict=True):
            machine = machine_type(e, element)
            result += [machine if width == 1 else e.vector_type(width, machine) for _, width in parts]
        return result

    def tiles(self, values: Sequence[Any]) -> list[Tile]:
        """The tiles whose machine values these are, defined in the current innermost frame."""
        rest, result = list(values), []
        for shape, element, axis, parts in zip(self.shapes, self.elements, self.axes, self._covers(), strict=True):
            own, rest = rest[: len(parts)], rest[len(parts) :]
            result.append(HeldTile(self.emitter, shape, element, axis, own, self.emitter.depth))
        return list(result)


def shape_of_type(type_: Any) -> tuple[int, ...]:
    return tuple(type_.shape) if isinstance(type_, ir.RankedTensorType) else ()


def element_of_type(type_: Any) -> Any:
    return type_.element_type if isinstance(type_, ir.RankedTensorType) else type_


def loop(emitter: Emitter, start: Any, stop: Any, step: Any, inits: Sequence[Tile], body: Body) -> list[Tile]:
    """``scf.for``; ``body`` gets the index and the carried tiles and gives the next ones."""
    form = Carried.like(emitter, inits)
    types = form.types()
    op = emitter.op("scf.for", types, [start, stop, step, *form.values(inits)], regions=1)
    block = op.regions[0].blocks.append(emitter.index, *types, arg_locs=[emitter.location] * (1 + len(types)))
    index, *carried = block.arguments
    with emitter.region(op, block):
        position = UniformTile(emitter, index, emitter.index, emitter.depth)
        emitter.op("scf.yield", [], form.values(body([position, *form.tiles(carried)])))
    return form.tiles(op.results)


def branch(
    emitter: Emitter, condition: Any, types: Sequence[Any], bodies: Sequence[Callable[[], Sequence[Tile]]]
) -> list[Tile]:
    """``scf.if`` with results of these (old) types; ``bodies`` are the then and, if present, the else part."""
    form = Carried.of_types(emitter, types)
    op = emitter.op("scf.if", form.types(), [condition], regions=2)
    for region, body in zip(op.regions, bodies, strict=False):
        block = region.blocks.append()
        with emitter.region(op, block, conditional=True):
            emitter.op("scf.yield", [], form.values(body()))
    return form.tiles(op.results)


def cell_counts(emitter: Emitter, extents: Sequence[Tile], tiles: Sequence[int]) -> list[Any]:
    """How many cells the grid has along each axis."""
    return [_count(emitter, extent, size) for extent, size in zip(extents, tiles, strict=True)]


def _count(emitter: Emitter, extent: Tile, size: int) -> Any:
    value = extent.scalar(())
    if size == 1:
        return value
    above = emitter.same("arith.addi", value, emitter.constant(emitter.index, size - 1))
    return emitter.same("arith.divui", above, emitter.constant(emitter.index, size))


def cell_coordinates(emitter: Emitter, linear: Any, counts: Sequence[Any], tiles: Sequence[int]) -> list[Tile]:
    """The first coordinate of cell ``linear`` along each axis; the last axis runs fastest."""
    numbers: list[Any] = []
    for count in reversed(counts[1:]):
        numbers.append(emitter.same("arith.remui", linear, count))
        linear = emitter.same("arith.divui", linear, count)
    numbers = ([linear] if counts else []) + numbers[::-1]
    return [
        UniformTile(emitter, _times(emitter, number, size), emitter.index, emitter.depth)
        for number, size in zip(numbers, tiles, strict=True)
    ]


def _times(emitter: Emitter, value: Any, factor: int) -> Any:
    return value if factor == 1 else emitter.same("arith.muli", value, emitter.constant(emitter.index, factor))
