"""The neutral tile level run by NumPy: what every pass at that level must preserve.

Grid cells run one after the other (in a shuffled order on request), tiles are arrays. Memory remembers which cell wrote
each element, so two cells that store one element, or one that reads what another writes, are faults. What was never
written is poison: NaN, or a pattern.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tilewright.dialect import ods, tile
from tilewright.dialect.affine import evaluate_map
from tilewright.dialect.folds import FoldKind
from tilewright.dialect.functions import Argument, Condition, arguments_of, condition_of, dims_of, functions_of, name_of
from tilewright.dialect.interpret.faults import CheckFailed, InterpreterFault
from tilewright.dialect.interpret.folding import fold_all, merge_one
from tilewright.dialect.interpret.numbers import Array, Numbers, Precision
from tilewright.dialect.interpret.operations import apply
from tilewright.dialect.mlir import ir

UNWRITTEN = -2
BEFORE = -1
"""Writers that are no cell: nobody yet; the caller or an earlier launch."""


@dataclass
class Memory:
    """A view's elements, and the cell that wrote each of them last."""

    values: Array
    writer: Array

    @staticmethod
    def given(values: Array) -> Memory:
        return Memory(values, np.full(values.shape, BEFORE, np.int64))

    @staticmethod
    def fresh(shape: tuple[int, ...], element: Any, numbers: Numbers) -> Memory:
        return Memory(numbers.poison(shape, element), np.full(shape, UNWRITTEN, np.int64))


@dataclass(frozen=True)
class Reach:
    """Where the elements of a tile lie in a view: which of them are touched, and which a check `refused`."""

    coordinates: list[Array]
    touched: Array
    refused: Array

    @property
    def at(self) -> tuple[Array, ...]:
        """The coordinates of the touched elements."""
        return tuple(coordinate[self.touched] for coordinate in self.coordinates)


Value = Any
"""An array (a tile or a scalar) or a `Memory` (a view)."""


def run_tile(
    module: Any,
    order: Sequence[str],
    arguments: Mapping[str, Any],
    dims: Mapping[str, int],
    *,
    precision: Precision = "exact",
    outside: float | None = None,
    shuffle: int | None = None,
) -> dict[str, Array]:
    """Run the launches named in `order`, of variants the one that `dims` choose (decision 0003); workspaces are passed
    from one to the next by their ``tile.name``.

    `arguments` maps the names of inputs, tables and scalars to values. Returns the outputs by name in their language
    dtype. With `shuffle` the cells of each grid run in an order drawn from that seed. A checked coordinate that is
    outside raises `CheckFailed`, or reads `outside` where that is given.
    """
    numbers = Numbers(precision)
    by_name = {name_of(function): function for function in functions_of(module)}
    memories: dict[str, Memory] = {}
    outputs: dict[str, str] = {}
    for function in _chosen([by_name[name] for name in order], dims):
        launch = _Launch(function, dict(dims), numbers, outside, shuffle)
        launch.bind(arguments, memories, outputs)
        launch.run()
    return {name: numbers.given(memories[name].values, dtype) for name, dtype in outputs.items()}


def _chosen(functions: Sequence[Any], dims: Mapping[str, int]) -> Iterator[Any]:
    """Up to each function without a condition the first one that holds."""
    waiting = True
    for function in functions:
        condition = condition_of(function)
        if waiting and (condition is None or _holds(condition, [dims[name] for name in dims_of(function, "tile")])):
            yield function
            waiting = False
        waiting = waiting or condition is None


def _holds(condition: Condition, symbols: Sequence[int]) -> bool:
    extents = evaluate_map(condition.extents, (), symbols)
    return all(extent <= most for extent, most in zip(extents, condition.most, strict=True))


@dataclass
class _Launch:
    """One run of one launch function."""

    function: Any
    dims: dict[str, int]
    numbers: Numbers
    outside: float | None
    shuffle: int | None
    environment: dict[Any, Value] = field(default_factory=dict)
    cell: int = BEFORE

    def bind(self, given: Mapping[str, Any], memories: dict[str, Memory], outputs: dict[str, str]) -> None:
        """Give every argument its value; outputs and workspaces are made on first use."""
        block = self.function.regions[0].blocks[0]
        for value, argument in zip(block.arguments, arguments_of(self.function, "tile"), strict=True):
            if argument.role == "dim":
                self.environment[value] = np.asarray(self.dims[argument.name], np.int64)
            elif argument.role == "scalar":
                self.environment[value] = self.numbers.taken(given[argument.name], value.type)
            else:
                self.environment[value] = self._memory(argument, value, given, memories)
            if argument.role in ("out", "inout"):
                outputs[argument.name] = argument.dtype

    def _memory(self, argument: Argument, value: Any, given: Mapping[str, Any], memories: dict[str, Memory]) -> Memory:
        if argument.role == "table":
            return Memory.given(self.numbers.constant(argument.values, ir.DenseElementsAttr(argument.values).type))
        if argument.role == "in" and argument.name not in memories:
            return Memory.given(self.numbers.taken(given[argument.name], value.type))
        if argument.name in memories:
            memory = memories[argument.name]
            memory.writer[memory.writer >= 0] = BEFORE
            return memory
        memories[argument.name] = self._made(argument, value, given)
        return memories[argument.name]

    def _made(self, argument: Argument, value: Any, given: Mapping[str, Any]) -> Memory:
        if argument.role == "inout":
            return Memory.given(self.numbers.taken(given[argument.name], value.type).copy())
        symbols = [self.dims[name] for name in dims_of(self.function, "tile")]
        return Memory.fresh(tuple(evaluate_map(argument.shape, (), symbols)), value.type, self.numbers)

    def run(self) -> None:
        self._block(self.function.regions[0].blocks[0])

    # ------------------------------------------------------------ control

    def _block(self, block: Any) -> list[Value]:
        """Run the ops of a block; the operands of its terminator."""
        operations = ods.ops_of(block)
        for op in operations[:-1]:
            self._execute(op)
        return self._operands(operations[-1])

    def _operands(self, op: Any) -> list[Value]:
        return [self.environment[value] for value in op.operands]

    def _execute(self, op: Any) -> None:
        for value, result in zip(op.results, self._results(op), strict=True):
            self.environment[value] = result

    def _results(self, op: Any) -> list[Value]:
        match op.name:
            case "tile.grid":
                return self._grid(op)
            case "tile.stage":
                return [self._stage(op)]
            case "scf.for":
                return self._for(op)
            case "scf.if":
                return self._if(op)
            case "tile.load":
                return [self._load(op)]
            case "tile.store":
                return self._store(op)
            case _:
                return self._pure(op)

    def _grid(self, op: Any) -> list[Value]:
        extents = [int(value) for value in self._operands(op)]
        axes = [range(0, extent, size) for extent, size in zip(extents, tile.grid_tiles(op), strict=True)]
        block = op.regions[0].blocks[0]
        for number, cell in self._cells(axes):
            self.cell = number
            self.environment.update(zip(block.arguments, (np.asarray(c, np.int64) for c in cell), strict=True))
            self._block(block)
        self.cell = BEFORE
        return []

    def _cells(self, axes: Sequence[range]) -> Iterator[tuple[int, tuple[int, ...]]]:
        cells = list(enumerate(itertools.product(*axes)))
        if self.shuffle is not None:
            random.Random(self.shuffle).shuffle(cells)
        yield from cells

    def _stage(self, op: Any) -> Memory:
        type_ = ir.MemRefType(op.results[0].type)
        sizes = iter(int(value) for value in self._operands(op))
        dynamic = ir.ShapedType.get_dynamic_size()
        shape = tuple(next(sizes) if size == dynamic else size for size in type_.shape)
        memory = Memory.fresh(shape, type_, self.numbers)
        block = op.regions[0].blocks[0]
        self.environment[block.arguments[0]] = memory
        self._block(block)
        memory.values.setflags(write=False)
        return memory

    def _for(self, op: Any) -> list[Value]:
        low, high, step, *carried = self._operands(op)
        if int(step) <= 0:
            raise InterpreterFault(op, f"has step {int(step)}")
        block = op.regions[0].blocks[0]
        for index in range(int(low), int(high), int(step)):
            values = [np.asarray(index, np.int64), *carried]
            self.environment.update(zip(block.arguments, values, strict=True))
            carried = self._block(block)
        return carried

    def _if(self, op: Any) -> list[Value]:
        region = op.regions[0 if bool(self._operands(op)[0]) else 1]
        return self._block(region.blocks[0]) if len(region.blocks) else []

    # ------------------------------------------------------------ tiles

    def _pure(self, op: Any) -> list[Value]:
        values = self._operands(op)
        shape = tuple(op.results[0].type.shape) if isinstance(op.results[0].type, ir.RankedTensorType) else ()
        match op.name:
            case "tile.splat":
                return [np.full(shape, values[0])]
            case "tile.iota":
                return [_positions(shape)[tile.iota_axis(op)]]
            case "tile.broadcast":
                return [_broadcast(values[0], tile.broadcast_axes(op), shape)]
            case "tile.reduce":
                return self._reduce(op, values)
            case "tile.contract":
                return [self._contract(op, values)]
            case "tensor.extract":
                return [np.asarray(values[0][tuple(int(index) for index in values[1:])])]
            case _:
                return apply(self.numbers, op, values)

    def _reduce(self, op: Any, values: list[Array]) -> list[Value]:
        kinds = tuple(FoldKind(name) for name in ods.string_list(op.attributes["kinds"]))
        types = [value.type for value in op.operands]
        is_unsigned = bool(ir.BoolAttr(op.attributes["unsigned"]).value)
        counts = np.ones(values[0].shape, np.bool_)
        return list(fold_all(kinds, values, types, tile.reduce_axes(op), counts, is_unsigned, self.numbers))

    def _contract(self, op: Any, values: list[Array]) -> Array:
        left, right, start = values
        names = [[expression.position for expression in m.results] for m in tile.contract_maps(op)]
        with np.errstate(all="ignore"):
            sums = np.einsum(left.astype(start.dtype), names[0], right.astype(start.dtype), names[1], names[2])
            return np.asarray(start + sums).astype(start.dtype)

    # ------------------------------------------------------------ memory

    def _load(self, op: Any) -> Array:
        view = tile.load_view(op)
        shape = tuple(op.results[0].type.shape)
        memory: Memory = self.environment[view.access.view]
        reach = self._reach(op, view.access, shape, memory.values.shape)
        writers = memory.writer[reach.at]
        if np.any((writers >= 0) & (writers != self.cell)):
            raise InterpreterFault(op, "reads what another cell of this launch stores")
        otherwise = np.zeros((), memory.values.dtype) if view.otherwise is None else self.environment[view.otherwise]
        result = np.broadcast_to(otherwise, shape).astype(memory.values.dtype)
        result[reach.touched] = memory.values[reach.at]
        if self.outside is not None:
            result[reach.refused] = self.numbers.stand_in(self.outside, result)
        return result

    def _store(self, op: Any) -> list[Value]:
        view = tile.store_view(op)
        values: Array = self.environment[view.tile]
        memory: Memory = self.environment[view.access.view]
        if not memory.values.flags.writeable:
            raise InterpreterFault(op, "stores into a stage that is filled")
        reach = self._reach(op, view.access, values.shape, memory.values.shape)
        at, touched = reach.at, reach.touched
        if not touched.any():
            return []
        self._note_writers(op, memory, at, view.combine)
        if view.combine is None:
            memory.values[at] = values[touched] if at else values[touched][-1]
            return []
        for number, value in enumerate(values[touched]):
            place = tuple(int(axis[number]) for axis in at)
            memory.values[place] = merge_one(view.combine, memory.values[place], value, is_unsigned=False)
        return []

    def _note_writers(self, op: Any, memory: Memory, at: tuple[Array, ...], combine: FoldKind | None) -> None:
        if combine is None:
            others = memory.writer[at]
            if np.any((others >= 0) & (others != self.cell)):
                raise InterpreterFault(op, f"cells {int(others.max())} and {self.cell} store the same element")
            flat = np.ravel_multi_index(at, memory.values.shape) if at and at[0].size else np.zeros(0, np.int64)
            if np.unique(flat).size != flat.size:
                raise InterpreterFault(op, "stores two elements of a tile to one place")
        memory.writer[at] = self.cell

    def _reach(self, op: Any, access: tile.Access, shape: tuple[int, ...], sizes: tuple[int, ...]) -> Reach:
        positions = _positions(shape)
        coordinates = [
            np.broadcast_to(self.environment[offset] + moved, shape)
            for offset, moved in zip(access.offsets, evaluate_map(access.map, positions), strict=True)
        ]
        for dim, gather in access.gathers:
            coordinates[dim] = coordinates[dim] + self.environment[gather]
        touched = np.ones(shape, np.bool_)
        for axis, limit in access.limits:
            touched &= positions[axis] < self.environment[limit]
        if access.active is not None:
            touched &= self.environment[access.active]
        inside = [(c >= 0) & (c < size) for c, size in zip(coordinates, sizes, strict=True)]
        for dim in access.guarded:
            touched &= inside[dim]
        refused = self._refused(op, access, coordinates, touched, inside, sizes)
        return Reach(coordinates, touched & ~refused, refused)

    def _refused(
        self,
        op: Any,
        access: tile.Access,
        coordinates: list[Array],
        touched: Array,
        inside: list[Array],
        sizes: tuple[int, ...],
    ) -> Array:
        """What a checked dim refuses of the touched elements; a fault where anything else is outside."""
        refused = np.zeros_like(touched)
        for dim, here in enumerate(inside):
            outside = touched & ~here
            if not np.any(outside):
                continue
            message = f"coordinate {dim} is {coordinates[dim][outside].flat[0]}, outside of a view of shape {sizes}"
            if dim not in access.checked:
                raise InterpreterFault(op, message)
            if self.outside is None:
                raise CheckFailed(op, message)
            refused |= outside
        return refused


def _positions(shape: tuple[int, ...]) -> list[Array]:
    return list(np.indices(shape, dtype=np.int64))


def _broadcast(value: Array, axes: Sequence[int], shape: tuple[int, ...]) -> Array:
    """Source axis k becomes result axis ``axes[k]``; the rest repeats."""
    order = sorted(range(len(axes)), key=lambda k: axes[k])
    moved = value.transpose(order)
    spread = moved.reshape([moved.shape[order.index(axes.index(a))] if a in axes else 1 for a in range(len(shape))])
    return np.broadcast_to(spread, shape).copy()
