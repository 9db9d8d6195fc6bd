"""Owns one step of a sum of products, whose factors may be narrower than the sum."""

from __future__ import annotations

from typing import Any

from tilewright.dialect.mlir import ir
from tilewright.passes.machine.elementwise import convert_float
from tilewright.passes.machine.emit import Emitter, element_of


def widened(emitter: Emitter, value: Any, source: Any, target: Any) -> Any:
    """``value`` in the type of the sum; integers are signed."""
    if source == target:
        return value
    if isinstance(target, ir.FloatType):
        return convert_float(emitter, value, source, target)
    return emitter.value("arith.extsi", emitter.like(value.type, target), value)


def multiply_add(emitter: Emitter, a: Any, b: Any, total: Any) -> Any:
    """``a * b + total``, all of one type: floats are rounded once where the machine can."""
    if isinstance(element_of(total.type), ir.FloatType):
        return emitter.fma(a, b, total)
    return emitter.same("arith.addi", emitter.same("arith.muli", a, b), total)
