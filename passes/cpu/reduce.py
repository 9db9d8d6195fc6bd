"""Owns reductions of tiles over some of their axes: vectors are merged whole, lanes last, by halving.

Merging follows the order of positions as a tree over lanes; every fold kind is associative up to rounding.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from tilewright.dialect import folds
from tilewright.dialect.folds import FoldKind, arity
from tilewright.passes.cpu.tiles import HeldTile, Position, Tile, cover, main_axis, pieces
from tilewright.passes.machine.elements import from_f32, is_float, is_half, to_f32
from tilewright.passes.machine.elementwise import extreme
from tilewright.passes.machine.emit import Emitter


def merge(emitter: Emitter, kind: FoldKind, left: Sequence[Any], right: Sequence[Any], unsigned: bool) -> list[Any]:
    """One merge of machine values (not halves), scalars or vectors."""
    if kind in (FoldKind.MAX, FoldKind.MIN) and is_float(left[0]):
        return [extreme(emitter, kind is FoldKind.MAX, left[0], right[0])]
    with emitter.insertion_point, emitter.location:
        return [getattr(v, "result", v) for v in folds.merge(kind, left, right, unsigned)]


def combiner(emitter: Emitter, kind: FoldKind, element: Any) -> Any:
    """``merge`` of two elements of type ``element`` for a store that combines (signed integers)."""

    def combine(old: Any, new: Any) -> Any:
        if not is_half(element):
            return merge(emitter, kind, [old], [new], unsigned=False)[0]
        wide = [to_f32(emitter, v, element) for v in (old, new)]
        return from_f32(emitter, merge(emitter, kind, wide[:1], wide[1:], unsigned=False)[0], element)

    return combine


def reduce(
    emitter: Emitter, tiles: Sequence[Tile], kinds: Sequence[FoldKind], axes: Sequence[int], unsigned: bool
) -> list[Tile]:
    """The tiles folded over ``axes``; kinds that fold pairs take two tiles each."""
    results: list[Tile] = []
    rest = list(tiles)
    for kind in kinds:
        group, rest = rest[: arity(kind)], rest[arity(kind) :]
        results += _Reduction(emitter, kind, group, tuple(axes), unsigned).run()
    return results


class _Reduction:
    """One fold over some axes of one tile, or of a pair."""

    def __init__(
        self, emitter: Emitter, kind: FoldKind, tiles: Sequence[Tile], axes: tuple[int, ...], unsigned: bool
    ) -> None:
        self.emitter, self.kind, self.tiles, self.axes, self.unsigned = emitter, kind, tiles, axes, unsigned
        self.shape = tiles[0].shape
        self.kept = [a for a in range(len(self.shape)) if a not in axes]
        self.result_shape = tuple(self.shape[a] for a in self.kept)
        self.lanes = emitter.target.lanes

    def run(self) -> list[Tile]:
        axis = self._vector_axis()
        if axis in self.axes:
            return self._over_lanes(axis)
        return self._over_rows(axis)

    def _vector_axis(self) -> int | None:
        first = self.tiles[0]
        return first.axis if isinstance(first, HeldTile) else main_axis(self.shape, self.lanes)

    def _over_rows(self, axis: int | None) -> list[Tile]:
        """The vector axis is kept: whole vectors are merged."""
        own = None if axis is None else self.kept.index(axis)
        columns = []
        for at, width in cover(self.result_shape, own, self.lanes):
            values = None
            for point in self._reduced_points(self.axes):
                values = self._merged(values, self._pieces(self._position(at, point), axis, width))
            columns.append(self._rounded(values))
        return self._held(own, columns)

    def _over_lanes(self, axis: int) -> list[Tile]:
        """The vector axis is reduced: one scalar per kept position."""
        others = [a for a in self.axes if a != axis]
        columns = []
        for at in itertools.product(*map(range, self.result_shape)):
            partial: dict[int, list[Any]] = {}
            for point in self._reduced_points(others):
                for start, width in pieces(self.shape[axis], self.lanes):
                    values = self._pieces(self._position(at, point | {axis: start}), axis, width)
                    partial[width] = self._merged(partial.get(width), values)
            total: list[Any] | None = None
            for width, values in partial.items():
                total = self._merged(total, self._folded(values, width))
            columns.append(self._rounded(total))
        return self._held(None, columns)

    def _folded(self, values: Any, width: int) -> list[Any]:
        """The lanes merged, by halving."""
        while width > 1:
            width //= 2
            low = [self.emitter.slice(v, 0, width) for v in values]
            high = [self.emitter.slice(v, width, width) for v in values]
            if width == 1:
                low, high = ([self.emitter.lane(v, 0) for v in side] for side in (low, high))
            values = self._merged(low, high)
        return list(values)

    def _reduced_points(self, axes: Sequence[int]) -> list[dict[int, int]]:
        ranges = [range(self.shape[a]) for a in axes]
        return [dict(zip(axes, point, strict=True)) for point in itertools.product(*ranges)]

    def _position(self, kept: Position, reduced: dict[int, int]) -> Position:
        known = dict(zip(self.kept, kept, strict=True)) | reduced
        return tuple(known.get(a, 0) for a in range(len(self.shape)))

    def _pieces(self, at: Position, axis: int | None, width: int) -> list[Any]:
        values = []
        for tile in self.tiles:
            value = tile.piece(at, axis, width)
            values.append(to_f32(self.emitter, value, tile.element) if is_half(tile.element) else value)
        return values

    def _merged(self, left: list[Any] | None, right: list[Any]) -> list[Any]:
        if left is None:
            return right
        return merge(self.emitter, self.kind, left, right, self.unsigned)

    def _rounded(self, values: Any) -> list[Any]:
        return [
            from_f32(self.emitter, v, t.element) if is_half(t.element) else v
            for v, t in zip(values, self.tiles, strict=True)
        ]

    def _held(self, axis: int | None, columns: list[list[Any]]) -> list[Tile]:
        return [
            HeldTile(self.emitter, self.result_shape, tile.element, axis, [c[n] for c in columns], self.emitter.depth)
            for n, tile in enumerate(self.tiles)
        ]


