"""Owns running a rewrite of programs over a module: decode every function, change it, encode it into a new module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tilewright.dialect import ods
from tilewright.dialect.mlir import ir
from tilewright.passes.tensor.decode import decode, functions_of
from tilewright.passes.tensor.encode import encode
from tilewright.passes.tensor.program import Program


def transform(module: Any, change: Callable[[Program], Program]) -> Any:
    """A new module with ``change`` applied to each function that has maps or folds; others are copied."""
    functions = functions_of(module)
    result = ir.Module.create(loc=module.operation.location)
    for name in module.operation.attributes:
        result.operation.attributes[name] = module.operation.attributes[name]
    with ir.InsertionPoint(result.body):
        for op in ods.ops_of(module.body):
            if op in functions:
                encode(change(decode(op)))
            else:
                op.clone()
    return result
