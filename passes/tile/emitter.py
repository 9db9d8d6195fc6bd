"""Owns where code goes while a tile program is built: nested loop levels, index arithmetic and broadcasts.

Level 0 is the function, level 1 the grid cell, every loop adds one. A value is built at the lowest level at which its
operands exist, in front of the loops opened since; so invariant code never lands inside a loop, and a fold that
depends on the cell alone is computed once a cell although a reader deep inside asked for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tilewright.dialect import ods, tile
from tilewright.dialect.folds import constant_of, element_type
from tilewright.dialect.mlir import arith, dialect, ir, scf
from tilewright.passes.tile.values import Axis, Linear, Tile, Value, axis_union, combine_terms

FUNCTION, CELL = 0, 1


class Emitter:
    """Builds at loop levels. ``points[level]`` is where the next op of that level goes."""

    def __init__(self, entry: Any) -> None:
        self.points: list[Any] = [ir.InsertionPoint(entry)]
        self.serial = 0
        self._cache: dict[Any, tuple[int, Any]] = {}
        self._constants: dict[tuple[str, str], Any] = {}

    # ------------------------------------------------------------ levels

    @property
    def depth(self) -> int:
        return len(self.points) - 1

    def at(self, level: int) -> Any:
        """The insertion point of ``level``, as a context manager."""
        return self.points[level]

    @contextlib.contextmanager
    def inside(self, op: Any, block: Any) -> Iterator[None]:
        """Build in ``block`` of ``op``, which stands at the current level: a level deeper."""
        outer = self.points[-1]
        self.points[-1] = ir.InsertionPoint(op)
        self.points.append(ir.InsertionPoint(block))
        yield
        self.points.pop()
        self.points[-1] = outer
        self._forget(self.depth)

    @contextlib.contextmanager
    def rewound(self, level: int) -> Iterator[None]:
        """Build at ``level`` as if the loops opened since were not there (they come after what is built)."""
        saved = self.points
        self.points = saved[: level + 1]
        yield
        self.points = saved

    def cached(self, key: Any, level: int, build: Callable[[], Any]) -> Any:
        """``build()`` once for ``key`` while ``level`` is open."""
        if key not in self._cache:
            self._cache[key] = (level, build())
        return self._cache[key][1]

    def _forget(self, depth: int) -> None:
        self._cache = {k: v for k, v in self._cache.items() if v[0] <= depth}

    # ------------------------------------------------------------ loops

    def loop(
        self,
        lo: Linear,
        hi: Linear,
        step: int,
        carried: Sequence[Any],
        body: Callable[[Linear, list[Any]], Sequence[Any]],
    ) -> list[Any]:
        """``scf.for`` at the current level; ``body(iv, carried)`` returns the next carried values."""
        with self.at(self.depth):
            op = scf.ForOp(self.scalar(lo), self.scalar(hi), self.scalar(Linear(constant=step)), list(carried))
        with self.inside(op.operation, op.body):
            iv = Linear(base=op.induction_variable, level=self.depth)
            following = body(iv, list(op.inner_iter_args))
            with self.at(self.depth):
                scf.yield_(list(following))
        return list(op.results)

    def stage(self, sizes: Sequence[int | Any], element: Any, fill: Callable[[Any], None]) -> Any:
        """A buffer of the cell at the current level; ``fill(buffer)`` builds what is stored into it, a level deeper."""
        buffer = tile.view_type([s if isinstance(s, int) else None for s in sizes], element)
        dynamic = [s for s in sizes if not isinstance(s, int)]
        with self.at(self.depth):
            op = ods.create("tile.stage", [buffer], dynamic, {"space": ir.StringAttr.get("cell")}, 1)
        block = ods.add_block(op, 0, [buffer])
        with self.inside(op, block):
            fill(block.arguments[0])
            with self.at(self.depth):
                ods.create("tile.yield")
        return op.results[0]

    def new_axis(self, name: str, size: int, order: tuple[int, ...], limit: Linear | None) -> Axis:
        """A tile axis; ``limit`` is how many positions exist (None: all)."""
        self.serial += 1
        value = None if limit is None else self.scalar(limit)
        return Axis(name, size, order, self.serial, value, limit.level if limit else 0)

    # ------------------------------------------------------------ index arithmetic

    def scalar(self, linear: Linear) -> Any:
        """A uniform index value as an SSA value at its own level."""
        assert linear.is_uniform
        if linear.base is None:
            return self._index_constant(linear.constant)
        if linear.constant == 0:
            return linear.base
        return self.index_op(arith.addi, linear.base, self._index_constant(linear.constant), level=linear.level)

    def index_op(self, build: Callable[..., Any], *operands: Any, level: int) -> Any:
        """``build(*operands)`` on index scalars at ``level``, once."""
        key = ("index", build, operands)

        def make() -> Any:
            with self.at(level):
                return build(*operands)

        return self.cached(key, level, make)

    def _index_constant(self, value: int) -> Any:
        return self._constant(ods.index_type(), value)

    def _constant(self, type_: Any, value: int | float) -> Any:
        key = (str(type_), repr(value))
        if key not in self._constants:
            with ir.InsertionPoint.at_block_begin(self.points[0].block):
                self._constants[key] = constant_of(type_, value)
        return self._constants[key]

    def add(self, left: Linear, right: Linear, sign: int = 1) -> Linear:
        """``left + sign * right``, linear in the tile axes."""
        level = max(left.level, right.level)
        constant = left.constant + sign * right.constant
        terms = combine_terms(left.terms, right.terms, sign)
        base = self._add_bases(left.base, right.base, sign, level)
        return Linear(base, constant, terms, level)

    def _add_bases(self, left: Any, right: Any, sign: int, level: int) -> Any:
        if right is None:
            return left
        if left is None and sign == 1:
            return right
        if left is None:
            left = self._index_constant(0)
        return self.index_op(arith.addi if sign == 1 else arith.subi, left, right, level=level)

    def scale(self, linear: Linear, factor: int) -> Linear:
        """``factor * linear``."""
        if factor == 0:
            return Linear()
        base = linear.base
        if base is not None and factor != 1:
            base = self.index_op(arith.muli, base, self._index_constant(factor), level=linear.level)
        terms = tuple((a, c * factor) for a, c in linear.terms)
        return Linear(base, linear.constant * factor, terms, linear.level)

    def minimum(self, left: Linear, right: Linear) -> Linear:
        return self._uniform(arith.minsi, left, right)

    def maximum(self, left: Linear, right: Linear) -> Linear:
        return self._uniform(arith.maxsi, left, right)

    def multiply(self, left: Linear, right: Linear) -> Linear:
        """The product of two uniform values."""
        if left.is_constant:
            return self.scale(right, left.constant)
        if right.is_constant:
            return self.scale(left, right.constant)
        return self._uniform(arith.muli, left, right)

    def ceil_divide(self, left: Linear, divisor: int) -> Linear:
        if left.is_constant:
            return Linear(constant=-(-left.constant // divisor))
        if divisor == 1:
            return left
        return self._uniform(arith.ceildivsi, left, Linear(constant=divisor))

    def floor_divide(self, left: Linear, divisor: int) -> Linear:
        if left.is_constant:
            return Linear(constant=left.constant // divisor)
        if divisor == 1:
            return left
        return self._uniform(arith.floordivsi, left, Linear(constant=divisor))

    def _uniform(self, build: Callable[..., Any], left: Linear, right: Linear) -> Linear:
        level = max(left.level, right.level)
        return Linear(self.index_op(build, self.scalar(left), self.scalar(right), level=level), level=level)

    # ------------------------------------------------------------ tiles

    def constant_tile(self, element: Any, value: int | float, axes: tuple[Axis, ...] = ()) -> Tile:
        return Tile(self._constant(tile.tile_type([a.size for a in axes], element), value), axes, FUNCTION)

    def splat(self, scalar: Any, level: int) -> Tile:
        """A scalar as a tile of rank 0."""

        def make() -> Any:
            with self.at(level):
                return tile.splat(scalar, [])

        return Tile(self.cached(("splat", scalar), level, make), (), level)

    def iota(self, axis: Axis) -> Tile:
        """The positions along one axis."""

        def make() -> Any:
            with self.at(FUNCTION):
                return tile.iota([axis.size], 0)

        return Tile(self.cached(("iota", axis.size), FUNCTION, make), (axis,), FUNCTION)

    def spread(self, value: Tile, axes: tuple[Axis, ...]) -> Any:
        """The SSA tile of ``value`` over ``axes`` (a superset of its own, in tile order)."""
        if value.axes == axes:
            return value.value
        positions = [axes.index(a) for a in value.axes]

        def make() -> Any:
            with self.at(value.level):
                return tile.broadcast(value.value, positions, [a.size for a in axes])

        return self.cached(("spread", value.value, tuple(positions), axes), value.level, make)

    def as_tile(self, value: Value) -> Tile:
        """An index value as a tile of ``index``."""
        if isinstance(value, Tile):
            return value
        uniform = Linear(value.base, value.constant, (), value.level)
        total = self.splat(self.scalar(uniform), value.level)
        for axis, coefficient in value.terms:
            steps = self.iota(axis)
            if coefficient != 1:
                factor = self.constant_tile(ods.index_type(), coefficient)
                steps = self.elementwise(arith.muli, steps, factor)
            total = self.elementwise(arith.addi, total, steps)
        return total

    def elementwise(self, build: Callable[..., Any], *operands: Tile) -> Tile:
        """``build`` on tiles brought to the union of their axes."""
        axes = axis_union(o.axes for o in operands)
        level = max(o.level for o in operands)
        values = [self.spread(o, axes) for o in operands]
        with self.at(level):
            return Tile(build(*values), axes, level)

    def to_scalar(self, value: Tile) -> Linear:
        """An index tile of rank 0 as a scalar that can address and bound loops."""
        assert not value.axes and isinstance(element_type(value.value.type), ir.IndexType)

        def make() -> Any:
            with self.at(value.level):
                return dialect("tensor").extract(value.value, [])

        return Linear(self.cached(("scalar", value.value), value.level, make), level=value.level)

    def within_limits(self, axes: Sequence[Axis]) -> Tile | None:
        """True where every position exists, over those axes that have a limit; None when all do."""
        mask: Tile | None = None
        for axis in axes:
            if axis.limit is None:
                continue
            limit = self.splat(axis.limit, axis.level)
            inside = self.elementwise(_less, self.iota(axis), limit)
            mask = inside if mask is None else self.elementwise(arith.andi, mask, inside)
        return mask


def _less(left: Any, right: Any) -> Any:
    return arith.cmpi(arith.CmpIPredicate.slt, left, right)
