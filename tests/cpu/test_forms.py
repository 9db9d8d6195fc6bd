"""Each form of the language in a small kernel: tensor level, judged passes and native code against the reference."""

from __future__ import annotations

import pytest

from tests.forms import FORMS, kernel_of, program_of
from tests.fuzz.backends import native_judged, native_small, tensor_level
from tests.fuzz.generate import Backend, compare_outputs
from tests.seeds import fresh_seed
from tilewright.compiler.reference.evaluate import evaluate


@pytest.mark.parametrize("road", [tensor_level, native_judged, native_small], ids=lambda road: road.__name__)
@pytest.mark.parametrize("name", FORMS)
def test_every_road_agrees_with_the_reference(name: str, road: Backend) -> None:
    kernel, program = kernel_of(name), program_of(name, fresh_seed())
    evaluation = evaluate(kernel, program.arguments, dims=program.dims)
    compare_outputs(program, evaluation, road(program, kernel))
