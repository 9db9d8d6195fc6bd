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


Change = Callable[[Comprehension], list[Moved]]


def stay(source: Comprehension) -> list[Moved]:
    """Every result at its place in ``source``, axes as they are."""
    axes = tuple(range(source.domain.parallel))
    return [Moved(source, k, axes) for k in range(len(source.body))]


def rewrite(program: Program, change: Change) -> Program:
    """Rewrite producers first; ``change`` sees a comprehension whose reads are of rewritten sources already, and says
    where each of its results is now. Outputs must keep their axes."""
    moved: dict[Value, Moved] = {}

    def follow(node: Node) -> Node:
        if not isinstance(node, Read) or (node.source, node.result) not in moved:
            return node
        return at(node, moved[node.source, node.result])

    for old in program.comprehensions:
        current = old.with_roots(rebuild(old.roots, follow))
        for result, target in enumerate(change(current)):
            moved[old, result] = target
    outputs = tuple((m.source, m.result) if (m := moved.get(v)) is not None else v for v in program.outputs)
    return replace(program, outputs=outputs)


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
    ends = [domain.bounds[2 * (old - domain.parallel) + end] for old in order[parallel:] for end in (0, 1)] if domain.bounds else []
    return replace(
        domain,
        names=tuple(domain.names[old] for old in order),
        parallel=parallel,
        extents=tuple(domain.extents[old] for old in order),
        bounds=tuple(ends),
    )
