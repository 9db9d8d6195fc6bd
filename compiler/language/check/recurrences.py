"""Owns recurrences: statements that read what they define at earlier points along one index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

from tilewright.compiler.language import typed
from tilewright.compiler.language.check.context import Context, RecordedRead
from tilewright.compiler.language.check.printed import printed
from tilewright.compiler.language.check.problems import note

COMBINATIONS = 4096
"""Choices of the stepped axis of each name that are tried."""


@dataclass(frozen=True)
class Member:
    """A statement of a recurrence: its number, name, and the unique names of its left indices, by axis."""

    number: int
    name: str
    axes: tuple[str, ...]
    statement: typed.Statement


Steps = Mapping[str, tuple[str, int]]
"""For each name of the recurrence: the index that it steps, and the direction."""


def steps(context: Context, members: Sequence[Member]) -> Steps | None:
    """The index that each statement steps and the direction; None after an error."""
    by_number = {m.number: m for m in members}
    names = {m.name for m in members}
    reads = [r for r in context.reads if r.statement in by_number and r.read.tensor in names]
    relations = [_Relations(context, by_number[r.statement], r) for r in reads]
    if not relations:  # the name also means something else, a dim or a scalar, which is an error of its own
        return None
    ranks = [range(len(m.axes)) for m in members]
    for choice in islice(product(*ranks), COMBINATIONS):
        axes = {m.name: axis for m, axis in zip(members, choice, strict=True)}
        for direction in (1, -1):
            if _ordered(relations, axes, direction):
                return {m.name: (m.axes[axes[m.name]], direction) for m in members}
    _refuse(context, relations)
    return None


class _Relations:
    """How one read lies to the point that is being defined, for each pair of axes (reader's, read name's)."""

    def __init__(self, context: Context, reader: Member, recorded: RecordedRead) -> None:
        self.context, self.reader, self.recorded = context, reader, recorded
        self.name = recorded.read.tensor
        self._known: dict[tuple[int, int], int | None] = {}

    def at(self, own: int, other: int) -> int | None:
        """1 if the read is earlier, -1 if later, 0 at the same place, None if unordered."""
        if (own, other) not in self._known:
            self._known[own, other] = self._found(own, other)
        return self._known[own, other]

    def _found(self, own: int, other: int) -> int | None:
        atoms, prover = self.context.atoms, self.context.prover
        here = atoms.of(typed.Index(self.recorded.read.span, typed.INDEX, self.reader.axes[own]))
        distance = here - atoms.of(self.recorded.read.subscripts[other])
        value = distance.value()
        if value is not None:
            return (value > 0) - (value < 0)
        if prover.proves(distance.shifted(-1), self.recorded.facts):
            return 1
        return -1 if prover.proves(distance.scaled(-1).shifted(-1), self.recorded.facts) else None

    def strict(self) -> Iterator[tuple[int, int]]:
        """The axes of the reader along which the read is strictly ordered, with the direction."""
        for axis in range(len(self.recorded.read.subscripts)):
            if axis < len(self.reader.axes) and self.at(axis, axis) in (1, -1):
                yield axis, self.at(axis, axis) or 0


def _ordered(relations: Sequence[_Relations], axes: Mapping[str, int], direction: int) -> bool:
    """Whether every read is earlier along the chosen axes, and reads at the same place form no cycle."""
    same: dict[str, set[str]] = {}
    for one in relations:
        relation = one.at(axes[one.reader.name], axes[one.name])
        if relation == 0:
            same.setdefault(one.reader.name, set()).add(one.name)
        elif relation != direction:
            return False
    return not _has_cycle(same)


def _has_cycle(edges: Mapping[str, set[str]]) -> bool:
    remaining = {name: set(to) for name, to in edges.items()}
    while remaining:
        free = [name for name, to in remaining.items() if not to & set(remaining)]
        if not free:
            return True
        for name in free:
            del remaining[name]
    return False


def _refuse(context: Context, relations: Sequence[_Relations]) -> None:
    strict = [list(one.strict()) for one in relations]
    for one, ordered in zip(relations, strict, strict=True):
        shared = range(min(len(one.reader.axes), len(one.recorded.read.subscripts)))
        if not ordered and any(one.at(axis, axis) is None for axis in shared):
            return _refuse_unordered(context, one)
    for one, ordered in zip(relations, strict, strict=True):
        if not ordered:
            return _refuse_same(context, one)
    axes = {axis for ordered in strict for axis, _ in ordered}
    first, last = relations[0].recorded.read, relations[-1].recorded.read
    if len(axes) > 1:
        message = "this recurrence steps two indices"
        hint = "step one index, for example the anti-diagonals `a = i + j`"
        notes = (*note(first.span, "one index is stepped here"), *note(None, hint))
        return context.problems.add("TW0603", last.span, message, notes=notes)
    message = "this recurrence steps its index in both directions"
    context.problems.add("TW0604", last.span, message, notes=note(first.span, "the other direction is read here"))
    return None


def _refuse_unordered(context: Context, one: _Relations) -> None:
    read = one.recorded.read
    context.problems.add(
        "TW0602",
        read.span,
        f"`{one.name}` reads itself at points that are not ordered",
        expected="an earlier point along one index: `t - c` with a constant c, or a bound `l` with `where l < t`",
        found=f"`{printed(read)}`",
    )


def _refuse_same(context: Context, one: _Relations) -> None:
    read = one.recorded.read
    message = f"`{one.name}` needs its own value at the point that it defines"
    notes = note(None, "read an earlier point, for example `(s[t-1] else 0)`")
    context.problems.add("TW0604", read.span, message, found=f"`{printed(read)}`", notes=notes)
