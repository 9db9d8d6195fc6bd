"""Owns the tiling of contractions: packed operands above the register tile, or operands staged step by step.

Before: a ``tw.fold`` that sums a product of two factors (``Contraction``), asked for at a tile of rows and columns.
After, with panels: each factor was stored once per block into a ``tile.stage`` buffer, as panels ``[panel, k, width]``
with the reduced indices flattened into one k and zeros where points are missing; the register tile is one ``scf.for``
over k around a ``tile.contract``. Without panels: the loops over the reduced indices load (or stage) both factors step
by step. Needs: no affine constraint, ``where`` or data-dependent bound on the fold; does not handle batch tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tilewright.dialect import tensor as tw
from tilewright.dialect import tile
from tilewright.dialect.mlir import arith, ir
from tilewright.passes.schedule import Operand
from tilewright.passes.tile.body import BodyEvaluator
from tilewright.passes.tile.emitter import Emitter
from tilewright.passes.tile.folds import FoldLoops, FoldTiler, parallel_axes
from tilewright.passes.tile.values import Axis, Linear, Tile, Value, axis_union

K_ORDER = (0, 1 << 20)


@dataclass(frozen=True)
class Factors:
    """The two factors of a contraction: scalar values of the fold's body, and the parallel positions they use."""

    left: Any
    right: Any
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def side(self, side: Operand) -> tuple[tuple[int, ...], Any]:
        """The positions that one factor has alone, and its value."""
        return (self.rows, self.left) if side is Operand.LEFT else (self.columns, self.right)


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


class ContractionTiler:
    """Builds contractions; shares its emitter and evaluator with the fold tiler."""

    def __init__(self, emitter: Emitter, evaluator: BodyEvaluator, folds: FoldTiler) -> None:
        self.emitter, self.evaluator, self.folds = emitter, evaluator, folds
        self.packed: dict[tuple[Any, Operand], Packed] = {}
        self.step_staged: set[Any] = set()

    # ------------------------------------------------------------ packing

    def pack(self, loops: FoldLoops, factors: Factors, side: Operand, blocks: dict[int, BlockOf], step: int) -> None:
        """Fill the panels of one factor at the current level; ``step`` is what k is padded to."""
        value = factors.left if side is Operand.LEFT else factors.right
        used = [p for p in (factors.rows if side is Operand.LEFT else factors.columns) if blocks[p].block > 1]
        extents = self._reduced_extents(loops)
        depth = self._product(extents)
        padded = self.emitter.scale(self.emitter.ceil_divide(depth, step), step)
        counts = [-(-blocks[p].block // blocks[p].tile) for p in used]
        widths = [blocks[p].tile for p in used]
        element = value.type
        sizes = [*counts, self.emitter.scalar(padded), *widths]

        def fill(buffer: Any) -> None:
            self._fill(loops, value, buffer, used, blocks, extents, (depth, padded))

        buffer = self.emitter.stage(sizes, element, fill)
        panels = tuple(Panel(p, blocks[p].start, blocks[p].tile) for p in used)
        self.packed[(loops.op, side)] = Packed(buffer, panels)

    def _fill(
        self,
        loops: FoldLoops,
        value: Any,
        buffer: Any,
        used: Sequence[int],
        blocks: dict[int, BlockOf],
        extents: Sequence[Linear],
        depths: tuple[Linear, Linear],
    ) -> None:
        emitter = self.emitter

        def panel_loop(done: tuple[tuple[Linear, Linear], ...]) -> None:
            if len(done) == len(used):
                self._fill_panel(loops, value, buffer, used, blocks, done, extents, depths)
                return
            block = blocks[used[len(done)]]

            def body(iv: Linear, _: list[Any]) -> Sequence[Any]:
                panel_loop((*done, (emitter.floor_divide(iv, block.tile), iv)))
                return ()

            emitter.loop(Linear(), block.count, block.tile, (), body)

        panel_loop(())

    def _fill_panel(
        self,
        loops: FoldLoops,
        value: Any,
        buffer: Any,
        used: Sequence[int],
        blocks: dict[int, BlockOf],
        done: Sequence[tuple[Linear, Linear]],
        extents: Sequence[Linear],
        depths: tuple[Linear, Linear],
    ) -> None:
        emitter = self.emitter
        bindings: list[Value] = list(loops.bindings)
        axes: list[Axis] = []
        for position, (_, offset) in zip(used, done, strict=True):
            block = blocks[position]
            start = emitter.add(block.start, offset)
            limit = emitter.add(block.count, offset, -1)
            bindings[position], axis = self._panel_index(loops, position, block, start, limit)
            axes.extend([axis] if axis else [])
        for position, block in blocks.items():
            if position not in used:
                bindings[position] = block.start
        numbers = [number for number, _ in done]
        self._fill_depth(loops, value, buffer, numbers, tuple(axes), bindings, extents, len(used))
        self._fill_padding(value.type, buffer, numbers, tuple(axes), depths, len(used))

    def _panel_index(
        self, loops: FoldLoops, position: int, block: BlockOf, start: Linear, limit: Linear
    ) -> tuple[Linear, Axis | None]:
        if block.tile == 1:
            return start, None
        axis = self.emitter.new_axis(loops.domain.indices[position], block.tile, (0, position), limit)
        return Linear(start.base, start.constant, ((axis, 1),), start.level), axis

    def _fill_depth(
        self,
        loops: FoldLoops,
        value: Any,
        buffer: Any,
        panels: Sequence[Linear],
        axes: tuple[Axis, ...],
        bindings: Sequence[Value],
        extents: Sequence[Linear],
        rank: int,
    ) -> None:
        emitter = self.emitter

        def reduced_loop(bound: tuple[Linear, ...], flat: Linear) -> None:
            if len(bound) == len(extents):
                arguments = [*bindings, *bound]
                result = self.evaluator.evaluate(tw.body_of(loops.op), arguments, targets=[value])[0]
                tile_ = self._zero_outside(emitter.as_tile(result), axes)
                self._store_panel(tile_, buffer, panels, flat, axes, rank)
                return

            def body(iv: Linear, _: list[Any]) -> Sequence[Any]:
                inner = emitter.add(emitter.multiply(flat, extents[len(bound)]), iv) if bound else iv
                reduced_loop((*bound, iv), inner)
                return ()

            emitter.loop(Linear(), extents[len(bound)], 1, (), body)

        reduced_loop((), Linear())

    def _zero_outside(self, value: Tile, axes: Sequence[Axis]) -> Tile:
        exists = None if _is_zero_outside(value) else self.emitter.within_limits(axes)
        if exists is None:
            return value
        zero = self.emitter.constant_tile(ir.RankedTensorType(value.value.type).element_type, 0)
        return self.emitter.elementwise(arith.select, exists, value, zero)

    def _store_panel(
        self, value: Tile, buffer: Any, panels: Sequence[Linear], k: Linear, axes: tuple[Axis, ...], rank: int
    ) -> None:
        emitter = self.emitter
        spread = emitter.spread(value, axis_union([axes]))
        offsets = [*panels, k, *[Linear()] * rank]
        with emitter.at(emitter.depth):
            access = tile.Access(buffer, tuple(map(emitter.scalar, offsets)), _panel_map(rank, axes, None))
            tile.store(spread, access)

    def _fill_padding(
        self,
        element: Any,
        buffer: Any,
        panels: Sequence[Linear],
        axes: tuple[Axis, ...],
        depths: tuple[Linear, Linear],
        rank: int,
    ) -> None:
        zero = self.emitter.constant_tile(element, 0)

        def body(iv: Linear, _: list[Any]) -> Sequence[Any]:
            self._store_panel(zero, buffer, panels, iv, axes, rank)
            return ()

        self.emitter.loop(depths[0], depths[1], 1, (), body)

    # ------------------------------------------------------------ the register tile

    def build(self, loops: FoldLoops, factors: Factors, step: int) -> Tile:
        """The contraction over the axes of its bindings, at the current level."""
        axes = parallel_axes(loops.bindings)
        element = ir.RankedTensorType(loops.op.operation.results[0].type).element_type
        start = self.emitter.constant_tile(element, 0, axes).value
        sides = [self.packed.get((loops.op, side)) for side in (Operand.LEFT, Operand.RIGHT)]
        if all(s is not None for s in sides):
            result = self._packed_loop(loops, factors, axes, start, step, sides)
        else:
            result = self._direct_loop(loops, factors, axes, start, ())
        return Tile(result[0], axes, self.emitter.depth)

    def _packed_loop(
        self, loops: FoldLoops, factors: Factors, axes: tuple[Axis, ...], start: Any, step: int, sides: Sequence[Any]
    ) -> list[Any]:
        emitter = self.emitter
        depth = self._product(self._reduced_extents(loops))
        k_axis = emitter.new_axis("k", step, K_ORDER, None)

        def body(iv: Linear, carried: list[Any]) -> Sequence[Any]:
            a, b = (self._load_panel(loops, side, iv, k_axis) for side in sides)
            return [self._contract(a, b, carried[0], axes, (k_axis,))]

        return emitter.loop(Linear(), depth, step, [start], body)

    def _load_panel(self, loops: FoldLoops, packed: Packed, k: Linear, k_axis: Axis) -> Tile:
        emitter = self.emitter
        axes: list[Axis] = []
        numbers: list[Linear] = []
        for panel in packed.panels:
            value = loops.bindings[panel.position]
            assert isinstance(value, Linear)
            origin = Linear(value.base, value.constant, (), value.level)
            numbers.append(emitter.floor_divide(emitter.add(origin, panel.start, -1), panel.width))
            axes.extend(value.axes)
        rank = len(packed.panels)
        ordered = axis_union([axes, (k_axis,)])
        offsets = [*numbers, k, *[Linear()] * rank]
        with emitter.at(emitter.depth):
            places = tuple(map(emitter.scalar, offsets))
            access = tile.Access(packed.buffer, places, _panel_map(rank, ordered, k_axis, axes))
            return Tile(tile.load(access, [a.size for a in ordered]), ordered, emitter.depth)

    def _contract(self, a: Tile, b: Tile, acc: Any, axes: tuple[Axis, ...], reduced: tuple[Axis, ...]) -> Any:
        every = axis_union([axes, reduced])
        a, b = self._with_axes(a, reduced), self._with_axes(b, reduced)
        maps = [_axes_map(every, part) for part in (a.axes, b.axes, axes)]
        with self.emitter.at(self.emitter.depth):
            return tile.contract(a.value, b.value, acc, maps)

    def _with_axes(self, value: Tile, axes: tuple[Axis, ...]) -> Tile:
        """A factor that does not vary along a reduced axis, repeated along it."""
        full = axis_union([value.axes, axes])
        return value if full == value.axes else Tile(self.emitter.spread(value, full), full, value.level)

    def _direct_loop(
        self, loops: FoldLoops, factors: Factors, axes: tuple[Axis, ...], start: Any, bound: tuple[Linear, ...]
    ) -> list[Any]:
        emitter, position = self.emitter, len(bound)
        if position == loops.domain.reduced:
            return [self._direct_step(loops, factors, axes, start, bound)]
        lo, hi = loops.lows[position], loops.highs[position]
        number = loops.domain.parallel + position
        index = loops.domain.indices[number]
        size = loops.nest.tile_size(index)

        def body(iv: Linear, carried: list[Any]) -> Sequence[Any]:
            value = iv
            if size > 1:
                axis = emitter.new_axis(index, size, (0, number), emitter.add(hi, iv, -1))
                value = Linear(iv.base, iv.constant, ((axis, 1),), iv.level)
            return self._direct_loop(loops, factors, axes, carried[0], (*bound, value))

        return emitter.loop(lo, hi, size, [start], body)

    def _direct_step(
        self, loops: FoldLoops, factors: Factors, axes: tuple[Axis, ...], acc: Any, bound: tuple[Linear, ...]
    ) -> Any:
        emitter = self.emitter
        reduced = tuple(a for v in bound for a in v.axes)
        staged = loops.op in self.step_staged
        targets = [_narrow(v) if staged else v for v in (factors.left, factors.right)]
        values = self.evaluator.evaluate(tw.body_of(loops.op), [*loops.bindings, *bound], targets=targets)
        a, b = (self._with_axes(self._zero_outside(emitter.as_tile(v), reduced), reduced) for v in values)
        if staged:
            a, b = self._stage_step(a), self._stage_step(b)
        return self._contract(a, b, acc, axes, reduced)

    def _stage_step(self, value: Tile) -> Tile:
        """Pass a factor's tile of this step through a stage buffer of its own order."""
        emitter = self.emitter
        shape = [a.size for a in value.axes]
        element = ir.RankedTensorType(value.value.type).element_type
        identity = ir.AffineMap.get_identity(len(shape))
        zeros = tuple(emitter.scalar(Linear()) for _ in shape)
        with emitter.at(emitter.depth):
            buffer = tile.stage(
                shape, element, lambda inner: tile.store(value.value, tile.Access(inner, zeros, identity))
            )
            return Tile(tile.load(tile.Access(buffer, zeros, identity), shape), value.axes, emitter.depth)

    # ------------------------------------------------------------ extents

    def _reduced_extents(self, loops: FoldLoops) -> list[Linear]:
        return loops.extents[loops.domain.parallel :]

    def _product(self, factors: Sequence[Linear]) -> Linear:
        total = Linear(constant=1)
        for factor in factors:
            total = self.emitter.multiply(total, factor)
        return total


def _is_zero_outside(value: Tile) -> bool:
    """A load without ``otherwise`` gives zero at positions that do not exist."""
    owner = value.value.owner
    if isinstance(owner, ir.Block) or owner.name != "tile.load":
        return False
    load = tile.load_view(owner)
    limited = {axis for axis, _ in load.access.limits}
    return load.otherwise is None and all(a.limit is None or k in limited for k, a in enumerate(value.axes))


def _narrow(value: Any) -> Any:
    """The narrower float a factor was widened from, where it was: tensor cores take it as it is."""
    owner = value.owner
    name = getattr(owner, "name", "")
    return owner.operands[0] if name == "arith.extf" else value


def _panel_map(rank: int, axes: Sequence[Axis], k_axis: Axis | None, panel_axes: Sequence[Axis] | None = None) -> Any:
    """``[panel…, k, width…]`` of a buffer from the axes of a tile: panels are fixed, widths are the panel axes."""
    own = list(axes if panel_axes is None else panel_axes)
    ordered = list(axes)
    zero = ir.AffineConstantExpr.get(0)
    k = ir.AffineDimExpr.get(ordered.index(k_axis)) if k_axis is not None else zero
    widths = [ir.AffineDimExpr.get(ordered.index(a)) for a in own]
    widths += [zero] * (rank - len(widths))
    return ir.AffineMap.get(len(ordered), 0, [*[zero] * rank, k, *widths])


def _axes_map(every: tuple[Axis, ...], part: tuple[Axis, ...]) -> Any:
    return ir.AffineMap.get(len(every), 0, [ir.AffineDimExpr.get(every.index(a)) for a in part])

