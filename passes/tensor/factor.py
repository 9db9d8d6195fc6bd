"""Pass ``factor``: contractions become a product of two factors; what is free of the summed indices moves out.

What: a sum of a product in which some factors know only rows, some only columns, is written ``left * right``; factors
that use no reduced index become a map behind the fold (``fuse`` carries it to the readers, where it is an epilogue).
Before -> after: ``sum[k](s * a[i,k] * g[k] * b[k,j])`` -> ``s * sum[k](a[i,k] * (g[k] * b[k,j]))``.
Needs: nothing; ``fuse`` after it. The language allows both for contractions: casts stay where they are written.
Does not handle: sums of one factor, sums that are no contraction, factors whose reads are checked at run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from tilewright.dialect.tensor import ReadMode
from tilewright.passes.tensor.launches import stored
from tilewright.passes.tensor.moves import Moved, rewrite, stay
from tilewright.passes.tensor.product import product_of, roles_of
from tilewright.passes.tensor.program import Apply, Comprehension, Node, Program, reads_of
from tilewright.passes.tensor.transform import ProgramPass


@dataclass(frozen=True)
class Factor(ProgramPass):
    """See the module."""

    name: ClassVar[str] = "factor"

    def change(self, program: Program) -> Program:
        return factor(program)


def factor(program: Program) -> Program:
    """``program`` with its contractions as products of two factors."""
    return rewrite(program, _factored)


def _factored(source: Comprehension) -> list[Moved]:
    if len(source.body) != 1 or not isinstance(source.body[0], Apply):
        return stay(source)
    product, reduced = product_of(source.body[0]), frozenset(source.domain.reduced)
    pairs = list(zip(product.factors, product.indices, strict=True))
    free = [f for f, indices in pairs if not indices & reduced and not _is_checked(f)]
    bound = [f for f, _ in pairs if f not in free]
    if not bound or (free and len(bound) < 2):
        return stay(source)
    inner = replace(source, body=(_times(bound, source.body[0]),))
    roles = roles_of(inner)
    if roles is None:
        return stay(source)
    sides = [_times(roles.left, source.body[0]), _times(roles.right, source.body[0])]
    inner = replace(source, body=(_times(sides, source.body[0]),))
    if not free:
        return stay(inner)
    holder = stored(inner, 0)
    scaled = replace(holder, body=(_times([*holder.body, *free], source.body[0]),))
    return stay(scaled)


def _is_checked(root: Node) -> bool:
    return any(ReadMode.GATHER in read.modes for read in reads_of([root]))


def _times(factors: Sequence[Node], like: Apply) -> Node:
    """The product of ``factors``, left to right, with the flags of ``like``."""
    result = factors[0]
    for one in factors[1:]:
        result = replace(like, arguments=(result, one))
    return result
