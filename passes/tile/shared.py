"""Owns the question what a result and a fold it reads both compute: long expressions worth keeping in a cell.

``exp(x - max) / sum(exp(x - max))`` computes every power twice: once for the sum, once for the result. The rule keeps
such an expression in a buffer of the cell, filled before the fold, where a machine has room for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tilewright.dialect import ods
from tilewright.dialect import tensor as tw
from tilewright.dialect.mlir import ir
from tilewright.passes.tile.factors import index_uses

LONG_OPS = frozenset(
    f"math.{name}" for name in ("exp", "exp2", "expm1", "log", "log2", "log1p", "tanh", "erf", "sin", "cos", "powf")
)
"""Ops that become polynomials."""


@dataclass(frozen=True)
class Shared:
    """One expression: the op that computes it in the body of ``root`` and the equal ones in bodies of folds.

    ``kept`` are the positions of the root's indices that the fold reduces: the axes of the buffer; ``fixed`` are those
    of the other indices that the expression depends on. ``places`` maps each op to the root's position of every index
    of its body.
    """

    root: Any
    op: Any
    kept: tuple[int, ...]
    fixed: tuple[int, ...]
    places: Mapping[Any, tuple[int, ...]]


Key = tuple[Any, ...]


def shared_expressions(roots: list[Any]) -> list[Shared]:
    """What each root map shares with the folds it reads at its own indices, in the order of the root's body."""
    found: list[Shared] = []
    for root in roots:
        if root.name == "tw.map":
            found += _shared_with_folds(root)
    return found


def _shared_with_folds(root: Any) -> list[Shared]:
    found: list[Shared] = []
    for fold, positions in _folds_read(root):
        mapping = _index_mapping(root, fold, positions)
        if mapping is None:
            continue
        parallel = tw.domain_of(fold).parallel
        own = _keys(root, tuple(range(len(tw.domain_of(root).indices))))
        theirs = {key: op for op, key in _keys(fold, mapping).items()}
        for op in _outermost([op for op, key in own.items() if key in theirs], own):
            places = {op: tuple(range(len(tw.domain_of(root).indices))), theirs[own[op]]: mapping}
            found.append(Shared(root, op, mapping[parallel:], mapping[:parallel], places))
    return found


def kept_factor(fold: Any, factor: Any, thin: tuple[int, ...]) -> Shared:
    """A factor of a contraction as what the cell keeps: over the ``thin`` indices of its side and the summed ones."""
    domain, used = tw.domain_of(fold), index_uses(tw.body_of(fold), factor)
    kept = tuple(p for p in range(len(domain.indices)) if p in used and (p in thin or p >= domain.parallel))
    op = factor.owner.operation
    return Shared(fold, op, kept, tuple(sorted(used - set(kept))), {op: tuple(range(len(domain.indices)))})


def _folds_read(root: Any) -> list[tuple[Any, tuple[int, ...]]]:
    """The folds that a root reads at plain indices, with the positions of these indices."""
    body = tw.body_of(root)
    place = {a: k for k, a in enumerate(body.arguments)}
    found: dict[Any, tuple[int, ...]] = {}
    for op in ods.ops_of(body):
        if op.name != "tw.read":
            continue
        view = tw.read_view(op)
        owner = view.tensor.owner
        if getattr(owner, "name", "") == "tw.fold" and all(s in place for s in view.subscripts):
            found.setdefault(owner.operation, tuple(place[s] for s in view.subscripts))
    return list(found.items())


def _index_mapping(root: Any, fold: Any, positions: tuple[int, ...]) -> tuple[int, ...] | None:
    """The root's position of every index of the fold: reduced ones run over the root's other indices, in order."""
    outer, inner = tw.domain_of(root), tw.domain_of(fold)
    if tw.block_of(fold, tw.BOUNDS) or tw.block_of(fold, tw.WHERE) or len(list(inner.constraints.results)):
        return None
    rest = tuple(p for p in range(outer.parallel) if p not in positions)
    if len(rest) != inner.reduced:
        return None
    mapping = (*positions, *rest)
    extents = list(outer.extents.results)
    same = all(str(extents[p]) == str(e) for p, e in zip(mapping, list(inner.extents.results), strict=True))
    return mapping if same else None


def _keys(op: Any, places: tuple[int, ...]) -> dict[Any, Key]:
    """A structural key of every op of a body that contains a long op, with indices named by their root position."""
    body = tw.body_of(op)
    keys: dict[Any, Key] = {a: ("index", p) for a, p in zip(body.arguments, places, strict=True)}
    long: set[Any] = set()
    found: dict[Any, Key] = {}
    for inner in ods.ops_of(body)[:-1]:
        value = inner.results[0]
        operands = tuple(keys.get(o, ("outer", o)) for o in inner.operands)
        attributes = tuple(sorted((name, str(a)) for name, a in inner.attributes.items()))
        keys[value] = (inner.name, attributes, str(value.type), operands)
        if inner.name in LONG_OPS or any(o in long for o in inner.operands):
            long.add(value)
            found[inner] = keys[value]
    return found


def _outermost(ops: list[Any], keys: Mapping[Any, Key]) -> list[Any]:
    """The ops of a set that no other op of the set uses."""
    used = {o.owner.operation for op in ops for o in op.operands if not isinstance(o.owner, ir.Block)}
    return [op for op in ops if op not in used and keys[op]]
