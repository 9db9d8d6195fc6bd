"""Owns the pass ``tile``: every launch of the tensor level becomes a neutral tile program, by its schedule.

Before: ``func.func`` launches on tensors, made of ``tw.map`` and ``tw.fold`` (after ``partition``). After:
``func.func`` launches on views, with one ``tile.grid`` whose cells compute their part of every result. Roots (what is
returned) are blocked as their nest says; folds are computed where they are first needed, as far out as their indices
allow, and once. Needs: a grid on every launch; folds read at values that are linear in tile axes. Does not handle:
guarded reads of a fold's result, maps with ``where`` as roots (their points are all written).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tilewright.dialect import functions, ods, tile
from tilewright.dialect import tensor as tw
from tilewright.dialect.faults import InternalFault
from tilewright.dialect.mlir import func, ir
from tilewright.passes.schedule import Limit, Nest, Operand, Schedule, Where
from tilewright.passes.tile import access
from tilewright.passes.tile.affine import evaluate_affine, uniform
from tilewright.passes.tile.body import BodyEvaluator, ReadRequest
from tilewright.passes.tile.contraction import ContractionTiler
from tilewright.passes.tile.emitter import Emitter
from tilewright.passes.tile.factors import factors_of
from tilewright.passes.tile.folds import FoldTiler, fold_level, order_of
from tilewright.passes.tile.packing import BlockOf
from tilewright.passes.tile.rule import (
    LaunchView,
    contractions_of,
    factor_nest_name,
    fold_nest_name,
    kept_nest_name,
    nest_names,
    view_launch,
)
from tilewright.passes.tile.shared import Shared, kept_factor, shared_expressions
from tilewright.passes.tile.sums import Cell, SumsTiler, is_summed_in_cell, wide_position
from tilewright.passes.tile.values import Linear, Tile, Value


@dataclass(frozen=True)
class Place:
    """One index of a root on the way inwards: first point, points left, static block size (None: all of them)."""

    start: Linear
    count: Linear
    block: int | None


@dataclass(frozen=True)
class Root:
    """One result of the launch: its number, the op that computes it and which of the op's results it is, its nest."""

    number: int
    op: Any
    result: int
    nest: Nest


class LaunchTiler:
    """Builds the tile function of one launch."""

    def __init__(self, source: Any, target: Any, schedule: Schedule) -> None:
        self.schedule = schedule
        self.view: LaunchView = view_launch(source)
        self.names = nest_names(self.view)
        self.block = source.regions[0].blocks[0]
        self.entry = target.regions[0].blocks[0]
        self.emitter = Emitter(self.entry)
        self.views: dict[Any, Any] = {}
        self.bools: set[Any] = set()
        self.outputs: list[Any] = []
        self._bind(source)
        self.evaluator = BodyEvaluator(self.emitter, self.dims, self.scalars, self, self._keep)
        self.shared = self._shared()
        self.filling: set[Any] = set()
        self.folds = FoldTiler(self.emitter, self.evaluator, self.symbols)
        self.contractions = ContractionTiler(self.emitter, self.evaluator, self.folds)
        self.sums = SumsTiler(self.emitter, self.contractions)
        self.cells: dict[Any, tuple[Place, ...]] = {}

    def _bind(self, source: Any) -> None:
        """Match the arguments of the tensor function, its results, tables and dims with those of the tile function."""
        given = list(self.entry.arguments)
        self.scalars: dict[Any, Tile] = {}
        arguments = list(self.block.arguments)
        tensors = [a for a in arguments if isinstance(a.type, ir.RankedTensorType)]
        tables = [op.results[0] for op in ods.ops_of(self.block) if op.name == "tw.table"]
        results = len(self.view.roots)
        for value, view in zip(tensors, given, strict=False):
            self.views[value] = view
        for value, view in zip(tables, given[len(tensors) :], strict=False):
            self.views[value] = view
        position = len(tensors) + len(tables)
        self.outputs = given[position : position + results]
        position += results
        for value in [a for a in arguments if not isinstance(a.type, ir.RankedTensorType)]:
            self.scalars[value] = self.emitter.splat(given[position], 0)
            position += 1
        names = functions.dims_of(source, "tw")
        self.dims = {n: Linear(v) for n, v in zip(names, given[position:], strict=True)}
        self.symbols = [self.dims[n] for n in names]

    def _shared(self) -> dict[Any, tuple[Shared, Nest]]:
        """The ops that the schedule keeps in the cell, with what they share and the nest that fills the buffer."""
        found: dict[Any, tuple[Shared, Nest]] = {}
        roots = {op for op, _ in self.view.roots}
        for number, shared in enumerate(shared_expressions([op for op in self.view.ops if op in roots])):
            nest = self.schedule.nest(kept_nest_name(self.names[shared.root], number))
            if nest is not None:
                found.update((op, (shared, nest)) for op in shared.places)
        return found | self._kept_factors()

    def _kept_factors(self) -> dict[Any, tuple[Shared, Nest]]:
        """The factors of contractions that the schedule keeps in the cell."""
        found: dict[Any, tuple[Shared, Nest]] = {}
        for op in self.view.ops:
            factors = factors_of(op) if op.name == "tw.fold" else None
            for side in Operand if factors is not None else ():
                nest = self.schedule.nest(factor_nest_name(self.names[op], side))
                if factors is not None and nest is not None:
                    thin, factor = factors.side(side)
                    found[factor.owner.operation] = (kept_factor(op, factor, thin), nest)
        return found

    # ------------------------------------------------------------ the grid

    def build(self) -> None:
        """One grid over the shared axes; every group of roots in turn inside a cell."""
        extents = [
            uniform(evaluate_affine(self.emitter, e, [], self.symbols)) for e in list(self.view.grid.extents.results)
        ]
        tiles = self._grid_tiles(len(extents))
        scalars = [self.emitter.scalar(e) for e in extents]
        with self.emitter.at(self.emitter.depth):
            op = ods.create("tile.grid", [], scalars, {"tiles": ods.i64_array(tiles)}, 1)
        block = ods.add_block(op, 0, [ods.index_type()] * len(extents))
        with self.emitter.inside(op, block):
            cells = [Linear(a, level=self.emitter.depth) for a in block.arguments]
            places = [self._cell_place(c, e, t) for c, e, t in zip(cells, extents, tiles, strict=True)]
            for group in self._groups():
                with group[0].op.location:
                    self._group(group, places)
            with self.emitter.at(self.emitter.depth):
                ods.create("tile.yield")

    def _grid_tiles(self, axes: int) -> list[int]:
        """The cell size of each grid axis: what the roots' nests agree on (the smallest where they differ)."""
        sizes: list[int | None] = [None] * axes
        for number, (root, _) in enumerate(self.view.roots):
            nest = self._nest(root)
            indices = tw.domain_of(root).indices
            grid = {b.index: b.size for b in nest.of(Where.GRID)}
            for axis, position in enumerate(self.view.grid.positions[number]):
                size = grid.get(indices[position], 1)
                known = sizes[axis]
                sizes[axis] = size if known is None else min(known, size)
        return [s or 1 for s in sizes]

    def _cell_place(self, cell: Linear, extent: Linear, size: int) -> Place:
        if size == 1:
            return Place(cell, Linear(constant=1), 1)
        left = self.emitter.add(extent, cell, -1)
        return Place(cell, self.emitter.minimum(left, Linear(constant=size)), size)

    # ------------------------------------------------------------ roots

    def _nest(self, op: Any, suffix: bool = False) -> Nest:
        name = fold_nest_name(self.names[op]) if suffix else self.names[op]
        nest = self.schedule.nest(name)
        if nest is None:
            raise InternalFault(f"the schedule of {self.schedule.launch} has no nest {name!r}")
        return nest

    def _groups(self) -> list[tuple[Root, ...]]:
        """The roots in order, those that are blocked alike together: one loop nest reads what they share once."""
        groups: list[tuple[Root, ...]] = []
        for number, (op, result) in enumerate(self.view.roots):
            root = Root(number, op, result, self._nest(op))
            if groups and self._alike(groups[-1], root):
                groups[-1] = (*groups[-1], root)
            else:
                groups.append((root,))
        return groups

    def _alike(self, group: tuple[Root, ...], root: Root) -> bool:
        """Whether a root has the points and the blocks of a group, and reads the contractions they share alike."""
        first, positions = group[0], self.view.grid.positions
        if positions[first.number] != positions[root.number] or _blocking(first) != _blocking(root):
            return False
        known = {c.fold: c.positions for other in group for c in contractions_of(other.op)}
        return all(known.get(c.fold, c.positions) == c.positions for c in contractions_of(root.op))

    def _group(self, group: tuple[Root, ...], cells: Sequence[Place]) -> None:
        domain = tw.domain_of(group[0].op)
        places: dict[int, Place] = {}
        for axis, position in enumerate(self.view.grid.positions[group[0].number]):
            places[position] = cells[axis]
        for position in range(domain.parallel):
            if position not in places:
                extent = uniform(evaluate_affine(self.emitter, domain.extents.results[position], [], self.symbols))
                places[position] = Place(Linear(), extent, None)
        for root in group:
            self.cells.update((c.fold, tuple(places[p] for p in c.positions)) for c in contractions_of(root.op))
        self._enter(group, 0, domain, places)
        self.contractions.packed.clear()

    def _enter(self, group: tuple[Root, ...], at: int, domain: tw.Domain, places: dict[int, Place]) -> None:
        """Open the nest's blocks from position ``at`` on, then compute the tiles."""
        nest = group[0].nest
        while at < len(nest.blocks) and nest.blocks[at].where is Where.GRID:
            at += 1
        self._pack(group, at, places)
        if at == len(nest.blocks):
            self._enter_rest(group, domain, places)
            return
        block = nest.blocks[at]
        position = domain.indices.index(block.index)
        if places[position].block == block.size:
            self._enter(group, at + 1, domain, places)
            return

        def body(inner: dict[int, Place]) -> None:
            self._enter(group, at + 1, domain, inner)

        last = all(b.index != block.index for b in nest.blocks[at + 1 :])
        self._block_loop(places, position, block.size, last, body)

    def _enter_rest(self, group: tuple[Root, ...], domain: tw.Domain, places: dict[int, Place]) -> None:
        """Loop one by one over the indices that no block has brought down to their tile."""
        for position in range(domain.parallel):
            size = group[0].nest.tile_size(domain.indices[position])
            if places[position].block != size:
                self._block_loop(places, position, size, True, lambda inner: self._enter_rest(group, domain, inner))
                return
        self._compute(group, domain, places)

    def _block_loop(
        self, places: dict[int, Place], position: int, size: int, last: bool, body: Any
    ) -> None:
        place = places[position]

        def step(iv: Linear, _: list[Any]) -> Sequence[Any]:
            left = self.emitter.add(place.count, iv, -1)
            if not last:
                left = self.emitter.minimum(left, Linear(constant=size))
            body({**places, position: Place(self.emitter.add(place.start, iv), left, size)})
            return ()

        self.emitter.loop(Linear(), place.count, size, (), step)

    def _compute(self, group: tuple[Root, ...], domain: tw.Domain, places: dict[int, Place]) -> None:
        values = [self._tile_index(group[0].nest, domain, p, places[p]) for p in range(domain.parallel)]
        axes = tuple(sorted((a for v in values for a in v.axes), key=lambda a: (a.order, a.serial)))
        for root in group:
            with root.op.location:
                value = self._value(root, values)
                access.store(self.emitter, value, self.outputs[root.number], values, axes)

    def _value(self, root: Root, indices: Sequence[Linear]) -> Tile:
        if root.op.name == "tw.fold":
            return self._fold(root.op, tuple(indices))[root.result]
        return self.emitter.as_tile(self.evaluator.evaluate(tw.body_of(root.op), indices)[root.result])

    def _tile_index(self, nest: Nest, domain: tw.Domain, position: int, place: Place) -> Linear:
        index = domain.indices[position]
        size = nest.tile_size(index)
        if size == 1:
            return place.start
        axis = self.emitter.new_axis(index, size, order_of(nest, index, position), place.count)
        return Linear(place.start.base, place.start.constant, ((axis, 1),), place.start.level)

    # ------------------------------------------------------------ packing

    def _pack(self, group: tuple[Root, ...], at: int, places: Mapping[int, Place]) -> None:
        """Pack the factors that the nest stages in front of the block at position ``at``, each once."""
        stages = [s for s in group[0].nest.stages if s.above == at]
        if not stages:
            return
        contractions = {c.fold: c for root in group for c in contractions_of(root.op)}
        for fold, contracted in contractions.items():
            factors = contracted.factors
            bindings = tuple(places[p].start for p in contracted.positions)
            fold_nest = self._nest(fold, suffix=True)
            loops = self.folds.prepare(fold, fold_nest, bindings)
            blocks = {k: self._block_of(group[0], p, places[p]) for k, p in enumerate(contracted.positions)}
            step = max(b.size for b in fold_nest.blocks)
            for stage in stages:
                if stage.panel:
                    self.contractions.pack(loops, factors, stage.operand, blocks, step)
                else:
                    self.contractions.step_staged.add(fold)

    def _block_of(self, root: Root, position: int, place: Place) -> BlockOf:
        size = root.nest.tile_size(tw.domain_of(root.op).indices[position])
        return BlockOf(place.start, place.count, place.block or 1, size)

    # ------------------------------------------------------------ values of the launch

    def read(self, request: ReadRequest) -> Tile:
        """A read inside a body: of an argument, or of another result of the launch."""
        tensor = request.tensor
        if tensor in self.views:
            is_bool = ir.RankedTensorType(tensor.type).element_type == ir.IntegerType.get_signless(1)
            return access.load(self.emitter, self.views[tensor], request, is_bool)
        owner = tensor.owner.operation
        number = [r == tensor for r in owner.results].index(True)
        if owner.name != "tw.fold" or any(m is tw.ReadMode.GUARDED for m in request.modes):
            raise InternalFault(f"a read of {owner.name!r} inside its launch, or a guarded one of a fold")
        return self._fold(owner, request.subscripts)[number]

    # ------------------------------------------------------------ kept expressions

    def _keep(self, op: Any, arguments: Sequence[Value]) -> Tile | None:
        """The value of an op that is kept in the cell, from its buffer; None to compute it here."""
        if op not in self.shared or op in self.filling:
            return None
        shared, nest = self.shared[op]
        by_place = dict(zip(shared.places[op], arguments, strict=True))
        fixed = {p: by_place[p] for p in shared.fixed}
        if any(v.axes or not isinstance(v, Linear) for v in fixed.values()):
            return None
        subscripts = tuple(by_place[p] for p in shared.kept)
        if not all(isinstance(s, Linear) for s in subscripts):
            return None
        buffer = self._kept_buffer(shared, nest, fixed)
        modes = (tw.ReadMode.PROVED,) * len(subscripts)
        return access.load(self.emitter, buffer, ReadRequest(None, subscripts, modes, None, None), False)

    def _kept_buffer(self, shared: Shared, nest: Nest, fixed: Mapping[int, Value]) -> Any:
        """The buffer of a kept expression at the fixed indices, filled once at the outermost level they allow."""
        level = fold_level(tuple(fixed.values()))
        key = ("kept", shared.op, tuple((p, v.key) for p, v in sorted(fixed.items())))

        def make() -> Any:
            with self.emitter.rewound(level), shared.op.location:
                self.filling.update(shared.places)
                buffer = self._fill_kept(shared, nest, fixed)
                self.filling.difference_update(shared.places)
                return buffer

        return self.emitter.cached(key, level, make)

    def _fill_kept(self, shared: Shared, nest: Nest, fixed: Mapping[int, Value]) -> Any:
        domain = tw.domain_of(shared.root)
        extents = [
            uniform(evaluate_affine(self.emitter, domain.extents.results[p], [], self.symbols)) for p in shared.kept
        ]
        value = shared.op.results[0]

        def fill(buffer: Any) -> None:
            self._kept_loops(shared, nest, fixed, extents, (), buffer)

        return self.emitter.stage([self.emitter.scalar(e) for e in extents], value.type, fill)

    def _kept_loops(
        self,
        shared: Shared,
        nest: Nest,
        fixed: Mapping[int, Value],
        extents: Sequence[Linear],
        bound: tuple[Linear, ...],
        buffer: Any,
    ) -> None:
        root = shared.root
        indices = tw.domain_of(root).indices
        if len(bound) == len(shared.kept):
            here = {**fixed, **dict(zip(shared.kept, bound, strict=True))}
            arguments = [here.get(p, Linear()) for p in range(len(indices))]  # it depends on no other index
            value = self.evaluator.evaluate(tw.body_of(root), arguments, targets=[shared.op.results[0]])[0]
            axes = tuple(sorted((a for v in bound for a in v.axes), key=lambda a: (a.order, a.serial)))
            access.store(self.emitter, self.emitter.as_tile(value), buffer, bound, axes)
            return
        position = shared.kept[len(bound)]
        size, extent = nest.tile_size(indices[position]), extents[len(bound)]

        def step(iv: Linear, _: list[Any]) -> Sequence[Any]:
            index = iv
            if size > 1:
                limit = self.emitter.add(extent, iv, -1)
                order = order_of(nest, indices[position], position)
                axis = self.emitter.new_axis(indices[position], size, order, limit)
                index = Linear(iv.base, iv.constant, ((axis, 1),), iv.level)
            self._kept_loops(shared, nest, fixed, extents, (*bound, index), buffer)
            return ()

        self.emitter.loop(Linear(), extent, size, (), step)

    def _fold(self, op: Any, bindings: tuple[Value, ...]) -> list[Tile]:
        """The results of a fold at ``bindings``, computed once at the outermost level they allow."""
        level = fold_level(bindings)
        key = ("fold", op, tuple(b.key for b in bindings))

        def make() -> list[Tile]:
            with self.emitter.rewound(level), op.location:
                return self._build_fold(op, bindings)

        return self.emitter.cached(key, level, make)  # type: ignore[no-any-return]

    def _build_fold(self, op: Any, bindings: tuple[Value, ...]) -> list[Tile]:
        nest = self._nest(op, suffix=True)
        loops = self.folds.prepare(op, nest, bindings)
        factors = factors_of(op)
        if factors is not None and is_summed_in_cell(loops):
            wide = self.cells[op][wide_position(loops)]
            if wide.block is None:
                raise InternalFault(f"the sums of {self.names[op]} are to be kept, but no cell bounds them")
            return [self.sums.read(loops, factors, Cell(wide.start, wide.count, wide.block))]
        if factors is None or not _has_rows_and_columns(factors.rows, factors.columns, bindings):
            return self.folds.build(loops)
        return [self.contractions.build(loops, factors, max(b.size for b in nest.blocks))]


def _blocking(root: Root) -> tuple[Any, ...]:
    """The extents and the blocks of a root, with its indices by position."""
    domain = tw.domain_of(root.op)
    extents = tuple(str(extent) for extent in list(domain.extents.results)[: domain.parallel])
    blocks = tuple((domain.indices.index(b.index), b.size, b.where) for b in root.nest.blocks)
    return extents, blocks, root.nest.stages


def _has_rows_and_columns(rows: Sequence[int], columns: Sequence[int], bindings: Sequence[Value]) -> bool:
    """Whether the tile varies along a row and a column of the contraction."""

    def varies(positions: Sequence[int]) -> bool:
        return any(bindings[p].axes for p in positions)

    return varies(rows) and varies(columns) and all(isinstance(b, Linear) for b in bindings)



# ---------------------------------------------------------------- functions


def tile_launch(source: Any, schedule: Schedule, suffix: str = "") -> Any:
    """Build the tile function of the launch ``source`` at the current insertion point; its name ends in ``suffix``."""
    arguments, types = tile_signature(source)
    target = func.FuncOp(functions.name_of(source) + suffix, (types, [])).operation
    functions.set_arguments(target, arguments, "tile")
    functions.set_dims(target, functions.dims_of(source, "tw"), "tile")
    target.attributes["tile.schedule"] = ir.StringAttr.get(str(schedule))
    if schedule.when:
        functions.set_condition(target, _condition(source, schedule.when))
    block = target.regions[0].blocks.append(*types)
    LaunchTiler(source, target, schedule).build()
    with ir.InsertionPoint(block):
        func.ReturnOp([])
    return target


def _condition(source: Any, limits: Sequence[Limit]) -> functions.Condition:
    """Limits on the grid indices of a launch, which its first result names, as extents over its dims."""
    view = view_launch(source)
    indices = tw.domain_of(view.roots[0][0]).indices
    extents = dict(zip((indices[p] for p in view.grid.positions[0]), view.grid.extents.results, strict=True))
    unknown = [limit.index for limit in limits if limit.index not in extents]
    if unknown:
        known = ", ".join(extents)
        raise InternalFault(f"{functions.name_of(source)} has no grid index {unknown[0]!r}; it has {known}")
    limited = ir.AffineMap.get(0, view.grid.extents.n_symbols, [extents[limit.index] for limit in limits])
    return functions.Condition(limited, tuple(limit.most for limit in limits))


def tile_signature(source: Any) -> tuple[list[functions.Argument], list[Any]]:
    """Arguments of the tile function: inputs, tables, results, scalars, dims."""
    block = source.regions[0].blocks[0]
    given = list(zip(functions.arguments_of(source, "tw"), [a.type for a in block.arguments], strict=True))
    tensors = [(a, t) for a, t in given if isinstance(t, ir.RankedTensorType)]
    scalars = [(replace(a, role="scalar"), t) for a, t in given if not isinstance(t, ir.RankedTensorType)]
    tables = [_table_argument(op, n) for n, op in enumerate(o for o in ods.ops_of(block) if o.name == "tw.table")]
    results = list(zip(functions.results_of(source, "tw"), _result_types(block), strict=True))
    dims = [(functions.Argument(d, "i64", role="dim"), ods.index_type()) for d in functions.dims_of(source, "tw")]
    described = [*tensors, *tables, *results, *scalars, *dims]
    return [a for a, _ in described], [_argument_type(t) for _, t in described]


def _result_types(block: Any) -> list[Any]:
    return [v.type for v in ods.ops_of(block)[-1].operands]


def _table_argument(op: Any, number: int) -> tuple[functions.Argument, Any]:
    type_ = ir.RankedTensorType(op.results[0].type)
    shape = ir.AffineMap.get(0, 0, [ir.AffineConstantExpr.get(s) for s in type_.shape])
    name = functions.statement_name(op) or f"table{number}"
    dtype = str(type_.element_type)
    return functions.Argument(name, dtype, shape, role="table", values=op.attributes["values"]), type_


def _argument_type(type_: Any) -> Any:
    if not isinstance(type_, ir.RankedTensorType):
        return type_
    element = type_.element_type
    if element == ir.IntegerType.get_signless(1):
        element = ir.IntegerType.get_signless(8)
    return tile.view_type([None] * type_.rank, element)

