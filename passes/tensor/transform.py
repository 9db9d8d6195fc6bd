"""Owns running a rewrite of programs over a module: decode every function, change it, encode it into a new module.

Passes of this kind in a row are joined where nobody looks between them: functions are decoded and encoded once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from tilewright.dialect import ods
from tilewright.dialect.mlir import ir
from tilewright.passes.base import Pass
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


@dataclass(frozen=True)
class ProgramPass(Pass):
    """A pass that is a function of programs."""

    result_level: ClassVar[str | None] = "tensor"

    @abstractmethod
    def change(self, program: Program) -> Program:
        """The program after the pass."""

    def run(self, module: Any) -> Any:
        return transform(module, self.change)

    def joined(self, following: Pass) -> Pass | None:
        return Joined((self, following)) if isinstance(following, ProgramPass) else None


@dataclass(frozen=True)
class Joined(ProgramPass):
    """Several of them, one after the other."""

    name: ClassVar[str] = "joined"
    parts: tuple[ProgramPass, ...]

    @property
    def title(self) -> str:
        return "+".join(part.title for part in self.parts)

    def change(self, program: Program) -> Program:
        for part in self.parts:
            program = part.change(program)
        return program

    def joined(self, following: Pass) -> Pass | None:
        return Joined((*self.parts, following)) if isinstance(following, ProgramPass) else None
