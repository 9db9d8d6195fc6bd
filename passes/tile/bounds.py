"""Owns the pass ``bounds``: edge tiles are split off, so that inner tiles carry no limits and no masks.

Before: an innermost ``scf.for %j = lo to hi step S`` whose accesses are limited by ``hi - %j``. After: the same loop
from ``lo`` to the last multiple of S below ``hi``, without these limits and with the masks derived from them true,
and the original loop over what is left (at most one step), taking over what the first one carries. Needs: a constant
step. Does not handle: loops around other loops or stages (their code would be doubled for little), limits by other
values.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from tilewright.dialect import ods, tile
from tilewright.dialect.folds import constant_of
from tilewright.dialect.mlir import arith, ir
from tilewright.passes.base import Pass


@dataclass(frozen=True)
class SplitEdges(Pass):
    """Splits innermost loops into full tiles and one edge tile."""

    name: ClassVar[str] = "bounds"
    result_level: ClassVar[str | None] = "tile"

    def run(self, module: Any) -> Any:
        for loop in _innermost_loops(module.body):
            if _limits_of(loop):
                _split(loop)
        return module


def _innermost_loops(block: Any) -> list[Any]:
    """All ``scf.for`` below ``block`` that contain no other op with regions."""
    found = []
    for op in ods.ops_of(block):
        inner = [b for region in op.regions for b in region.blocks]
        if op.name == "scf.for" and not any(len(o.regions) for o in ods.ops_of(inner[0])):
            found.append(op)
            continue
        for nested in inner:
            found.extend(_innermost_loops(nested))
    return found


def _limits_of(loop: Any) -> list[Any]:
    """The values ``hi - iv`` in the loop's body."""
    body, high = loop.regions[0].blocks[0], loop.operands[1]
    iv = body.arguments[0]
    subtractions = [op for op in ods.ops_of(body) if op.name == "arith.subi"]
    return [op.results[0] for op in subtractions if list(op.operands) == [high, iv]]


def _split(loop: Any) -> None:
    low, high, step = list(loop.operands)[:3]
    with ir.InsertionPoint(loop), loop.location:
        count = arith.maxsi(arith.subi(high, low), constant_of(ods.index_type(), 0))
        full = arith.addi(low, arith.muli(arith.divui(count, step), step))
        inner = loop.clone()
    for limit in _limits_of(inner):
        _drop_limit(limit)
    inner.operands[1] = full
    loop.operands[0] = full
    for k, result in enumerate(inner.results):
        loop.operands[3 + k] = result


def _drop_limit(limit: Any) -> None:
    """Remove ``limit`` from the accesses and masks that use it: every position exists."""
    for user in [use.owner.operation for use in limit.uses]:
        if user.name in ("tile.load", "tile.store"):
            _without_limit(user, limit)
        elif user.name == "tile.splat":
            _settle_masks(user.results[0])


def _settle_masks(value: Any) -> None:
    """Make every ``iota < value`` true, through broadcasts of ``value``."""
    for user in [use.owner.operation for use in value.uses]:
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
