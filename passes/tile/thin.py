"""Owns the variants of a launch for thin products: few rows or few columns, where packing costs more than it gives.

Each element of the wide factor is used a few times only, so it is read in place, once, with the lanes along the index
it is contiguous in: its own (all sums of the cell are kept, rows of the wide factor are added to them) or the summed
one (a few sums of lanes each, added up at the end). The thin factor is kept in the cell where reading it again is dear.
Like the rule itself, this looks at index maps and never at names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tilewright.dialect import tensor as tw
from tilewright.passes.schedule import Block, Limit, Nest, Operand, Schedule, Where
from tilewright.passes.tile.factors import ops_under, unit_stride_index
from tilewright.passes.tile.rule import (
    Contracted,
    LaunchView,
    Machine,
    contractions_of,
    default_schedule,
    factor_nest_name,
    fold_nest_name,
    nest_names,
    view_launch,
)
from tilewright.passes.tile.shared import LONG_OPS


def schedules_of(function: Any, machine: Machine) -> tuple[Schedule, ...]:
    """The schedules of one launch by the rule, in the order in which they are tried; the last one always holds."""
    general = default_schedule(function, machine)
    if not machine.packs:
        return (general,)
    view = view_launch(function)
    thin = [_thin_schedule(view, general, side, machine) for side in Operand]
    return (*[schedule for schedule in thin if schedule is not None], general)


@dataclass(frozen=True)
class Streamed:
    """How a root reads the wide factors of its contractions in place; positions are those of the root's indices.

    ``along`` is the position, among the indices of the folds, of the summed index that the lanes run along; None where
    they run along ``wide``.
    """

    root: Any
    contractions: tuple[Contracted, ...]
    side: Operand
    thin: tuple[int, ...]
    wide: int
    along: int | None

    def width(self, machine: Machine) -> int:
        """Points of the wide index in a tile of results; few where they are stored one by one."""
        if self.along is not None:
            return machine.thin_sums
        stored_along = self.wide == tw.domain_of(self.root).parallel - 1
        return machine.lanes * (machine.thin_vectors if stored_along else 1)

    def most(self, machine: Machine) -> int:
        """How many points each index of the thin side may have; together no more than the machine's figure."""
        points = machine.thin_across if self.along is None else machine.thin_along
        return max(most for most in range(1, points + 1) if most ** len(self.thin) <= points)


def _thin_schedule(view: LaunchView, general: Schedule, side: Operand, machine: Machine) -> Schedule | None:
    """The schedule for few points on one side of the launch's first contraction; None where there is none."""
    names = nest_names(view)
    axes: set[int] | None = None
    most, nests = 0, {nest.name: nest for nest in general.nests}
    for number, (root, _) in enumerate(view.roots):
        grid = view.grid.positions[number]
        streamed = _streamed(root, grid, side) if axes is None else _on_axes(root, grid, axes)
        if streamed is None:
            continue
        if axes is None:
            axes, most = {grid.index(p) for p in streamed.thin}, streamed.most(machine)
        made = [_root_nest(names[root], grid, streamed, most, machine)]
        for contracted in streamed.contractions:
            made += _fold_nests(names[contracted.fold], contracted, streamed, machine)
        nests.update((nest.name, nest) for nest in made)
    if axes is None:
        return None
    indices, positions = tw.domain_of(view.roots[0][0]).indices, view.grid.positions[0]
    limits = tuple(Limit(indices[positions[axis]], most) for axis in sorted(axes))
    return replace(general, nests=tuple(nests.values()), when=limits)


def _on_axes(root: Any, grid: tuple[int, ...], axes: set[int]) -> Streamed | None:
    """A root that has one side of its contractions along these axes of the grid."""
    for side in Operand:
        streamed = _streamed(root, grid, side)
        if streamed is not None and {grid.index(p) for p in streamed.thin} == axes:
            return streamed
    return None


def _streamed(root: Any, grid: tuple[int, ...], side: Operand) -> Streamed | None:
    """How a root streams when this side of its contractions is thin: all of them alike, or not at all."""
    found = {_streamed_one(root, contracted, side) for contracted in contractions_of(root)}
    if len(found) != 1:
        return None
    thin, wide, along = found.pop()
    if wide is None or not {*thin, wide} <= set(grid):
        return None
    return Streamed(root, tuple(contractions_of(root)), side, thin, wide, along)


def _streamed_one(root: Any, contracted: Contracted, side: Operand) -> tuple[tuple[int, ...], int | None, int | None]:
    """The thin positions, the wide one and the lanes of one contraction.

    Without a wide one it cannot stream: nothing is contiguous, or each point of the thin side would do a long
    computation again.
    """
    factors, place = contracted.factors, contracted.positions
    own, others = (factors.rows, factors.columns) if side is Operand.LEFT else (factors.columns, factors.rows)
    body, domain = tw.body_of(contracted.fold), tw.domain_of(contracted.fold)
    ops = ops_under(body, factors.right if side is Operand.LEFT else factors.left)
    votes = unit_stride_index(body, [op for op in ops if op.name == "tw.read"])
    summed = {p: n for p, n in votes.items() if p >= domain.parallel}
    along = max(summed, key=lambda p: (summed[p], p), default=None)
    thin = tuple(place[p] for p in own)
    if any(op.name in LONG_OPS for op in ops):
        return thin, None, None
    if votes.get(others[-1], 0) > (summed[along] if along is not None else 0):
        return thin, place[others[-1]], None
    return thin, None if along is None else place[others[-1]], along


def _root_nest(name: str, grid: tuple[int, ...], streamed: Streamed, most: int, machine: Machine) -> Nest:
    indices, parallel = tw.domain_of(streamed.root).indices, tw.domain_of(streamed.root).parallel
    width = streamed.width(machine)
    cell = machine.column_block if streamed.along is not None else machine.thin_cell
    sizes = {streamed.wide: max(cell, width)} | dict.fromkeys(streamed.thin, most)
    blocks = [Block(indices[p], sizes.get(p, 1), Where.GRID) for p in grid]
    blocks += [Block(indices[p], 1, Where.LOOP) for p in range(parallel) if p not in grid]
    wide = [Block(indices[streamed.wide], width, Where.LOOP)]
    thin = [Block(indices[p], 1, Where.LOOP) for p in streamed.thin]
    blocks += thin + wide if streamed.along is None else wide + thin
    blocks.append(Block(indices[streamed.wide], width, Where.TILE))
    return Nest(name, tuple(blocks), reason="a thin product: the wide factor is read once, in place")


def _fold_nests(name: str, contracted: Contracted, streamed: Streamed, machine: Machine) -> Iterator[Nest]:
    """The loops over the summed indices, and the buffer of the thin factor where it is kept."""
    domain, along = tw.domain_of(contracted.fold), streamed.along
    loops = tuple(Block(domain.indices[p], 1, Where.LOOP) for p in range(domain.parallel, len(domain.indices)))
    if along is None:
        steps = Block(domain.indices[-1], machine.thin_steps, Where.TILE)
        position = contracted.positions.index(streamed.wide)
        sums = Block(domain.indices[position], machine.lanes * machine.thin_vectors, Where.TILE)
        reason = "the sums of the cell are kept, and rows of the wide factor added to them"
        yield Nest(fold_nest_name(name), (*loops[:-1], steps, sums), reason=reason)
    else:
        lanes = Block(domain.indices[along], machine.lanes, Where.TILE)
        rest = tuple(block for block in loops if block.index != lanes.index)
        yield Nest(fold_nest_name(name), (*rest, lanes), reason="lanes along the contiguous summed index")
    factor = contracted.factors.left if streamed.side is Operand.LEFT else contracted.factors.right
    if not _is_dear(contracted.fold, factor, along):
        return
    last = len(domain.indices) - 1
    width = machine.lanes if _reads_vectors(contracted.fold, factor, last) else 1
    reason = "the thin factor is dear to read again: computed once, kept in the cell"
    blocks = (*loops[:-1], Block(domain.indices[last], width, Where.TILE))
    yield Nest(factor_nest_name(name, streamed.side), blocks, reason=reason)


def _is_dear(fold: Any, factor: Any, along: int | None) -> bool:
    """Whether a factor is a long computation, or cannot be read in vectors where lanes run along a summed index."""
    if any(op.name in LONG_OPS for op in ops_under(tw.body_of(fold), factor)):
        return True
    return along is not None and not _reads_vectors(fold, factor, along)


def _reads_vectors(fold: Any, factor: Any, position: int) -> bool:
    """Whether everything that a factor reads is contiguous along an index of the fold."""
    body = tw.body_of(fold)
    reads = [op for op in ops_under(body, factor) if op.name == "tw.read"]
    return unit_stride_index(body, reads).get(position, 0) == len(reads)
