"""Owns the pass ``lower-gpu``: tile programs with layouts become kernels of one thread each.

Before: the module after ``assign-layouts``. After: a ``gpu.module`` with one ``llvm.func`` kernel per launch, legal at
the level ``thread``. By rebuild: the old body is walked once, a tile becomes its register slots. Kernel arguments are
the tile function's arguments in order (a pointer for a view, followed by its strides when it is ``strided``; dims as
i64), and last a pointer to the i64 status. The grid is one-dimensional.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tilewright.dialect import functions, ods, tile
from tilewright.dialect.faults import IllegalOp
from tilewright.dialect.folds import FoldKind
from tilewright.dialect.mlir import dialect, ir
from tilewright.dialect.tile_gpu import layout_of
from tilewright.passes.gpu import memory
from tilewright.passes.gpu.access import Accesses, Operands
from tilewright.passes.gpu.assign_layouts import stages_of
from tilewright.passes.gpu.contract import Contractions, Staged
from tilewright.passes.gpu.divisors import Divisors
from tilewright.passes.gpu.memory import GlobalView, SharedBuffer
from tilewright.passes.gpu.place import Threads, flat_cells
from tilewright.passes.gpu.ptx import LLVM_LEVEL_OF_PRODUCTS, Chip, multiplies_up, target_attribute
from tilewright.passes.gpu.reduce import Reductions
from tilewright.passes.gpu.registers import Registers, spread
from tilewright.passes.gpu.sizes import expression_value
from tilewright.passes.gpu.stages import Stages
from tilewright.passes.gpu.thread_emitter import ThreadEmitter
from tilewright.passes.machine.elements import half_bits, is_half, machine_type
from tilewright.passes.machine.elementwise import OPS as ELEMENTWISE
from tilewright.passes.machine.elementwise import rule_of
from tilewright.passes.machine.library import Library
from tilewright.passes.machine.target import Arithmetic

ARITHMETIC = Arithmetic(lanes=1, fma=True, half=True)
SHARED_ALIGNMENT = 128


@dataclass(frozen=True)
class Kernel:
    """What a launcher must know of one kernel."""

    name: str
    threads: int
    shared_bytes: int
    sites: tuple[str, ...] = ()  # the places of its run-time checks, by number from 1
    remarks: tuple[str, ...] = ()  # for people: how buffers are filled, what misses the tensor cores


@dataclass(frozen=True)
class Lowered:
    """A thread-level module and its kernels in the order of the launches."""

    module: Any
    kernels: tuple[Kernel, ...]


def lower(module: Any, chip: Chip, stages: int) -> Lowered:
    """Lower every launch of a module with layouts; ``stages``: copies in flight where no schedule says how many."""
    for name in ("gpu", "nvvm", "llvm"):
        dialect(name)
    result = ir.Module.create(loc=module.operation.location)
    result.operation.attributes["gpu.container_module"] = ir.UnitAttr.get()
    with ir.InsertionPoint(result.body), module.operation.location:
        attributes = {"sym_name": ir.StringAttr.get("kernels"), "targets": ir.ArrayAttr.get([target_attribute(chip)])}
        holder = ods.create("gpu.module", attributes=attributes, regions=1)
    body = holder.regions[0].blocks.append()
    with ir.InsertionPoint(body), module.operation.location:
        _shared_symbol()
    kernels = [_Kernel(body, f, stages_of(f) or stages).build() for f in functions.functions_of(module)]
    if multiplies_up(holder):
        holder.attributes["targets"] = ir.ArrayAttr.get([target_attribute(chip, LLVM_LEVEL_OF_PRODUCTS)])
    return Lowered(result, tuple(kernels))


def _shared_symbol() -> None:
    attributes = {
        "sym_name": ir.StringAttr.get(memory.SHARED_SYMBOL),
        "global_type": ir.TypeAttr.get(ir.Type.parse("!llvm.array<0 x i8>")),
        "linkage": ir.Attribute.parse("#llvm.linkage<external>"),
        "addr_space": ir.IntegerAttr.get(ir.IntegerType.get_signless(32), memory.SHARED),
        "alignment": ods.i64(SHARED_ALIGNMENT),
    }
    ods.create("llvm.mlir.global", attributes=attributes, regions=1)


@dataclass(frozen=True)
class _Body:
    """What ``Library`` wants of a module."""

    body: Any


class _Kernel:
    """Lowers one launch."""

    def __init__(self, holder: Any, function: Any, stages: int) -> None:
        self.function = function
        self.block = function.regions[0].blocks[0]
        self.warps = int(ir.IntegerAttr(function.attributes["tile.warps"]).value)
        self.name = functions.name_of(function)
        self.values: dict[Any, Any] = {}
        self.shared_bytes = 0
        self.scratch: dict[int, int] = {}
        entry = self._entry(holder)
        self.emitter = ThreadEmitter(ARITHMETIC, Library(_Body(holder)), entry)
        self.emitter.location = function.location
        self.divisors = Divisors(function)
        self.threads = Threads(self.emitter, self.warps)
        self.sites: list[str] = []
        self._bind(entry)
        self.accesses = Accesses(self.emitter, self.threads, self.divisors, self.status)
        self.staging = Stages(self, stages)
        self.contractions = Contractions(self.emitter, self.threads, self.staging.load)
        self.reductions = Reductions(self.emitter, self.threads, self._scratch)

    # ------------------------------------------------------------ the signature

    def _entry(self, holder: Any) -> Any:
        described = functions.arguments_of(self.function, "tile")
        types: list[Any] = []
        for argument, value in zip(described, self.block.arguments, strict=True):
            types += self._slot_types(argument, value.type)
        types.append(memory.pointer_type(memory.GLOBAL))
        text = ", ".join(map(str, types))
        attributes = {
            "sym_name": ir.StringAttr.get(self.name),
            "function_type": ir.TypeAttr.get(ir.Type.parse(f"!llvm.func<void ({text})>")),
            "CConv": ir.Attribute.parse("#llvm.cconv<ccc>"),
            "linkage": ir.Attribute.parse("#llvm.linkage<external>"),
            "nvvm.kernel": ir.UnitAttr.get(),
            "nvvm.reqntid": ir.DenseI32ArrayAttr.get([32 * self.warps, 1, 1]),
            "visibility_": ods.i64(0),
        }
        with ir.InsertionPoint(holder), self.function.location:
            op = ods.create("llvm.func", attributes=attributes, regions=1)
        return op.regions[0].blocks.append(*types, arg_locs=[self.function.location] * len(types))

    def _slot_types(self, argument: functions.Argument, type_: Any) -> list[Any]:
        i64 = ir.IntegerType.get_signless(64)
        if argument.shape is not None:
            strides = [i64] * ir.MemRefType(type_).rank if argument.layout == "strided" else []
            return [memory.pointer_type(memory.GLOBAL), *strides]
        if isinstance(type_, ir.IndexType):
            return [i64]
        if isinstance(type_, (ir.BF16Type, ir.F16Type)):
            return [ir.IntegerType.get_signless(16)]
        return [ir.IntegerType.get_signless(8)] if type_ == ir.IntegerType.get_signless(1) else [type_]

    def _bind(self, entry: Any) -> None:
        e = self.emitter
        slots = list(entry.arguments)
        described = list(zip(functions.arguments_of(self.function, "tile"), self.block.arguments, strict=True))
        pending: list[tuple[functions.Argument, Any, Any, list[Any]]] = []
        dims: list[Any] = []
        for argument, old in described:
            taken = len(self._slot_types(argument, old.type))
            here, slots = slots[:taken], slots[taken:]
            if argument.shape is not None:
                pending.append((argument, old, here[0], here[1:]))
            elif argument.role == "dim":
                self.values[old] = e.value("arith.index_cast", e.index, here[0])
                dims.append(self.values[old])
            else:
                self.values[old] = self._scalar(here[0], old.type)
        for argument, old, pointer, strides in pending:
            self.values[old] = self._view(argument, old, pointer, strides, dims)
        self.status = slots[0]

    def _scalar(self, value: Any, type_: Any) -> Any:
        e = self.emitter
        return e.compare_int("ne", value, e.constant(value.type, 0)) if type_ == e.i1 else value

    def _view(
        self, argument: functions.Argument, old: Any, pointer: Any, given: Sequence[Any], dims: Sequence[Any]
    ) -> GlobalView:
        e = self.emitter
        rank = ir.MemRefType(old.type).rank
        extents = tuple(expression_value(e, x, dims) for x in argument.shape.results)
        alignment = self.divisors.alignment(old)
        element = ir.MemRefType(old.type).element_type
        if argument.layout == "strided":
            strides = tuple(e.value("arith.index_cast", e.index, s) for s in given)
            return GlobalView(pointer, element, extents, strides, (1,) * rank, alignment)
        found: dict[int, Any] = {}
        known: dict[int, int] = {}
        stride: Any = 1
        divisor = 1
        for axis in reversed(_order(argument.layout, rank)):
            found[axis], known[axis] = stride, divisor
            extent = extents[axis]
            stride = extent if isinstance(stride, int) and stride == 1 else self._times(stride, extent)
            divisor *= self.divisors.extent(old, axis)
        strides, divisors = (tuple(of[a] for a in range(rank)) for of in (found, known))
        return GlobalView(pointer, element, extents, strides, divisors, alignment)

    def _times(self, left: Any, right: Any) -> Any:
        e = self.emitter
        if isinstance(left, int) and isinstance(right, int):
            return left * right
        values = [e.constant(e.index, v) if isinstance(v, int) else v for v in (left, right)]
        return e.same("arith.muli", *values)

    # ------------------------------------------------------------ shared memory

    def allocate(self, size: int) -> int:
        """A byte offset of new shared memory."""
        start = -(-self.shared_bytes // SHARED_ALIGNMENT) * SHARED_ALIGNMENT
        self.shared_bytes = start + size
        return start

    def _scratch(self, size: int) -> int:
        if size not in self.scratch:
            self.scratch[size] = self.allocate(size)
        return self.scratch[size]

    # ------------------------------------------------------------ ops

    def build(self) -> Kernel:
        self.lower_block(self.block)
        remarks = dict.fromkeys((*self.staging.remarks, *self.contractions.remarks))
        return Kernel(self.name, 32 * self.warps, self.shared_bytes, tuple(self.sites), tuple(remarks))

    def lower_block(self, block: Any) -> None:
        for op in ods.ops_of(block):
            self.emitter.location = op.location
            self.lower_op(op)

    def lower_op(self, op: Any) -> None:
        handler = _HANDLERS.get(op.name)
        if handler is not None:
            getattr(self, handler)(op)
        elif op.name in ELEMENTWISE:
            self._elementwise(op)
        else:
            raise IllegalOp(f"{op.name!r} cannot be lowered to threads")

    def tile_of(self, value: Any) -> Registers:
        """The registers of a tile (a factor that still lies in shared memory is loaded)."""
        held = self.values[value]
        return self.staging.load(held.buffer, held.layout, held.element) if isinstance(held, Staged) else held

    def tile_layout(self, value: Any) -> Any:
        """The layout of a tile value."""
        return layout_of(value.type)

    def _elementwise(self, op: Any) -> None:
        rule = rule_of(self.emitter, op)
        result = op.results[0]
        if not isinstance(result.type, ir.RankedTensorType):
            self.values[result] = rule(*[self.values[o] for o in op.operands])
            return
        tiles = [self.tile_of(o) for o in op.operands]
        values = tuple(rule(*column) for column in zip(*[t.values for t in tiles], strict=True))
        self.values[result] = self._registers(result, values)

    def _registers(self, result: Any, values: Sequence[Any]) -> Registers:
        return Registers(tuple(values), layout_of(result.type), ir.RankedTensorType(result.type).element_type)

    def _constant(self, op: Any) -> None:
        result, attribute = op.results[0], op.attributes["value"]
        if not isinstance(result.type, ir.RankedTensorType):
            self.values[result] = self._number(result.type, _number_of(attribute))
            return
        element = ir.RankedTensorType(result.type).element_type
        number = _number_of(ir.DenseElementsAttr(attribute).get_splat_value())
        value = self._number(element, number)
        layout = layout_of(result.type)
        self.values[result] = self._registers(result, [value] * (layout.size("register") if layout else 1))

    def _number(self, element: Any, number: int | float) -> Any:
        e = self.emitter
        if is_half(element):
            return e.constant(e.i16, half_bits(float(number), element))
        return e.constant(machine_type(e, element), number)

    def _grid(self, op: Any) -> None:
        e = self.emitter
        tiles = tile.grid_tiles(op)
        extents = [self.values[o] for o in op.operands]
        counts = [
            e.same("arith.divui", e.same("arith.addi", x, e.constant(e.index, t - 1)), e.constant(e.index, t))
            for x, t in zip(extents, tiles, strict=True)
        ]
        cells = flat_cells(e, counts)
        for argument, cell, size in zip(op.regions[0].blocks[0].arguments, cells, tiles, strict=True):
            self.values[argument] = e.same("arith.muli", cell, e.constant(e.index, size))
        self.lower_block(op.regions[0].blocks[0])

    def _nothing(self, op: Any) -> None:
        """A terminator: its region's end is written by whoever opened it."""

    def _return(self, op: Any) -> None:
        self.emitter.op("llvm.return")

    def _for(self, op: Any) -> None:
        if self.staging.pipelines(op):
            self.staging.pipelined_loop(op)
            return
        self.plain_loop(op)

    def plain_loop(self, op: Any, before: Any = None) -> None:
        """``scf.for`` over registers; ``before(iv)`` may write code at the start of each step."""
        e = self.emitter
        bounds = [self.values[o] for o in list(op.operands)[:3]]
        start = [self.values[o] for o in list(op.operands)[3:]]
        flat = [v for s in start for v in _flat(s)]
        loop = e.op("scf.for", [v.type for v in flat], [*bounds, *flat], regions=1)
        block = loop.regions[0].blocks.append(e.index, *[v.type for v in flat])
        body = op.regions[0].blocks[0]
        with e.region(loop, block):
            self.values[body.arguments[0]] = block.arguments[0]
            self._bind_flat(list(body.arguments)[1:], start, list(block.arguments)[1:])
            if before is not None:
                before(block.arguments[0])
            self.lower_block(body)
            following = [self._held(v) for v in ods.ops_of(body)[-1].operands]
            e.op("scf.yield", [], [v for f in following for v in _flat(f)])
        self._bind_flat(list(op.results), start, list(loop.results))

    def _held(self, value: Any) -> Any:
        return self.tile_of(value) if isinstance(value.type, ir.RankedTensorType) else self.values[value]

    def _bind_flat(self, olds: Sequence[Any], like: Sequence[Any], flat: Sequence[Any]) -> None:
        position = 0
        for old, model in zip(olds, like, strict=True):
            count = len(_flat(model))
            values = tuple(flat[position : position + count])
            position += count
            is_tile = isinstance(model, Registers)
            self.values[old] = Registers(values, model.layout, model.element) if is_tile else values[0]

    def _load(self, op: Any) -> None:
        view = tile.load_view(op)
        held = self.values[view.access.view]
        layout = layout_of(op.results[0].type)
        if isinstance(held, SharedBuffer):
            assert layout is not None
            self.values[op.results[0]] = Staged(held, layout, held.element)
            return
        otherwise = None if view.otherwise is None else self.tile_of(view.otherwise)
        operands = self.operands(view.access)
        self.values[op.results[0]] = self.accesses.load(
            held, view.access, view.access, layout, otherwise, operands, self._new_site() if view.access.checked else 0
        )

    def _new_site(self) -> int:
        self.sites.append(str(self.emitter.location))
        return len(self.sites)

    def operands(self, access: tile.Access) -> Operands:
        return Operands(
            tuple(self.values[o] for o in access.offsets),
            tuple((d, self.tile_of(g)) for d, g in access.gathers),
            tuple(self.values[v] for _, v in access.limits),
            None if access.active is None else self.tile_of(access.active),
        )

    def _store(self, op: Any) -> None:
        view = tile.store_view(op)
        held = self.values[view.access.view]
        value = self.tile_of(view.tile)
        if isinstance(held, SharedBuffer):
            self.staging.store(value, held)
            return
        self.accesses.store(value, held, view.access, view.access, self.operands(view.access))

    def _stage(self, op: Any) -> None:
        self.staging.fill(op)

    def _contract(self, op: Any) -> None:
        a, b, acc = (self.values[o] for o in op.operands)
        self.values[op.results[0]] = self.contractions.contract(op, a, b, acc)

    def _reduce(self, op: Any) -> None:
        kinds = [FoldKind(k) for k in ods.string_list(op.attributes["kinds"])]
        unsigned = bool(ir.BoolAttr(op.attributes["unsigned"]).value)
        tiles = [self.tile_of(o) for o in op.operands]
        results = self.reductions.reduce(tiles, kinds, tile.reduce_axes(op), unsigned)
        for old, new in zip(op.results, results, strict=True):
            self.values[old] = new

    def _broadcast(self, op: Any) -> None:
        source = self.tile_of(op.operands[0])
        self.values[op.results[0]] = spread(source, tile.broadcast_axes(op), layout_of(op.results[0].type))

    def _iota(self, op: Any) -> None:
        e = self.emitter
        layout = layout_of(op.results[0].type)
        assert layout is not None
        place, axis = self.threads.place(layout), tile.iota_axis(op)
        base, values = place.base[axis], []
        for slot in place.slots:
            constant = e.constant(e.index, slot[axis])
            values.append(constant if base is None else e.same("arith.addi", base, constant))
        self.values[op.results[0]] = self._registers(op.results[0], values)

    def _splat(self, op: Any) -> None:
        layout = layout_of(op.results[0].type)
        count = layout.size("register") if layout else 1
        self.values[op.results[0]] = self._registers(op.results[0], [self.values[op.operands[0]]] * count)

    def _extract(self, op: Any) -> None:
        self.values[op.results[0]] = self.tile_of(op.operands[0]).values[0]

    def _convert(self, op: Any) -> None:
        layout = layout_of(op.results[0].type)
        assert layout is not None
        self.values[op.results[0]] = self.staging.convert(self.tile_of(op.operands[0]), layout)


_HANDLERS = {
    "tile.grid": "_grid", "tile.yield": "_nothing", "scf.yield": "_nothing", "func.return": "_return",
    "scf.for": "_for",
    "tile.load": "_load", "tile.store": "_store", "tile.stage": "_stage", "tile.contract": "_contract",
    "tile.reduce": "_reduce", "tile.broadcast": "_broadcast", "tile.iota": "_iota", "tile.splat": "_splat",
    "tensor.extract": "_extract", "tile.convert": "_convert", "arith.constant": "_constant",
}  # fmt: skip


def _flat(held: Any) -> list[Any]:
    return list(held.values) if isinstance(held, Registers) else [held]


def _number_of(attribute: Any) -> int | float:
    if isinstance(attribute, ir.FloatAttr):
        return float(attribute.value)
    if isinstance(attribute, ir.BoolAttr):
        return int(attribute.value)
    return int(attribute.value) if isinstance(attribute, ir.IntegerAttr) else attribute


def _order(layout: str, rank: int) -> list[int]:
    """Axes from the slowest to the fastest: ``row``, or ``order(1, 0)``."""
    if not layout.startswith("order("):
        return list(range(rank))
    return [int(a) for a in layout.removeprefix("order(").removesuffix(")").split(",")]
