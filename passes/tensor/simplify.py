"""Pass ``simplify``: expressions and domains in their simplest exact form.

What: operations on constants are folded where they are exact; sums of products of integers get one normal form;
comparisons use less-than; conditions that dims and indices decide are decided; constraints that the box implies go.
Before -> after: ``x[(i + 1) - 1] * 1.0 if i >= 0 else 0`` -> ``x[i]``.
Needs: nothing. Exact: no float is re-associated and no NaN, infinity or signed zero changes (see ``algebra``).
Does not handle: distributing or collecting float terms; ranges of values that were read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from tilewright.passes.tensor.algebra import number, simpler
from tilewright.passes.tensor.constants import folded
from tilewright.passes.tensor.moves import Moved, rewrite, stay
from tilewright.passes.tensor.nodes import binary, zero_of
from tilewright.passes.tensor.polynomial import Polynomials
from tilewright.passes.tensor.program import (
    Apply,
    Comprehension,
    Domain,
    Node,
    Position,
    Program,
    Read,
    rebuild,
)
from tilewright.passes.tensor.structure import Structure
from tilewright.passes.tensor.transform import ProgramPass

MAX_STEPS = 8
"""Rules in a row on one node; each makes it smaller or brings it nearer to its normal form."""


@dataclass(frozen=True)
class Simplify(ProgramPass):
    """See the module."""

    name: ClassVar[str] = "simplify"

    def change(self, program: Program) -> Program:
        return simplify(program)


def simplify(program: Program) -> Program:
    """``program`` with every expression and domain simplified."""
    forms = Polynomials(Structure())

    def change(source: Comprehension) -> list[Moved]:
        changed = source.with_roots(rebuild(source.roots, lambda node: simplified(node, forms)))
        return stay(replace(changed, domain=_domain(changed.domain, forms)))

    return rewrite(program, change)


def simplified(node: Node, forms: Polynomials) -> Node:
    """One node over simplified operands."""
    for _ in range(MAX_STEPS):
        if isinstance(node, Read):
            return _read(node)
        if not isinstance(node, Apply):
            return node
        before = node
        node = folded(node) or simpler(node, forms)
        if node is before or forms.structure.node(node) == forms.structure.node(before):
            return node
    return node


def _read(node: Read) -> Node:
    """A read whose protection is decided."""
    if node.active is None:
        return node
    active = number(node.active)
    if active is None:
        return node
    if active:
        return replace(node, active=None)
    return node.otherwise or zero_of(node.type, node.location)


# ---------------------------------------------------------------- domains


def _domain(domain: Domain, forms: Polynomials) -> Domain:
    constraints: dict[bytes, Node] = {}
    for constraint in domain.constraints:
        if not _implied(constraint, domain, forms):
            constraints.setdefault(forms.structure.node(constraint), constraint)
    where = domain.where
    if where is not None and number(where):
        where = None
    return replace(domain, constraints=tuple(constraints.values()), where=where)


def _implied(constraint: Node, domain: Domain, forms: Polynomials) -> bool:
    """Whether every point of the box has ``constraint >= 0``."""
    low = forms.least(constraint)
    if low is not None and low >= 0:
        return True
    return _implied_by_an_extent(constraint, domain, forms)


def _implied_by_an_extent(constraint: Node, domain: Domain, forms: Polynomials) -> bool:
    """``constraint`` is ``extent - 1 - index`` and something that is never negative."""
    for (atom, *rest), coefficient in forms.form(constraint).terms.items():
        if rest or coefficient != -1 or not isinstance(atom, Position):
            continue
        last = binary("arith.subi", domain.extents[atom.number], atom)
        low = forms.least_difference(constraint, last)
        if low is not None and low >= -1:
            return True
    return False
