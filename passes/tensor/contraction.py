"""Owns the analysis of contractions for the passes below: which values of a fold's body are the two factors.

Source: the language's definition of a contraction: a ``sum`` of a product with two factors that are reads (guarded ones
too) or casts. ``factor`` brings such folds into the form ``left * right`` that is recognised here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tilewright.dialect import tensor
from tilewright.dialect.folds import FoldKind
from tilewright.dialect.mlir import ir

_PRODUCTS = ("arith.mulf", "arith.muli")


@dataclass(frozen=True)
class Contraction:
    """A sum of ``left * right``. Indices are positions in the fold's domain.

    ``batch`` indices are in both factors (or in none), ``rows`` only in the left one, ``columns`` only in the right
    one; ``reduced`` are summed. ``left`` and ``right`` are values of the fold's body in the type of the product;
    ``left_type`` and ``right_type`` are the element types before widening, in which a tensor core would take them.
    """

    batch: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    reduced: tuple[int, ...]
    left: Any
    right: Any
    left_type: Any
    right_type: Any

    @property
    def is_exactly_typed(self) -> bool:
        """Whether both factors have one element type, as tensor cores ask."""
        return bool(self.left_type == self.right_type)


def as_contraction(fold: Any) -> Contraction | None:
    """The contraction that a ``tw.fold`` is, or None.

    ``left`` is the factor with the first of the parallel indices that are not shared.
    """
    if tensor.fold_kinds(fold) != (FoldKind.ADD,):
        return None
    domain, body = tensor.domain_of(fold), tensor.body_of(fold)
    product = tensor.yielded(body)[0].owner
    if isinstance(product, ir.Block) or product.name not in _PRODUCTS:
        return None
    left, right = product.operands[0], product.operands[1]
    first, second = _indices(body, left), _indices(body, right)
    reduced = frozenset(range(domain.parallel, len(domain.indices)))
    if not (first & reduced and second & reduced):
        return None
    rows, columns = _own(first, second, domain.parallel), _own(second, first, domain.parallel)
    if not rows or not columns:
        return None
    if columns[0] < rows[0]:
        left, right, rows, columns = right, left, columns, rows
    batch = tuple(k for k in range(domain.parallel) if k not in rows and k not in columns)
    return Contraction(batch, rows, columns, tuple(sorted(reduced)), left, right, _narrow(left), _narrow(right))


def _own(mine: Iterable[int], other: frozenset[int], parallel: int) -> tuple[int, ...]:
    return tuple(sorted(k for k in mine if k < parallel and k not in other))


def _indices(body: Any, value: Any) -> frozenset[int]:
    """The positions of the index arguments of ``body`` that ``value`` depends on."""
    arguments = {argument: k for k, argument in enumerate(body.arguments)}
    found: set[int] = set()
    seen: set[Any] = set()
    stack = [value]
    while stack:
        current = stack.pop()
        if current in seen:
            continue
        seen.add(current)
        if current in arguments:
            found.add(arguments[current])
        elif not isinstance(current.owner, ir.Block) and current.owner.operation.block == body:
            stack.extend(current.owner.operands)
    return frozenset(found)


def _narrow(value: Any) -> Any:
    """The type of a factor before the widening that every narrow float undergoes when it is read or cast."""
    owner = value.owner
    if not isinstance(owner, ir.Block) and owner.name in ("arith.extf", "arith.extsi", "arith.extui"):
        return owner.operands[0].type
    return value.type
