"""Owns sums of products that are added up in the cell: the loop over the summed index outside, results inside.

Before: a contraction with one thin side, asked for tile by tile of the wide one. After: a ``tile.stage`` with one sum
for each wide point of the cell, filled by ``for k: for j: sums[j] += thin[k] * wide[k, j]`` with a tile of several k
and j, so that the wide factor is read row by row as it lies in memory; who asks reads the sums. The fold's nest says so
by a ``tile`` of the wide index behind that of the summed one: ``tile k=4; tile j=64``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tilewright.dialect import tile
from tilewright.dialect.mlir import ir
from tilewright.dialect.tensor import ReadMode
from tilewright.passes.schedule import Nest
from tilewright.passes.tile import access
from tilewright.passes.tile.body import ReadRequest
from tilewright.passes.tile.contraction import ContractionTiler
from tilewright.passes.tile.emitter import Emitter
from tilewright.passes.tile.factors import Factors
from tilewright.passes.tile.folds import LANES, FoldLoops, fold_level
from tilewright.passes.tile.values import Linear, Tile


@dataclass(frozen=True)
class Cell:
    """The wide points of a grid cell: the first one, how many there are, and how many a whole cell has."""

    start: Linear
    count: Linear
    size: int


class SumsTiler:
    """Builds sums in the cell with an emitter and the tiler of contractions."""

    def __init__(self, emitter: Emitter, contractions: ContractionTiler) -> None:
        self.emitter, self.contractions = emitter, contractions

    def read(self, loops: FoldLoops, factors: Factors, cell: Cell) -> Tile:
        """The sums at the fold's bindings."""
        position = wide_position(loops)
        fixed = tuple(b for p, b in enumerate(loops.bindings) if p != position)
        level = fold_level((*fixed, cell.start, cell.count))
        key = ("sums", loops.op, tuple(b.key for b in fixed))

        def make() -> Any:
            with self.emitter.rewound(level):
                return self._stage(loops, factors, cell)

        buffer = self.emitter.cached(key, level, make)
        wide = loops.bindings[position]
        assert isinstance(wide, Linear)
        request = ReadRequest(None, (self.emitter.add(wide, cell.start, -1),), (ReadMode.PROVED,), None, None)
        return access.load(self.emitter, buffer, request, False)

    def _stage(self, loops: FoldLoops, factors: Factors, cell: Cell) -> Any:
        element = ir.RankedTensorType(loops.op.operation.results[0].type).element_type
        width = _steps(loops.nest)[1]
        size = -(-cell.size // width) * width

        def fill(buffer: Any) -> None:
            self._clear(loops, buffer, element, cell.count)
            self._add(loops, factors, buffer, cell, ())

        return self.emitter.stage([size], element, fill)

    def _clear(self, loops: FoldLoops, buffer: Any, element: Any, count: Linear) -> None:
        width = _steps(loops.nest)[1]
        zero = self.emitter.constant_tile(element, 0)

        def step(iv: Linear, _: list[Any]) -> Sequence[Any]:
            axis = self.emitter.new_axis("sum", width, LANES, None)
            place = self._place(buffer, iv)
            with self.emitter.at(self.emitter.depth):
                tile.store(self.emitter.spread(zero, (axis,)), place)
            return ()

        self.emitter.loop(Linear(), count, width, (), step)

    def _add(
        self, loops: FoldLoops, factors: Factors, buffer: Any, cell: Cell, bound: tuple[Any, ...]
    ) -> None:
        """Loops over the summed indices that are not bound, then over the wide one."""
        domain, emitter = loops.domain, self.emitter
        if len(bound) == domain.reduced:
            self._add_row(loops, factors, buffer, cell, bound)
            return
        number = domain.parallel + len(bound)
        index, extent = domain.indices[number], loops.extents[number]
        size = loops.nest.tile_size(index)

        def step(iv: Linear, _: list[Any]) -> Sequence[Any]:
            value = iv
            if size > 1:
                axis = emitter.new_axis(index, size, (0, number), emitter.add(extent, iv, -1))
                value = Linear(iv.base, iv.constant, ((axis, 1),), iv.level)
            self._add(loops, factors, buffer, cell, (*bound, value))
            return ()

        emitter.loop(Linear(), extent, size, (), step)

    def _add_row(
        self, loops: FoldLoops, factors: Factors, buffer: Any, cell: Cell, bound: tuple[Any, ...]
    ) -> None:
        """``sums[j] += thin * wide[j]`` for the wide points of the cell at some summed points."""
        emitter, position, width = self.emitter, wide_position(loops), _steps(loops.nest)[1]

        def step(iv: Linear, _: list[Any]) -> Sequence[Any]:
            start = emitter.add(cell.start, iv)
            axis = emitter.new_axis(loops.domain.indices[position], width, LANES, emitter.add(cell.count, iv, -1))
            wide = Linear(start.base, start.constant, ((axis, 1),), start.level)
            here = replace(loops, bindings=(*loops.bindings[:position], wide, *loops.bindings[position + 1 :]))
            place = self._place(buffer, iv)
            with emitter.at(emitter.depth):
                before = tile.load(place, [width])
            after = self.contractions.step(here, factors, (axis,), before, bound)
            with emitter.at(emitter.depth):
                tile.store(after, place)
            return ()

        emitter.loop(Linear(), cell.count, width, (), step)

    def _place(self, buffer: Any, start: Linear) -> tile.Access:
        return tile.Access(buffer, (self.emitter.scalar(start),), ir.AffineMap.get_identity(1))


def is_summed_in_cell(loops: FoldLoops) -> bool:
    """Whether the fold's nest blocks one of its parallel indices."""
    return loops.nest.blocks[-1].index in loops.domain.indices[: loops.domain.parallel]


def wide_position(loops: FoldLoops) -> int:
    """The parallel index of the fold that the nest's last tile block names."""
    return loops.domain.indices.index(loops.nest.blocks[-1].index)


def _steps(nest: Nest) -> tuple[int, int]:
    """Points of the summed and of the wide index in a tile."""
    return nest.blocks[-2].size, nest.blocks[-1].size
