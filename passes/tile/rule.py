"""Owns the default schedule: a rule over the shape of the computation that says what it chose and why.

It looks at index maps only, never at names: a fold that is a sum of products of two factors with rows and columns of
their own is register-tiled with packed panels; any other fold streams with vector lanes along the index its reads are
contiguous in; what remains is cut into cells along its leading indices and vectors along its last one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tilewright.dialect import functions, ods
from tilewright.dialect import tensor as tw
from tilewright.dialect.mlir import ir
from tilewright.passes.schedule import Block, Nest, Operand, Schedule, Stage, Where
from tilewright.passes.tile.factors import Factors, factors_of, reads_of, unit_stride_index
from tilewright.passes.tile.shared import LONG_OPS, Shared, shared_expressions

OTHER_REGISTERS = 3
"""Registers of a register tile that are no accumulators: a row of the right factor and a scalar of the left one."""


@dataclass(frozen=True)
class Machine:
    """What the rule must know of a target: f32 lanes of a vector, vector registers, and the tiles of a contraction.

    With ``packs`` the tile is a register tile over packed panels (CPU); without, it is the tile of a cell whose factors
    are staged step by step (GPU), ``wide_*`` where no matrix instruction takes the factors. ``thin_*``: up to how many
    rows (or columns) a product is read in place, with lanes across the results or along the sum; then vectors of
    results and steps of the sum in a tile, or sums in flight; and points of the wide index in a cell.
    """

    lanes: int = 8
    unroll: int = 4
    long_unroll: int = 2
    registers: int = 16
    rows: int = 6
    columns: int = 16
    depth: int = 4
    row_block: int = 96
    column_block: int = 512
    cell_rows: int = 384
    cell_vectors: int = 1024
    thin_across: int = 4
    thin_along: int = 5
    thin_vectors: int = 4
    thin_steps: int = 4
    thin_sums: int = 4
    thin_cell: int = 2048
    packs: bool = True
    keeps: bool = True
    wide_rows: int = 64
    wide_columns: int = 64
    wide_depth: int = 8
    warps: int = 0
    matrix_warps: int = 0
    stages: int = 0


@dataclass(frozen=True)
class LaunchView:
    """The ops of a launch function in order, its roots (op, result number) and its grid."""

    ops: tuple[Any, ...]
    roots: tuple[tuple[Any, int], ...]
    grid: functions.Grid


def view_launch(function: Any) -> LaunchView:
    grid = functions.grid_of(function)
    assert grid is not None
    block = function.regions[0].blocks[0]
    ops = [op for op in ods.ops_of(block) if op.name in ("tw.map", "tw.fold")]
    numbers = {r: (op, k) for op in ops for k, r in enumerate(op.results)}
    returned = ods.ops_of(block)[-1].operands
    return LaunchView(tuple(ops), tuple(numbers[v] for v in returned), grid)


def nest_names(view: LaunchView) -> dict[Any, str]:
    """A distinct name for every op of the launch: its statement's name, numbered where it repeats."""
    names: dict[Any, str] = {}
    taken: dict[str, int] = {}
    for op in view.ops:
        base = functions.statement_name(op) or "value"
        taken[base] = taken.get(base, 0) + 1
        names[op] = base if taken[base] == 1 else f"{base}.{taken[base]}"
    return names


def default_schedule(function: Any, machine: Machine) -> Schedule:
    """The schedule of one launch by the rule."""
    view = view_launch(function)
    names = nest_names(view)
    roots = {op for op, _ in view.roots}
    fixed = _grid_indices(view)
    vectors = {op: _root_vector(op, machine) for op in roots}
    nests = [
        _root_nest(op, names[op], fixed[op], vectors[op], machine) for op in view.ops if op in roots
    ]
    bound = _vector_bound_folds(view, vectors)
    for op in view.ops:
        if op.name == "tw.fold":
            nests.append(_fold_nest(op, names[op], op in bound, machine))
    warps = machine.matrix_warps if _takes_matrix_instructions(roots) else machine.warps
    if machine.keeps:
        for number, shared in enumerate(shared_expressions([op for op in view.ops if op in roots])):
            if not set(shared.kept) & set(fixed[shared.root]):
                nests.append(_kept_nest(kept_nest_name(names[shared.root], number), shared, machine))
    return Schedule(functions.name_of(function), tuple(nests), warps=warps, stages=machine.stages)


def _takes_matrix_instructions(roots: Iterable[Any]) -> bool:
    return any(has_narrow_factors(c.factors) for root in roots for c in contractions_of(root))


def fold_nest_name(name: str) -> str:
    """The reduction loops of a fold have a nest of their own."""
    return f"{name}/fold"


def factor_nest_name(name: str, side: Operand) -> str:
    """A factor of a contraction that is computed once a cell has a nest of its own."""
    return f"{name}/{side.value}"


def kept_nest_name(name: str, number: int) -> str:
    """What a root and a fold share, computed once a cell, has a nest of its own."""
    return f"{name}/kept{number}"


def _kept_nest(name: str, shared: Shared, machine: Machine) -> Nest:
    indices = tw.domain_of(shared.root).indices
    outer = tuple(Block(indices[p], 1, Where.LOOP) for p in shared.kept[:-1])
    width = machine.lanes * machine.long_unroll
    reason = "a long expression that a fold and the result share: computed once, kept in the cell"
    return Nest(name, (*outer, Block(indices[shared.kept[-1]], width, Where.TILE)), reason=reason)


def _grid_indices(view: LaunchView) -> dict[Any, tuple[int, ...]]:
    return {op: view.grid.positions[k] for k, (op, _) in enumerate(view.roots)}


# ---------------------------------------------------------------- roots


def _root_nest(op: Any, name: str, grid: tuple[int, ...], vector: int | None, machine: Machine) -> Nest:
    domain = tw.domain_of(op)
    contraction = _contraction_of(op)
    if contraction is not None:
        build = _panel_nest if machine.packs else _block_nest
        nest = build(name, domain, grid, contraction, machine)
        if nest is not None:
            return nest
    return _vector_nest(name, domain, grid, vector, _vector_width(op, machine), machine)


def _vector_nest(
    name: str, domain: tw.Domain, grid: tuple[int, ...], vector: int | None, width: int, machine: Machine
) -> Nest:
    blocks = []
    for position in grid:
        size = machine.cell_vectors if position == vector else 1
        blocks.append(Block(domain.indices[position], size, Where.GRID))
    inner = [p for p in range(domain.parallel) if p not in grid and p != vector]
    blocks += [Block(domain.indices[p], 1, Where.LOOP) for p in inner]
    if vector is not None:
        blocks.append(Block(domain.indices[vector], width, Where.TILE))
    return Nest(name, tuple(blocks), reason="one row a cell, vectors along the contiguous index")


@dataclass(frozen=True)
class Contracted:
    """A contraction read by a root (or the root itself), its factors, and the root position of each parallel index."""

    fold: Any
    factors: Factors
    positions: tuple[int, ...]


def _contraction_of(op: Any) -> Contracted | None:
    found = contractions_of(op)
    return found[0] if found else None


def contractions_of(op: Any) -> list[Contracted]:
    """The contractions that ``op`` is or reads at its own plain indices."""
    if op.name == "tw.fold":
        factors = factors_of(op)
        return [Contracted(op, factors, tuple(range(tw.domain_of(op).parallel)))] if factors else []
    body = tw.body_of(op)
    place = {a: k for k, a in enumerate(body.arguments)}
    found: dict[Any, Contracted] = {}
    for read in reads_of(body):
        view = tw.read_view(read)
        owner = view.tensor.owner
        if getattr(owner, "name", "") != "tw.fold" or not all(s in place for s in view.subscripts):
            continue
        factors = factors_of(owner.operation)
        if factors is not None:
            found[owner.operation] = Contracted(owner.operation, factors, tuple(place[s] for s in view.subscripts))
    return list(found.values())


def _panel_nest(
    name: str, domain: tw.Domain, grid: tuple[int, ...], contraction: Contracted, machine: Machine
) -> Nest | None:
    """Cells of row and column blocks, the right factor packed once a cell, the left one per row block."""
    rows = [contraction.positions[p] for p in contraction.factors.rows]
    columns = [contraction.positions[p] for p in contraction.factors.columns]
    row, column = rows[-1], columns[-1]
    if row not in grid or column not in grid:
        return None
    outer = rows[-2] if len(rows) > 1 and rows[-2] in grid else None
    width = _tile_columns(contraction.fold, machine)
    cells = {row: machine.cell_rows, column: machine.column_block}
    if outer is not None:
        cells = {outer: 8, row: machine.row_block, column: machine.column_block}
    blocks = [Block(domain.indices[p], cells.get(p, 1), Where.GRID) for p in grid]
    right_at = len(blocks)
    if outer is not None:
        blocks.append(Block(domain.indices[outer], 1, Where.LOOP))
    else:
        blocks.append(Block(domain.indices[row], machine.row_block, Where.LOOP))
    left_at = len(blocks)
    blocks.append(Block(domain.indices[column], width, Where.LOOP))
    blocks.append(Block(domain.indices[row], machine.rows, Where.TILE))
    blocks.append(Block(domain.indices[column], width, Where.TILE))
    stages = (Stage(Operand.RIGHT, right_at), Stage(Operand.LEFT, left_at))
    reason = "a sum of products: register tiles over packed panels"
    return Nest(name, tuple(blocks), stages, reason)


def _tile_columns(fold: Any, machine: Machine) -> int:
    """Columns of a register tile: half as many where the accumulators of a wide type would not fit."""
    bits = ir.RankedTensorType(fold.results[0].type).element_type.width
    vectors = machine.rows * machine.columns * bits // (32 * machine.lanes)
    return machine.columns if vectors + OTHER_REGISTERS <= machine.registers else machine.columns // 2


def _block_nest(
    name: str, domain: tw.Domain, grid: tuple[int, ...], contraction: Contracted, machine: Machine
) -> Nest | None:
    """One tile of the result a cell, both factors staged step by step along the reduced indices."""
    row = contraction.positions[contraction.factors.rows[-1]]
    column = contraction.positions[contraction.factors.columns[-1]]
    if row not in grid or column not in grid:
        return None
    narrow = has_narrow_factors(contraction.factors)
    height, width = (machine.rows, machine.columns) if narrow else (machine.wide_rows, machine.wide_columns)
    sizes = {row: height, column: width}
    blocks = [Block(domain.indices[p], sizes.get(p, 1), Where.GRID) for p in grid]
    inner = [p for p in range(domain.parallel) if p not in grid]
    blocks += [Block(domain.indices[p], 1, Where.LOOP) for p in inner]
    at = len(blocks)
    blocks += [Block(domain.indices[p], sizes[p], Where.TILE) for p in (row, column)]
    stages = (Stage(Operand.LEFT, at, panel=False), Stage(Operand.RIGHT, at, panel=False))
    return Nest(name, tuple(blocks), stages, "a sum of products: one tile a cell, factors staged step by step")


def has_narrow_factors(factors: Factors) -> bool:
    """Whether both factors were widened from 16-bit floats: what matrix instructions take."""
    return all(_widened_from_half(v) for v in (factors.left, factors.right))


def _widened_from_half(value: Any) -> bool:
    owner = value.owner
    if getattr(owner, "name", "") != "arith.extf":
        return False
    return isinstance(owner.operands[0].type, (ir.F16Type, ir.BF16Type))


def _vector_width(op: Any, machine: Machine) -> int:
    """Points of one step along the vector index: several vectors in flight, fewer where each is a long computation."""
    long = any(o.operation.name in LONG_OPS for o in tw.body_of(op).operations)
    return machine.lanes * (machine.long_unroll if long else machine.unroll)


def _root_vector(op: Any, machine: Machine) -> int | None:
    """The index a root is vectorised along: its last one; for a fold only where its reads are contiguous in it.

    What reads folds at its last index follows them: where they stream along what they reduce, it has one point a
    row (``y[i] = log(sum[j](exp(x[i, j])))``).
    """
    domain = tw.domain_of(op)
    if domain.parallel == 0:
        return None
    last = domain.parallel - 1
    if op.name == "tw.fold" and factors_of(op) is not None:
        return last
    followed = [op, *_folds_read_at(op, last)] if op.name == "tw.fold" else _folds_read_at(op, last)
    return None if any(_streams(fold) for fold in followed) else last


def _streams(fold: Any) -> bool:
    """Whether a fold has its lanes along an index that it reduces."""
    return factors_of(fold) is None and _lane_index(fold) is not None


def _folds_read_at(op: Any, position: int) -> list[Any]:
    """The folds of the launch that a body reads at the index with this position, and those that they read at it."""
    index = tw.body_of(op).arguments[position]
    found: list[Any] = []
    for view in (tw.read_view(read) for read in reads_of(tw.body_of(op))):
        fold = getattr(view.tensor.owner, "operation", None)
        if index in view.subscripts and fold is not None and fold.name == "tw.fold":
            found += [fold, *_folds_read_at(fold, list(view.subscripts).index(index))]
    return found


# ---------------------------------------------------------------- folds


def _lane_index(fold: Any) -> int | None:
    """The reduced index along which most reads of the body are contiguous; None if a parallel one is better."""
    domain = tw.domain_of(fold)
    body = tw.body_of(fold)
    votes = unit_stride_index(body, reads_of(body))
    parallel = sum(v for p, v in votes.items() if p == domain.parallel - 1)
    reduced = {p: v for p, v in votes.items() if p >= domain.parallel}
    best = max(reduced, key=lambda p: (reduced[p], p), default=None)
    if best is None:
        return None if domain.parallel else len(domain.indices) - 1
    return best if reduced[best] >= parallel or not domain.parallel else None


def _fold_nest(fold: Any, name: str, vector_bound: bool, machine: Machine) -> Nest:
    domain = tw.domain_of(fold)
    indices = domain.indices[domain.parallel :]
    name = fold_nest_name(name)
    factors = factors_of(fold)
    if factors is not None:
        blocks = tuple(Block(i, 1, Where.LOOP) for i in indices[:-1])
        depth = machine.depth if machine.packs or has_narrow_factors(factors) else machine.wide_depth
        return Nest(name, (*blocks, Block(indices[-1], depth, Where.TILE)), reason="depth of a register tile")
    lane = None if vector_bound else _lane_index(fold)
    if lane is None:
        return Nest(name, tuple(Block(i, 1, Where.LOOP) for i in indices), reason="lanes along a result axis")
    blocks = tuple(Block(i, 1, Where.LOOP) for p, i in enumerate(indices) if p + domain.parallel != lane)
    last = Block(domain.indices[lane], _vector_width(fold, machine), Where.TILE)
    return Nest(name, (*blocks, last), reason="lanes along the contiguous reduced index")


def _vector_bound_folds(view: LaunchView, vectors: dict[Any, int | None]) -> set[Any]:
    """Folds that are asked for along the vector index of a root: they have lanes already."""
    bound: set[Any] = {op for op, v in vectors.items() if op.name == "tw.fold" and v is not None}
    for op, vector in vectors.items():
        if vector is None:
            continue
        bound.update(_folds_read_at(op, vector))
    return bound
