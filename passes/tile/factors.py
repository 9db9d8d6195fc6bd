"""Owns the question whether a fold is a contraction that register tiles should compute, and which factor is which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tilewright.dialect import functions, ods
from tilewright.dialect import tensor as tw
from tilewright.dialect.folds import FoldKind
from tilewright.dialect.mlir import ir
from tilewright.passes.schedule import Operand


@dataclass(frozen=True)
class Factors:
    """The two factors of a contraction: scalar values of the fold's body, and the parallel positions they use."""

    left: Any
    right: Any
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def side(self, side: Operand) -> tuple[tuple[int, ...], Any]:
        """The positions that one factor has alone, and its value."""
        return (self.rows, self.left) if side is Operand.LEFT else (self.columns, self.right)


def factors_of(fold: Any) -> Factors | None:
    """The factors of a sum of products, ``right`` being the one with the last parallel index; None otherwise.

    Needs: one float sum over a box, a product of two values that each use a reduced index, parallel indices that only
    the left and only the right factor use. Indices of both are a batch.
    """
    domain = tw.domain_of(fold)
    if not _plain_sum(fold, domain):
        return None
    body = tw.body_of(fold)
    product = tw.yielded(body)[0].owner
    if isinstance(product, ir.Block) or product.name != "arith.mulf":
        return None
    left, right = product.operands[0], product.operands[1]
    uses = [index_uses(body, v) for v in (left, right)]
    if domain.parallel - 1 in uses[0] - uses[1]:
        left, right, uses = right, left, uses[::-1]
    rows = tuple(sorted(p for p in uses[0] - uses[1] if p < domain.parallel))
    columns = tuple(sorted(p for p in uses[1] - uses[0] if p < domain.parallel))
    reduced = [any(p >= domain.parallel for p in used) for used in uses]
    if not (rows and columns and all(reduced)):
        return None
    return Factors(left, right, rows, columns)


def _plain_sum(fold: Any, domain: tw.Domain) -> bool:
    if tw.fold_kinds(fold) != (FoldKind.ADD,) or len(list(domain.constraints.results)):
        return False
    if tw.block_of(fold, tw.BOUNDS) is not None or tw.block_of(fold, tw.WHERE) is not None:
        return False
    return isinstance(ir.RankedTensorType(fold.results[0].type).element_type, ir.FloatType)


def index_uses(body: Any, value: Any) -> set[int]:
    """The positions of the body's index arguments that ``value`` depends on."""
    arguments = {a: k for k, a in enumerate(body.arguments)}
    found: set[int] = set()
    stack, seen = [value], set()
    while stack:
        current = stack.pop()
        if current in seen:
            continue
        seen.add(current)
        if current in arguments:
            found.add(arguments[current])
        elif not isinstance(current.owner, ir.Block) and current.owner.operation.block == body:
            stack.extend(current.owner.operands)
    return found


def ops_under(body: Any, value: Any) -> list[Any]:
    """The ops of ``body`` that ``value`` depends on, itself included, in order."""
    needed = {value}
    found = []
    for op in reversed(ods.ops_of(body)):
        if any(result in needed for result in op.results):
            needed.update(op.operands)
            found.append(op)
    return found[::-1]


def unit_stride_index(body: Any, reads: Iterable[Any]) -> dict[int, int]:
    """For each index of the body: in how many of the widest ``reads`` it moves by one the subscript of the axis along
    which the tensor lies densely.

    The widest reads use the most indices: they move the most data, and a row statistic read beside them should not
    turn the loop across their rows.
    """
    views = [view for view in map(tw.read_view, reads) if view.subscripts]
    widths = [len({p for s in view.subscripts for p in index_uses(body, s)}) for view in views]
    votes: dict[int, int] = {}
    for view, width in zip(views, widths, strict=True):
        if width < max(widths):
            continue
        for position in _unit_terms(body, view.subscripts[_dense_axis(view.tensor)]):
            votes[position] = votes.get(position, 0) + 1
    return votes


def _dense_axis(tensor: Any) -> int:
    """The axis along which a tensor's elements are neighbours: the last one where its layout does not say another."""
    if not isinstance(tensor.owner, ir.Block):
        return -1
    layout = functions.arguments_of(tensor.owner.owner, "tw")[tensor.arg_number].layout
    return int(layout.removesuffix(")").rpartition(",")[2]) if layout.startswith("order") else -1


def _unit_terms(body: Any, value: Any) -> set[int]:
    """The indices that occur with coefficient one in a sum."""
    arguments = {a: k for k, a in enumerate(body.arguments)}
    if value in arguments:
        return {arguments[value]}
    if isinstance(value.owner, ir.Block) or value.owner.name not in ("arith.addi", "arith.subi"):
        return set()
    first = _unit_terms(body, value.owner.operands[0])
    return first if value.owner.name == "arith.subi" else first | _unit_terms(body, value.owner.operands[1])


def reads_of(body: Any) -> list[Any]:
    return [op.operation for op in body.operations if op.operation.name == "tw.read"]
