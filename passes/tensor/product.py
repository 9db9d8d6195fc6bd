"""Owns what a contraction is: a sum of a product of two factors, one with rows, one with columns, one reduced index.

Source: the language's definition (a ``sum`` of a product with two factors that are reads or casts).
"""

from __future__ import annotations

from dataclasses import dataclass

from tilewright.dialect.folds import FoldKind
from tilewright.dialect.mlir import ir
from tilewright.passes.tensor.program import Apply, Comprehension, Node, positions_of

_PRODUCTS = ("arith.mulf", "arith.muli")


@dataclass(frozen=True)
class Product:
    """The factors of a product, and which indices each of them uses, in the order of the factors."""

    factors: tuple[Node, ...]
    indices: tuple[frozenset[int], ...]


def product_of(root: Node) -> Product:
    """The factors of a chain of multiplications, left to right."""
    factors: list[Node] = []
    stack = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, Apply) and node.name in _PRODUCTS:
            stack += [node.arguments[1], node.arguments[0]]
        else:
            factors.append(node)
    return Product(tuple(factors), tuple(positions_of([factor]) for factor in factors))


@dataclass(frozen=True)
class Roles:
    """The parts of each index set of a contraction: ``batch`` is in both factors, ``rows`` only in the left one,
    ``columns`` only in the right one, ``reduced`` is summed."""

    batch: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    reduced: tuple[int, ...]
    left: tuple[Node, ...]
    right: tuple[Node, ...]


def roles_of(source: Comprehension) -> Roles | None:
    """How the factors of a fold share its indices, or None for a fold that is no contraction.

    Factors that know only reduced and batch indices go to the side that has fewer, so that both sides stay two groups.
    """
    if source.kinds != (FoldKind.ADD,) or not _is_number(source.body[0]):
        return None
    product = product_of(source.body[0])
    domain = source.domain
    reduced = frozenset(domain.reduced)
    pairs = [(f, i) for f, i in zip(product.factors, product.indices, strict=True)]
    if len(pairs) < 2 or any(not indices & reduced for _, indices in pairs):
        return None
    return _divide(pairs, domain.parallel, tuple(domain.reduced))


def _is_number(root: Node) -> bool:
    return isinstance(root.type, ir.FloatType) or isinstance(root, Apply) and root.name == "arith.muli"


def _divide(pairs: list[tuple[Node, frozenset[int]]], parallel: int, reduced: tuple[int, ...]) -> Roles | None:
    """Split the factors in two groups such that some parallel index is only left and some only right."""
    shared = frozenset(k for k in range(parallel) if all(k in indices for _, indices in pairs))
    own = [frozenset(k for k in indices if k < parallel) - shared for _, indices in pairs]
    anchors = [k for k, indices in enumerate(own) if indices]
    if not anchors:
        return None
    left = _component(own, anchors[0])
    right = [k for k in anchors if k not in left]
    if not right:
        return None
    neutral = [k for k in range(len(pairs)) if not own[k]]
    (left if len(left) <= len(right) else right).extend(neutral)
    rows = frozenset[int]().union(*(own[k] for k in left))
    columns = frozenset[int]().union(*(own[k] for k in right))
    if min(rows) > min(columns):
        left, right, rows, columns = right, left, columns, rows
    return Roles(
        tuple(sorted(frozenset(range(parallel)) - rows - columns)),
        tuple(sorted(rows)),
        tuple(sorted(columns)),
        reduced,
        tuple(pairs[k][0] for k in sorted(left)),
        tuple(pairs[k][0] for k in sorted(right)),
    )


def _component(own: list[frozenset[int]], start: int) -> list[int]:
    """The factors that are linked to ``start`` by common parallel indices."""
    members, indices = [start], set(own[start])
    grew = True
    while grew:
        grew = False
        for k, mine in enumerate(own):
            if k not in members and mine & indices:
                members.append(k)
                indices |= mine
                grew = True
    return members


def is_contraction(source: Comprehension) -> bool:
    return roles_of(source) is not None
