"""Pass ``siblings``: comprehensions over one domain that read a common element become one with several results.

What: folds over one domain, and maps over one domain that read the same folds, are merged where they read an element
in common. Two of them can be merged when neither needs the other; comprehensions of equal depth (the longest way from
the arguments) never do, and merging them changes no depth, so one walk over the levels is enough.
Before -> after: ``sum[j](x)`` and ``sum[j](x*x)`` -> one fold with two results.
Needs: ``common`` before it, so that equal folds are one and no sibling is merged with its double; ``common`` after it
shares what the merged bodies repeat. Does not handle: contractions, each with its own tiling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from tilewright.dialect.folds import arity
from tilewright.passes.tensor.moves import Moved, Moves, stay
from tilewright.passes.tensor.product import is_contraction
from tilewright.passes.tensor.program import Comprehension, Program, Read, Source, positions_of
from tilewright.passes.tensor.structure import Digest, Structure, digest_of
from tilewright.passes.tensor.transform import ProgramPass


@dataclass(frozen=True)
class Siblings(ProgramPass):
    """See the module."""

    name: ClassVar[str] = "siblings"

    def change(self, program: Program) -> Program:
        return merge_siblings(program)


MAX_RESULTS = 8
"""Results of one merged comprehension: each needs registers of its own."""


def merge_siblings(program: Program) -> Program:
    """``program`` with siblings merged; contractions stay by themselves, each with its own tiling."""
    moves, structure = Moves(), Structure()
    for level in _levels(program):
        current = [moves.follow(source) for source in level]
        moved: dict[Comprehension, list[Moved]] = {}
        for group in _groups(current, structure):
            moved |= _merged(group)
        for old, new in zip(level, current, strict=True):
            moves.move(old, moved[new])
    return moves.outputs(program)


def _levels(program: Program) -> list[list[Comprehension]]:
    """Comprehensions by the longest way from arguments and tables."""
    depths: dict[Source, int] = {}
    levels: list[list[Comprehension]] = []
    for source in program.comprehensions:
        depth = max((depths.get(s, -1) for s in source.inputs), default=-1) + 1
        depths[source] = depth
        while len(levels) <= depth:
            levels.append([])
        levels[depth].append(source)
    return levels


def _groups(level: Sequence[Comprehension], structure: Structure) -> list[list[Comprehension]]:
    """The siblings of one level: joined through the elements that they read in common."""
    groups: list[list[Comprehension]] = []
    holders: dict[Digest, list[Comprehension]] = {}
    for source in level:
        keys = _sharing_keys(source, structure)
        group = next((holders[key] for key in keys if key in holders and _fits(holders[key], source)), None)
        if group is None:
            group = []
            groups.append(group)
        group.append(source)
        holders |= {key: group for key in keys if key not in holders or not _fits(holders[key], source)}
    return groups


def _sharing_keys(source: Comprehension, structure: Structure) -> list[Digest]:
    """One key per element that a sibling could read too: the kind of loop, its domain, and the element."""
    if source.is_fold and is_contraction(source):
        return []
    loop = digest_of(source.is_fold, source.unsigned, structure.domain(source))
    if not source.is_fold:
        loop = digest_of(loop, *(structure.source(s) for s in _folds_of(source)))
    return [digest_of(loop, structure.node(read)) for read in source.reads if _covers(read, source)]


def _covers(read: Read, source: Comprehension) -> bool:
    """Whether the element changes along every index that is looped over inside a cell."""
    used = positions_of(read.subscripts)
    needed = source.domain.reduced if source.is_fold else range(source.domain.rank)
    return bool(read.subscripts) and used.issuperset(needed)


def _folds_of(source: Comprehension) -> list[Source]:
    return [s for s in source.inputs if isinstance(s, Comprehension) and s.is_fold]


def _fits(group: Sequence[Comprehension], source: Comprehension) -> bool:
    return sum(len(member.body) for member in group) + len(source.body) <= MAX_RESULTS


def _merged(group: Sequence[Comprehension]) -> dict[Comprehension, list[Moved]]:
    """Where the results of the members of one group go."""
    if len(group) == 1:
        return {group[0]: stay(group[0])}
    first = group[0]
    body = tuple(root for member in group for root in member.body)
    kinds = tuple(kind for member in group for kind in member.kinds)
    assert not kinds or sum(arity(kind) for kind in kinds) == len(body)
    merged = replace(first, body=body, kinds=kinds)
    axes = tuple(range(first.domain.parallel))
    places: dict[Comprehension, list[Moved]] = {}
    start = 0
    for member in group:
        places[member] = [Moved(merged, start + k, axes) for k in range(len(member.body))]
        start += len(member.body)
    return places
