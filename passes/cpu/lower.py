"""Owns the step from the neutral tile level to machine-level functions (``scf arith math vector llvm``).

By rebuild: the old body is walked once with a dict from old values to tiles. Each launch gives three functions of the
native ABI: ``<launch>(slots, lo, hi, scratch)``, ``<launch>_cells(slots)`` and ``<launch>_scratch(slots)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tilewright.dialect import ods, tile
from tilewright.dialect.affine import coefficients
from tilewright.dialect.faults import IllegalOp, InternalFault
from tilewright.dialect.folds import FoldKind
from tilewright.dialect.mlir import ir
from tilewright.passes.cpu import control, stage
from tilewright.passes.cpu.access import load, store
from tilewright.passes.cpu.arguments import Arguments
from tilewright.passes.cpu.bounds import Bounds
from tilewright.passes.cpu.contract import contract
from tilewright.passes.cpu.place import Buffers, Place, View
from tilewright.passes.cpu.reduce import combiner, reduce
from tilewright.passes.cpu.target import CpuTarget
from tilewright.passes.cpu.tiles import (
    BelowTile,
    ConstantTile,
    ElementwiseTile,
    IotaTile,
    PermutedTile,
    PickedTile,
    Tile,
    hold,
    main_axis,
)  # fmt: skip
from tilewright.passes.machine.elements import half_bits, is_half, machine_type
from tilewright.passes.machine.elementwise import OPS as ELEMENTWISE
from tilewright.passes.machine.elementwise import rule_of
from tilewright.passes.machine.emit import INT_PREDICATES, Emitter
from tilewright.passes.machine.library import Library

HEIGHT_LIMIT = 40  # tiles computed through one another, each a few Python frames
CELLS, SCRATCH = "_cells", "_scratch"


@dataclass(frozen=True)
class Lowered:
    """The machine-level module, the names of its launches, and the place of each run-time check by site number."""

    module: Any
    launches: tuple[str, ...]
    sites: dict[str, tuple[str, ...]]


def lower(module: Any, target: CpuTarget) -> Lowered:
    """Lower every launch of a tile-level ``module``."""
    result = ir.Module.create(loc=module.operation.location)
    library = Library(result)
    names, sites = [], {}
    for op in ods.ops_of(module.body):
        if op.name != "func.func":
            raise IllegalOp(f"{op.name!r} stands beside the launches")
        name = ir.StringAttr(op.attributes["sym_name"]).value
        names.append(name)
        sites[name] = _lower_launch(library, op, name, target)
    return Lowered(result, tuple(names), sites)


def _lower_launch(library: Library, function: Any, name: str, target: CpuTarget) -> tuple[str, ...]:
    index_sized = ir.IntegerType.get_signless(64)
    pointer = ir.Type.parse("!llvm.ptr")
    for suffix, count in ((CELLS, _emit_cells), (SCRATCH, _emit_scratch)):
        block = library.entry(name + suffix, [pointer], [index_sized], function.location)
        emitter = Emitter(target, library, block)
        emitter.location = function.location
        emitter.op("func.return", [], [emitter.to_i64(count(emitter, function, block.arguments[0]))])
    block = library.entry(name, [pointer, index_sized, index_sized, pointer], [], function.location)
    emitter = Emitter(target, library, block)
    emitter.location = function.location
    lowering = Lowering(emitter, function, block)
    lowering.run()
    emitter.op("func.return")
    return tuple(lowering.sites)


def _emit_cells(emitter: Emitter, function: Any, slots: Any) -> Any:
    """How many grid cells the launch has."""
    arguments = Arguments(emitter, function, slots)
    lowering = ScalarPrologue(emitter, arguments.tiles)
    total = emitter.constant(emitter.index, 1)
    grid = lowering.up_to_grid(function)
    if grid is None:
        return total
    extents = [lowering.tiles[v] for v in grid.operands]
    for count in control.cell_counts(emitter, extents, tile.grid_tiles(grid)):
        total = emitter.same("arith.muli", total, count)
    return total


def _emit_scratch(emitter: Emitter, function: Any, slots: Any) -> Any:
    """The bytes of scratch memory that one caller needs."""
    arguments = Arguments(emitter, function, slots)
    return stage.layout(emitter, Bounds(emitter, arguments.tiles), function)[1]


class ScalarPrologue:
    """The ops of a launch on scalars and tiles that need no memory: constants, ``arith``, ``math``, shapes of tiles."""

    def __init__(self, emitter: Emitter, tiles: dict[Any, Tile]) -> None:
        self.emitter = emitter
        self.tiles = dict(tiles)
        self.rules: dict[str, Callable[[Any], None]] = {
            "arith.constant": self._constant,
            "tensor.extract": self._extract,
            "tile.broadcast": self._broadcast,
            "tile.iota": self._iota,
            "tile.splat": self._splat,
        }

    def up_to_grid(self, function: Any) -> Any:
        """Take the ops before the grid; the grid, or None."""
        for op in ods.ops_of(function.regions[0].blocks[0]):
            if op.name == "tile.grid":
                return op
            if op.name != "func.return":
                self.take(op)
        return None

    def take(self, op: Any) -> None:
        """Lower one op."""
        self.emitter.location = op.location
        if op.name in ELEMENTWISE:
            self._elementwise(op)
            return
        rule = self.rules.get(op.name)
        if rule is None:
            raise IllegalOp(f"{op.name!r} has no machine-level form for a CPU")
        rule(op)

    def _elementwise(self, op: Any) -> None:
        result = op.results[0]
        operands = [self._shallow(self.tiles[v]) for v in op.operands]
        simpler = simplified(self.emitter, op, operands)
        if simpler is not None:
            self.tiles[result] = simpler
            return
        shape = control.shape_of_type(result.type)
        element = control.element_of_type(result.type)
        self.tiles[result] = ElementwiseTile(self.emitter, shape, element, operands, rule_of(self.emitter, op))

    def _shallow(self, operand: Tile) -> Tile:
        """``operand``, computed now if answering it would go through too many tiles."""
        if operand.height < HEIGHT_LIMIT:
            return operand
        return hold(operand, main_axis(operand.shape, self.emitter.target.lanes))

    def _constant(self, op: Any) -> None:
        result = op.results[0]
        shape, element = control.shape_of_type(result.type), control.element_of_type(result.type)
        value = op.attributes["value"]
        if isinstance(value, ir.DenseElementsAttr):
            if not value.is_splat:
                raise InternalFault("a tile of different numbers is read from a table")
            value = value.get_splat_value()
        machine = machine_type(self.emitter, element)
        self.tiles[result] = ConstantTile(self.emitter, shape, element, machine, _number(value, element))

    def _extract(self, op: Any) -> None:
        source, *at = (self.tiles[v] for v in op.operands)
        known = [t.constant for t in at]
        if any(k is None for k in known):
            raise IllegalOp("'tensor.extract' of a computed position has no machine-level form for a CPU")
        self.tiles[op.results[0]] = PickedTile(source, tuple(int(k) for k in known if k is not None))

    def _broadcast(self, op: Any) -> None:
        source = self.tiles[op.operands[0]]
        shape = control.shape_of_type(op.results[0].type)
        self.tiles[op.results[0]] = PermutedTile(source, tile.broadcast_axes(op), shape)

    def _iota(self, op: Any) -> None:
        shape = control.shape_of_type(op.results[0].type)
        self.tiles[op.results[0]] = IotaTile(self.emitter, shape, tile.iota_axis(op))

    def _splat(self, op: Any) -> None:
        shape = control.shape_of_type(op.results[0].type)
        self.tiles[op.results[0]] = PermutedTile(self.tiles[op.operands[0]], (), shape)


def simplified(emitter: Emitter, op: Any, operands: Sequence[Tile]) -> Tile | None:
    """A cheaper tile for a choice that is known, or a limit compared with positions; None where there is none."""
    if op.name == "arith.select" and operands[0].constant is not None:
        chosen = operands[1 if operands[0].constant else 2]
        return chosen if chosen.shape == control.shape_of_type(op.results[0].type) else None
    if op.name != "arith.cmpi" or ir.IntegerAttr(op.attributes["predicate"]).value != INT_PREDICATES["slt"]:
        return None
    positions, bound = operands
    if isinstance(positions, IotaTile) and any(positions.varies) and not any(bound.varies):
        return BelowTile(emitter, positions, bound)
    return None


def _number(attribute: Any, element: Any) -> int | float:
    value = attribute.value
    if is_half(element):
        return half_bits(value, element)
    return int(value) if isinstance(value, bool) else value


class Lowering(ScalarPrologue):
    """Lowers one launch into its entry ``block``, whose arguments are slots, lo, hi, scratch."""

    def __init__(self, emitter: Emitter, function: Any, block: Any) -> None:
        slots, self.first, self.last, self.scratch = block.arguments
        arguments = Arguments(emitter, function, slots)
        super().__init__(emitter, arguments.tiles)
        self.function = function
        self.views: dict[Any, View] = dict(arguments.views)
        self.status = arguments.status
        self.sites: list[str] = []
        self.buffers = _new_buffers(emitter)
        self.stage_offsets, _ = stage.layout(emitter, Bounds(emitter, arguments.tiles), function)
        self.rules |= {
            "tile.grid": self._grid,
            "tile.load": self._load,
            "tile.store": self._store,
            "tile.stage": self._stage,
            "tile.contract": self._contract,
            "tile.reduce": self._reduce,
            "scf.for": self._for,
            "scf.if": self._if,
        }

    def run(self) -> None:
        grid = self.up_to_grid(self.function)
        if grid is not None:
            self.take(grid)

    def _block(self, block: Any) -> list[Tile]:
        """Lower the ops of a block; the tiles its terminator yields."""
        for op in ods.ops_of(block):
            if op.name in ("tile.yield", "scf.yield"):
                return [self.tiles[v] for v in op.operands]
            self.take(op)
        return []

    # ------------------------------------------------------------ control

    def _grid(self, op: Any) -> None:
        e = self.emitter
        extents = [self.tiles[v] for v in op.operands]
        counts = control.cell_counts(e, extents, tile.grid_tiles(op))
        start, stop = (e.value("arith.index_cast", e.index, v) for v in (self.first, self.last))
        block = op.regions[0].blocks[0]

        def cell(carried: Sequence[Tile]) -> list[Tile]:
            linear = carried[0].scalar(())
            coordinates = control.cell_coordinates(e, linear, counts, tile.grid_tiles(op))
            self.tiles.update(zip(block.arguments, coordinates, strict=True))
            self._block(block)
            return []

        control.loop(e, start, stop, e.constant(e.index, 1), [], cell)

    def _for(self, op: Any) -> None:
        start, stop, step, *inits = (self.tiles[v] for v in op.operands)
        block = op.regions[0].blocks[0]

        def body(carried: Sequence[Tile]) -> list[Tile]:
            self.tiles.update(zip(block.arguments, carried, strict=True))
            return self._block(block)

        first, last, by = (t.scalar(()) for t in (start, stop, step))
        results = control.loop(self.emitter, first, last, by, inits, body)
        self.tiles.update(zip(op.results, results, strict=True))

    def _if(self, op: Any) -> None:
        blocks = [region.blocks[0] for region in op.regions if len(region.blocks)]
        bodies = [lambda block=block: self._block(block) for block in blocks]
        condition = self.tiles[op.operands[0]].scalar(())
        results = control.branch(self.emitter, condition, [r.type for r in op.results], bodies)
        self.tiles.update(zip(op.results, results, strict=True))

    # ------------------------------------------------------------ memory

    def _place(self, access: tile.Access, shape: tuple[int, ...]) -> Place:
        constants, rows, offsets = [], [], []
        for dim, (expression, offset) in enumerate(zip(access.map.results, access.offsets, strict=True)):
            row, constant = _linear(expression, len(shape))
            known = self.tiles[offset].constant
            if known is None:
                offsets.append((dim, self.tiles[offset]))
            rows.append(row)
            constants.append(constant + int(known or 0))
        return Place(
            emitter=self.emitter,
            view=self.views[access.view],
            shape=shape,
            offsets=tuple(offsets),
            coefficients=tuple(rows),
            constants=tuple(constants),
            gathers={d: self.tiles[v] for d, v in access.gathers},
            limits={a: self.tiles[v] for a, v in access.limits if not self._covers(v, shape[a])},
            guarded=access.guarded,
            checked=access.checked,
            active=None if access.active is None else self.tiles[access.active],
            buffers=self.buffers,
            status=self.status,
            site=self._new_site() if access.checked else 0,
        )

    def _covers(self, limit: Any, size: int) -> bool:
        known = self.tiles[limit].constant
        return known is not None and known >= size

    def _new_site(self) -> int:
        self.sites.append(str(self.emitter.location))
        return len(self.sites)

    def _load(self, op: Any) -> None:
        view = tile.load_view(op)
        place = self._place(view.access, control.shape_of_type(op.results[0].type))
        otherwise = None if view.otherwise is None else self.tiles[view.otherwise]
        self.tiles[op.results[0]] = load(self.emitter, place, otherwise)

    def _store(self, op: Any) -> None:
        view = tile.store_view(op)
        place = self._place(view.access, control.shape_of_type(view.tile.type))
        merge = None if view.combine is None else combiner(self.emitter, view.combine, place.view.element)
        store(self.emitter, place, self.tiles[view.tile], merge)

    def _stage(self, op: Any) -> None:
        e = self.emitter
        with e.at(0):
            pointer = e.advance(self.scratch, e.i8, self.stage_offsets[op])
        filling, filled = stage.view_of(e, op, [self.tiles[v] for v in op.operands], pointer)
        if stage.fills_conditionally(op):
            stage.clear(e, filling)
        block = op.regions[0].blocks[0]
        self.views[block.arguments[0]] = filling
        self._block(block)
        self.views[op.results[0]] = filled

    # ------------------------------------------------------------ products and folds

    def _contract(self, op: Any) -> None:
        a, b, acc = (self.tiles[v] for v in op.operands)
        self.tiles[op.results[0]] = contract(self.emitter, a, b, acc, tile.contract_maps(op))

    def _reduce(self, op: Any) -> None:
        kinds = [FoldKind(k) for k in ods.string_list(op.attributes["kinds"])]
        unsigned = bool(ir.BoolAttr(op.attributes["unsigned"]).value)
        tiles = [self.tiles[v] for v in op.operands]
        results = reduce(self.emitter, tiles, kinds, tile.reduce_axes(op), unsigned)
        self.tiles.update(zip(op.results, results, strict=True))


def _new_buffers(emitter: Emitter) -> Buffers:
    size = 8 * emitter.target.lanes
    zeros, sink = emitter.stack(size), emitter.stack(size)
    emitter.store(emitter.constant(emitter.vector_type(emitter.target.lanes, emitter.i64), 0), zeros, 8)
    return Buffers(zeros, sink)


def _linear(expression: Any, axes: int) -> tuple[tuple[int, ...], int]:
    """The coefficient of each tile axis and the constant of one dim of an access map."""
    known = coefficients(expression, axes, 0)
    if known is None:
        raise IllegalOp(f"the access map {expression} is not linear")
    return known[0], known[2]
