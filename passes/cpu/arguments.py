"""Owns the native ABI inside a function: which slot holds which argument, and the views they stand for."""

from __future__ import annotations

from typing import Any

from tilewright.dialect import functions
from tilewright.dialect.faults import InternalFault
from tilewright.dialect.mlir import ir
from tilewright.passes.cpu.place import Stride, View
from tilewright.passes.cpu.stage import row_strides
from tilewright.passes.cpu.tiles import ConstantTile, ElementwiseTile, Position, Tile
from tilewright.passes.machine.elements import from_storage, storage_type
from tilewright.passes.machine.emit import Emitter

SLOT_BYTES = 8
STRIDED = "strided"


class SlotTile(Tile):
    """A scalar or dim in a slot, read when it is asked for."""

    def __init__(self, emitter: Emitter, slots: Any, number: int, element: Any) -> None:
        super().__init__(emitter, (), element, (), 0)
        self.slots, self.number = slots, number

    def _scalar(self, at: Position) -> Any:
        e = self.emitter
        pointer = e.advance(self.slots, e.i64, self.number)
        if self.element == e.index:
            return e.value("arith.index_cast", e.index, e.load(e.i64, pointer, SLOT_BYTES))
        stored = e.load(storage_type(e, self.element), pointer, SLOT_BYTES)
        return from_storage(e, stored, self.element)


class Arguments:
    """The arguments of a launch: ``tiles`` of scalars and dims, ``views`` of tensors, the ``status`` pointer."""

    def __init__(self, emitter: Emitter, function: Any, slots: Any) -> None:
        self.emitter, self.slots = emitter, slots
        block = function.regions[0].blocks[0]
        self.arguments = functions.arguments_of(function, "tile")
        self.tiles: dict[Any, Tile] = {}
        self.views: dict[Any, View] = {}
        self._slots_of: dict[int, int] = {}
        number = 0
        for position, argument in enumerate(block.arguments):
            self._slots_of[position] = number
            number += self._slots_taken(position, argument)
        self.slot_count = number + 1
        for position, argument in enumerate(block.arguments):
            if not isinstance(argument.type, ir.MemRefType):
                self.tiles[argument] = SlotTile(emitter, slots, self._slots_of[position], argument.type)
        self.dims = self._dims(function, block)
        for position, argument in enumerate(block.arguments):
            if isinstance(argument.type, ir.MemRefType):
                self.views[argument] = self._view(position, argument)
        self.status = self._pointer(number)

    def _slots_taken(self, position: int, argument: Any) -> int:
        if isinstance(argument.type, ir.MemRefType) and self.arguments[position].layout == STRIDED:
            return 1 + int(ir.MemRefType(argument.type).rank)
        return 1

    def _dims(self, function: Any, block: Any) -> list[Tile]:
        """The dim tiles in the order of ``tile.dims``."""
        by_name = {
            known.name: self.tiles[argument]
            for known, argument in zip(self.arguments, block.arguments, strict=True)
            if known.role == "dim"
        }
        return [by_name[name] for name in functions.dims_of(function, "tile")]

    def _pointer(self, number: int) -> Any:
        e = self.emitter
        return e.load(e.pointer, e.advance(self.slots, e.i64, number), SLOT_BYTES)

    def _view(self, position: int, argument: Any) -> View:
        known = self.arguments[position]
        sizes = [self.extent(expression) for expression in known.shape.results]
        slot = self._slots_of[position]
        return View(
            pointer=self._pointer(slot),
            depth=0,
            element=ir.MemRefType(argument.type).element_type,
            sizes=tuple(sizes),
            strides=self._strides(known.layout, sizes, slot),
            written=known.role != "in" and _is_read_and_written(argument),
        )

    def _strides(self, layout: str, sizes: list[Stride], slot: int) -> tuple[Stride, ...]:
        if layout == "row":
            return row_strides(self.emitter, sizes)
        if layout == STRIDED:
            e = self.emitter
            return tuple(SlotTile(e, self.slots, slot + 1 + axis, e.index) for axis in range(len(sizes)))
        order = [int(n) for n in layout.removeprefix("order(").removesuffix(")").split(",")]
        ordered = row_strides(self.emitter, [sizes[axis] for axis in order])
        return tuple(ordered[order.index(axis)] for axis in range(len(sizes)))

    def extent(self, expression: Any) -> Stride:
        """A size of a view from an affine expression over the dims."""
        value = self._evaluate(expression)
        return int(value.constant) if value.constant is not None else value

    def _evaluate(self, expression: Any) -> Tile:
        e = self.emitter
        if isinstance(expression, ir.AffineConstantExpr):
            return ConstantTile(e, (), e.index, e.index, expression.value)
        if isinstance(expression, ir.AffineSymbolExpr | ir.AffineDimExpr):
            return self.dims[int(expression.position)]
        sides = [self._evaluate(side) for side in (expression.lhs, expression.rhs)]
        return ElementwiseTile(e, (), e.index, sides, self._binary(expression))

    def _binary(self, expression: Any) -> Any:
        """The index arithmetic of an affine expression (dims and sizes are not negative)."""
        e = self.emitter
        for kind, rule in (
            (ir.AffineAddExpr, lambda a, b: e.same("arith.addi", a, b)),
            (ir.AffineMulExpr, lambda a, b: e.same("arith.muli", a, b)),
            (ir.AffineFloorDivExpr, lambda a, b: e.same("arith.divui", a, self._divisor(b))),
            (ir.AffineModExpr, lambda a, b: e.same("arith.remui", a, self._divisor(b))),
        ):
            if isinstance(expression, kind):
                return rule
        raise InternalFault(f"a view's size {expression} has no index arithmetic")

    def _divisor(self, value: Any) -> Any:
        """Never zero: a dim that is zero must not trap."""
        return self.emitter.same("arith.maxui", value, self.emitter.constant(self.emitter.index, 1))


def _is_read_and_written(argument: Any) -> bool:
    names = {use.owner.operation.name for use in argument.uses}
    return "tile.store" in names and "tile.load" in names
