"""Owns the choice of launches: which comprehensions are computed together, on which shared axes, and why.

Each comprehension starts as a group of its own. Two groups are merged along a read when that is possible and pays:

* possible: every read between them is at plain, distinct parallel indices over equal extents, so that axes can be
  identified; the axes that all members share (the grid) are not empty, unless every member has rank 0; a contraction
  keeps all of its axes in the grid, so that none of it is computed twice or serially; and no other group stands
  between them.
* pays: no member loses a grid axis (an epilogue, row statistics used by row statistics); or what loses an axis reads,
  along that axis, a tensor that the other group reads too, so that a cell finds it in the cache. The cell must be
  compact: the lost axes are one, or stand behind the grid's axes in that tensor.

Merges that lose nothing come first, then those that do, then siblings that only share reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tilewright.passes.tensor.product import is_contraction
from tilewright.passes.tensor.program import Comprehension, Position, Program, Read, Source
from tilewright.passes.tensor.structure import Structure

Axis = tuple[Comprehension, int]


@dataclass
class Group:
    """Comprehensions of one launch, in program order, and the reasons for their being together."""

    members: list[Comprehension]
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Merge:
    """A merge that is possible: the axes that become one, and the members that lose a grid axis."""

    joined: list[tuple[Axis, Axis]]
    loses: bool


class Grouping:
    """The groups of one program, while they are merged."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.structure = Structure()
        self.order = {source: k for k, source in enumerate(program.comprehensions)}
        self.group = {source: Group([source]) for source in program.comprehensions}
        self.classes: dict[Axis, Axis] = {}
        self.heavy = {source for source in program.comprehensions if source.is_fold and is_contraction(source)}
        self.readers = program.readers

    # ------------------------------------------------------------ axes

    def class_of(self, axis: Axis) -> Axis:
        """The representative of an axis: equal for axes that are one."""
        root = axis
        while root in self.classes:
            root = self.classes[root]
        while axis != root:
            self.classes[axis], axis = root, self.classes[axis]
        return root

    def grid(self, members: Sequence[Comprehension], joined: Iterable[tuple[Axis, Axis]] = ()) -> list[Axis]:
        """The axes that all members have, in the order of the first member with most axes."""
        alias = self._aliased(joined)
        shared: set[Axis] | None = None
        for member in members:
            mine = {alias(self.class_of((member, k))) for k in range(member.domain.parallel)}
            shared = mine if shared is None else shared & mine
        leader = max(members, key=lambda m: (m.domain.parallel, not m.is_fold))
        found = [alias(self.class_of((leader, k))) for k in range(leader.domain.parallel)]
        return [axis for axis in found if axis in (shared or set())]

    def _aliased(self, joined: Iterable[tuple[Axis, Axis]]) -> _Alias:
        return _Alias(self.class_of, joined)

    # ------------------------------------------------------------ merging

    def possible(self, first: Group, second: Group) -> Merge | None:
        """How two groups could be one launch, or None."""
        joined = self._joined(first, second)
        if joined is None:
            return None
        return self._checked(first, second, joined)

    def _checked(self, first: Group, second: Group, joined: list[tuple[Axis, Axis]]) -> Merge | None:
        members = [*first.members, *second.members]
        alias = self._aliased(joined)
        if any(_folded(alias, self.class_of, member) for member in members):
            return None
        grid = set(self.grid(members, joined))
        if not grid and any(member.domain.parallel for member in members):
            return None
        if any(self._outside(m, grid, alias) for m in members if m in self.heavy):
            return None
        before = {alias(a) for g in (first, second) for a in self.grid(g.members)}
        if self._stands_between(first, second):
            return None
        return Merge(joined, bool(before - grid))

    def _outside(self, member: Comprehension, grid: set[Axis], alias: _Alias) -> bool:
        return any(alias(self.class_of((member, k))) not in grid for k in range(member.domain.parallel))

    def _joined(self, first: Group, second: Group) -> list[tuple[Axis, Axis]] | None:
        """The axes that reads between the groups identify; None where a read needs more than a cell."""
        joined: list[tuple[Axis, Axis]] = []
        for producers, consumers in ((first, second), (second, first)):
            inside = set(producers.members)
            for reader in consumers.members:
                for read in reader.reads:
                    if read.source not in inside:
                        continue
                    pairs = self.identified(read, reader)
                    if pairs is None:
                        return None
                    joined += pairs
        return joined

    def identified(self, read: Read, reader: Comprehension) -> list[tuple[Axis, Axis]] | None:
        """The axes of the producer with the indices of the reader they are read at; None unless all are parallel."""
        producer = read.source
        assert isinstance(producer, Comprehension)
        if not read.is_plain or any(p >= reader.domain.parallel for p in read.positions):
            return None
        for axis, position in enumerate(read.positions):
            if not self._same_extent((producer, axis), (reader, position)):
                return None
        return [((producer, axis), (reader, position)) for axis, position in enumerate(read.positions)]

    def _same_extent(self, one: Axis, other: Axis) -> bool:
        first, second = (source.domain.extents[axis] for source, axis in (one, other))
        return self.structure.node(first) == self.structure.node(second)

    def _stands_between(self, first: Group, second: Group) -> bool:
        """Whether a way leads from one group to the other through a third one."""
        return self._reaches(first, second) or self._reaches(second, first)

    def _reaches(self, start: Group, goal: Group) -> bool:
        last = max(self.order[m] for m in goal.members)
        seen = {id(start), id(goal)}
        todo = [g for g in self._next(start) if g is not goal]
        while todo:
            group = todo.pop()
            if id(group) in seen:
                continue
            seen.add(id(group))
            if min(self.order[m] for m in group.members) > last:
                continue
            following = self._next(group)
            if any(g is goal for g in following):
                return True
            todo += following
        return False

    def _next(self, group: Group) -> list[Group]:
        return [self.group[reader] for member in group.members for reader in self.readers[member]]

    def merge(self, first: Group, second: Group, merge: Merge, reason: str) -> None:
        """Make one group of two."""
        for one, other in merge.joined:
            a, b = self.class_of(one), self.class_of(other)
            if a != b:
                self.classes[a] = b
        members = sorted([*first.members, *second.members], key=lambda m: self.order[m])
        whole = Group(members, [*first.reasons, *second.reasons, reason])
        for member in members:
            self.group[member] = whole

    def groups(self) -> list[Group]:
        """All groups, in the order of their first member."""
        return list({id(self.group[source]): self.group[source] for source in self.program.comprehensions}.values())


class _Alias:
    """Representatives under merges that are only tried."""

    def __init__(self, class_of: object, joined: Iterable[tuple[Axis, Axis]]) -> None:
        self._parents: dict[Axis, Axis] = {}
        for one, other in joined:
            a, b = self(class_of(one)), self(class_of(other))  # type: ignore[operator]
            if a != b:
                self._parents[a] = b

    def __call__(self, axis: Axis) -> Axis:
        while axis in self._parents:
            axis = self._parents[axis]
        return axis


def _folded(alias: _Alias, class_of: object, member: Comprehension) -> bool:
    """Whether two axes of one member have become one."""
    mine = [alias(class_of((member, k))) for k in range(member.domain.parallel)]  # type: ignore[operator]
    return len(set(mine)) != len(mine)


# ---------------------------------------------------------------- the rule


def group(program: Program) -> Grouping:
    """Choose the launches of ``program``."""
    grouping = Grouping(program)
    for allow_loss in (False, True):
        for reader in program.comprehensions:
            for producer in reader.inputs:
                if isinstance(producer, Comprehension):
                    _try_edge(grouping, producer, reader, allow_loss)
    _merge_siblings(grouping)
    return grouping


def _try_edge(grouping: Grouping, producer: Comprehension, reader: Comprehension, allow_loss: bool) -> None:
    first, second = grouping.group[producer], grouping.group[reader]
    if first is second:
        return
    merge = grouping.possible(first, second)
    if merge is None or (merge.loses and not allow_loss):
        return
    if not merge.loses:
        grouping.merge(first, second, merge, f"{name_of(reader)} uses {name_of(producer)} where it is computed")
        return
    shared = _shared_in_cell(grouping, first, second, merge)
    if shared is not None:
        grouping.merge(first, second, merge, f"{name_of(producer)} and {name_of(reader)} read the same {shared} of a cell")


def _shared_in_cell(grouping: Grouping, first: Group, second: Group, merge: Merge) -> str | None:
    """A tensor that both groups read along the axes that are lost, if a cell of it is compact."""
    members = [*first.members, *second.members]
    alias = _Alias(grouping.class_of, merge.joined)
    grid = set(grouping.grid(members, merge.joined))
    common = _tensors(first) & _tensors(second)
    for member in members:
        lost = {k for k in range(member.domain.parallel) if alias(grouping.class_of((member, k))) not in grid}
        for read in member.reads if lost else ():
            if read.source in common and _is_compact(read, lost, member):
                return tensor_name(grouping.program, read.source)
    return None


def _tensors(group: Group) -> set[Source]:
    return {read.source for member in group.members for read in member.reads if len(read.subscripts) > 1}


def _is_compact(read: Read, lost: set[int], member: Comprehension) -> bool:
    """Whether the elements of one cell lie together: one lost axis, or lost axes behind those of the grid."""
    kinds = [s.number in lost for s in read.subscripts if isinstance(s, Position) and s.number < member.domain.parallel]
    if sum(kinds) < len(lost):
        return False
    return len(lost) == 1 or kinds == sorted(kinds)


def _merge_siblings(grouping: Grouping) -> None:
    """Merge groups that read one tensor at the same indices on equal grids, so that it is read once."""
    holders: dict[Source, Comprehension] = {}
    for reader in grouping.program.comprehensions:
        for read in reader.reads:
            holder = holders.setdefault(read.source, reader)
            if grouping.group[holder] is not grouping.group[reader]:
                _try_siblings(grouping, holder, reader, read)


def _try_siblings(grouping: Grouping, holder: Comprehension, reader: Comprehension, read: Read) -> None:
    first, second = grouping.group[holder], grouping.group[reader]
    for other in holder.reads:
        if other.source is not read.source:
            continue
        joined = [
            ((holder, a.number), (reader, b.number))
            for a, b in zip(other.subscripts, read.subscripts, strict=True)
            if isinstance(a, Position) and isinstance(b, Position)
            and a.number < holder.domain.parallel and b.number < reader.domain.parallel
        ]  # fmt: skip
        between = grouping._joined(first, second)
        if between is None or any(not grouping._same_extent(a, b) for a, b in joined):
            return
        merge = grouping._checked(first, second, joined + between)
        if joined and merge is not None and not merge.loses:
            name = tensor_name(grouping.program, read.source)
            grouping.merge(first, second, merge, f"{name_of(holder)} and {name_of(reader)} read the same {name}")
            return


# ---------------------------------------------------------------- names for people


def name_of(source: Comprehension) -> str:
    """The statement a comprehension came from, and what it folds."""
    base = getattr(source.location, "name_str", "") or "a value"
    kinds = "+".join(kind.value for kind in source.kinds)
    return f"{kinds} of {base}" if kinds else base


def tensor_name(program: Program, source: Source) -> str:
    if isinstance(source, Comprehension):
        return name_of(source)
    number = getattr(source, "number", None)
    if number is None:
        return "table"
    return str(program.argument_attributes[number]["tw.name"].value)
