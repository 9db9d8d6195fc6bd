"""Pass ``partition``: one kernel function becomes launches and a function that calls them in order.

What: chooses what is computed together (``grouping``), moves what a value becomes before it is stored to the launch
that makes it (``absorb``), and builds one function per launch with its grid; what crosses launches is the workspace.
Before -> after: softmax stays one launch over the rows; ``max[j](sum[d](…))`` becomes a launch that stores the sums and
one that reads them.
Needs: ``fuse`` and ``common`` before it. Every launch carries ``tw.reason``, a text for ``explain``.
Does not handle: splitting one fold over several launches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tilewright.dialect import ods
from tilewright.dialect.mlir import ir
from tilewright.passes.base import Pass
from tilewright.passes.tensor.absorb import absorb
from tilewright.passes.tensor.axes import orient
from tilewright.passes.tensor.decode import decode, functions_of
from tilewright.passes.tensor.grouping import group
from tilewright.passes.tensor.launches import encode_launches, separate_outputs


@dataclass(frozen=True)
class Partition(Pass):
    """See the module. ``epilogues`` switches ``absorb``."""

    name: ClassVar[str] = "partition"
    result_level: ClassVar[str | None] = "tensor"
    epilogues: bool = True

    def run(self, module: Any) -> Any:
        functions = functions_of(module)
        result = ir.Module.create(loc=module.operation.location)
        with ir.InsertionPoint(result.body):
            for op in ods.ops_of(module.body):
                if op in functions:
                    self._partition(op)
                else:
                    op.clone()
        return result

    def _partition(self, function: Any) -> None:
        program = separate_outputs(decode(function))
        if self.epilogues:
            program = absorb(program)
        program = orient(program)
        encode_launches(program, group(program))
