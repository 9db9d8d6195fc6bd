"""Owns the choice of launches: which comprehensions are computed together, on which shared axes, and why.

Each comprehension starts as a group of its own. Two groups are merged along a read when that is possible and pays:

* possible: every read between them is at plain, distinct parallel indices over equal extents, so that axes can be
  identified; the axes that all members share (the grid) are not empty, unless every member has rank 0; a contraction
  keeps all of its axes in the grid, so that none of it is computed twice or serially; no other group stands between
  them; and together they have at most ``MAX_RESULTS`` results and cost at most ``cost.LARGE`` an element.
* pays: no member loses a grid axis (an epilogue, row statistics used by row statistics); or what loses an axis reads,
  along that axis, a tensor that the other group reads too, so that a cell finds it in the cache. The cell must be
  compact: the lost axes are one, or stand behind the grid's axes in that tensor.

Merges that lose nothing come first, then those that do, then siblings that only share reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tilewright.passes.tensor.cost import LARGE, cost_of
from tilewright.passes.tensor.product import is_contraction
from tilewright.passes.tensor.program import Comprehension, Position, Program, Read, Source
from tilewright.passes.tensor.structure import Structure

MAX_RESULTS = 16
"""Results of the comprehensions of one launch. What a further one saves, one of so many passes over a tensor, is little
by then; the time of code generation grows with the square of the tensors that one loop goes through."""

Axis = tuple[Comprehension, int]
Pairs = list[tuple[Axis, Axis]]


@dataclass(eq=False)
class Group:
    """Comprehensions of one launch and what merging needs to know of them; classes of axes stand for their axes.

    ``grid`` are the classes that all members have, ``needed`` those of contractions. ``before`` and ``after`` are
    comprehensions that members read or are read by (some may have joined the group since). ``results`` and
    ``cost`` are those of all members.
    """

    members: list[Comprehension]
    grid: list[Axis]
    needed: list[Axis]
    before: set[Comprehension]
    after: set[Comprehension]
    tensors: set[Source]
    first: int
    last: int
    has_axes: bool
    results: int
    cost: int
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Merge:
    """A merge that is possible: which axes become one, the classes of the first group that stay in the grid (``kept``:
    those of both groups), and whether a group loses one."""

    pairs: Pairs
    grid: list[Axis]
    kept: frozenset[Axis]
    loses: bool


class Grouping:
    """The groups of one program, while they are merged."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.structure = Structure()
        self.readers = program.readers
        self.order = {source: k for k, source in enumerate(program.comprehensions)}
        self._classes: dict[Axis, Axis] = {}
        self._groups = {source: self._single(source) for source in program.comprehensions}

    def _single(self, source: Comprehension) -> Group:
        axes = [(source, k) for k in range(source.domain.parallel)]
        heavy = source.is_fold and is_contraction(source)
        place = self.order[source]
        return Group(
            [source], axes, axes if heavy else [],
            {s for s in source.inputs if isinstance(s, Comprehension)}, set(self.readers[source]),
            {read.source for read in source.reads if len(read.subscripts) > 1}, place, place, bool(axes),
            len(source.body), cost_of(source.body),
        )  # fmt: skip

    def group_of(self, source: Comprehension) -> Group:
        return self._groups[source]

    def class_of(self, axis: Axis) -> Axis:
        """The representative of an axis: equal for axes that are one."""
        root = axis
        while root in self._classes:
            root = self._classes[root]
        while axis != root:
            self._classes[axis], axis = root, self._classes[axis]
        return root

    def grid(self, group: Group) -> list[Axis]:
        """The axes that all members have, in the order of the member with most axes, results before folds."""
        shared = {self.class_of(axis) for axis in group.grid}
        leader = max(group.members, key=lambda m: (m.domain.parallel, not m.is_fold, -self.order[m]))
        mine = [self.class_of((leader, k)) for k in range(leader.domain.parallel)]
        return [axis for axis in mine if axis in shared]

    def groups(self) -> list[Group]:
        """All groups, in the order of their first member, members in program order."""
        found = list(dict.fromkeys(self._groups[source] for source in self.program.comprehensions))
        for group in found:
            group.members.sort(key=lambda m: self.order[m])
        return found

    # ------------------------------------------------------------ is it possible?

    def possible(self, first: Group, second: Group, pairs: Pairs) -> Merge | None:
        """How two groups could be one launch in which ``pairs`` of axes are one, or None."""
        if first.results + second.results > MAX_RESULTS or first.cost + second.cost > LARGE:
            return None
        crossing = self._crossing(first, second)
        if crossing is None:
            return None
        pairs = pairs + crossing
        partner = self._partners(first, pairs)
        if partner is None:
            return None
        ours, theirs = [{self.class_of(axis) for axis in group.grid} for group in (first, second)]
        grid = [axis for axis in ours if partner.get(axis) in theirs]
        kept = frozenset({*grid, *(partner[axis] for axis in grid)})
        if not grid and (first.has_axes or second.has_axes):
            return None
        if any(self.class_of(axis) not in kept for axis in (*first.needed, *second.needed)):
            return None
        if self._stands_between(first, second):
            return None
        return Merge(pairs, grid, kept, len(grid) < max(len(ours), len(theirs)))

    def _crossing(self, first: Group, second: Group) -> Pairs | None:
        """The axes that reads between the groups identify; None where a read needs more than a cell."""
        small, large = sorted((first, second), key=lambda g: len(g.members))
        pairs: Pairs = []
        for member in small.members:
            crossing = [(read, member) for read in member.reads if self._is_in(read.source, large)]
            for reader in self.readers[member]:
                if self._groups[reader] is large:
                    crossing += [(read, reader) for read in reader.reads if read.source is member]
            for read, reader in crossing:
                found = self.identified(read, reader)
                if found is None:
                    return None
                pairs += found
        return pairs

    def _is_in(self, source: Source, group: Group) -> bool:
        return isinstance(source, Comprehension) and self._groups[source] is group

    def identified(self, read: Read, reader: Comprehension) -> Pairs | None:
        """The axes of the producer with the indices of the reader they are read at; None unless all are parallel."""
        producer = read.source
        assert isinstance(producer, Comprehension)
        if not read.is_plain or any(p >= reader.domain.parallel for p in read.positions):
            return None
        pairs: Pairs = [((producer, axis), (reader, position)) for axis, position in enumerate(read.positions)]
        return pairs if all(self.same_extent(one, other) for one, other in pairs) else None

    def same_extent(self, one: Axis, other: Axis) -> bool:
        first, second = (source.domain.extents[axis] for source, axis in (one, other))
        return self.structure.node(first) == self.structure.node(second)

    def _partners(self, first: Group, pairs: Pairs) -> dict[Axis, Axis] | None:
        """For each class of the first group the class of the second that it becomes one with; None unless one to one.

        Axes of one member have different classes, so one to one means that no two of them become one.
        """
        partner: dict[Axis, Axis] = {}
        taken: dict[Axis, Axis] = {}
        for one, other in pairs:
            if self._groups[one[0]] is not first:
                one, other = other, one
            a, b = self.class_of(one), self.class_of(other)
            if partner.setdefault(a, b) != b or taken.setdefault(b, a) != a:
                return None
        return partner

    def _stands_between(self, first: Group, second: Group) -> bool:
        """Whether a way leads from one group to the other through a third one."""
        return self._reaches(first, second) or self._reaches(second, first)

    def _reaches(self, start: Group, goal: Group) -> bool:
        """Searched from the side with fewer neighbours; groups beyond the goal in program order are not entered."""
        if len(start.after) <= len(goal.before):
            return self._search(start, goal, forward=True)
        return self._search(goal, start, forward=False)

    def _search(self, start: Group, goal: Group, forward: bool) -> bool:
        seen = {start, goal}
        todo = [g for g in self._neighbours(start, forward) if g not in seen]
        while todo:
            group = todo.pop()
            if group in seen:
                continue
            seen.add(group)
            if group.first > goal.last if forward else group.last < goal.first:
                continue
            following = self._neighbours(group, forward)
            if goal in following:
                return True
            todo += following
        return False

    def _neighbours(self, group: Group, forward: bool) -> set[Group]:
        return {self._groups[source] for source in (group.after if forward else group.before)}

    # ------------------------------------------------------------ merging

    def merge(self, first: Group, second: Group, merge: Merge, reason: str) -> None:
        """Make one group of two; the larger one takes the smaller one in."""
        for one, other in merge.pairs:
            a, b = self.class_of(one), self.class_of(other)
            if a != b:
                self._classes[a] = b
        small, large = sorted((first, second), key=lambda g: len(g.members))
        large.members += small.members
        large.grid = [self.class_of(axis) for axis in merge.grid]
        large.needed = list(dict.fromkeys(self.class_of(axis) for axis in (*large.needed, *small.needed)))
        large.before |= small.before
        large.after |= small.after
        large.tensors |= small.tensors
        large.has_axes |= small.has_axes
        large.results += small.results
        large.cost += small.cost
        large.first, large.last = min(large.first, small.first), max(large.last, small.last)
        large.reasons += [*small.reasons, reason]
        for member in small.members:
            self._groups[member] = large


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
    first, second = grouping.group_of(producer), grouping.group_of(reader)
    if first is second:
        return
    merge = grouping.possible(first, second, [])
    if merge is None or (merge.loses and not allow_loss):
        return
    if not merge.loses:
        grouping.merge(first, second, merge, f"{name_of(reader)} uses {name_of(producer)} where it is computed")
        return
    shared = _shared_in_cell(grouping, first, second, merge)
    if shared is not None:
        grouping.merge(
            first, second, merge, f"{name_of(producer)} and {name_of(reader)} read the same {shared} of a cell"
        )


def _shared_in_cell(grouping: Grouping, first: Group, second: Group, merge: Merge) -> str | None:
    """A tensor that both groups read along the axes that are lost, if a cell of it is compact."""
    kept = merge.kept
    common = first.tensors & second.tensors
    losing = [g for g in (first, second) if any(grouping.class_of(axis) not in kept for axis in g.grid)]
    for member in (m for g in losing for m in g.members):
        lost = {k for k in range(member.domain.parallel) if grouping.class_of((member, k)) not in kept}
        for read in member.reads if lost else ():
            if read.source in common and _is_compact(read, lost, member):
                return tensor_name(grouping.program, read.source)
    return None


def _is_compact(read: Read, lost: set[int], member: Comprehension) -> bool:
    """Whether the elements of one cell lie together: one lost axis, or lost axes behind those of the grid."""
    kinds = [s.number in lost for s in read.subscripts if isinstance(s, Position) and s.number < member.domain.parallel]
    if sum(kinds) < len(lost):
        return False
    return len(lost) == 1 or kinds == sorted(kinds)


def _merge_siblings(grouping: Grouping) -> None:
    """Merge groups that read one tensor at the same indices, so that it is read once; the rule is the same."""
    holders: dict[Source, Comprehension] = {}
    for reader in grouping.program.comprehensions:
        for read in reader.reads:
            holder = grouping.group_of(holders.setdefault(read.source, reader))
            if holder is not grouping.group_of(reader):
                _try_siblings(grouping, holders[read.source], reader, read)
            if holder.results + len(reader.body) > MAX_RESULTS:
                holders[read.source] = reader


def _try_siblings(grouping: Grouping, holder: Comprehension, reader: Comprehension, read: Read) -> None:
    first, second = grouping.group_of(holder), grouping.group_of(reader)
    for other in holder.reads:
        if other.source is not read.source:
            continue
        pairs = _same_places(holder, other, reader, read)
        if not pairs or not all(grouping.same_extent(one, two) for one, two in pairs):
            continue
        merge = grouping.possible(first, second, pairs)
        if merge is not None and (not merge.loses or _shared_in_cell(grouping, first, second, merge)):
            name = tensor_name(grouping.program, read.source)
            grouping.merge(first, second, merge, f"{name_of(holder)} and {name_of(reader)} read the same {name}")
            return


def _same_places(holder: Comprehension, one: Read, reader: Comprehension, other: Read) -> Pairs:
    """The parallel indices of two readers that subscript the same axes of one tensor."""
    places = zip(one.subscripts, other.subscripts, strict=True)
    plain = [(a.number, b.number) for a, b in places if isinstance(a, Position) and isinstance(b, Position)]
    return [
        ((holder, a), (reader, b)) for a, b in plain if a < holder.domain.parallel and b < reader.domain.parallel
    ]  # fmt: skip


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
