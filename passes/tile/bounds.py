"""Owns the pass ``bounds``: edge tiles are split off, so that inner tiles carry no limits and no masks.

Before: a ``scf.for %j = lo to hi step S`` whose accesses are limited by ``hi - %j``. After: the same loop from ``lo``
to the last multiple of S below ``hi``, without these limits and with the masks derived from them true, and the original
loop over what is left (at most one step), taking over what the first one carries. It is done for innermost loops, and
first for loops around them whose limits mask the lanes of every turn of an innermost one; of those, the edge keeps
its inner loops as they are, as it is one turn. Needs: a constant step. Does not handle: loops around or in stages
(their code would be doubled for little), limits by other values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from tilewright.dialect import ods, tile
from tilewright.dialect.folds import constant_of
from tilewright.dialect.mlir import arith, ir
from tilewright.passes.base import Pass


@dataclass(frozen=True)
class SplitEdges(Pass):
    """Splits loops into full tiles and one edge tile."""

    name: ClassVar[str] = "bounds"
    result_level: ClassVar[str | None] = "tile"

    def run(self, module: Any) -> Any:
        _split_below(module.body)
        return module


def _split_below(block: Any, in_stage: bool = False) -> None:
    """Split the loops of a block, outer ones first; what fills a buffer only in its innermost loops."""
    for op in ods.ops_of(block):
        if op.name == "scf.for" and _gains(op, in_stage):
            op = _split(op)
        for region in op.regions:
            for inner in region.blocks:
                _split_below(inner, in_stage or op.name == "tile.stage")


def _gains(loop: Any, in_stage: bool) -> bool:
    """Whether the loop has an edge that costs something in its innermost turns."""
    limits = limits_of(loop)
    if not limits or step_of(loop) == 1:
        return False
    if _is_innermost(loop):
        return True
    if in_stage or any(op.name == "tile.stage" for op in _ops_below(loop)):
        return False
    inner = [op for op in _ops_below(loop) if op.parent != loop and _is_innermost(op.parent)]
    return any(op.name == "tile.load" and _masks_lanes(op, limits) for op in inner)


def innermost_loops(block: Any) -> list[Any]:
    """All ``scf.for`` below ``block`` that contain no other op with regions."""
    found = []
    for op in ods.ops_of(block):
        if op.name == "scf.for" and _is_innermost(op):
            found.append(op)
        else:
            found += [loop for region in op.regions for inner in region.blocks for loop in innermost_loops(inner)]
    return found


def _is_innermost(op: Any) -> bool:
    return not any(len(inner.regions) for inner in ods.ops_of(op.regions[0].blocks[0]))


def _ops_below(op: Any) -> Iterator[Any]:
    for region in op.regions:
        for block in region.blocks:
            for inner in ods.ops_of(block):
                yield inner
                yield from _ops_below(inner)


def _masks_lanes(load: Any, limits: list[Any]) -> bool:
    """Whether a load has one of these limits along its last axis, the lanes; along others they choose addresses."""
    last = ir.RankedTensorType(load.results[0].type).rank - 1
    return any(axis == last and limit in limits for axis, limit in tile.load_view(load).access.limits)


def _users(value: Any) -> list[Any]:
    """Each op that uses ``value``, once: ``x[N - j]`` is read at the value that also says how much is left."""
    return list(dict.fromkeys(use.owner.operation for use in value.uses))


def step_of(loop: Any) -> int:
    return int(ir.IntegerAttr(loop.operands[2].owner.attributes["value"]).value)


def limits_of(loop: Any) -> list[Any]:
    """The values ``hi - iv`` in the loop's body, and what they are when cut to a step (or more)."""
    body, high = loop.regions[0].blocks[0], loop.operands[1]
    iv = body.arguments[0]
    found: list[Any] = []
    for op in ods.ops_of(body):
        if op.name == "arith.subi" and list(op.operands) == [high, iv]:
            found.append(op.results[0])
        elif op.name == "arith.minsi" and op.operands[0] in found and _is_at_least(op.operands[1], step_of(loop)):
            found.append(op.results[0])
    return found


def _is_at_least(value: Any, least: int) -> bool:
    owner = value.owner
    known = not isinstance(owner, ir.Block) and owner.name == "arith.constant"
    return known and int(ir.IntegerAttr(owner.attributes["value"]).value) >= least


def _split(loop: Any) -> Any:
    """Make ``loop`` the edge of a new loop over full tiles in front of it, which is returned."""
    low, high, step = list(loop.operands)[:3]
    with ir.InsertionPoint(loop), loop.location:
        count = arith.maxsi(arith.subi(high, low), constant_of(ods.index_type(), 0))
        full = arith.addi(low, arith.muli(arith.divui(count, step), step))
        inner = loop.clone()
    for limit in limits_of(inner):
        drop_limit(limit)
    inner.operands[1] = full
    loop.operands[0] = full
    for k, result in enumerate(inner.results):
        loop.operands[3 + k] = result
    return inner.operation


def drop_limit(limit: Any) -> None:
    """Remove ``limit`` from the accesses and masks that use it: every position exists."""
    for user in _users(limit):
        if user.name in ("tile.load", "tile.store"):
            _without_limit(user, limit)
        elif user.name == "tile.splat":
            _settle_masks(user.results[0])


def _settle_masks(value: Any) -> None:
    """Make every ``iota < value`` true, through broadcasts of ``value``."""
    for user in _users(value):
        if user.name == "tile.broadcast":
            _settle_masks(user.results[0])
        elif user.name == "arith.cmpi" and _is_position_test(user, value):
            with ir.InsertionPoint(user), user.location:
                user.results[0].replace_all_uses_with(constant_of(user.results[0].type, 1))


def _is_position_test(compare: Any, limit: Any) -> bool:
    """``positions < limit`` with positions from ``tile.iota``."""
    predicate = ir.IntegerAttr(compare.attributes["predicate"]).value
    if predicate != int(arith.CmpIPredicate.slt) or compare.operands[1] != limit:
        return False
    return _comes_from_iota(compare.operands[0])


def _comes_from_iota(value: Any) -> bool:
    owner = value.owner
    if isinstance(owner, ir.Block):
        return False
    if owner.name == "tile.broadcast":
        return _comes_from_iota(owner.operands[0])
    return bool(owner.name == "tile.iota")


def _without_limit(op: Any, limit: Any) -> None:
    """Rebuild a load or store without ``limit``."""
    with ir.InsertionPoint(op), op.location:
        if op.name == "tile.store":
            store = tile.store_view(op)
            tile.store(store.tile, _unlimited(store.access, limit), store.combine)
        else:
            load = tile.load_view(op)
            shape = tuple(ir.RankedTensorType(op.results[0].type).shape)
            value = tile.load(_unlimited(load.access, limit), shape, load.otherwise)
            op.results[0].replace_all_uses_with(value)
    ods.erase(op)


def _unlimited(access: tile.Access, limit: Any) -> tile.Access:
    return replace(access, limits=tuple((a, v) for a, v in access.limits if v != limit))
