"""From a text to the tensor level and on, for tests of its passes: sources, FileCheck, launches, meaning."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from filecheck.finput import FInput
from filecheck.matcher import Matcher
from filecheck.options import Options
from filecheck.parser import Parser, pattern_for_opts

from tests.sources import typed_text
from tilewright.compiler.emit import emit
from tilewright.dialect import functions, ods
from tilewright.dialect.interpret.tensor import run_tensor
from tilewright.passes.base import Pass, run_passes
from tilewright.passes.semantics import compare, random_cases, run_case
from tilewright.passes.tensor.axes import Axes
from tilewright.passes.tensor.common import Common
from tilewright.passes.tensor.decode import decode, functions_of
from tilewright.passes.tensor.factor import Factor
from tilewright.passes.tensor.fuse import Fuse
from tilewright.passes.tensor.partition import Partition
from tilewright.passes.tensor.program import Program
from tilewright.passes.tensor.siblings import Siblings
from tilewright.passes.tensor.simplify import Simplify

CLEAN: tuple[Pass, ...] = (Simplify(), Axes(), Common())
ROAD: tuple[Pass, ...] = (*CLEAN, Factor(), Fuse(), *CLEAN, Siblings(), Common(), Partition())
SIZES = (2, 3, 5, 1, 4, 6, 3, 2)


@contextmanager
def emitted(
    text: str, types: Mapping[str, str] | None = None, consts: Mapping[str, Any] | None = None
) -> Iterator[Any]:
    """The module of the only kernel of a text, verified, inside a session."""
    with ods.session():
        module = emit(typed_text(text, None, types or {}))
        assert module.operation.verify()
        yield module


def program_of(module: Any) -> Program:
    """The first function of a module that has maps or folds, decoded."""
    return decode(functions_of(module)[0])


def launches(module: Any) -> list[Any]:
    """The launch functions of a partitioned module, in order."""
    return [f for f in functions.functions_of(module) if functions.grid_of(f) is not None]


def filecheck(module: Any, expected: str) -> None:
    """Assert the CHECK lines of ``expected`` on the printed module."""
    options = Options(match_filename="expected")
    checks = Parser(options, io.StringIO(textwrap.dedent(expected)), *pattern_for_opts(options))
    assert Matcher(options, FInput("module", str(module)), checks).run() == 0, str(module)


def kernel_name(module: Any) -> str:
    return functions.name_of(next(f for f in functions.functions_of(module) if functions.grid_of(f) is None))


def assert_same_meaning(text: str, passes: Sequence[Pass], seed: int, types: Mapping[str, str] | None = None) -> Any:
    """Run ``passes`` one by one; the interpreter must see no difference. Returns the last module."""
    with emitted(text, types) as module:
        kernel = kernel_name(module)
        dims = functions.dims_of(functions.functions_of(module)[0], "tw")
        sizes = [{d: SIZES[(k + shift) % len(SIZES)] for k, d in enumerate(dims)} for shift in range(4)]
        cases = random_cases(module, kernel, sizes, seed)
        expected = [run_case(module, kernel, case) for case in cases]
        for step in passes:
            module = run_passes(module, [step])
            for case, before in zip(cases, expected, strict=True):
                difference = compare(before, run_case(module, kernel, case))
                assert difference is None, f"{step.name}, seed {seed}, {case.dims}: {difference}\n{text}"
        return module


def run(module: Any, arguments: Mapping[str, Any], dims: Mapping[str, int], **options: Any) -> dict[str, np.ndarray]:
    """What the kernel of a module computes."""
    return run_tensor(module, kernel_name(module), arguments, dims, **options)
