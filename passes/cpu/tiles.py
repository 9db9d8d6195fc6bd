"""Owns how a tile is held while code is written: as a function from positions to machine values, computed on demand.

A tile is never stored as a whole. It answers ``scalar(at)`` and ``vector(at, axis, lanes)``; whoever consumes it asks
in the form it needs, so that one and the same load gives broadcast scalars to one side of a contraction and vectors to
the other. Answers are remembered, and written into the frame in which the tile is defined (``depth``), so nothing is
computed twice or inside a loop that it does not depend on. A scalar of the program is a tile of shape ``()``.

Machine types: ``i1`` is an i1 (or a vector of i1), ``f16`` and ``bf16`` are held as their bits (i16); others as they
are.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tilewright.passes.machine.emit import Emitter, lanes_of

Position = tuple[int, ...]


def pieces(size: int, lanes: int) -> list[tuple[int, int]]:
    """``(start, lanes)`` of the vectors that cover ``size`` elements: full ones, then powers of two; 1 is a scalar."""
    result = [(start, lanes) for start in range(0, size - lanes + 1, lanes)]
    start = size - size % lanes
    while start < size:
        width = 1 << ((size - start).bit_length() - 1)
        result.append((start, width))
        start += width
    return result


def main_axis(shape: Sequence[int], lanes: int) -> int | None:
    """The axis along which a computed tile is held in vectors; None when it is held as scalars."""
    wide = [axis for axis, size in enumerate(shape) if size >= lanes]
    if wide:
        return wide[-1]
    longest = max(shape, default=1)
    if longest == 1:
        return None
    return max(axis for axis, size in enumerate(shape) if size == longest)


def cover(shape: Sequence[int], axis: int | None, lanes: int) -> Iterator[tuple[Position, int]]:
    """``(position, lanes)`` of the vectors along ``axis`` that cover a tile of ``shape``, rows in order."""
    if axis is None:
        yield from ((at, 1) for at in itertools.product(*map(range, shape)))
        return
    others = [range(size) if a != axis else range(1) for a, size in enumerate(shape)]
    for row in itertools.product(*others):
        for start, width in pieces(shape[axis], lanes):
            yield (*row[:axis], start, *row[axis + 1 :]), width


class Tile(ABC):
    """A tile of ``shape``; ``element`` is its element type in the program, ``varies`` where it is not uniform."""

    def __init__(
        self, emitter: Emitter, shape: Sequence[int], element: Any, varies: Sequence[bool], depth: int
    ) -> None:
        self.emitter = emitter
        self.shape = tuple(shape)
        self.element = element
        self.varies = tuple(varies)
        self.depth = depth
        self._known: dict[tuple[Position, int, int], Any] = {}

    height = 0  # how many tiles are computed one through the other to answer

    @property
    def constant(self) -> int | float | None:
        """The number that every element is, if known."""
        return None

    def scalar(self, at: Position = ()) -> Any:
        """The element at ``at``."""
        at = tuple(p if v else 0 for p, v in zip(at, self.varies, strict=True))
        return self._remember((at, -1, 1), lambda: self._scalar(at))

    def vector(self, at: Position, axis: int, lanes: int) -> Any:
        """The ``lanes`` elements along ``axis`` from ``at`` on (the scalar itself for one lane)."""
        if lanes == 1:
            return self.scalar(at)
        at = tuple(p if v else 0 for p, v in zip(at, self.varies, strict=True))
        if not self.varies[axis]:
            return self._remember((at, -1, lanes), lambda: self.emitter.broadcast(self.scalar(at), lanes))
        return self._remember((at, axis, lanes), lambda: self._vector(at, axis, lanes))

    def piece(self, at: Position, axis: int | None, lanes: int) -> Any:
        """``vector``, or ``scalar`` where there is no vector axis."""
        return self.scalar(at) if axis is None else self.vector(at, axis, lanes)

    def _remember(self, key: tuple[Position, int, int], compute: Callable[[], Any]) -> Any:
        if key not in self._known:
            with self.emitter.at(self.depth):
                self._known[key] = compute()
        return self._known[key]

    @abstractmethod
    def _scalar(self, at: Position) -> Any: ...

    def _vector(self, at: Position, axis: int, lanes: int) -> Any:
        """Lane by lane; tiles that can do better override it."""
        positions = [(*at[:axis], at[axis] + lane, *at[axis + 1 :]) for lane in range(lanes)]
        return self.emitter.from_lanes([self.scalar(p) for p in positions])


class ConstantTile(Tile):
    """One number everywhere."""

    def __init__(self, emitter: Emitter, shape: Sequence[int], element: Any, machine: Any, number: int | float) -> None:
        super().__init__(emitter, shape, element, [False] * len(shape), 0)
        self.machine = machine
        self.number = number

    @property
    def constant(self) -> int | float | None:
        return self.number

    def _scalar(self, at: Position) -> Any:
        return self.emitter.constant(self.machine, self.number)

    def vector(self, at: Position, axis: int, lanes: int) -> Any:
        if lanes == 1:
            return self.scalar(at)
        return self.emitter.constant(self.emitter.vector_type(lanes, self.machine), self.number)


class UniformTile(Tile):
    """A value that is known already, the same at every position; ``depth`` is the frame it is defined in."""

    def __init__(self, emitter: Emitter, value: Any, element: Any, depth: int, shape: Sequence[int] = ()) -> None:
        super().__init__(emitter, shape, element, [False] * len(shape), depth)
        self.uniform = value

    def _scalar(self, at: Position) -> Any:
        return self.uniform


class PermutedTile(Tile):
    """A tile repeated along new axes: source axis k is axis ``axes[k]`` here."""

    def __init__(self, source: Tile, axes: Sequence[int], shape: Sequence[int]) -> None:
        varies = [False] * len(shape)
        for k, axis in enumerate(axes):
            varies[axis] = source.varies[k] and source.shape[k] > 1
        super().__init__(source.emitter, shape, source.element, varies, source.depth)
        self.source = source
        self.axes = tuple(axes)
        self.height = source.height + 1

    @property
    def constant(self) -> int | float | None:
        return self.source.constant

    def _at_source(self, at: Position) -> Position:
        return tuple(at[axis] for axis in self.axes)

    def _scalar(self, at: Position) -> Any:
        return self.source.scalar(self._at_source(at))

    def _vector(self, at: Position, axis: int, lanes: int) -> Any:
        return self.source.vector(self._at_source(at), self.axes.index(axis), lanes)


class PickedTile(Tile):
    """One element of a tile, as a scalar."""

    def __init__(self, source: Tile, at: Position) -> None:
        super().__init__(source.emitter, (), source.element, (), source.depth)
        self.source = source
        self.at = at
        self.height = source.height + 1

    def _scalar(self, at: Position) -> Any:
        return self.source.scalar(self.at)


class IotaTile(Tile):
    """The position along one axis, as index."""

    def __init__(self, emitter: Emitter, shape: Sequence[int], axis: int) -> None:
        super().__init__(emitter, shape, emitter.index, [a == axis and s > 1 for a, s in enumerate(shape)], 0)
        self.axis = axis

    def _scalar(self, at: Position) -> Any:
        return self.emitter.constant(self.emitter.index, at[self.axis])

    def _vector(self, at: Position, axis: int, lanes: int) -> Any:
        return self.emitter.constants(self.emitter.index, range(at[axis], at[axis] + lanes))


class BelowTile(Tile):
    """Where the position along ``axis`` is below a number that is the same everywhere (i1)."""

    def __init__(self, emitter: Emitter, positions: IotaTile, bound: Tile) -> None:
        depth = max(emitter.hoist_limit, bound.depth)
        super().__init__(emitter, positions.shape, emitter.i1, positions.varies, depth)
        self.axis = positions.axis
        self.bound = bound
        self.height = bound.height + 1

    def _limit(self) -> Any:
        return self.bound.scalar((0,) * len(self.bound.shape))

    def _scalar(self, at: Position) -> Any:
        e = self.emitter
        return e.compare_int("slt", e.constant(e.index, at[self.axis]), self._limit())

    def _vector(self, at: Position, axis: int, lanes: int) -> Any:
        return self.emitter.lanes_below(self._limit(), at[axis], lanes)


class ElementwiseTile(Tile):
    """``compute`` on the operands' elements, the same on scalars and on vectors."""

    def __init__(
        self,
        emitter: Emitter,
        shape: Sequence[int],
        element: Any,
        operands: Sequence[Tile],
        compute: Callable[..., Any],
    ) -> None:
        varies = [any(o.shape and o.varies[axis] for o in operands) for axis in range(len(shape))]
        depth = max([emitter.hoist_limit, *(o.depth for o in operands)])
        super().__init__(emitter, shape, element, varies, depth)
        self.operands = tuple(operands)
        self.compute = compute
        self.height = 1 + max((o.height for o in operands), default=0)
        self.location = emitter.location

    def _scalar(self, at: Position) -> Any:
        return self._compute([o.scalar(at if o.shape else ()) for o in self.operands])

    def _vector(self, at: Position, axis: int, lanes: int) -> Any:
        return self._compute(
            [o.vector(at, axis, lanes) if o.shape else self._spread(o, lanes) for o in self.operands]
        )

    def _spread(self, operand: Tile, lanes: int) -> Any:
        return self.emitter.broadcast(operand.scalar(()), lanes)

    def _compute(self, values: list[Any]) -> Any:
        saved, self.emitter.location = self.emitter.location, self.location
        result = self.compute(*values)
        self.emitter.location = saved
        return result


class HeldTile(Tile):
    """A tile whose vectors along ``axis`` are given, as the values that ``cover`` lists."""

    def __init__(
        self, emitter: Emitter, shape: Sequence[int], element: Any, axis: int | None, values: Sequence[Any], depth: int
    ) -> None:
        super().__init__(emitter, shape, element, [size > 1 for size in shape], depth)
        self.axis = axis
        self.lanes = emitter.target.lanes
        self.parts = {at: value for (at, _), value in zip(cover(shape, axis, self.lanes), values, strict=True)}

    def _part(self, at: Position) -> tuple[Any, int]:
        """The held vector with the element at ``at``, and its lane there."""
        if self.axis is None:
            return self.parts[at], 0
        position = at[self.axis]
        for start, width in pieces(self.shape[self.axis], self.lanes):
            if start <= position < start + width:
                return self.parts[(*at[: self.axis], start, *at[self.axis + 1 :])], position - start
        raise IndexError(f"position {at} of a tile of shape {self.shape}")

    def _scalar(self, at: Position) -> Any:
        part, lane = self._part(at)
        return part if lanes_of(part.type) is None else self.emitter.lane(part, lane)

    def _vector(self, at: Position, axis: int, lanes: int) -> Any:
        if axis != self.axis:
            return super()._vector(at, axis, lanes)
        part, lane = self._part(at)
        held = lanes_of(part.type) or 1
        if lane == 0 and held == lanes:
            return part
        return super()._vector(at, axis, lanes)


def hold(tile: Tile, axis: int | None) -> HeldTile:
    """``tile`` computed now, wholly, in vectors along ``axis``."""
    emitter = tile.emitter
    values = [tile.piece(at, axis, lanes) for at, lanes in cover(tile.shape, axis, emitter.target.lanes)]
    return HeldTile(emitter, tile.shape, tile.element, axis, values, tile.depth)
