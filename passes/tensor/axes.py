"""Pass ``axes``: every comprehension has the axes it needs, in an order that does not depend on how it was written.

What: parallel indices of folds and inner maps that no expression uses are dropped; the others, and reduced indices, are
ordered by how far from the fastest axis they subscript what is read. ``orient`` (used by ``partition``, when nothing
is compared any more) orders the parallel ones like the indices of their first reader instead.
Before -> after: ``sum[c, r, s](x[n, p+r, q+s, c] * w[k, r, s, c])`` reduces over ``r, s, c``;
``sum[k](a[i,k] * b[k,j])`` and ``sum[k](b[k,i] * a[j,k])`` become equal folds.
Needs: nothing. Does not handle: outputs, whose axes are the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tilewright.dialect.tensor import ReadMode
from tilewright.passes.tensor.moves import Moved, reordered, rewrite
from tilewright.passes.tensor.program import Comprehension, Program, Source, positions_of
from tilewright.passes.tensor.structure import Digest, Structure, digest_of
from tilewright.passes.tensor.transform import ProgramPass


@dataclass(frozen=True)
class Axes(ProgramPass):
    """See the module."""

    name: ClassVar[str] = "axes"

    def change(self, program: Program) -> Program:
        return order_axes(program)


def order_axes(program: Program) -> Program:
    """``program`` with the axes of its comprehensions dropped and ordered."""
    outputs = {source for source, _ in program.outputs}
    checked = _checked_axes(program)
    originals = iter(program.comprehensions)
    structure = Structure()

    def change(current: Comprehension) -> list[Moved]:
        original = next(originals)
        order = _memory_order(current, structure, original in outputs, checked.get(original, set()))
        return _moved(current, order)

    return rewrite(program, change)


def _moved(current: Comprehension, order: tuple[int, ...]) -> list[Moved]:
    new = reordered(current, order)
    axes = tuple(old for old in order if old < current.domain.parallel)
    return [Moved(new, k, axes) for k in range(len(new.body))]


def _checked_axes(program: Program) -> dict[Source, set[int]]:
    """The axes that some read may leave: they say where the element exists, whether or not it depends on them."""
    found: dict[Source, set[int]] = {}
    for source in program.comprehensions:
        for read in source.reads:
            axes = {axis for axis, mode in enumerate(read.modes) if mode is not ReadMode.PROVED}
            found.setdefault(read.source, set()).update(axes)
    return found


def _memory_order(source: Comprehension, structure: Structure, is_output: bool, checked: set[int]) -> tuple[int, ...]:
    domain = source.domain
    ranks = _ranks(source, structure)
    parallel = list(range(domain.parallel))
    if not is_output:
        used = positions_of(source.roots) | checked
        parallel = sorted((k for k in parallel if k in used), key=lambda k: ranks[k])
    return (*parallel, *sorted(domain.reduced, key=lambda k: ranks[k]))


def _ranks(source: Comprehension, structure: Structure) -> list[tuple[Any, ...]]:
    """A sorting key per index: slow axes first, then by what is read there, then by structure."""
    places: list[list[tuple[int, Digest]]] = [[] for _ in range(source.domain.rank)]
    for read in source.reads:
        for axis, subscript in enumerate(read.subscripts):
            distance = len(read.subscripts) - 1 - axis
            for number in positions_of([subscript]):
                places[number].append((-distance, digest_of(structure.source(read.source), axis)))
    return [_rank(source, number, sorted(found), structure) for number, found in enumerate(places)]


def _rank(
    source: Comprehension, number: int, places: list[tuple[int, Digest]], structure: Structure
) -> tuple[Any, ...]:
    slowest = places[0][0] if places else 1
    fastest = places[-1][0] if places else 1
    return (
        slowest,
        fastest,
        digest_of(*(p for pair in places for p in pair)),
        structure.node(source.domain.extents[number]),
        number,
    )


# ---------------------------------------------------------------- readers' order


def orient(program: Program) -> Program:
    """Parallel axes of what is not an output in the order of the indices of the first plain reader."""
    orders = _reader_orders(program)
    originals = iter(program.comprehensions)
    return rewrite(program, lambda current: _moved(current, orders[next(originals)]))


def _reader_orders(program: Program) -> dict[Comprehension, tuple[int, ...]]:
    """For each comprehension its old indices in their new order, readers decided before what they read."""
    outputs = {source for source, _ in program.outputs}
    orders: dict[Comprehension, tuple[int, ...]] = {}
    for source in reversed(program.comprehensions):
        rank = source.domain.rank
        if source in outputs:
            orders[source] = tuple(range(rank))
            continue
        orders[source] = _followed(source, program.readers[source], orders)
    return orders


def _followed(
    source: Comprehension, readers: list[Comprehension], orders: dict[Comprehension, tuple[int, ...]]
) -> tuple[int, ...]:
    for reader in readers:
        places = {old: new for new, old in enumerate(orders[reader])}
        for read in reader.reads:
            if read.source is source and read.is_plain and read.subscripts:
                axes = sorted(range(source.domain.parallel), key=lambda k: places[read.positions[k]])
                return (*axes, *source.domain.reduced)
    return tuple(range(source.domain.rank))
