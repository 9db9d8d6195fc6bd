"""What must not matter: which optional passes run, and from which dumped level a compilation goes on."""

from __future__ import annotations

import pytest

from tests.compiling import assert_right, built
from tests.library_cases import CASES, Case
from tilewright.compiler import pipeline
from tilewright.compiler.emit import emit
from tilewright.compiler.jobs import artifact_of_ir
from tilewright.compiler.pipeline import OPTIONAL, Settings
from tilewright.compiler.target import find
from tilewright.dialect import ods
from tilewright.passes.base import Instrument, run_passes
from tilewright.runtime.errors import CallError
from tilewright.runtime.switches import Switches

PASSES = sorted(OPTIONAL)
WITHOUT = [(case, PASSES[number % len(PASSES)]) for number, case in enumerate(CASES)]
PRODUCTS = [case for case in CASES if case.id in ("softmax", "layernorm", "linear_gelu", "batched_matmul_nt")]


@pytest.mark.parametrize(
    ("case", "name"), WITHOUT, ids=[f"{case.module}.{case.id}-without-{name}" for case, name in WITHOUT]
)
def test_code_is_right_without_an_optional_pass(case: Case, name: str) -> None:
    _check_without(case, name)


@pytest.mark.soak
def test_code_is_right_without_each_optional_pass() -> None:
    for case in CASES:
        for name in PASSES:
            _check_without(case, name)
        _check_without(case, *PASSES)


def _check_without(case: Case, *names: str) -> None:
    kernel = case.typed("f32")
    arguments = case.arguments("f32", "random", "ragged")
    assert_right(kernel, kernel, arguments, Settings(disabled=frozenset(names)))


def test_a_pass_that_code_needs_cannot_be_switched_off() -> None:
    with pytest.raises(CallError, match="'partition' cannot be switched off"):
        built(CASES[0].typed("f32"), settings=Settings(disabled=frozenset({"partition"})))


@pytest.mark.parametrize("case", CASES[::5], ids=lambda case: f"{case.module}.{case.id}")
def test_every_dumped_level_leads_to_the_same_object_code(case: Case) -> None:
    _check_levels(case, "cpu", "o")


@pytest.mark.parametrize("case", PRODUCTS, ids=lambda case: f"{case.module}.{case.id}")
def test_every_dumped_level_leads_to_the_same_ptx(case: Case) -> None:
    _check_levels(case, "sm_80", "ptx")


@pytest.mark.soak
def test_every_dumped_level_of_every_kernel_leads_to_the_same_object_code() -> None:
    for case in CASES:
        _check_levels(case, "cpu", "o")


def _check_levels(case: Case, target: str, form: str) -> None:
    made = built(case.typed("f32"), target, Settings(keep=True))
    levels = [level for level in pipeline.LEVELS if f"{level}.mlir" in made.notes]
    assert levels[:3] == ["tensor", "plan", "tile"] and ("tile-gpu" in levels) == (target != "cpu")
    for level in levels:
        again = artifact_of_ir(made.notes[f"{level}.mlir"], target, Settings(), Switches())
        assert again.code[form] == made.code[form], level
        assert str(again.plan) == str(made.plan), level


@pytest.mark.parametrize("case", CASES[::7], ids=lambda case: f"{case.module}.{case.id}")
def test_passes_that_run_joined_do_what_they_do_one_by_one(case: Case) -> None:
    apart, joined = (_tensor_level(case, Instrument(each=each)) for each in (True, False))
    assert apart == joined


def _tensor_level(case: Case, instrument: Instrument) -> str:

    with ods.session():
        module = emit(case.typed("f32"))
        for level, passes in pipeline.road(find("cpu", Switches()), Settings()):
            module = run_passes(module, passes, instrument)
            if level == "plan":
                return str(module)
    raise AssertionError("no level plan")
