"""Owns the pass ``ranges``: a loop whose points fall on two sides of a bound becomes a loop for each side.

Before: an innermost ``scf.for %j`` over moves and cheap arithmetic with a mask ``%j + c + position < bound``, ``bound``
uniform (``a[i, j] if j < M else b[i, j - M]``). After: whole tiles below the bound, where the mask is true and there is
no edge; the one tile the bound lies in, as it was; and the rest, where the mask is false. Guards that hold on the whole
of a side are dropped there, so that each side is a plain copy. Does not handle: several bounds (the first one counts),
long computations (their code would be tripled), bounds that vary over the tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from tilewright.dialect import ods, tile
from tilewright.dialect.folds import constant_of
from tilewright.dialect.mlir import arith, ir
from tilewright.passes.base import Pass
from tilewright.passes.tile.bounds import drop_limit, innermost_loops, limits_of, step_of
from tilewright.passes.tile.forms import Form, form_of, is_not_negative, size_forms
from tilewright.passes.tile.shared import LONG_OPS


@dataclass(frozen=True)
class SplitRanges(Pass):
    """Splits innermost loops at the bounds that their masks compare with."""

    name: ClassVar[str] = "ranges"
    result_level: ClassVar[str | None] = "tile"

    def run(self, module: Any) -> Any:
        for loop in innermost_loops(module.body):
            found = next(_masks_of(loop), None)
            if found is not None and step_of(loop) > 1 and not _is_long(loop):
                _split(loop, found)
        return module


@dataclass(frozen=True)
class Mask:
    """The op (number ``number`` of the loop's body) that tells whether ``start + %j + position`` is below ``bound``.

    ``start`` is None for 0; both are defined outside of the loop. With ``negated`` the op tells the opposite, with
    ``inclusive`` the bound itself is below.
    """

    number: int
    start: Any
    bound: Any
    inclusive: bool
    negated: bool


_PREDICATES = {
    int(arith.CmpIPredicate.slt): (False, False),
    int(arith.CmpIPredicate.sle): (True, False),
    int(arith.CmpIPredicate.sge): (False, True),
    int(arith.CmpIPredicate.sgt): (True, True),
}
"""Of ``positions <predicate> bound``: whether the bound is included below, and whether the mask is of what is above."""


def _masks_of(loop: Any) -> Iterator[Mask]:
    block = loop.regions[0].blocks[0]
    for number, op in enumerate(ods.ops_of(block)):
        predicate = ir.IntegerAttr(op.attributes["predicate"]).value if op.name == "arith.cmpi" else None
        if predicate not in _PREDICATES:
            continue
        start, bound = _start_of_positions(op.operands[0], block), _uniform(op.operands[1])
        if start is not None and bound is not None and _is_outside(bound, block):
            yield Mask(number, start[0], bound, *_PREDICATES[predicate])


def _start_of_positions(value: Any, block: Any) -> tuple[Any] | None:
    """``(start,)`` where ``value`` is ``start + %j + position along a row``; None for anything else."""
    owner = value.owner
    if isinstance(owner, ir.Block) or owner.name != "arith.addi" or len(tile.shape_of(value)) != 1:
        return None
    for scalar, positions in (owner.operands, reversed(list(owner.operands))):
        first = _uniform(scalar)
        if first is not None and not isinstance(positions.owner, ir.Block) and positions.owner.name == "tile.iota":
            return _beside(first, block)
    return None


def _beside(scalar: Any, block: Any) -> tuple[Any] | None:
    """What is added to the induction variable; ``(None,)`` if nothing is."""
    iv = block.arguments[0]
    if scalar == iv:
        return (None,)
    owner = scalar.owner
    if isinstance(owner, ir.Block) or owner.name != "arith.addi" or iv not in list(owner.operands):
        return None
    other = owner.operands[1] if owner.operands[0] == iv else owner.operands[0]
    return (other,) if _is_outside(other, block) else None


def _uniform(value: Any) -> Any:
    """The scalar that is the same in the whole tile; None where there is none."""
    owner = value.owner
    while not isinstance(owner, ir.Block) and owner.name == "tile.broadcast":
        value = owner.operands[0]
        owner = value.owner
    return None if isinstance(owner, ir.Block) or owner.name != "tile.splat" else owner.operands[0]


def _is_outside(value: Any, block: Any) -> bool:
    owner = value.owner
    return owner != block and (isinstance(owner, ir.Block) or owner.operation.block != block)


def _is_long(loop: Any) -> bool:
    return any(op.name in LONG_OPS for op in ods.ops_of(loop.regions[0].blocks[0]))


# ---------------------------------------------------------------- splitting


def _split(loop: Any, mask: Mask) -> None:
    low, high, step = list(loop.operands)[:3]
    with ir.InsertionPoint(loop), loop.location:
        zero = constant_of(ods.index_type(), 0)
        reached = mask.bound if mask.start is None else arith.subi(mask.bound, mask.start)
        if mask.inclusive:
            reached = arith.addi(reached, constant_of(ods.index_type(), 1))
        below = arith.maxsi(arith.subi(arith.minsi(reached, high), low), zero)
        first_end = arith.addi(low, arith.muli(arith.divui(below, step), step))
        middle_end = arith.minsi(arith.addi(first_end, step), high)
        first, middle = loop.clone().operation, loop.clone().operation
    for limit in limits_of(first):
        drop_limit(limit)
    first.operands[1] = middle.operands[0] = first_end
    middle.operands[1] = loop.operands[0] = middle_end
    for k in range(len(first.results)):
        middle.operands[3 + k] = first.results[k]
        loop.operands[3 + k] = middle.results[k]
    for side, is_below in ((first, True), (loop, False)):
        _settle(side, mask, is_below)
        _drop_guards(side, Side(mask, is_below, low, high))


def _settle(loop: Any, mask: Mask, is_below: bool) -> None:
    """Make the mask what it is on one side, and choices by it what they choose."""
    op = ods.ops_of(loop.regions[0].blocks[0])[mask.number]
    truth = is_below != mask.negated
    for user in [use.owner.operation for use in op.results[0].uses]:
        if user.name == "arith.select" and user.operands[0] == op.results[0]:
            user.results[0].replace_all_uses_with(user.operands[1 if truth else 2])
    with ir.InsertionPoint(op), op.location:
        op.results[0].replace_all_uses_with(constant_of(op.results[0].type, int(truth)))


# ---------------------------------------------------------------- guards


@dataclass(frozen=True)
class Side:
    """What is known of ``start + %j + position``: it is below the mask's bound, or not; %j runs from ``low``, and no
    point that is limited by the loop's end is at ``high`` or behind (below the bound all tiles are whole)."""

    mask: Mask
    is_below: bool
    low: Any
    high: Any


def _drop_guards(loop: Any, side: Side) -> None:
    iv = loop.regions[0].blocks[0].arguments[0]
    for op in ods.ops_of(loop.regions[0].blocks[0]):
        if op.name == "tile.load" and tile.load_view(op).access.guarded:
            _drop_guards_of(op, iv, side)


def _drop_guards_of(op: Any, iv: Any, side: Side) -> None:
    """Rebuild a load without the guards that hold at every point of the side."""
    load = tile.load_view(op)
    sizes = size_forms(load.access.view)
    shape = tuple(ir.RankedTensorType(op.results[0].type).shape)
    kept = tuple(d for d in load.access.guarded if sizes is None or not _holds(load.access, d, sizes[d], iv, side))
    if kept == load.access.guarded:
        return
    with ir.InsertionPoint(op), op.location:
        value = tile.load(replace(load.access, guarded=kept), shape, load.otherwise)
    op.results[0].replace_all_uses_with(value)
    ods.erase(op)


def _holds(access: tile.Access, dim: int, size: Form, iv: Any, side: Side) -> bool:
    """Whether the coordinate, ``%j + rest + position``, is inside for all points of the side."""
    if access.map.n_dims != 1 or str(access.map.results[dim]) != "d0" or any(d == dim for d, _ in access.gathers):
        return False
    rest = form_of(access.offsets[dim]) - Form.of(iv)
    if iv in rest.terms:
        return False
    start = Form() if side.mask.start is None else form_of(side.mask.start)
    bound = form_of(side.mask.bound) + Form(int(side.mask.inclusive))
    lows = [rest + form_of(side.low)]
    room = [size - rest - high for high in _upper_forms(side.high) if side.is_below or access.limits]
    if side.is_below:
        room.append(size - rest + start - bound)
    else:
        lows.append(rest - start + bound)
    return any(map(is_not_negative, lows)) and any(map(is_not_negative, room))


def _upper_forms(value: Any) -> list[Form]:
    """Forms that ``value`` is at most."""
    owner = value.owner
    if isinstance(owner, ir.Block) or owner.name != "arith.minsi":
        return [form_of(value)]
    return [form for operand in owner.operands for form in _upper_forms(operand)]
