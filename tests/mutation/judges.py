"""Owns what a mutant must survive: random programs and library kernels against the reference, then tests of its folder.

Programs are generated, checked and evaluated before any mutant is made: the reference is not what is mutated, and its
work is done once. Every judge raises when something is wrong.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.fuzz.backends import compiled_and_run, native_judged, native_small, small_target
from tests.fuzz.generate import Backend, compare_outputs, generate
from tests.library_cases import CASES, Case
from tests.sources import typed_text
from tilewright.compiler.pipeline import Settings
from tilewright.compiler.reference.compare import compare
from tilewright.compiler.reference.evaluate import Evaluation, evaluate
from tilewright.compiler.target import find
from tilewright.runtime.switches import Switches

SEEDS = range(60_000, 60_040)
JUDGED_EVERY = 6
MODULES = ("linear", "convolution", "softmax", "normalization", "shapes")
SHAPES = (("integers", "prime"), ("random", "ragged"))
OWN_TESTS: Mapping[str, tuple[str, ...]] = {
    "compiler/emit": ("tests/ir/test_emit.py",),
    "passes/tensor/": (
        "tests/ir/test_simplify.py", "tests/ir/test_axes_common.py", "tests/ir/test_factor_contraction.py",
        "tests/ir/test_fuse.py", "tests/ir/test_partition.py",
    ),
    "passes/tile/": (
        "tests/ir/test_tile_launches.py", "tests/unit/test_schedule.py", "tests/ir/test_decisions.py",
    ),
    "passes/cpu/": (
        "tests/cpu/test_native_access.py", "tests/cpu/test_native_elementwise.py", "tests/cpu/test_native_kernels.py",
        "tests/cpu/test_native_tiled.py", "tests/cpu/test_native_math.py", "tests/cpu/test_native_object.py",
    ),
    "passes/gpu/": (
        "tests/ir/test_assign_layouts.py", "tests/emulator/test_sm80_assembled.py", "tests/emulator/test_sm80_calls.py",
        "tests/emulator/test_sm80_rows.py", "tests/emulator/test_sm80_products.py",
    ),
    "passes/machine/": (
        "tests/cpu/test_native_elementwise.py", "tests/cpu/test_native_math.py", "tests/cpu/test_native_kernels.py",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Judge:
    """One question: ``ask`` raises when the answer is wrong; ``seconds`` of processor are many times what it takes."""

    name: str
    ask: Callable[[], None]
    seconds: int = 20


def prepared() -> list[Judge]:
    """The random programs and library kernels, with what the reference says of them; needs no MLIR."""
    judges = [_program_judge(seed) for seed in SEEDS]
    return [*judges, *(_library_judge(number, case) for number, case in enumerate(CASES) if case.module in MODULES)]


def judges_of(file: str, prepared: list[Judge]) -> list[Judge]:
    """Who judges a mutant of ``file``: native code has nothing to say about ``passes/gpu``."""
    return [*([] if file.startswith("passes/gpu/") else prepared), own_tests(file)]


def own_tests(file: str) -> Judge:
    """The tests of the folder that ``file`` is in."""
    paths = next((tests for start, tests in OWN_TESTS.items() if file.startswith(start)), ())

    def ask() -> None:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *paths])
        assert code == 0, f"pytest: {code}"

    return Judge("own tests", ask, 180)


def _program_judge(seed: int) -> Judge:
    program = generate(seed)
    kernel = typed_text(program.source, "fuzz", program.types, program.consts)
    evaluation = evaluate(kernel, program.arguments, dims={n: program.dims[n] for n in kernel.dims})
    road: Backend = native_judged if seed % JUDGED_EVERY == 0 else native_small

    def ask() -> None:
        compare_outputs(program, evaluation, road(program, kernel))

    return Judge(f"program {seed}", ask)


def _library_judge(number: int, case: Case) -> Judge:
    """A library kernel in small tiles on whole numbers, and in this CPU's own tiles on real ones."""
    kernel = case.typed(case.dtypes[0])
    drawn = [case.arguments(case.dtypes[0], data, shape, seed=3) for data, shape in SHAPES]
    expected = [evaluate(kernel, arguments) for arguments in drawn]

    def ask() -> None:
        for target, arguments, evaluation in zip(
            (small_target(number), find("cpu", Switches())), drawn, expected, strict=True
        ):
            _agree(evaluation, compiled_and_run(kernel, target, Settings(), arguments))

    return Judge(f"library {case.module}.{case.id}", ask)


def _agree(evaluation: Evaluation, outputs: Mapping[str, Any]) -> None:
    for name, value in outputs.items():
        comparison = compare(evaluation, name, np.asarray(value))
        assert comparison.ok, comparison.message
