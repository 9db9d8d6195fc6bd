"""Owns the tiling of a fold: a streaming loop over its reduced indices, with accumulators in tiles.

Before: ``tw.fold`` asked for at some values of its parallel indices. After: nested ``scf.for`` over tiles of the
reduced indices that carry accumulators over (parallel axes x reduced axes), merged element by element, and one
``tile.reduce`` after the loops. Affine constraints narrow the loops (whole tiles outside the domain are never
visited), the rest of the domain is a mask that selects the fold's neutral value. Does not handle contractions (see
``contraction.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tilewright.dialect import tensor as tw
from tilewright.dialect import tile
from tilewright.dialect.folds import Element, FoldKind, arity, init, merge
from tilewright.dialect.mlir import arith, dialect, ir
from tilewright.passes.schedule import Nest
from tilewright.passes.tile.affine import at_least, below, evaluate_affine, extreme, uniform
from tilewright.passes.tile.body import BodyEvaluator
from tilewright.passes.tile.emitter import CELL, Emitter
from tilewright.passes.tile.values import Axis, Linear, Tile, Value, axis_union

LANES = (1,)


def order_of(nest: Nest, index: str, position: int) -> tuple[int, ...]:
    """Where the axis of ``index`` stands in tiles: the nest's last ``tile`` block is the vector axis."""
    tiles = [b.index for b in nest.blocks if b.where.value == "tile"]
    return LANES if tiles and tiles[-1] == index else (0, position)


@dataclass
class FoldLoops:
    """One fold at one place: its operands, its domain, and the accumulators' axes."""

    op: Any
    nest: Nest
    bindings: tuple[Value, ...]
    domain: tw.Domain
    extents: list[Linear]
    symbols: Sequence[Linear]
    axes: tuple[Axis, ...] = ()
    lanes: tuple[Axis, ...] = ()
    lows: list[Linear] = field(default_factory=list)
    highs: list[Linear] = field(default_factory=list)
    residual: list[tuple[int, Tile]] = field(default_factory=list)


def parallel_axes(bindings: Sequence[Value]) -> tuple[Axis, ...]:
    return axis_union(b.axes for b in bindings)


class FoldTiler:
    """Builds folds with an emitter and an evaluator of bodies."""

    def __init__(self, emitter: Emitter, evaluator: BodyEvaluator, symbols: Sequence[Linear]) -> None:
        self.emitter, self.evaluator, self.symbols = emitter, evaluator, symbols

    def prepare(self, op: Any, nest: Nest, bindings: tuple[Value, ...]) -> FoldLoops:
        """The fold's extents at the current level, as uniform index values."""
        domain = tw.domain_of(op)
        extents = [
            uniform(evaluate_affine(self.emitter, e, [], self.symbols)) for e in list(domain.extents.results)
        ]
        loops = FoldLoops(op, nest, bindings, domain, extents, self.symbols)
        reduced = extents[domain.parallel :]
        loops.lows, loops.highs = [Linear()] * len(reduced), list(reduced)
        self._value_bounds(loops)
        return loops

    def build(self, loops: FoldLoops) -> list[Tile]:
        """The fold's results over the parallel axes, built at the current level."""
        lanes = [self._axis(loops, k, None) for k in range(loops.domain.reduced)]
        loops.lanes = tuple(a for a in lanes if a is not None)
        loops.axes = axis_union([parallel_axes(loops.bindings), loops.lanes])
        start = [self.emitter.constant_tile(t, v, loops.axes).value for t, v in self._neutral(loops.op)]
        partial = self._loop(loops, (), start)
        return self._finish(loops, partial)

    # ------------------------------------------------------------ loops

    def _loop(self, loops: FoldLoops, bound: tuple[Linear, ...], carried: list[Any]) -> list[Any]:
        position = len(bound)
        if position == loops.domain.reduced:
            return self._step(loops, bound, carried)
        lo, hi = self.narrowed(loops, bound)
        size = loops.nest.tile_size(loops.domain.indices[loops.domain.parallel + position])

        def body(iv: Linear, inner: list[Any]) -> Sequence[Any]:
            axis = self._axis(loops, position, self.emitter.add(hi, iv, -1))
            value = iv if axis is None else Linear(iv.base, 0, ((axis, 1),), iv.level)
            return self._loop(loops, (*bound, value), inner)

        return self.emitter.loop(lo, hi, size, carried, body)

    def _axis(self, loops: FoldLoops, position: int, limit: Linear | None) -> Axis | None:
        number = loops.domain.parallel + position
        index = loops.domain.indices[number]
        size = loops.nest.tile_size(index)
        if size == 1:
            return None
        return self.emitter.new_axis(index, size, order_of(loops.nest, index, number), limit)

    def _step(self, loops: FoldLoops, bound: tuple[Linear, ...], carried: list[Any]) -> list[Any]:
        arguments = [*loops.bindings, *bound]
        inside = self.domain_mask(loops, arguments)
        elements = self.evaluator.evaluate(tw.body_of(loops.op), arguments, active=inside)
        exists = self._both(inside, self.emitter.within_limits([a for v in bound for a in v.axes]))
        here = dict(zip(loops.lanes, (a for v in bound for a in v.axes), strict=True))
        axes = tuple(here.get(a, a) for a in loops.axes)
        values = [self._masked(loops.op, k, v, exists, axes) for k, v in enumerate(elements)]
        return self._merged(loops, carried, values)

    def _masked(self, op: Any, position: int, value: Value, exists: Tile | None, axes: tuple[Axis, ...]) -> Any:
        element = self.emitter.as_tile(value)
        if exists is not None:
            type_, neutral = self._neutral(op)[position]
            start = self.emitter.constant_tile(type_, neutral)
            element = self.emitter.elementwise(arith.select, exists, element, start)
        return self.emitter.spread(element, axes)

    def _merged(self, loops: FoldLoops, carried: list[Any], values: list[Any]) -> list[Any]:
        result: list[Any] = []
        unsigned = tw.is_unsigned(loops.op)
        with self.emitter.at(self.emitter.depth):
            for kind in tw.fold_kinds(loops.op):
                here = slice(len(result), len(result) + arity(kind))
                result.extend(merge(kind, carried[here], values[here], unsigned))
        return result

    def _finish(self, loops: FoldLoops, partial: list[Any]) -> list[Tile]:
        kept = tuple(a for a in loops.axes if a not in loops.lanes)
        level = self.emitter.depth
        if not loops.lanes:
            return [Tile(v, kept, level) for v in partial]
        positions = [k for k, a in enumerate(loops.axes) if a in loops.lanes]
        with self.emitter.at(level):
            values = tile.reduce(partial, tw.fold_kinds(loops.op), positions, tw.is_unsigned(loops.op))
        return [Tile(v, kept, level) for v in values]

    # ------------------------------------------------------------ the domain

    def narrowed(self, loops: FoldLoops, bound: tuple[Linear, ...]) -> tuple[Linear, Linear]:
        """The range of the next reduced index in which some point of the tile satisfies the affine constraints."""
        position = len(bound)
        number = loops.domain.parallel + position
        lo, hi = loops.lows[position], loops.highs[position]
        known: list[Value] = [*loops.bindings, *bound]
        if not all(isinstance(k, Linear) for k in known):
            return lo, hi
        for expr in list(loops.domain.constraints.results):
            split = _split(self.emitter, expr, number, known, loops.symbols)
            if split is None:
                continue
            coefficient, rest = split
            bound_ = self.emitter.floor_divide(extreme(self.emitter, rest, 1), abs(coefficient))
            if coefficient < 0:
                hi = self.emitter.minimum(hi, self.emitter.add(bound_, Linear(constant=1)))
            else:
                lo = self.emitter.maximum(lo, self.emitter.scale(bound_, -1))
        return lo, hi

    def domain_mask(self, loops: FoldLoops, arguments: Sequence[Value]) -> Tile | None:
        """True at the points of the domain (its box apart); None when every point belongs to it."""
        mask: Tile | None = None
        zero = self.emitter.as_tile(Linear())
        for expr in list(loops.domain.constraints.results):
            value = self.emitter.as_tile(evaluate_affine(self.emitter, expr, arguments, loops.symbols))
            mask = self._both(mask, self.emitter.elementwise(at_least, value, zero))
        for position, limit in loops.residual:
            value = self.emitter.as_tile(arguments[loops.domain.parallel + position // 2])
            build = at_least if position % 2 == 0 else below
            mask = self._both(mask, self.emitter.elementwise(build, value, limit))
        where = tw.block_of(loops.op, tw.WHERE)
        if where is None:
            return mask
        condition = self.evaluator.evaluate(where, arguments, active=mask)[0]  # it may read: only inside the bounds
        return self._both(mask, self.emitter.as_tile(condition))

    def _both(self, left: Tile | None, right: Tile | None) -> Tile | None:
        if left is None or right is None:
            return left if right is None else right
        return self.emitter.elementwise(arith.andi, left, right)

    def _value_bounds(self, loops: FoldLoops) -> None:
        """Data-dependent bounds: uniform ones steer the loops; ones that vary over the tile also mask its points."""
        block = tw.block_of(loops.op, tw.BOUNDS)
        if block is None:
            return
        for k, value in enumerate(self.evaluator.evaluate(block, loops.bindings)):
            position, is_hi = divmod(k, 2)
            if isinstance(value, Linear) and value.is_uniform:
                limit = value
            else:
                varying = self.emitter.as_tile(value)
                loops.residual.append((k, varying))
                limit = self._outermost(varying, FoldKind.MAX if is_hi else FoldKind.MIN)
            if is_hi:
                loops.highs[position] = self.emitter.minimum(loops.highs[position], limit)
            else:
                loops.lows[position] = self.emitter.maximum(loops.lows[position], limit)

    def _outermost(self, varying: Tile, kind: FoldKind) -> Linear:
        masked = varying
        exists = self.emitter.within_limits(varying.axes)
        if exists is not None:
            lowest = self.emitter.as_tile(Linear(constant=0))
            masked = self.emitter.elementwise(arith.select, exists, varying, lowest)
        with self.emitter.at(varying.level):
            total = tile.reduce([masked.value], [kind], range(len(masked.axes)))[0]
            scalar = dialect("tensor").extract(total, [])
        return Linear(scalar, level=varying.level)

    def _neutral(self, op: Any) -> list[tuple[Any, int | float]]:
        """Element type and start value of each accumulator."""
        types = [ir.RankedTensorType(r.type).element_type for r in op.operation.results]
        result: list[tuple[Any, int | float]] = []
        for kind in tw.fold_kinds(op):
            first = types[len(result)]
            values = init(kind, _element(first, tw.is_unsigned(op)))
            result.extend(zip(types[len(result) :], values, strict=False))
        return result


def _element(type_: Any, unsigned: bool) -> Element:
    if isinstance(type_, ir.FloatType):
        return Element(True, type_.width)
    bits = 64 if isinstance(type_, ir.IndexType) else type_.width
    return Element(False, bits, unsigned)



def _split(
    emitter: Emitter, expr: Any, number: int, known: Sequence[Value], symbols: Sequence[Linear]
) -> tuple[int, Linear] | None:
    """``expr`` as ``coefficient * dim[number] + rest`` with ``rest`` over the dims before it; None when it is not."""
    total, coefficient = Linear(), 0
    for sign, part in _summands(expr):
        factor, dim = _single_dim(part)
        if dim == number:
            coefficient += sign * factor
            continue
        if _mentions_from(part, number):
            return None
        value = evaluate_affine(emitter, part, known, symbols)
        if not isinstance(value, Linear):
            return None
        total = emitter.add(total, value, sign)
    return (coefficient, total) if coefficient else None


def _summands(expr: Any) -> list[tuple[int, Any]]:
    if isinstance(expr, ir.AffineAddExpr):
        return [*_summands(expr.lhs), *_summands(expr.rhs)]
    return [(1, expr)]


def _single_dim(expr: Any) -> tuple[int, int]:
    """``(c, d)`` for ``c * d-th dim``, else ``(0, -1)``."""
    if isinstance(expr, ir.AffineDimExpr):
        return 1, expr.position
    if isinstance(expr, ir.AffineMulExpr) and isinstance(expr.rhs, ir.AffineConstantExpr):
        factor, dim = _single_dim(expr.lhs)
        return factor * expr.rhs.value, dim
    return 0, -1


def _mentions_from(expr: Any, number: int) -> bool:
    """Whether a dim at or after ``number`` occurs in ``expr``."""
    if isinstance(expr, ir.AffineDimExpr):
        return bool(expr.position >= number)
    if isinstance(expr, (ir.AffineConstantExpr, ir.AffineSymbolExpr)):
        return False
    return _mentions_from(expr.lhs, number) or _mentions_from(expr.rhs, number)


def fold_level(bindings: Sequence[Value]) -> int:
    """The lowest level a fold at these bindings may be built at; never above the grid cell."""
    levels = [b.level for b in bindings]
    levels += [a.level for b in bindings for a in b.axes]
    return max([CELL, *levels])
