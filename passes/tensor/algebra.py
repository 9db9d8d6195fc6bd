"""Owns the local rewrites of ``simplify``: one operation over simplified operands gives a simpler expression.

Floats are only rewritten where every input, NaN, infinities and signed zeros included, gives the same bits (the payload
of a NaN aside): ``x * 1``, ``x - 0``, division by a power of two. ``x + 0`` is not one of them: it turns -0 into 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tilewright.dialect.mlir import arith, ir
from tilewright.passes.tensor.constants import constant
from tilewright.passes.tensor.nodes import truth
from tilewright.passes.tensor.polynomial import Polynomials, is_integer, width_of
from tilewright.passes.tensor.program import Apply, Constant, Node
from tilewright.passes.tensor.structure import predicate

P = arith.CmpIPredicate
F = arith.CmpFPredicate
Rule = Callable[[Apply, Polynomials], Node | None]


def simpler(node: Apply, forms: Polynomials) -> Node:
    """``node`` after the rule for its operation, itself where none applies."""
    rule = _RULES.get(node.name)
    return node if rule is None else rule(node, forms) or node


def _same(forms: Polynomials, a: Node, b: Node) -> bool:
    return a is b or forms.structure.node(a) == forms.structure.node(b)


def number(node: Node) -> float | int | None:
    """The value of a constant."""
    return node.value if isinstance(node, Constant) else None


def _is(node: Node, value: float) -> bool:
    """Whether a node is this constant, zeros told apart by sign."""
    found = number(node)
    return found is not None and found == value and math.copysign(1, found) == math.copysign(1, value)


# ---------------------------------------------------------------- floats


def _addf(node: Apply, forms: Polynomials) -> Node | None:
    a, b = node.arguments
    for x, y in ((a, b), (b, a)):
        if _is(y, -0.0):
            return x
        if isinstance(y, Apply) and y.name == "arith.negf":
            return replace(node, name="arith.subf", arguments=(x, y.arguments[0]))
    return None


def _subf(node: Apply, forms: Polynomials) -> Node | None:
    a, b = node.arguments
    if _is(b, 0.0):
        return a
    if isinstance(b, Apply) and b.name == "arith.negf":
        return replace(node, name="arith.addf", arguments=(a, b.arguments[0]))
    return None


def _mulf(node: Apply, forms: Polynomials) -> Node | None:
    a, b = node.arguments
    for x, y in ((a, b), (b, a)):
        if _is(y, 1.0):
            return x
    return None


def _divf(node: Apply, forms: Polynomials) -> Node | None:
    a, b = node.arguments
    if _is(b, 1.0):
        return a
    divisor = number(b)
    if divisor and math.isfinite(divisor) and abs(math.frexp(divisor)[0]) == 0.5 and abs(math.log2(abs(divisor))) < 64:
        inverse = constant(node.type, 1.0 / divisor, b.location)
        return replace(node, name="arith.mulf", arguments=(a, inverse))
    return None


def _negf(node: Apply, forms: Polynomials) -> Node | None:
    (a,) = node.arguments
    return a.arguments[0] if isinstance(a, Apply) and a.name == "arith.negf" else None


def _idempotent(node: Apply, forms: Polynomials) -> Node | None:
    a, b = node.arguments
    return a if _same(forms, a, b) else None


def _truncf(node: Apply, forms: Polynomials) -> Node | None:
    (a,) = node.arguments
    widened = isinstance(a, Apply) and a.name == "arith.extf" and a.arguments[0].type == node.type
    return a.arguments[0] if widened and isinstance(a, Apply) else None


def _cmpf(node: Apply, forms: Polynomials) -> Node | None:
    """Only less-than forms: ``a > b`` is ``b < a``."""
    flipped = _FLOAT_FLIP.get(predicate(node))
    return None if flipped is None else _with_predicate(replace(node, arguments=node.arguments[::-1]), flipped)


_FLOAT_FLIP = {F.OGT.value: F.OLT, F.OGE.value: F.OLE, F.UGT.value: F.ULT, F.UGE.value: F.ULE}


def _with_predicate(node: Apply, which: Any) -> Apply:
    attributes = dict(node.attributes)
    attributes["predicate"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), which.value)
    return replace(node, attributes=tuple(sorted(attributes.items(), key=lambda item: item[0])))


# ---------------------------------------------------------------- truth values


def _andi(node: Apply, forms: Polynomials) -> Node | None:
    a, b = node.arguments
    for x, y in ((a, b), (b, a)):
        if _all_ones(y):
            return x
        if _is_zero(y):
            return y
    return _idempotent(node, forms)


def _ori(node: Apply, forms: Polynomials) -> Node | None:
    a, b = node.arguments
    for x, y in ((a, b), (b, a)):
        if _is_zero(y):
            return x
        if _all_ones(y):
            return y
    return _idempotent(node, forms)


def _xori(node: Apply, forms: Polynomials) -> Node | None:
    a, b = node.arguments
    for x, y in ((a, b), (b, a)):
        if _is_zero(y):
            return x
        if _all_ones(y) and isinstance(x, Apply) and x.name == "arith.xori":
            inner = next((o for k, o in enumerate(x.arguments) if _all_ones(x.arguments[1 - k])), None)
            if inner is not None:
                return inner
        if _all_ones(y) and isinstance(x, Apply) and x.name == "arith.cmpi" and str(node.type) == "i1":
            return _cmpi(_with_predicate(x, _NEGATED[predicate(x)]), forms) or _with_predicate(
                x, _NEGATED[predicate(x)]
            )
    return None


def _is_zero(node: Node) -> bool:
    return number(node) == 0 and not isinstance(node.type, ir.FloatType)


def _all_ones(node: Node) -> bool:
    value = number(node)
    if value is None or isinstance(node.type, ir.FloatType):
        return False
    return value == -1 or str(node.type) == "i1" and bool(value)


_NEGATED = {
    P.eq.value: P.ne, P.ne.value: P.eq, P.slt.value: P.sge, P.sge.value: P.slt, P.sgt.value: P.sle, P.sle.value: P.sgt,
    P.ult.value: P.uge, P.uge.value: P.ult, P.ugt.value: P.ule, P.ule.value: P.ugt,
}  # fmt: skip
_FLIPPED = {P.sgt.value: P.slt, P.sge.value: P.sle, P.ugt.value: P.ult, P.uge.value: P.ule}


def _cmpi(node: Apply, forms: Polynomials) -> Node | None:
    """Less-than forms only; decided where the difference of two indices is known well enough."""
    if predicate(node) in _FLIPPED:
        node = _with_predicate(replace(node, arguments=node.arguments[::-1]), _FLIPPED[predicate(node)])
        return _decided(node, forms) or node
    return _decided(node, forms)


def _decided(node: Apply, forms: Polynomials) -> Node | None:
    left, right = node.arguments
    if not is_integer(left.type):
        return None
    which = predicate(node)
    if forms.difference(left, right).is_constant and forms.difference(left, right).constant == 0:
        return truth(which in (P.eq.value, P.sle.value, P.ule.value), node.location)
    if width_of(left.type):
        return None
    up, down = forms.least_difference(right, left), forms.least_difference(left, right)
    return _decided_index(node, which, up, down)


def _decided_index(node: Apply, which: int, up: int | None, down: int | None) -> Node | None:
    """``up`` and ``down`` are lower bounds of ``right - left`` and ``left - right``."""
    rising, falling = up if up is not None else -1, down if down is not None else -1
    if which == P.slt.value and (rising >= 1 or falling >= 0):
        return truth(rising >= 1, node.location)
    if which == P.sle.value and (rising >= 0 or falling >= 1):
        return truth(rising >= 0, node.location)
    if which in (P.eq.value, P.ne.value) and (rising >= 1 or falling >= 1):
        return truth(which == P.ne.value, node.location)
    return None


def _select(node: Apply, forms: Polynomials) -> Node | None:
    condition, then, otherwise = node.arguments
    decided = number(condition)
    if decided is not None:
        return then if decided else otherwise
    if _same(forms, then, otherwise):
        return then
    if isinstance(condition, Apply) and condition.name == "arith.xori":
        inner = next((o for k, o in enumerate(condition.arguments) if _all_ones(condition.arguments[1 - k])), None)
        if inner is not None and str(inner.type) == "i1":
            return replace(node, arguments=(inner, otherwise, then))
    if str(node.type) == "i1" and _all_ones(then) and _is_zero(otherwise):
        return condition
    return None


# ---------------------------------------------------------------- integers


def _polynomial(node: Apply, forms: Polynomials) -> Node | None:
    return forms.normal(node) if is_integer(node.type) else None


def _floordiv(node: Apply, forms: Polynomials) -> Node | None:
    return forms.divided(node)


def _maxsi(node: Apply, forms: Polynomials) -> Node | None:
    return _ordered_extreme(node, forms, larger=True)


def _minsi(node: Apply, forms: Polynomials) -> Node | None:
    return _ordered_extreme(node, forms, larger=False)


def _ordered_extreme(node: Apply, forms: Polynomials, larger: bool) -> Node | None:
    a, b = node.arguments
    for x, y in ((a, b), (b, a)):
        low = forms.least_difference(x, y)
        if low is not None and low >= 0:
            return x if larger else y
    return _idempotent(node, forms)


def _index_cast(node: Apply, forms: Polynomials) -> Node | None:
    """There and back again between ``index`` and i64."""
    (a,) = node.arguments
    if isinstance(a, Apply) and a.name == node.name and a.arguments[0].type == node.type:
        return a.arguments[0] if str(a.type) in ("i64", "index") and str(node.type) in ("i64", "index") else None
    return None


def _trunci(node: Apply, forms: Polynomials) -> Node | None:
    (a,) = node.arguments
    widened = isinstance(a, Apply) and a.name in ("arith.extsi", "arith.extui") and a.arguments[0].type == node.type
    return a.arguments[0] if widened and isinstance(a, Apply) else None


_RULES: dict[str, Rule] = {
    "arith.addf": _addf,
    "arith.subf": _subf,
    "arith.mulf": _mulf,
    "arith.divf": _divf,
    "arith.negf": _negf,
    "arith.maximumf": _idempotent,
    "arith.minimumf": _idempotent,
    "arith.maxui": _idempotent,
    "arith.minui": _idempotent,
    "arith.truncf": _truncf,
    "arith.cmpf": _cmpf,
    "arith.andi": _andi,
    "arith.ori": _ori,
    "arith.xori": _xori,
    "arith.cmpi": _cmpi,
    "arith.select": _select,
    "arith.addi": _polynomial,
    "arith.subi": _polynomial,
    "arith.muli": _polynomial,
    "affine.mod": _polynomial,
    "arith.floordivsi": _floordiv,
    "arith.maxsi": _maxsi,
    "arith.minsi": _minsi,
    "arith.index_cast": _index_cast,
    "arith.trunci": _trunci,
}
