"""Owns what a mutant must survive: random programs, recorded decisions and library kernels, then tests of its folder.

Programs are generated, checked and evaluated before any mutant is made: the reference is not what is mutated, and its
work is done once. Quick judges come first. Every judge raises when something is wrong.
"""

from __future__ import annotations

import io
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import pytest

from tests.forms import FORMS, kernel_of, program_of
from tests.fuzz.backends import (
    compiled_and_run,
    emulated,
    native_judged,
    native_small,
    native_without,
    small_target,
)
from tests.fuzz.checks import failing
from tests.fuzz.features import REQUIRED
from tests.fuzz.generate import Backend, compare_outputs, generate
from tests.fuzz.program import Program
from tests.ir.mixes import Recorded, known, recorded, written
from tests.library_cases import CASES, Case
from tests.sources import typed_text
from tilewright.compiler.emit import emit
from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.language.typed import TypedKernel
from tilewright.compiler.pipeline import OPTIONAL, Settings
from tilewright.compiler.reference.compare import compare
from tilewright.compiler.reference.evaluate import Evaluation, evaluate
from tilewright.compiler.target import find
from tilewright.dialect import ods
from tilewright.dialect.faults import Unsupported
from tilewright.runtime.errors import RunError
from tilewright.runtime.switches import Switches

SEEDS, MORE = range(60_000, 60_900), range(61_000, 61_500)
TIMES = 3
JUDGED_EVERY = 4
GPU = "passes/gpu/"
MODULES = ("linear", "convolution", "softmax", "normalization", "shapes")
DRAWS = (("integers", "prime"), ("integers", "ragged"), ("random", "ragged"))
OWN_TESTS: Mapping[str, tuple[str, ...]] = {
    "compiler/emit": (
        "tests/ir/test_emit.py", "tests/ir/test_domains.py", "tests/cpu/test_random_finds.py",
        "tests/ir/test_lost_checks.py",
        "tests/ir/test_library_tensor_level.py", "tests/ir/test_fuzz_tensor_level.py",
    ),
    "passes/tensor/": (
        "tests/ir/test_simplify.py", "tests/ir/test_simplified.py", "tests/ir/test_axes_common.py",
        "tests/ir/test_factor_contraction.py", "tests/ir/test_fuse.py", "tests/ir/test_partition.py",
        "tests/ir/test_lost_checks.py", "tests/ir/test_library_tensor_level.py",
        "tests/cpu/test_random_finds.py", "tests/cpu/test_rewrites.py",
    ),
    "passes/tile/": (
        "tests/unit/test_schedule.py", "tests/ir/test_decisions.py", "tests/ir/test_tile_launches.py",
        "tests/ir/test_ranges.py", "tests/cpu/test_schedule_blocks.py", "tests/cpu/test_variants.py",
        "tests/cpu/test_far_addresses.py", "tests/cpu/test_random_finds.py", "tests/emulator/test_sm80_schedules.py",
    ),
    "passes/cpu/": (
        "tests/cpu/test_native_access.py", "tests/cpu/test_native_elementwise.py", "tests/cpu/test_native_kernels.py",
        "tests/cpu/test_native_tiled.py", "tests/cpu/test_native_math.py", "tests/cpu/test_native_object.py",
        "tests/cpu/test_far_addresses.py", "tests/cpu/test_random_finds.py", "tests/cpu/test_api.py",
    ),
    GPU: (
        "tests/ir/test_assign_layouts.py", "tests/ir/test_divisors.py", "tests/emulator/test_sm80_assembled.py",
        "tests/emulator/test_sm80_calls.py",
        "tests/emulator/test_sm80_rows.py", "tests/emulator/test_sm80_products.py",
        "tests/emulator/test_sm80_schedules.py",
    ),
    "passes/machine/": (
        "tests/cpu/test_native_elementwise.py", "tests/cpu/test_native_math.py", "tests/cpu/test_native_kernels.py",
        "tests/emulator/test_sm80_rows.py",
    ),
}  # fmt: skip


Checked = tuple[Program, TypedKernel]


@dataclass(frozen=True)
class Judge:
    """One question: ``ask`` raises when the answer is wrong; ``seconds`` of processor are many times what it takes."""

    name: str
    ask: Callable[[], None]
    seconds: int = 6


@dataclass(frozen=True)
class Judges:
    """Who judges the code of a CPU and all that both ends share, who that of a GPU, and who is asked last."""

    shared: Sequence[Judge]
    gpu: Sequence[Judge]
    last: Sequence[Judge]

    def of(self, file: str) -> list[Judge]:
        """Who judges a mutant of ``file``, in this order."""
        if file.startswith(GPU):
            return [*self.gpu, own_tests(file)]
        return [*self.shared, own_tests(file), *self.last]


def prepared() -> Judges:
    """Random programs and library kernels with what the reference says of them, and the recorded mixes, long ones
    first."""
    programs = _compiled([(program, _typed(program)) for program in covering()])
    forms = _compiled([(program_of(name, seed), kernel_of(name)) for seed, name in enumerate(FORMS)])
    mixes = [_mix_judge(one) for one in sorted(recorded(), key=lambda one: len(known()[one.name]), reverse=True)]
    library = [_library_judge(number, case) for number, case in enumerate(CASES) if case.module in MODULES]
    native = [_program_judge(*one, _road(k)) for k, one in enumerate(programs)]
    roads = (native_judged, native_without(OPTIONAL), native_without(frozenset({"fuse"})))
    written_out = [_program_judge(*one, road) for road in roads for one in forms]
    return Judges(
        [*_in_turn(native, mixes, library, written_out), *_check_judges()],
        _in_turn(*([_program_judge(*one, emulated) for one in several] for several in (programs, forms)), mixes),
        [_program_judge(*one, native_small) for one in _compiled([(p, _typed(p)) for p in map(generate, MORE)])],
    )


def covering() -> Iterator[Program]:
    """Programs in which every form of the language stands at least ``TIMES`` times."""
    found: Counter[str] = Counter()
    for program in map(generate, SEEDS):
        missing = {form for form in program.features & REQUIRED if found[form] < TIMES}
        if missing:
            found.update(program.features)
            yield program


def own_tests(file: str) -> Judge:
    """The tests of the folder that ``file`` is in."""
    paths = next((tests for start, tests in OWN_TESTS.items() if file.startswith(start)), ())

    def ask() -> None:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *paths])
        assert code == 0, f"pytest: {code}"

    return Judge("own tests", ask, 120)


def _in_turn(*groups: Sequence[Judge]) -> list[Judge]:
    """One of each group in turn, so that each kind of judge is asked early."""
    return [judge for judge in chain.from_iterable(zip_longest(*groups)) if judge is not None]


def _typed(program: Program) -> TypedKernel:
    return typed_text(program.source, "fuzz", program.types, program.consts)


def _compiled(programs: Sequence[Checked]) -> list[Checked]:
    """Those that are not refused as not compiled yet; found out in a child, for no MLIR may cross a fork."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        taken = pool.map(_is_compiled, [kernel for _, kernel in programs])
    return [one for one, is_taken in zip(programs, taken, strict=True) if is_taken]


def _is_compiled(kernel: TypedKernel) -> bool:
    try:
        with ods.session():
            emit(kernel)
    except SourceErrors:
        return False
    return True


def _road(number: int) -> Backend:
    return native_judged if number % JUDGED_EVERY == 0 else native_small


def _program_judge(program: Program, kernel: TypedKernel, road: Backend) -> Judge:
    evaluation = evaluate(kernel, program.arguments, dims={n: program.dims[n] for n in kernel.dims})

    def ask() -> None:
        try:
            outputs = road(program, kernel)
        except Unsupported:  # a function of f64 that the GPU end lacks
            return
        compare_outputs(program, evaluation, outputs)

    return Judge(f"program {program.seed}", ask)


def _check_judges() -> Iterator[Judge]:
    """Programs one of whose run-time checks fails."""
    for one in map(failing, map(generate, SEEDS)):
        if one is not None:
            yield _check_judge(*one)


def _check_judge(program: Program, kernel: TypedKernel) -> Judge:
    def ask() -> None:
        with pytest.raises(RunError, match="TW1015"):
            native_small(program, kernel)

    return Judge(f"check of {program.seed}", ask)


def _mix_judge(one: Recorded) -> Judge:
    expected = known()[one.name]

    def ask() -> None:
        assert written(one) == expected

    return Judge(f"mix {one.name}", ask)


def _library_judge(number: int, case: Case) -> Judge:
    """A library kernel in small tiles on whole numbers of two shapes, and in this CPU's own tiles on real ones."""
    kernel = case.typed(case.dtypes[0])
    drawn = [case.arguments(case.dtypes[0], data, shape, seed=3) for data, shape in DRAWS]
    expected = [evaluate(kernel, arguments) for arguments in drawn]

    def ask() -> None:
        targets = (small_target(number), small_target(number), find("cpu", Switches()))
        for target, arguments, evaluation in zip(targets, drawn, expected, strict=True):
            _agree(evaluation, compiled_and_run(kernel, target, Settings(), arguments))

    return Judge(f"library {case.module}.{case.id}", ask)


def _agree(evaluation: Evaluation, outputs: Mapping[str, Any]) -> None:
    for name, value in outputs.items():
        comparison = compare(evaluation, name, np.asarray(value))
        assert comparison.ok, comparison.message
