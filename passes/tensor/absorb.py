"""Owns absorbing: what every later reader does to a value that must be stored is done once, before it is stored.

A fold that is read elsewhere than at its own cell goes to the workspace. If all such readers do the same to the element
(scale it, add a bias, apply an activation, round it) with operands that the producer's cell has too, that becomes a map
of its own, which ``grouping`` keeps with the fold. What is stored is the narrowest value on the way, the last of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tilewright.dialect.tensor import ReadMode
from tilewright.passes.tensor.moves import Moves, stay
from tilewright.passes.tensor.program import (
    Apply,
    Comprehension,
    Constant,
    Domain,
    Node,
    Parameter,
    Position,
    Program,
    Read,
    Source,
    Symbol,
    postorder,
    rebuild,
)
from tilewright.passes.tensor.structure import Structure


@dataclass(frozen=True)
class _Place:
    """Where a reader has the value: a node of its body, over the producer's axes at ``positions``."""

    reader: Comprehension
    node: Node
    positions: tuple[int, ...]


def absorb(program: Program) -> Program:
    """``program`` with a map behind each fold whose distant readers begin alike."""
    return _Absorber(program).run()


class _Absorber:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.structure = Structure()
        self.order = {source: k for k, source in enumerate(program.comprehensions)}
        self.parents = {source: _parents(source) for source in program.comprehensions}
        self.replaced: dict[Node, tuple[Comprehension, _Place]] = {}

    def run(self) -> Program:
        for source in self.program.comprehensions:
            if source.is_fold:
                for result in range(len(source.body)):
                    self._absorb(source, result)
        if not self.replaced:
            return self.program
        return self._rebuilt()

    # ------------------------------------------------------------ finding

    def _absorb(self, fold: Comprehension, result: int) -> None:
        places: Sequence[_Place] | None = self._distant(fold, result)
        if not places:
            return
        start = value = self._read_of(fold, result)
        chosen: tuple[Sequence[_Place], Node] = places, start
        while (step := self._common_parent(fold, places, value)) is not None:
            places, value = step
            if _width(value) <= _width(chosen[1]):
                chosen = step
        places, value = chosen
        if value is start:
            return
        count = fold.domain.parallel
        domain = Domain(fold.domain.names[:count], count, fold.domain.extents[:count])
        holder = Comprehension(fold.location, domain, (value,))
        for place in places:
            self.replaced[place.node] = (holder, place)

    def _distant(self, fold: Comprehension, result: int) -> list[_Place] | None:
        """The reads that need a stored value; None if one of them is not at plain indices."""
        found: list[_Place] = []
        for reader in self.program.readers[fold]:
            for read in reader.reads:
                if read.source is not fold or read.result != result:
                    continue
                if read.is_plain and all(p < reader.domain.parallel for p in read.positions):
                    continue
                if not read.is_plain:
                    return None
                found.append(_Place(reader, read, read.positions))
        return found

    def _read_of(self, fold: Comprehension, result: int) -> Node:
        count = fold.domain.parallel
        extents = fold.domain.extents
        positions = tuple(Position(extents[k].type, fold.location, k) for k in range(count))
        modes = tuple(ReadMode.PROVED for _ in range(count))
        return Read(fold.body[result].type, fold.location, fold, result, positions, modes)

    def _common_parent(
        self, fold: Comprehension, places: Sequence[_Place], value: Node
    ) -> tuple[list[_Place], Node] | None:
        """One operation further up, if every reader has the same one; with the value it makes over the fold's axes."""
        chosen: Node | None = None
        found: list[_Place] = []
        for place in places:
            parent = self._only_parent(place)
            local = None if parent is None else self._localised(fold, place, parent, value)
            if parent is None or local is None:
                return None
            if chosen is not None and self.structure.node(local) != self.structure.node(chosen):
                return None
            chosen = chosen or local
            found.append(_Place(place.reader, parent, place.positions))
        return None if chosen is None else (found, chosen)

    def _only_parent(self, place: _Place) -> Apply | None:
        parents = self.parents[place.reader].get(place.node, [])
        if len(parents) != 1 or not isinstance(parents[0], Apply):
            return None
        return parents[0]

    def _localised(self, fold: Comprehension, place: _Place, parent: Apply, value: Node) -> Node | None:
        """``parent`` over the axes of the fold, or None where it needs more than the fold's cell."""
        axes = {position: axis for axis, position in enumerate(place.positions)}
        operands = []
        for operand in parent.arguments:
            if operand is place.node:
                operands.append(value)
                continue
            if not self._is_local(fold, operand, axes):
                return None
            operands.append(_over(operand, axes, place.reader.domain.rank))
        if sum(operand is place.node for operand in parent.arguments) != 1:
            return None
        return replace(parent, arguments=tuple(operands))

    def _is_local(self, fold: Comprehension, operand: Node, axes: dict[int, int]) -> bool:
        for node in postorder([operand]):
            if isinstance(node, Position) and node.number not in axes:
                return False
            if isinstance(node, Read) and not self._is_known(fold, node):
                return False
            if not isinstance(node, Position | Read | Apply | Constant | Parameter | Symbol):
                return False
        return True

    def _is_known(self, fold: Comprehension, read: Read) -> bool:
        """What the producer's cell can read: arguments without checks, and what was computed before the fold."""
        if ReadMode.GATHER in read.modes:
            return False
        if not isinstance(read.source, Comprehension):
            return True
        return read.is_plain and self.order[read.source] < self.order[fold]

    # ------------------------------------------------------------ replacing

    def _rebuilt(self) -> Program:
        moves = Moves()
        holders: dict[Source, Comprehension] = {}
        for old in self.program.comprehensions:
            done: dict[Node, Node] = {}
            for node in postorder(old.roots):
                if node in self.replaced and self.replaced[node][1].reader is old:
                    holder, place = self.replaced[node]
                    done[node] = _read_at(holders.setdefault(holder, moves.follow(holder)), place, node)
            replaced = old.with_roots(rebuild(old.roots, lambda n: n, done))
            moves.move(old, stay(moves.follow(replaced)))
        return moves.outputs(self.program)


def _read_at(holder: Comprehension, place: _Place, node: Node) -> Node:
    positions = tuple(Position(holder.domain.extents[a].type, node.location, p) for a, p in enumerate(place.positions))
    modes = tuple(ReadMode.PROVED for _ in positions)
    return Read(node.type, node.location, holder, 0, positions, modes)


def _parents(source: Comprehension) -> dict[Node, list[Node]]:
    """Who uses each node; a root of the comprehension counts as used by itself, so that it is not absorbed into."""
    found: dict[Node, list[Node]] = {}
    for node in postorder(source.roots):
        for operand in node.operands:
            found.setdefault(operand, []).append(node)
    for root in source.roots:
        found.setdefault(root, []).append(root)
    return found


def _over(operand: Node, axes: dict[int, int], rank: int) -> Node:
    (result,) = rebuild([operand], lambda n: replace(n, number=axes[n.number]) if isinstance(n, Position) else n)
    return result


def _width(node: Node) -> int:
    """Bits of an element."""
    text = str(node.type)
    return {"bf16": 16, "f16": 16, "f32": 32, "f64": 64, "index": 64}.get(text) or int(text[1:])
