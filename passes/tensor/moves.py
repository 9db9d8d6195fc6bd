"""Owns moving results between sources: what readers must change when a comprehension's axes are dropped or permuted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tilewright.passes.tensor.program import (
    Comprehension,
    Domain,
    Node,
    Position,
    Program,
    Read,
    Source,
    Value,
    rebuild,
)


@dataclass(frozen=True)
class Moved:
    """Where a result is now: result ``result`` of ``source``, whose axis ``k`` is axis ``axes[k]`` of the old one."""

    source: Source
    result: int
    axes: tuple[int, ...]


class Moves:
    """Where results have gone so far; reads follow."""

    def __init__(self) -> None:
        self._moved: dict[Value, Moved] = {}

    def move(self, source: Source, targets: Sequence[Moved]) -> None:
        """Result ``k`` of ``source`` is now ``targets[k]``."""
        self._moved |= {(source, k): target for k, target in enumerate(targets)}

    def follow(self, source: Comprehension) -> Comprehension:
        """The comprehension reading everything where it is now."""
        if all(self._followed(read) is read for read in source.reads):
            return source
        return source.with_roots(rebuild(source.roots, self._followed))

    def _followed(self, node: Node) -> Node:
        if not isinstance(node, Read) or (node.source, node.result) not in self._moved:
            return node
        return at(node, self._moved[node.source, node.result])

    def outputs(self, program: Program) -> Program:
        """The program with its outputs where they are now; they must keep their axes."""
        outputs = []
        for value in program.outputs:
            target = self._moved.get(value)
            outputs.append(value if target is None else (target.source, target.result))
        return replace(program, outputs=tuple(outputs))


Change = Callable[[Comprehension], list[Moved]]


def stay(source: Comprehension) -> list[Moved]:
    """Every result at its place in ``source``, axes as they are."""
    axes = tuple(range(source.domain.parallel))
    return [Moved(source, k, axes) for k in range(len(source.body))]


def rewrite(program: Program, change: Change) -> Program:
    """Rewrite producers first; ``change`` sees a comprehension whose reads are of rewritten sources already, and says
    where each of its results is now."""
    moves = Moves()
    for old in program.comprehensions:
        moves.move(old, change(moves.follow(old)))
    return moves.outputs(program)


def at(read: Read, target: Moved) -> Read:
    """The same element, read where it is now."""
    if target.source is read.source and target.result == read.result and target.axes == tuple(range(len(read.modes))):
        return read
    return replace(
        read,
        source=target.source,
        result=target.result,
        subscripts=tuple(read.subscripts[axis] for axis in target.axes),
        modes=tuple(read.modes[axis] for axis in target.axes),
    )


def reordered(source: Comprehension, order: Sequence[int]) -> Comprehension:
    """The comprehension with index ``order[k]`` of the old one as index ``k``.

    Indices that ``order`` leaves out must not be used. Parallel indices come first in ``order``.
    """
    domain = source.domain
    if tuple(order) == tuple(range(domain.rank)):
        return source
    places = {old: new for new, old in enumerate(order)}

    def renumber(node: Node) -> Node:
        return replace(node, number=places[node.number]) if isinstance(node, Position) else node

    roots = rebuild(source.roots, renumber)
    moved = source.with_roots(roots)
    return replace(moved, domain=_permuted(moved.domain, order))


def _permuted(domain: Domain, order: Sequence[int]) -> Domain:
    parallel = sum(1 for old in order if old < domain.parallel)
    places = [2 * (old - domain.parallel) + end for old in order[parallel:] for end in (0, 1)]
    ends = [domain.bounds[place] for place in places] if domain.bounds else []
    return replace(
        domain,
        names=tuple(domain.names[old] for old in order),
        parallel=parallel,
        extents=tuple(domain.extents[old] for old in order),
        bounds=tuple(ends),
    )
