"""Owns packing: one factor of a contraction copied into panels that a register tile reads contiguously.

Before: a factor's value in a fold's body. After: a ``tile.stage`` of ``[panel of each index…, k, width of each
index…]``, k being the flattened summed indices, with zeros where no element exists. A factor that is contiguous in the
last summed index is read in blocks that are transposed in registers; any other is read in chunks of that index, all
panels of one chunk after each other, so that the rows of a chunk stay in the cache and in the TLB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tilewright.dialect import tensor as tw
from tilewright.dialect import tile
from tilewright.dialect.mlir import arith, ir
from tilewright.passes.schedule import Operand
from tilewright.passes.tile.body import BodyEvaluator
from tilewright.passes.tile.emitter import Emitter
from tilewright.passes.tile.factors import Factors, ops_under, unit_stride_index
from tilewright.passes.tile.folds import FoldLoops
from tilewright.passes.tile.values import Axis, Linear, Tile, Value, axis_union

K_ORDER = (0, 1 << 20)
TRANSPOSED = 4
"""Steps of k in a block that is transposed in registers."""
TRANSPOSED_WIDTH = 8
"""Points of a panel in such a block: code grows with them."""
CHUNK = 64
"""Steps of k that are packed for all panels before the next ones: as many pages as a first-level TLB holds."""


@dataclass(frozen=True)
class Panel:
    """One parallel index of a packed factor: where its block starts, and how many points a panel has."""

    position: int
    start: Linear
    width: int


@dataclass(frozen=True)
class Packed:
    """A packed factor: ``buffer`` is ``[panel of each index…, k, width of each index…]``."""

    buffer: Any
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class BlockOf:
    """The block of a parallel index at the place a factor is packed: first point, points left, block and tile size."""

    start: Linear
    count: Linear
    block: int
    tile: int


@dataclass(frozen=True)
class Filling:
    """A buffer that is being filled: with which value of the fold's body, for which blocks of its parallel indices.

    ``used`` are the positions of the indices that have panels. ``extents`` are those of the summed indices; of the last
    one the points from ``first`` to ``last`` are filled. k is padded from ``depth`` to ``padded``.
    """

    loops: FoldLoops
    value: Any
    buffer: Any
    used: tuple[int, ...]
    blocks: dict[int, BlockOf]
    extents: tuple[Linear, ...]
    depth: Linear
    padded: Linear
    first: Linear
    last: Linear


@dataclass(frozen=True)
class PanelPlace:
    """One panel of each index, or a part of it: their numbers, the first points in them, the tile axes over their
    points, and what the parallel indices are."""

    numbers: tuple[Linear, ...]
    starts: tuple[Linear, ...]
    axes: tuple[Axis, ...]
    bindings: tuple[Value, ...]


Body = Callable[[Filling, tuple[Linear, ...]], None]
"""What is done for a panel of each index, told by the offsets of their first points in the blocks."""


class Packer:
    """Fills panels with an emitter and an evaluator of bodies."""

    def __init__(self, emitter: Emitter, evaluator: BodyEvaluator) -> None:
        self.emitter, self.evaluator = emitter, evaluator

    def pack(self, loops: FoldLoops, factors: Factors, side: Operand, blocks: dict[int, BlockOf], step: int) -> Packed:
        """The panels of one factor, filled at the current level; ``step`` is what k is padded to."""
        positions, value = factors.side(side)
        used = tuple(p for p in positions if blocks[p].block > 1)
        extents = tuple(loops.extents[loops.domain.parallel :])
        depth = product(self.emitter, extents)
        padded = self.emitter.scale(self.emitter.ceil_divide(depth, step), step)
        counts = [-(-blocks[p].block // blocks[p].tile) for p in used]
        sizes = [*counts, self.emitter.scalar(padded), *(blocks[p].tile for p in used)]

        def fill(buffer: Any) -> None:
            filling = Filling(loops, value, buffer, used, blocks, extents, depth, padded, Linear(), extents[-1])
            self._chunks(filling)
            self._panels(filling, self._padding)

        buffer = self.emitter.stage(sizes, value.type, fill)
        return Packed(buffer, tuple(Panel(p, blocks[p].start, blocks[p].tile) for p in used))

    # ------------------------------------------------------------ loops

    def _chunks(self, filling: Filling) -> None:
        """All panels at once where that reads along memory, else chunk by chunk of the last summed index."""
        if _is_contiguous(filling):
            self._panels(filling, self._transposed)
            return

        def chunk(iv: Linear, _: list[Any]) -> Sequence[Any]:
            last = self.emitter.minimum(filling.last, self.emitter.add(iv, Linear(constant=CHUNK)))
            part = replace(filling, first=iv, last=last)
            self._panels(part, self._depth)
            return ()

        self.emitter.loop(filling.first, filling.last, CHUNK, (), chunk)

    def _panels(self, filling: Filling, body: Body, offsets: tuple[Linear, ...] = ()) -> None:
        """``body(filling, offsets)`` for each panel (of each index) of the blocks."""
        if len(offsets) == len(filling.used):
            body(filling, offsets)
            return
        block = filling.blocks[filling.used[len(offsets)]]

        def step(iv: Linear, _: list[Any]) -> Sequence[Any]:
            self._panels(filling, body, (*offsets, iv))
            return ()

        self.emitter.loop(Linear(), block.count, block.tile, (), step)

    def _place(self, filling: Filling, offsets: Sequence[Linear]) -> PanelPlace:
        bindings: list[Value] = list(filling.loops.bindings)
        for position, block in filling.blocks.items():
            bindings[position] = block.start
        numbers: list[Linear] = []
        for position, offset in zip(filling.used, offsets, strict=True):
            bindings[position] = self._points(filling, position, offset, filling.blocks[position].tile)
            numbers.append(self.emitter.floor_divide(offset, filling.blocks[position].tile))
        axes = tuple(a for p in filling.used for a in bindings[p].axes)
        return PanelPlace(tuple(numbers), (Linear(),) * len(numbers), axes, tuple(bindings))

    def _points(self, filling: Filling, position: int, offset: Linear, size: int) -> Linear:
        """``size`` points of an index from ``offset`` in its block on."""
        block = filling.blocks[position]
        start = self.emitter.add(block.start, offset)
        if size == 1:
            return start
        limit = self.emitter.add(block.count, offset, -1)
        axis = self.emitter.new_axis(filling.loops.domain.indices[position], size, (0, position), limit)
        return Linear(start.base, start.constant, ((axis, 1),), start.level)

    def _depth(self, filling: Filling, offsets: tuple[Linear, ...]) -> None:
        """Every k of one panel, one after the other."""
        self._summed(filling, self._place(filling, offsets), (), Linear(), filling.first, 1)

    def _transposed(self, filling: Filling, offsets: tuple[Linear, ...]) -> None:
        """Panels that are packed in blocks: part by part of the last index where they are wide."""
        position = filling.used[-1]
        width = filling.blocks[position].tile

        def part(iv: Linear, _: list[Any]) -> Sequence[Any]:
            place = self._place(filling, offsets)
            points = self._points(filling, position, self.emitter.add(offsets[-1], iv), TRANSPOSED_WIDTH)
            bindings = (*place.bindings[:position], points, *place.bindings[position + 1 :])
            axes = tuple(a for p in filling.used for a in bindings[p].axes)
            narrow = PanelPlace(place.numbers, (*place.starts[:-1], iv), axes, bindings)
            self._transposed_depth(filling, narrow)
            return ()

        if width % TRANSPOSED_WIDTH or width == TRANSPOSED_WIDTH:
            self._transposed_depth(filling, self._place(filling, offsets))
        else:
            self.emitter.loop(Linear(), Linear(constant=width), TRANSPOSED_WIDTH, (), part)

    def _transposed_depth(self, filling: Filling, place: PanelPlace) -> None:
        """Every k of one panel, in blocks as long as they are whole."""
        whole = self.emitter.scale(self.emitter.floor_divide(filling.last, TRANSPOSED), TRANSPOSED)
        self._summed(replace(filling, last=whole), place, (), Linear(), filling.first, TRANSPOSED)
        self._summed(filling, place, (), Linear(), whole, 1)

    def _summed(
        self, filling: Filling, place: PanelPlace, bound: tuple[Linear, ...], flat: Linear, first: Linear, size: int
    ) -> None:
        """Loops over the summed indices that are not bound; ``flat`` is the k of those that are, ``size`` the step of
        the last one, which starts at ``first``."""
        emitter, extent = self.emitter, filling.extents[len(bound)]
        is_last = len(bound) + 1 == len(filling.extents)

        def step(iv: Linear, _: list[Any]) -> Sequence[Any]:
            k = emitter.add(emitter.multiply(flat, extent), iv) if bound else iv
            if is_last:
                self._element(filling, place, (*bound, iv), k, size)
            else:
                self._summed(filling, place, (*bound, iv), k, first, size)
            return ()

        if is_last:
            emitter.loop(first, filling.last, size, (), step)
        else:
            emitter.loop(Linear(), extent, 1, (), step)

    # ------------------------------------------------------------ values

    def _element(
        self, filling: Filling, place: PanelPlace, bound: tuple[Linear, ...], k: Linear, size: int
    ) -> None:
        """One k of a panel, or ``size`` of them."""
        *outer, last = bound
        along = (self.emitter.new_axis("k", size, K_ORDER, None),) if size > 1 else ()
        steps = Linear(last.base, last.constant, tuple((axis, 1) for axis in along), last.level)
        arguments = [*place.bindings, *outer, steps]
        value = self.evaluator.evaluate(tw.body_of(filling.loops.op), arguments, targets=[filling.value])[0]
        self._store(filling, place, zero_outside(self.emitter, self.emitter.as_tile(value), place.axes), k, along)

    def _padding(self, filling: Filling, offsets: tuple[Linear, ...]) -> None:
        place = self._place(filling, offsets)
        zero = self.emitter.constant_tile(filling.value.type, 0)

        def step(iv: Linear, _: list[Any]) -> Sequence[Any]:
            self._store(filling, place, zero, iv, ())
            return ()

        self.emitter.loop(filling.depth, filling.padded, 1, (), step)

    def _store(self, filling: Filling, place: PanelPlace, value: Tile, k: Linear, along: tuple[Axis, ...]) -> None:
        """Store a panel's part at ``k``, or at as many steps from there as the axis ``along`` has."""
        emitter, rank = self.emitter, len(filling.used)
        every = axis_union([place.axes, along])
        spread = emitter.spread(value, every)
        offsets = [*place.numbers, k, *place.starts]
        map_ = panel_map(rank, every, along[0] if along else None, place.axes)
        with emitter.at(emitter.depth):
            tile.store(spread, tile.Access(filling.buffer, tuple(map(emitter.scalar, offsets)), map_))


def _is_contiguous(filling: Filling) -> bool:
    """Whether most of what the factor reads is contiguous in the last summed index, and it has panels to transpose."""
    body = tw.body_of(filling.loops.op)
    reads = [op for op in ops_under(body, filling.value) if op.name == "tw.read"]
    votes = unit_stride_index(body, reads)
    best = max(votes, key=lambda p: votes[p], default=None)
    return bool(filling.used) and best == len(filling.loops.domain.indices) - 1


def product(emitter: Emitter, factors: Sequence[Linear]) -> Linear:
    total = Linear(constant=1)
    for factor in factors:
        total = emitter.multiply(total, factor)
    return total


def zero_outside(emitter: Emitter, value: Tile, axes: Sequence[Axis]) -> Tile:
    """``value`` with zeros at the positions of ``axes`` that do not exist."""
    exists = None if _is_zero_outside(value) else emitter.within_limits(axes)
    if exists is None:
        return value
    zero = emitter.constant_tile(ir.RankedTensorType(value.value.type).element_type, 0)
    return emitter.elementwise(arith.select, exists, value, zero)


def _is_zero_outside(value: Tile) -> bool:
    """A load without ``otherwise`` gives zero at positions that do not exist."""
    owner = value.value.owner
    if isinstance(owner, ir.Block) or owner.name != "tile.load":
        return False
    load = tile.load_view(owner)
    limited = {axis for axis, _ in load.access.limits}
    return load.otherwise is None and all(a.limit is None or k in limited for k, a in enumerate(value.axes))


def panel_map(rank: int, axes: Sequence[Axis], k_axis: Axis | None, panel_axes: Sequence[Axis]) -> Any:
    """``[panel…, k, width…]`` of a buffer from the axes of a tile: panels are fixed, widths are the panel axes."""
    own, ordered = list(panel_axes), list(axes)
    zero = ir.AffineConstantExpr.get(0)
    k = ir.AffineDimExpr.get(ordered.index(k_axis)) if k_axis is not None else zero
    widths = [ir.AffineDimExpr.get(ordered.index(a)) for a in own]
    widths += [zero] * (rank - len(widths))
    return ir.AffineMap.get(len(ordered), 0, [*[zero] * rank, k, *widths])
