"""Pass ``common``: equal expressions and equal comprehensions become one.

What: operands of commutative operations are put into one order; equal subexpressions of a region are shared; maps and
folds with the same domain and bodies (index names aside) are merged, and so are equal results of one fold.
Before -> after: ``max[j](x[i,j])`` written three times -> one ``tw.fold`` read three times.
Needs: nothing; ``axes`` before it makes permuted duplicates equal.
Does not handle: comprehensions that differ in the order of their axes or in the association of sums.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from tilewright.dialect.folds import FoldKind, arity
from tilewright.passes.tensor.moves import Moved, rewrite
from tilewright.passes.tensor.program import Apply, Comprehension, Node, Program, rebuild
from tilewright.passes.tensor.structure import Digest, Structure, digest_of, is_commutative
from tilewright.passes.tensor.transform import ProgramPass


@dataclass(frozen=True)
class Common(ProgramPass):
    """See the module."""

    name: ClassVar[str] = "common"

    def change(self, program: Program) -> Program:
        return share(program)


def share(program: Program) -> Program:
    """``program`` with every value computed once per region, every comprehension once."""
    structure = Structure()
    known: dict[Digest, Comprehension] = {}

    def change(source: Comprehension) -> list[Moved]:
        ordered = _shared(source, structure)
        distinct, places = _distinct(ordered, structure)
        first = known.setdefault(structure.source(distinct), distinct)
        axes = tuple(range(first.domain.parallel))
        return [Moved(first, place, axes) for place in places]

    return rewrite(program, change)


def _distinct(source: Comprehension, structure: Structure) -> tuple[Comprehension, list[int]]:
    """The fold without results that fold the same elements in the same way, and where each result is now."""
    kept: dict[Digest, int] = {}
    kinds: list[FoldKind] = []
    body: list[Node] = []
    places: list[int] = []
    start = 0
    for kind in source.kinds:
        group = source.body[start : start + arity(kind)]
        start += arity(kind)
        first = kept.setdefault(digest_of(kind.value, *(structure.node(root) for root in group)), len(body))
        if first == len(body):
            kinds.append(kind)
            body += group
        places += range(first, first + arity(kind))
    if len(body) == len(source.body) or not source.is_fold:
        return source, list(range(len(source.body)))
    return replace(source, body=tuple(body), kinds=tuple(kinds)), places


def _shared(source: Comprehension, structure: Structure) -> Comprehension:
    """The comprehension with sorted operands and one node per value."""
    seen: dict[Digest, Node] = {}

    def unify(node: Node) -> Node:
        if isinstance(node, Apply) and is_commutative(node):
            node = in_order(node, structure)
        return seen.setdefault(structure.node(node), node)

    shared = source.with_roots(rebuild(source.roots, unify))
    constraints = sorted(dict.fromkeys(shared.domain.constraints), key=structure.node)
    if tuple(constraints) == shared.domain.constraints:
        return shared
    return replace(shared, domain=replace(shared.domain, constraints=tuple(constraints)))


def in_order(node: Apply, structure: Structure) -> Apply:
    """A commutative operation with its operands in the order of their digests, constants last."""
    arguments = tuple(sorted(node.arguments, key=lambda n: (_rank(n), structure.node(n))))
    return node if arguments == node.arguments else replace(node, arguments=arguments)


def _rank(node: Node) -> int:
    return 1 if type(node).__name__ == "Constant" else 0
