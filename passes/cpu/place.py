"""Owns addresses and conditions: where the elements of an access lie in memory, and which of them are touched.

Addresses are 64-bit. The terms of an address are added from the outermost frame inwards, so that what does not change
in a loop is computed before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tilewright.passes.cpu.tiles import Position, Tile
from tilewright.passes.machine.elements import storage_bytes, storage_type
from tilewright.passes.machine.emit import Emitter, any_lane

Stride = int | Tile


@dataclass(eq=False)
class View:
    """Memory with sizes and strides (in elements); ``written`` where this function stores into it."""

    pointer: Any
    depth: int
    element: Any
    sizes: tuple[Stride, ...]
    strides: tuple[Stride, ...]
    written: bool
    _pointers: dict[tuple[Any, ...], tuple[Any, int]] = field(default_factory=dict)
    _products: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def scaled(self, emitter: Emitter, dim: int, factor: int | Tile) -> tuple[Any, int]:
        """``factor`` times the stride of ``dim`` (an index value) and the frame it stands in."""
        stride = self.strides[dim]
        depth = max([0, *(t.depth for t in (stride, factor) if isinstance(t, Tile))])
        key = (dim, factor)
        if key not in self._products:
            with emitter.at(depth):
                self._products[key] = _product(emitter, stride, factor)
        return self._products[key], depth

    def row(self, emitter: Emitter, steps: tuple[tuple[int, int], ...], offsets: tuple[tuple[int, Tile], ...]) -> Any:
        """The pointer after ``steps`` (dim, count) along symbolic strides and run-time ``offsets`` (dim, tile)."""
        key = (steps, offsets)
        if key not in self._pointers:
            self._pointers[key] = self._build_row(emitter, steps, offsets)
        return self._pointers[key][0]

    def _build_row(
        self, emitter: Emitter, steps: tuple[tuple[int, int], ...], offsets: tuple[tuple[int, Tile], ...]
    ) -> tuple[Any, int]:
        terms: dict[int, list[Any]] = {}
        factors: list[tuple[int, int | Tile]] = [*steps, *offsets]
        for dim, factor in factors:
            value, depth = self.scaled(emitter, dim, factor)
            terms.setdefault(max(depth, self.depth), []).append(value)
        pointer, depth = self.pointer, self.depth
        for depth in sorted(terms):
            with emitter.at(depth):
                pointer = emitter.advance(pointer, storage_type(emitter, self.element), _sum(emitter, terms[depth]))
        return pointer, depth


def _product(emitter: Emitter, stride: Stride, factor: int | Tile) -> Any:
    if factor == 1:
        return _index(emitter, stride)
    return _times(emitter, _index(emitter, factor), stride)


def _times(emitter: Emitter, value: Any, stride: Stride) -> Any:
    return value if stride == 1 else emitter.same("arith.muli", value, _index(emitter, stride))


def _index(emitter: Emitter, value: int | Tile) -> Any:
    return emitter.constant(emitter.index, value) if isinstance(value, int) else value.scalar(())


def _sum(emitter: Emitter, values: Sequence[Any]) -> Any:
    total = values[0]
    for value in values[1:]:
        total = emitter.same("arith.addi", total, value)
    return total


@dataclass(frozen=True)
class Buffers:
    """Stack memory that stands in for what must not be touched: zeros to read, a sink to write."""

    zeros: Any
    sink: Any


@dataclass(eq=False)
class Place:
    """An access of a tile: per view dim an offset and integer coefficients per tile axis, and the conditions.

    ``coefficients[d][axis]``; ``constants[d]`` is added. ``site`` is the number of the run-time check.
    """

    emitter: Emitter
    view: View
    shape: tuple[int, ...]
    offsets: tuple[tuple[int, Tile], ...]
    coefficients: tuple[tuple[int, ...], ...]
    constants: tuple[int, ...]
    gathers: dict[int, Tile]
    limits: dict[int, Tile]
    guarded: tuple[int, ...]
    checked: tuple[int, ...]
    active: Tile | None
    buffers: Buffers
    status: Any
    site: int
    _masks: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    # ------------------------------------------------------------ shape of the access

    @property
    def alignment(self) -> int:
        return storage_bytes(self.view.element)

    @property
    def bits(self) -> int:
        return 8 * storage_bytes(self.view.element)

    def step(self, axis: int) -> int | None:
        """How many elements the address moves along ``axis``; None if it is not a constant or depends on a gather."""
        if any(self._gather_varies(dim, axis) for dim in self.gathers):
            return None
        total = 0
        for row, stride in zip(self.coefficients, self.view.strides, strict=True):
            if not row[axis]:
                continue
            if not isinstance(stride, int):
                return None
            total += row[axis] * stride
        return total

    def varies(self, axis: int) -> bool:
        """Whether elements along ``axis`` differ in address or in condition."""
        return (
            any(row[axis] for row in self.coefficients)
            or any(self._gather_varies(dim, axis) for dim in self.gathers)
            or self.condition_varies(axis)
        )

    def condition_varies(self, axis: int) -> bool:
        tested = (*self.guarded, *self.checked)
        return (
            axis in self.limits
            or any(self.coefficients[d][axis] for d in tested)
            or any(self._gather_varies(d, axis) for d in tested if d in self.gathers)
            or (self.active is not None and bool(self.active.shape) and self.active.varies[axis])
        )

    def can_mask(self, axis: int) -> bool:
        """Whether the conditions along ``axis`` are cheap as a vector."""
        tested = (*self.guarded, *self.checked)
        return self.bits >= 32 and all(
            self.coefficients[d][axis] in (0, 1) and not (d in self.gathers and self._gather_varies(d, axis))
            for d in tested
        )

    def _gather_varies(self, dim: int, axis: int) -> bool:
        gather = self.gathers[dim]
        own = axis - (len(self.shape) - len(gather.shape))
        return own >= 0 and gather.shape[own] > 1 and gather.varies[own]

    def _gathered(self, dim: int, at: Position) -> Any:
        gather = self.gathers[dim]
        own = at[len(at) - len(gather.shape) :] if gather.shape else ()
        return gather.scalar(tuple(p if size > 1 else 0 for p, size in zip(own, gather.shape, strict=True)))

    # ------------------------------------------------------------ addresses

    def pointer(self, at: Position) -> Any:
        """The address of the element at ``at``."""
        steps, static = [], 0
        for dim, (row, stride) in enumerate(zip(self.coefficients, self.view.strides, strict=True)):
            moved = sum(c * p for c, p in zip(row, at, strict=True)) + self.constants[dim]
            if isinstance(stride, int):
                static += moved * stride
            elif moved:
                steps.append((dim, moved))
        element = storage_type(self.emitter, self.view.element)
        pointer = self.view.row(self.emitter, tuple(steps), self.offsets)
        for dim in self.gathers:
            count = _times(self.emitter, self._gathered(dim, at), self.view.strides[dim])
            pointer = self.emitter.advance(pointer, element, count)
        return self.emitter.advance(pointer, element, static)

    def _coordinate(self, dim: int, at: Position) -> Any:
        e = self.emitter
        number = sum(c * p for c, p in zip(self.coefficients[dim], at, strict=True)) + self.constants[dim]
        parts = [tile.scalar(()) for d, tile in self.offsets if d == dim]
        if dim in self.gathers:
            parts.append(self._gathered(dim, at))
        if number or not parts:
            parts.append(e.constant(e.index, number))
        return _sum(e, parts)

    # ------------------------------------------------------------ conditions

    def condition(self, at: Position, skip: int | None = None) -> Any:
        """i1: is the element at ``at`` touched; None if it always is. Conditions along axis ``skip`` are left out."""
        parts = [self._below_limit(axis, at) for axis in self.limits if axis != skip]
        if self.active is not None and not self._active_along(skip):
            parts.append(self.active.scalar(at if self.active.shape else ()))
        parts += [self._inside(d, at) for d in self.guarded if skip is None or not self.coefficients[d][skip]]
        active = self.emitter.both(parts)
        checks = [self._inside(d, at) for d in self.checked if skip is None or not self.coefficients[d][skip]]
        return self._check(active, self.emitter.both(checks))

    def _active_along(self, axis: int | None) -> bool:
        return axis is not None and self.active is not None and bool(self.active.shape) and self.active.varies[axis]

    def _below_limit(self, axis: int, at: Position) -> Any:
        e = self.emitter
        key = ("limit", axis, at[axis])
        if key not in self._masks:
            limit = self.limits[axis]
            with e.at(max(limit.depth, e.hoist_limit)):
                self._masks[key] = e.compare_int("slt", e.constant(e.index, at[axis]), limit.scalar(()))
        return self._masks[key]

    def _inside(self, dim: int, at: Position) -> Any:
        """0 <= coordinate < size, as one unsigned comparison."""
        e = self.emitter
        return e.compare_int("ult", self._coordinate(dim, at), _index(e, self.view.sizes[dim]))

    def _check(self, active: Any, inside: Any) -> Any:
        """Set the status where ``active`` and not ``inside``; the condition for touching the element."""
        if inside is None:
            return active
        e = self.emitter
        true = e.constant(e.i1, -1)
        allowed = active if active is not None else true
        failed = e.same("arith.andi", allowed, e.same("arith.xori", inside, true))
        where = e.select(failed, self.status, self.buffers.sink)
        e.store(e.constant(e.i64, self.site), where, 8)
        return e.same("arith.andi", allowed, inside)

    def mask(self, at: Position, axis: int, lanes: int) -> Any:
        """The condition of ``lanes`` elements along ``axis`` as a vector of i1 (``can_mask`` holds)."""
        e = self.emitter
        parts = []
        if axis in self.limits:
            parts.append(self._mask_below_limit(axis, at, lanes))
        if self._active_along(axis):
            assert self.active is not None
            parts.append(self.active.vector(at, axis, lanes))
        parts += [self._mask_inside(d, at, lanes) for d in self.guarded if self.coefficients[d][axis]]
        uniform = self.condition(at, skip=axis)
        if uniform is not None:
            parts.append(e.broadcast(uniform, lanes))
        active = e.both(parts)
        checks = [self._mask_inside(d, at, lanes) for d in self.checked if self.coefficients[d][axis]]
        return self._check_lanes(active, e.both(checks), lanes)

    def _check_lanes(self, active: Any, inside: Any, lanes: int) -> Any:
        if inside is None:
            return active
        e = self.emitter
        true = e.constant(e.vector_type(lanes, e.i1), -1)
        allowed = active if active is not None else true
        outside = e.same("arith.andi", allowed, e.same("arith.xori", inside, true))
        self._check(any_lane(e, outside), e.constant(e.i1, 0))
        return e.same("arith.andi", allowed, inside)

    def _mask_below_limit(self, axis: int, at: Position, lanes: int) -> Any:
        e = self.emitter
        key = ("mask", axis, at[axis], lanes)
        if key not in self._masks:
            limit = self.limits[axis]
            with e.at(max(limit.depth, e.hoist_limit)):
                self._masks[key] = e.lanes_below(limit.scalar(()), at[axis], lanes)
        return self._masks[key]

    def _mask_inside(self, dim: int, at: Position, lanes: int) -> Any:
        """The lanes whose coordinate, which grows by one a lane, is in the view."""
        e = self.emitter
        first = self._coordinate(dim, at)
        below = e.same("arith.subi", e.constant(e.index, 0), first)
        left = e.same("arith.subi", _index(e, self.view.sizes[dim]), first)
        return e.both([e.later_lanes(below, lanes), e.first_lanes(left, lanes)])
