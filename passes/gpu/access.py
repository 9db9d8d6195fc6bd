"""Owns loads and stores of tiles by threads: addresses, predicates, and the widest accesses that facts allow.

An element that is limited, guarded, inactive or outside is never touched: its access stands under a predicate. Slots
that are neighbours in memory go by one access of up to 128 bits when their address is known to be aligned to it and
their predicate is known to be the same (PTX ISA, "Data movement and conversion instructions: ld, st").
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tilewright.dialect import tile
from tilewright.dialect.layout import Layout
from tilewright.dialect.mlir import ir
from tilewright.passes.gpu import memory
from tilewright.passes.gpu.divisors import Divisors
from tilewright.passes.gpu.memory import GlobalView
from tilewright.passes.gpu.place import Placement, Threads
from tilewright.passes.gpu.registers import Registers
from tilewright.passes.machine.elements import machine_type, storage_bytes
from tilewright.passes.machine.emit import Emitter


@dataclass(frozen=True)
class Addresses:
    """Where the slots of one access lie: a pointer for all of them, and an offset for each.

    ``constant`` is the part of a slot's offset along the contiguous dim, ``others`` its coordinates along the rest.
    """

    pointer: Any
    constant: tuple[int, ...]
    others: tuple[tuple[int, ...], ...]
    width: int


class Accesses:
    """Lowers ``tile.load`` and ``tile.store`` on global views."""

    def __init__(self, emitter: Emitter, threads: Threads, divisors: Divisors, status: Any) -> None:
        self.emitter, self.threads, self.divisors, self.status = emitter, threads, divisors, status

    def load(
        self, view: GlobalView, access: tile.Access, old: tile.Access, layout: Layout | None,
        otherwise: Registers | None, operands: Operands, site: int = 0,
    ) -> Registers:  # fmt: skip
        """The slots of a load; ``old`` are the tile-level operands (for what is known of them), ``site`` is the number
        of its run-time check."""
        places = self._addresses(view, access, old, layout, operands)
        values: list[Any] = []
        for first in range(0, len(places.constant), places.width):
            group = range(first, first + places.width)
            if access.checked:
                self._report(view, access, layout, first, operands, site)
            condition = self._condition(view, access, layout, first, operands)
            values += self._load_group(view, places, group, condition, otherwise, operands)
        return Registers(tuple(values), layout, view.element)

    def store(
        self, value: Registers, view: GlobalView, access: tile.Access, old: tile.Access, operands: Operands
    ) -> None:
        """Store the slots that this thread owns."""
        places = self._addresses(view, access, old, value.layout, operands)
        owner = self.threads.is_owner(value.layout)
        for first in range(0, len(places.constant), places.width):
            condition = self._condition(view, access, value.layout, first, operands)
            condition = self.emitter.both([c for c in (owner, condition) if c is not None])
            values = list(value.values[first : first + places.width])
            pointer = self._pointer(view, places, first, operands)
            self._guarded(condition, partial(memory.store, self.emitter, values, pointer, view.element))

    def width(self, view: GlobalView, access: tile.Access, layout: Layout | None) -> int:
        """How many neighbouring elements one access of this form takes."""
        place = self._placement(layout)
        rows = [coefficients(e, len(place.base)) for e in access.map.results]
        constants = [tuple(sum(c * x for c, x in zip(row, slot, strict=True)) for row in rows) for slot in place.slots]
        last = len(rows) - 1
        if not rows or view.strides[last] != 1:
            return 1
        along = [c[last] for c in constants]
        others = [(*c[:last], 0) for c in constants]
        return self._width(view, access, access, rows, place, along, others)

    def runs(
        self, view: GlobalView, access: tile.Access, layout: Layout | None, operands: Operands
    ) -> Iterator[tuple[int, int, Any, Any]]:
        """(first slot, number of neighbours, pointer, condition) of every access."""
        places = self._addresses(view, access, access, layout, operands)
        for first in range(0, len(places.constant), places.width):
            condition = self._condition(view, access, layout, first, operands)
            yield first, places.width, self._pointer(view, places, first, operands), condition

    # ------------------------------------------------------------ addresses

    def _addresses(
        self, view: GlobalView, access: tile.Access, old: tile.Access, layout: Layout | None, operands: Operands
    ) -> Addresses:
        place = self._placement(layout)
        rows = [coefficients(e, len(place.base)) for e in access.map.results]
        total = None
        for d, row in enumerate(rows):
            coordinate = self._sum([operands.offsets[d], *self._scaled_bases(row, place)])
            total = self._add(total, self._multiply(coordinate, view.strides[d]))
        pointer = memory.advance(self.emitter, view.pointer, view.element, total if total is not None else 0)
        constants = [tuple(sum(c * x for c, x in zip(row, slot, strict=True)) for row in rows) for slot in place.slots]
        last = len(rows) - 1
        contiguous = last if rows and view.strides[last] == 1 else -1
        along = tuple(c[contiguous] if contiguous >= 0 else 0 for c in constants)
        others = tuple(tuple(0 if d == contiguous else x for d, x in enumerate(c)) for c in constants)
        width = 1 if contiguous < 0 else self._width(view, access, old, rows, place, along, others)
        return Addresses(pointer, along, others, width)

    def _placement(self, layout: Layout | None) -> Placement:
        return Placement((), ((),), ()) if layout is None else self.threads.place(layout)

    def _scaled_bases(self, row: Sequence[int], place: Placement) -> list[Any]:
        found = []
        for coefficient, base in zip(row, place.base, strict=True):
            if coefficient and base is not None:
                found.append(self._multiply(base, coefficient))
        return found

    def _width(
        self,
        view: GlobalView,
        access: tile.Access,
        old: tile.Access,
        rows: Sequence[Sequence[int]],
        place: Placement,
        along: Sequence[int],
        others: Sequence[tuple[int, ...]],
    ) -> int:
        """How many neighbouring slots every access may take."""
        if access.gathers or access.guarded or access.checked or access.active is not None:
            return 1
        width = memory.VECTOR_BYTES // storage_bytes(view.element)
        last = len(rows) - 1
        for d, row in enumerate(rows):
            parts = [self.divisors.of(old.offsets[d])]
            parts += [c * s for c, s in zip(row, place.steps, strict=True)]
            divisor = math.gcd(*parts) * (1 if d == last else view.divisors[d])
            width = math.gcd(width, divisor)
        for axis, limit in old.limits:
            if rows[last][axis]:
                width = math.gcd(width, self.divisors.of(limit))
        width = math.gcd(width, max(1, view.alignment // storage_bytes(view.element)))
        while width > 1 and not _groups(along, others, width):
            width //= 2
        return max(1, width)

    def _pointer(self, view: GlobalView, places: Addresses, slot: int, operands: Operands) -> Any:
        """The address of one slot."""
        extra = None
        for d, constant in enumerate(places.others[slot]):
            if constant:
                extra = self._add(extra, self._multiply(view.strides[d], constant))
        for d, gather in operands.gathers:
            index = gather.values[slot if len(gather.values) > 1 else 0]
            extra = self._add(extra, self._multiply(index, view.strides[d]))
        pointer = places.pointer
        if extra is not None:
            pointer = memory.advance(self.emitter, pointer, view.element, extra)
        return memory.advance(self.emitter, pointer, view.element, places.constant[slot])

    # ------------------------------------------------------------ predicates

    def _condition(
        self, view: GlobalView, access: tile.Access, layout: Layout | None, slot: int, operands: Operands
    ) -> Any:
        """Whether a slot is accessed; None when it always is."""
        asked = self._asked(access, layout, slot, operands)
        inside = self._inside(view, access, layout, slot, operands, {*access.guarded, *access.checked})
        return self.emitter.both([*asked, *inside])

    def _asked(self, access: tile.Access, layout: Layout | None, slot: int, operands: Operands) -> list[Any]:
        """The program asks for this slot: it is below the limits and active."""
        place = self._placement(layout)
        conditions = []
        for (axis, _), limit in zip(access.limits, operands.limits, strict=True):
            position = self._sum([place.base[axis], place.slots[slot][axis]])
            conditions.append(self.emitter.compare_int("slt", self._value(position), limit))
        if operands.active is not None:
            values = operands.active.values
            conditions.append(values[slot if len(values) > 1 else 0])
        return conditions

    def _inside(
        self, view: GlobalView, access: tile.Access, layout: Layout | None, slot: int, operands: Operands,
        dims: Collection[int],
    ) -> list[Any]:  # fmt: skip
        """The slot lies inside the view along ``dims``."""
        place = self._placement(layout)
        conditions = []
        for d in sorted(dims):
            coordinate = self._value(self._coordinate(access, place, slot, d, operands))
            conditions.append(self.emitter.compare_int("ult", coordinate, self._value(view.extents[d])))
        return conditions

    def _report(
        self, view: GlobalView, access: tile.Access, layout: Layout | None, slot: int, operands: Operands, site: int
    ) -> None:
        """Store the number of a run-time check that fails to the launch's status (a null pointer: unchecked)."""
        e = self.emitter
        inside = e.both(self._inside(view, access, layout, slot, operands, access.checked))
        outside = e.same("arith.xori", inside, e.constant(e.i1, 1))
        address = e.value("llvm.ptrtoint", e.i64, self.status)
        wanted = e.compare_int("ne", address, e.constant(e.i64, 0))
        failed = e.both([*self._asked(access, layout, slot, operands), outside, wanted])
        self._guarded(failed, lambda: memory.store(e, [e.constant(e.i64, site)], self.status, e.i64))

    def _coordinate(self, access: tile.Access, place: Placement, slot: int, d: int, operands: Operands) -> Any:
        row = coefficients(access.map.results[d], len(place.base))
        constant = sum(c * x for c, x in zip(row, place.slots[slot], strict=True))
        gathered = [g.values[slot if len(g.values) > 1 else 0] for k, g in operands.gathers if k == d]
        return self._sum([operands.offsets[d], *self._scaled_bases(row, place), *gathered, constant])

    def _load_group(
        self, view: GlobalView, places: Addresses, group: range, condition: Any, otherwise: Registers | None,
        operands: Operands,
    ) -> list[Any]:
        e = self.emitter
        pointer = self._pointer(view, places, group[0], operands)
        if condition is None:
            return memory.load(e, pointer, view.element, len(group))
        scalar = machine_type(e, view.element)
        zero = e.constant(scalar, 0)
        rest = [zero if otherwise is None else otherwise.values[k if len(otherwise.values) > 1 else 0] for k in group]
        op = e.op("scf.if", [scalar] * len(group), [condition], regions=2)
        taken, skipped = (region.blocks.append() for region in op.regions)
        with e.region(op, taken, conditional=True):
            e.op("scf.yield", [], memory.load(e, pointer, view.element, len(group)))
        with e.region(op, skipped, conditional=True):
            e.op("scf.yield", [], rest)
        return list(op.results)

    def _guarded(self, condition: Any, body: Any) -> None:
        if condition is None:
            body()
            return
        e = self.emitter
        op = e.op("scf.if", [], [condition], regions=2)
        block = op.regions[0].blocks.append()
        with e.region(op, block, conditional=True):
            body()
            e.op("scf.yield")

    # ------------------------------------------------------------ index arithmetic

    def _value(self, number: Any) -> Any:
        return self.emitter.constant(self.emitter.index, number) if isinstance(number, int) else number

    def _add(self, left: Any, right: Any) -> Any:
        if left is None or (isinstance(left, int) and left == 0):
            return right
        if right is None or (isinstance(right, int) and right == 0):
            return left
        if isinstance(left, int) and isinstance(right, int):
            return left + right
        return self.emitter.same("arith.addi", self._value(left), self._value(right))

    def _sum(self, parts: Sequence[Any]) -> Any:
        total: Any = 0
        for part in parts:
            total = self._add(total, part)
        return total

    def _multiply(self, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int):
            return left * right
        if 1 in (left, right) and (isinstance(left, int) or isinstance(right, int)):
            return right if isinstance(left, int) else left
        return self.emitter.same("arith.muli", self._value(left), self._value(right))


@dataclass(frozen=True)
class Operands:
    """The thread's values of an access's operands: scalars, and tiles as registers."""

    offsets: tuple[Any, ...]
    gathers: tuple[tuple[int, Registers], ...] = ()
    limits: tuple[Any, ...] = ()
    active: Registers | None = None


def coefficients(expr: Any, axes: int) -> list[int]:
    """The coefficient of every tile axis in a linear affine expression."""
    found = [0] * axes
    _collect(expr, 1, found)
    return found


def _collect(expr: Any, factor: int, found: list[int]) -> None:
    if isinstance(expr, ir.AffineDimExpr):
        found[expr.position] += factor
    elif isinstance(expr, ir.AffineAddExpr):
        _collect(expr.lhs, factor, found)
        _collect(expr.rhs, factor, found)
    elif isinstance(expr, ir.AffineMulExpr):
        _collect(expr.lhs, factor * expr.rhs.value, found)


def _groups(along: Sequence[int], others: Sequence[tuple[int, ...]], width: int) -> bool:
    """Whether slots come in aligned runs of ``width`` neighbours."""
    if len(along) % width:
        return False
    for first in range(0, len(along), width):
        if along[first] % width or any(others[first + k] != others[first] for k in range(width)):
            return False
        if any(along[first + k] != along[first] + k for k in range(width)):
            return False
    return True
