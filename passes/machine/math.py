"""Owns what ``math`` ops become: hardware instructions, our polynomials on f32, the C library on f64.

Half types are computed in f32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tilewright.passes.machine import polynomials, trigonometry
from tilewright.passes.machine.elements import is_half, rounded
from tilewright.passes.machine.emit import Emitter, element_of
from tilewright.passes.machine.trigonometry import by_lane

Function = Callable[..., Any]

INSTRUCTIONS = frozenset(
    ["math.absf", "math.ceil", "math.floor", "math.roundeven", "math.round", "math.sqrt", "math.trunc"]
)
INTEGER = frozenset(["math.absi", "math.ctlz", "math.cttz", "math.ctpop"])
F32: dict[str, Function] = {
    "math.exp": polynomials.exp,
    "math.exp2": polynomials.exp2,
    "math.expm1": polynomials.expm1,
    "math.log": polynomials.log,
    "math.log2": polynomials.log2,
    "math.log1p": polynomials.log1p,
    "math.tanh": polynomials.tanh,
    "math.erf": polynomials.erf,
    "math.sin": trigonometry.sin,
    "math.cos": trigonometry.cos,
    "math.powf": trigonometry.power,
}
F64 = {name: name.removeprefix("math.").replace("powf", "pow") for name in F32}
OPS = INSTRUCTIONS | INTEGER | F32.keys() | {"math.rsqrt", "math.fma", "math.copysign"}


def rule_of(emitter: Emitter, op: Any, element: Any) -> Function:
    """The machine meaning of a ``math`` op whose operands have this element type."""
    name = op.name
    if name in INTEGER:
        attributes = {a.name: a.attr for a in op.attributes}
        return lambda value: emitter.same(name, value, **attributes)
    if is_half(element):
        return lambda *values: rounded(emitter, element, lambda *wide: compute(emitter, name, *wide), *values)
    return lambda *values: compute(emitter, name, *values)


def compute(emitter: Emitter, name: str, *values: Any) -> Any:
    """One ``math`` op on f32 or f64."""
    if name in INSTRUCTIONS:
        return emitter.same(name, *values)
    if name == "math.fma":
        return emitter.same(name, *values)
    if name == "math.copysign":
        return emitter.with_sign(*values)
    if name == "math.rsqrt":
        root = emitter.same("math.sqrt", *values)
        return emitter.same("arith.divf", emitter.constant(root.type, 1.0), root)
    if element_of(values[0].type) == emitter.f64:
        return by_lane(emitter, F64[name], *values)
    return F32[name](emitter, *values)
