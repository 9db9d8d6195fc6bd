"""Owns the roads a generated program can take besides the reference: each runs it and returns its outputs by name."""

from __future__ import annotations

from typing import Any

import tilewright
from tests.fuzz.program import Program
from tilewright.compiler.emit import emit
from tilewright.compiler.language import typed
from tilewright.dialect import ods
from tilewright.dialect.interpret.tensor import run_tensor


def tensor_level(program: Program, kernel: typed.TypedKernel) -> dict[str, Any]:
    """The tensor level as it was emitted, before any pass, in the arithmetic of its own dtypes."""
    with ods.session():
        module = emit(kernel)
        dims = {name: program.dims[name] for name in kernel.dims}
        return run_tensor(module, kernel.name, program.arguments, dims)


def native(program: Program, kernel: typed.TypedKernel) -> dict[str, Any]:
    """Native code, compiled in process and called through the public door."""
    result = tilewright.jit(program.source)(**program.arguments, **program.types, **program.consts)
    names = [tensor.name for tensor in kernel.outputs]
    return dict(zip(names, result if len(names) > 1 else (result,), strict=True))
