"""Owns what a fold is: for each kind its arity, start values, merge and meaning; one place for every level.

A fold over elements starts from ``init``, takes each element by ``merge`` and may be split anywhere: partial results
are merged by the same function, so splitting over lanes, blocks or launches needs nothing else. ``argmax`` and
``argmin`` fold pairs (value, position): the better value wins, then the lower position; NaN wins over every number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tilewright.dialect.mlir import arith, ir

NO_POSITION = -1


class FoldKind(StrEnum):
    ADD = "add"
    MUL = "mul"
    MAX = "max"
    MIN = "min"
    AND = "and"
    OR = "or"
    ARGMAX = "argmax"
    ARGMIN = "argmin"


@dataclass(frozen=True)
class Element:
    """What the init value of a fold depends on: a float, a signed or an unsigned integer of some width."""

    is_float: bool
    bits: int
    unsigned: bool = False


def arity(kind: FoldKind) -> int:
    """How many values one element has: two for the pair folds, one otherwise."""
    return 2 if kind in (FoldKind.ARGMAX, FoldKind.ARGMIN) else 1


def init(kind: FoldKind, element: Element) -> tuple[int | float, ...]:
    """The neutral values the fold starts from (and gives over no points), one per value of an element."""
    lowest, highest = _extremes(element)
    match kind:
        case FoldKind.ADD | FoldKind.OR:
            return (0,)
        case FoldKind.MUL | FoldKind.AND:
            return (1,)
        case FoldKind.MAX:
            return (lowest,)
        case FoldKind.MIN:
            return (highest,)
        case FoldKind.ARGMAX:
            return (lowest, NO_POSITION)
        case FoldKind.ARGMIN:
            return (highest, NO_POSITION)


def _extremes(element: Element) -> tuple[int | float, int | float]:
    if element.is_float:
        return -math.inf, math.inf
    if element.unsigned:
        return 0, (1 << element.bits) - 1
    return -(1 << (element.bits - 1)), (1 << (element.bits - 1)) - 1


def merge(kind: FoldKind, left: Sequence[Any], right: Sequence[Any], unsigned: bool = False) -> tuple[Any, ...]:
    """Build ``left merge right`` from ``arith`` ops, on scalars, vectors and tiles alike."""
    if kind in (FoldKind.ARGMAX, FoldKind.ARGMIN):
        return _merge_pair(kind, left, right, unsigned)
    return (_merge_one(kind, left[0], right[0], unsigned),)


def _merge_one(kind: FoldKind, a: Any, b: Any, unsigned: bool) -> Any:
    is_float = isinstance(element_type(a.type), ir.FloatType)
    match kind:
        case FoldKind.ADD:
            return arith.addf(a, b, fastmath=_CONTRACT()) if is_float else arith.addi(a, b)
        case FoldKind.MUL:
            return arith.mulf(a, b, fastmath=_CONTRACT()) if is_float else arith.muli(a, b)
        case FoldKind.AND:
            return arith.andi(a, b)
        case FoldKind.OR:
            return arith.ori(a, b)
        case FoldKind.MAX:
            return arith.maximumf(a, b) if is_float else (arith.maxui if unsigned else arith.maxsi)(a, b)
        case _:
            return arith.minimumf(a, b) if is_float else (arith.minui if unsigned else arith.minsi)(a, b)


def _CONTRACT() -> Any:
    return arith.FastMathFlags.contract


def _merge_pair(kind: FoldKind, left: Sequence[Any], right: Sequence[Any], unsigned: bool) -> tuple[Any, ...]:
    (a, at), (b, bt) = left, right
    better = _strictly_better(kind, a, b, unsigned)
    same = arith.andi(arith.xori(better, _all_true(better)), _not_worse(kind, a, b, unsigned))
    zero = _constant_like(at, 0)
    a_exists = arith.cmpi(arith.CmpIPredicate.sge, at, zero)
    b_missing = arith.cmpi(arith.CmpIPredicate.slt, bt, zero)
    lower = arith.ori(arith.cmpi(arith.CmpIPredicate.slt, at, bt), b_missing)
    keep = arith.andi(a_exists, arith.ori(b_missing, arith.ori(better, arith.andi(same, lower))))
    return arith.select(keep, a, b), arith.select(keep, at, bt)


def _strictly_better(kind: FoldKind, a: Any, b: Any, unsigned: bool) -> Any:
    """``a`` beats ``b``: greater (less), or NaN against a number."""
    largest = kind is FoldKind.ARGMAX
    if isinstance(element_type(a.type), ir.FloatType):
        P = arith.CmpFPredicate
        wins = arith.cmpf(P.OGT if largest else P.OLT, a, b)
        nan_wins = arith.andi(arith.cmpf(P.UNO, a, a), arith.cmpf(P.ORD, b, b))
        return arith.ori(wins, nan_wins)
    return arith.cmpi(_int_predicate(largest, unsigned), a, b)


def _not_worse(kind: FoldKind, a: Any, b: Any, unsigned: bool) -> Any:
    """``b`` does not beat ``a``."""
    beaten = _strictly_better(kind, b, a, unsigned)
    return arith.xori(beaten, _all_true(beaten))


def _int_predicate(largest: bool, unsigned: bool) -> Any:
    P = arith.CmpIPredicate
    if unsigned:
        return P.ugt if largest else P.ult
    return P.sgt if largest else P.slt


def element_type(type_: Any) -> Any:
    """The element type of a tensor or vector type, the type itself for a scalar."""
    return type_.element_type if isinstance(type_, ir.ShapedType) else type_


def _constant_like(value: Any, number: int) -> Any:
    return constant_of(value.type, number)


def _all_true(value: Any) -> Any:
    return constant_of(value.type, -1)


def constant_of(type_: Any, number: int | float) -> Any:
    """``arith.constant`` of a scalar type, or a splat of a tensor or vector type."""
    element = element_type(type_)
    if isinstance(element, ir.FloatType):
        attribute = ir.FloatAttr.get(element, float(number))
    else:
        attribute = ir.IntegerAttr.get(element, int(number))
    if isinstance(type_, ir.ShapedType):
        attribute = ir.DenseElementsAttr.get_splat(type_, attribute)
    return arith.constant(type_, attribute)
