"""temporary"""
from __future__ import annotations
from typing import Any
from tilewright.passes.cpu.emit import Emitter
OPS = frozenset(["math.exp", "math.sqrt", "math.absf"])
def rule_of(emitter: Emitter, op: Any, element: Any) -> Any:
    name = op.name
    return lambda v: emitter.same(name, v)
