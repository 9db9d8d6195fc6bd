"""Owns the tiling of contractions: packed operands above the register tile, or operands staged step by step.

Before: a ``tw.fold`` that sums a product of two factors (``Contraction``), asked for at a tile of rows and columns.
After, with panels: each factor was stored once per block into a ``tile.stage`` buffer, as panels ``[panel, k, width]``
with the reduced indices flattened into one k and zeros where points are missing; the register tile is one ``scf.for``
over k around a ``tile.contract``. Without panels: the loops over the reduced indices load (or stage) both factors step
by step. Needs: no affine constraint, ``where`` or data-dependent bound on the fold; does not handle batch tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tilewright.dialect import tensor as tw
from tilewright.dialect import tile
from tilewright.dialect.mlir import ir
from tilewright.passes.schedule import Operand
from tilewright.passes.tile.body import BodyEvaluator
from tilewright.passes.tile.emitter import Emitter
from tilewright.passes.tile.factors import Factors
from tilewright.passes.tile.folds import FoldLoops, FoldTiler, parallel_axes
from tilewright.passes.tile.packing import K_ORDER, BlockOf, Packed, Packer, panel_map, product, zero_outside
from tilewright.passes.tile.values import Axis, Linear, Tile, axis_union


class ContractionTiler:
    """Builds contractions; shares its emitter and evaluator with the fold tiler."""

    def __init__(self, emitter: Emitter, evaluator: BodyEvaluator, folds: FoldTiler) -> None:
        self.emitter, self.evaluator, self.folds = emitter, evaluator, folds
        self.packer = Packer(emitter, evaluator)
        self.packed: dict[tuple[Any, Operand], Packed] = {}
        self.step_staged: set[Any] = set()

    def pack(self, loops: FoldLoops, factors: Factors, side: Operand, blocks: dict[int, BlockOf], step: int) -> None:
        """Pack one factor at the current level, for the tiles that are built until it is forgotten."""
        self.packed[(loops.op, side)] = self.packer.pack(loops, factors, side, blocks, step)

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
        depth = product(emitter, loops.extents[loops.domain.parallel :])
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
            access = tile.Access(packed.buffer, places, panel_map(rank, ordered, k_axis, axes))
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
            return [self.step(loops, factors, axes, start, bound)]
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

    def step(
        self, loops: FoldLoops, factors: Factors, axes: tuple[Axis, ...], acc: Any, bound: tuple[Linear, ...]
    ) -> Any:
        """``acc`` and the products at the summed points ``bound``, the factors read (or staged) in place."""
        emitter = self.emitter
        reduced = tuple(a for v in bound for a in v.axes)
        staged = loops.op in self.step_staged
        targets = [_narrow(v) if staged else v for v in (factors.left, factors.right)]
        values = self.evaluator.evaluate(tw.body_of(loops.op), [*loops.bindings, *bound], targets=targets)
        a, b = (self._with_axes(zero_outside(emitter, emitter.as_tile(v), reduced), reduced) for v in values)
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


def _narrow(value: Any) -> Any:
    """The narrower float a factor was widened from, where it was: tensor cores take it as it is."""
    owner = value.owner
    name = getattr(owner, "name", "")
    return owner.operands[0] if name == "arith.extf" else value


def _axes_map(every: tuple[Axis, ...], part: tuple[Axis, ...]) -> Any:
    return ir.AffineMap.get(len(every), 0, [ir.AffineDimExpr.get(every.index(a)) for a in part])

