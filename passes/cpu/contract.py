"""Owns contractions: products summed into register accumulators.

The result is held in vectors along one of its axes. For every point of the contracted axes an operand that has that
axis gives vectors, the other a scalar that is spread over the lanes; each pair is one fused multiply-add. The operands
are asked step by step along the contracted axes, so their loads stand next to their use.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from tilewright.passes.cpu.tiles import HeldTile, Position, Tile, cover, main_axis
from tilewright.passes.machine.emit import Emitter
from tilewright.passes.machine.products import multiply_add, widened


@dataclass(frozen=True)
class Operand:
    """A factor: its tile, and for each of its axes the axis of the contraction."""

    tile: Tile
    axes: tuple[int, ...]

    def at(self, point: dict[int, int]) -> Position:
        return tuple(point[axis] for axis in self.axes)


def contract(emitter: Emitter, a: Tile, b: Tile, acc: Tile, maps: tuple[Any, Any, Any]) -> Tile:
    """``acc + sum a * b``; ``maps`` take the axes of the contraction to those of a, b and acc."""
    factors = (Operand(a, _axes(maps[0])), Operand(b, _axes(maps[1])))
    kept = _axes(maps[2])
    lanes = emitter.target.lanes
    axis = acc.axis if isinstance(acc, HeldTile) else main_axis(acc.shape, lanes)
    sizes = {ax: size for factor in factors for ax, size in zip(factor.axes, factor.tile.shape, strict=True)}
    summed = [ax for ax in sorted(sizes) if ax not in kept]
    parts = list(cover(acc.shape, axis, lanes))
    sums = [acc.piece(at, axis, width) for at, width in parts]
    for step in itertools.product(*(range(sizes[ax]) for ax in summed)):
        point = dict(zip(summed, step, strict=True))
        sums = _add_products(emitter, factors, kept, axis, parts, sums, point, acc.element)
    return HeldTile(emitter, acc.shape, acc.element, axis, sums, emitter.depth)


def _axes(map_: Any) -> tuple[int, ...]:
    return tuple(int(result.position) for result in map_.results)


def _add_products(
    emitter: Emitter,
    factors: tuple[Operand, Operand],
    kept: tuple[int, ...],
    axis: int | None,
    parts: list[tuple[Position, int]],
    sums: list[Any],
    step: dict[int, int],
    element: Any,
) -> list[Any]:
    """The sums after one point of the contracted axes."""
    spread: dict[tuple[int, Position, int], Any] = {}
    along = None if axis is None else kept[axis]
    result = []
    for (at, width), total in zip(parts, sums, strict=True):
        point = step | dict(zip(kept, at, strict=True))
        values = [
            _factor(emitter, number, factor, point, along, width, element, spread)
            for number, factor in enumerate(factors)
        ]
        result.append(multiply_add(emitter, values[0], values[1], total))
    return result


def _factor(
    emitter: Emitter,
    number: int,
    factor: Operand,
    point: dict[int, int],
    along: int | None,
    width: int,
    element: Any,
    spread: dict[tuple[int, Position, int], Any],
) -> Any:
    """The factor's value for ``width`` results along ``along``: a vector, or its scalar in every lane."""
    at = factor.at(point)
    key = (number, at, width)
    if key in spread:
        return spread[key]
    tile = factor.tile
    if along in factor.axes and width > 1:
        value = widened(emitter, tile.vector(at, factor.axes.index(along), width), tile.element, element)
    else:
        value = widened(emitter, tile.scalar(at), tile.element, element)
        value = value if width == 1 else emitter.broadcast(value, width)
    spread[key] = value
    return value
