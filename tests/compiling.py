"""From typed kernels to code and calls, for tests of whole compilations: no language, no cache, no child process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tilewright.compiler import pipeline
from tilewright.compiler.back_ends import Built
from tilewright.compiler.driver import Compiled
from tilewright.compiler.emit import emit
from tilewright.compiler.language.typed import TypedKernel
from tilewright.compiler.pipeline import Settings
from tilewright.compiler.reference.compare import compare
from tilewright.compiler.reference.evaluate import evaluate
from tilewright.compiler.target import find
from tilewright.compiler.version import versions
from tilewright.dialect import functions, ods
from tilewright.passes.base import Instrument, run_passes
from tilewright.runtime.artifact import Artifact
from tilewright.runtime.switches import Switches

Mix = list["Counter[str]"]
"""The ops of each launch at the tile level, by name."""


def built(kernel: TypedKernel, target: str = "cpu", settings: Settings | None = None) -> Built:
    """The kernel through the whole pipeline."""
    return pipeline.compile_typed(kernel, find(target, Switches()), settings or Settings(), Instrument())


def compiled(kernel: TypedKernel, settings: Settings | None = None) -> Compiled:
    """The kernel ready to be called on the CPU."""
    made = built(kernel, "cpu", settings)
    return Compiled(Artifact(made.plan, find("cpu", Switches()).description(), made.code, made.notes, versions()))


def instruction_mix(kernel: TypedKernel, settings: Settings | None = None) -> Mix:
    """The kernel's ops at the tile level, launch by launch."""
    target = find("cpu", Switches())
    with ods.session():
        module = emit(kernel)
        for _, passes in pipeline.road(target, settings or Settings()):
            module = run_passes(module, passes)
        return [Counter(op.name for op in _ops(function)) for function in functions.functions_of(module)]


def _ops(operation: Any) -> Iterator[Any]:
    for region in operation.regions:
        for block in region.blocks:
            for op in ods.ops_of(block):
                yield op
                yield from _ops(op)


def assert_right(kernel: TypedKernel, meaning: TypedKernel, arguments: Mapping[str, Any], settings: Settings) -> None:
    """Native code of ``kernel`` computes what ``meaning`` says, within the bound of the reference."""
    evaluation = evaluate(meaning, dict(arguments))
    result = compiled(kernel, settings)(**arguments)
    names = list(evaluation.outputs)
    values = [result] if len(names) == 1 else list(result)
    for name, value in zip(names, values, strict=True):
        comparison = compare(evaluation, name, np.asarray(value))
        assert comparison.ok, comparison.message
