"""Pass ``fuse``: producers move into their readers; what no output needs is gone.

What: a ``tw.map`` that others read is substituted into their bodies (into the elements of folds too) where that is
cheaper than a round trip through memory.
Before -> after: ``t = a*x; y = t + z`` -> one map.
The rule: a map read once is substituted, unless it costs more than ``cost.LARGE``; one read at n places is, if (n - 1)
times its cost is at most ``cost.ROUND_TRIP``; at overlapping places (``p + r``) only a cheap one without folds. A fold
is never substituted, so a contraction is never computed again in an inner loop; an output that reads folds is read back
rather than recomputed where its readers would need those folds at other indices than their own.
Needs: ``common`` before it, so that equal reads are one read; ``common`` after it shares what substitution repeats.
Does not handle: gathers from a map's result (they keep their own check), maps with a restricted domain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from tilewright.dialect.tensor import ReadMode
from tilewright.passes.tensor.cost import CHEAP, LARGE, ROUND_TRIP, node_cost
from tilewright.passes.tensor.moves import Moved, rewrite, stay
from tilewright.passes.tensor.nodes import both, select, within, zero_of
from tilewright.passes.tensor.program import (
    Comprehension,
    Node,
    Position,
    Program,
    Read,
    postorder,
    rebuild,
    substitute,
)
from tilewright.passes.tensor.transform import ProgramPass


@dataclass(frozen=True)
class Fuse(ProgramPass):
    """See the module."""

    name: ClassVar[str] = "fuse"

    def change(self, program: Program) -> Program:
        return inline(program)


def inline(program: Program) -> Program:
    """Substitute maps into their readers by the rule above."""
    plan = _Plan(program)
    return rewrite(program, plan.change)


@dataclass
class _Plan:
    """What is decided while producers are visited first: costs with substituted producers, and what is substituted."""

    program: Program
    costs: dict[Comprehension, int] = field(default_factory=dict)
    uses: dict[Comprehension, int] = field(default_factory=dict)
    outputs: set[Any] = field(default_factory=set)
    originals: dict[Comprehension, Comprehension] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.order = iter(self.program.comprehensions)
        self.outputs = {source for source, _ in self.program.outputs}
        for comprehension in self.program.comprehensions:
            for read in comprehension.reads:
                if isinstance(read.source, Comprehension):
                    self.uses[read.source] = self.uses.get(read.source, 0) + 1

    def change(self, current: Comprehension) -> list[Moved]:
        original = next(self.order)
        extra = 0

        def expand(node: Node) -> Node:
            nonlocal extra
            if not isinstance(node, Read) or not self._worthwhile(node, current):
                return node
            assert isinstance(node.source, Comprehension)
            extra += self.costs[node.source]
            return inlined(node)

        fused = current.with_roots(rebuild(current.roots, expand))
        self.costs[fused] = extra + sum(node_cost(n) for n in postorder(current.body))
        self.originals[fused] = original
        return stay(fused)

    def _worthwhile(self, read: Read, reader: Comprehension) -> bool:
        producer = read.source
        if not isinstance(producer, Comprehension) or producer.is_fold or not producer.domain.is_box:
            return False
        if ReadMode.GATHER in read.modes:
            return False
        original = self.originals[producer]
        is_output = original in self.outputs
        if is_output and not _keeps_folds_plain(producer, read, reader):
            return False
        cost, uses = self.costs[producer], self.uses[original] + int(is_output)
        if not replace(read, active=None).is_plain and (cost > CHEAP or _reads_folds(producer)) and read.subscripts:
            return False
        return cost <= LARGE and (uses - 1) * cost <= ROUND_TRIP


def _fold_reads(producer: Comprehension) -> list[Read]:
    return [r for r in producer.reads if isinstance(r.source, Comprehension) and r.source.is_fold]


def _reads_folds(producer: Comprehension) -> bool:
    return bool(_fold_reads(producer))


def _keeps_folds_plain(producer: Comprehension, read: Read, reader: Comprehension) -> bool:
    """Whether the folds that ``producer`` reads would be read at parallel indices of ``reader``."""
    for inner in _fold_reads(producer):
        if not inner.is_plain or not read.is_plain:
            return False
        if any(read.positions[k] >= reader.domain.parallel for k in inner.positions):
            return False
    return True


# ---------------------------------------------------------------- substitution


def inlined(read: Read) -> Node:
    """The element that ``read`` reads of a map, as an expression over the reader's indices."""
    producer = read.source
    assert isinstance(producer, Comprehension)
    protection = _protection(read, producer)
    roots: Sequence[Node] = (producer.body[read.result],)
    if not _is_identity(read):
        roots = substitute(roots, read.subscripts)
    if protection is None:
        return roots[0]
    (value,) = rebuild(roots, lambda node: _weakened(node, protection, read.is_proved))
    otherwise = read.otherwise or zero_of(read.type, read.location)
    return select(protection, value, otherwise)


def _is_identity(read: Read) -> bool:
    return all(isinstance(s, Position) and s.number == k for k, s in enumerate(read.subscripts))


def _protection(read: Read, producer: Comprehension) -> Node | None:
    """The condition under which the element exists, None where it always does."""
    condition = read.active
    for subscript, mode, extent in zip(read.subscripts, read.modes, producer.domain.extents, strict=True):
        if mode is ReadMode.GUARDED:
            condition = both(condition, within(subscript, extent))
    return condition


def _weakened(node: Node, protection: Node, is_inside: bool) -> Node:
    """A read that may fail only where ``protection`` holds.

    Unless the element ``is_inside`` anyway, its subscripts are known to be inside only there.
    """
    if not isinstance(node, Read):
        return node
    weaker = ReadMode.PROVED if is_inside else ReadMode.GUARDED
    modes = tuple(weaker if mode is ReadMode.PROVED else mode for mode in node.modes)
    active = both(protection, node.active) if ReadMode.GATHER in modes else node.active
    return replace(node, modes=modes, active=active)
