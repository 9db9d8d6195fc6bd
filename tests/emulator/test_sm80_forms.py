"""Each form of the language in a small kernel for sm_80, run in the emulator, against the reference."""

from __future__ import annotations

import pytest
from tests.forms import FORMS, kernel_of, program_of
from tests.fuzz.backends import emulated
from tests.fuzz.generate import compare_outputs
from tests.seeds import fresh_seed

from tilewright.compiler.reference.evaluate import evaluate


@pytest.mark.parametrize("name", FORMS)
def test_code_for_sm_80_agrees_with_the_reference(name: str) -> None:
    kernel = kernel_of(name)
    for seed in (fresh_seed(), fresh_seed()):
        program = program_of(name, seed)
        evaluation = evaluate(kernel, program.arguments, dims=program.dims)
        compare_outputs(program, evaluation, emulated(program, kernel))
