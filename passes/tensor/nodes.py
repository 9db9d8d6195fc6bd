"""Owns building single expressions: index arithmetic, comparisons, selects, with the attributes the IR gives them."""

from __future__ import annotations

from typing import Any

from tilewright.dialect.mlir import arith, ir
from tilewright.passes.tensor.decode import index_constant, no_flags
from tilewright.passes.tensor.program import Apply, Constant, Node


def integer(type_: Any, value: int, location: Any) -> Constant:
    return Constant(type_, location, ir.IntegerAttr.get(type_, value))


def truth(value: bool, location: Any) -> Constant:
    type_ = ir.IntegerType.get_signless(1)
    return Constant(type_, location, ir.IntegerAttr.get(type_, -int(value)))


def binary(name: str, left: Node, right: Node) -> Apply:
    """An operation of ``arith`` on two operands of one type."""
    return Apply(left.type, left.location, name, (left, right), no_flags(name))


def compare(predicate: Any, left: Node, right: Node) -> Apply:
    """``arith.cmpi``."""
    number = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), predicate.value)
    return Apply(ir.IntegerType.get_signless(1), left.location, "arith.cmpi", (left, right), (("predicate", number),))


def select(condition: Node, then: Node, otherwise: Node) -> Apply:
    return Apply(then.type, then.location, "arith.select", (condition, then, otherwise))


def both(left: Node | None, right: Node | None) -> Node | None:
    """The conjunction of two conditions, either of which may be None (true)."""
    if left is None or right is None:
        return right if left is None else left
    return left if left is right else binary("arith.andi", left, right)


def within(value: Node, extent: Node) -> Node:
    """``0 <= value < extent``."""
    zero = index_constant(0, value.location)
    low = compare(arith.CmpIPredicate.sge, value, zero)
    return binary("arith.andi", low, compare(arith.CmpIPredicate.slt, value, extent))


def zero_of(type_: Any, location: Any) -> Constant:
    if isinstance(type_, ir.FloatType):
        return Constant(type_, location, ir.FloatAttr.get(type_, 0.0))
    return integer(type_, 0, location)
