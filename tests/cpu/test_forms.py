"""Each form of the language in a small kernel: tensor level, judged passes and native code against the reference."""

from __future__ import annotations

import pytest

from tests.forms import FORMS, kernel_of, program_of
from tests.fuzz.backends import native_judged, native_small, native_without, tensor_level
from tests.fuzz.generate import Backend, compare_outputs
from tests.seeds import fresh_seed
from tilewright.compiler.pipeline import OPTIONAL
from tilewright.compiler.reference.evaluate import evaluate

ROADS: tuple[Backend, ...] = (tensor_level, native_judged, native_small)


@pytest.mark.parametrize("road", ROADS, ids=lambda road: road.__name__)
@pytest.mark.parametrize("name", FORMS)
def test_every_road_agrees_with_the_reference(name: str, road: Backend) -> None:
    kernel, program = kernel_of(name), program_of(name, fresh_seed())
    evaluation = evaluate(kernel, program.arguments, dims=program.dims)
    compare_outputs(program, evaluation, road(program, kernel))


@pytest.mark.parametrize("name", FORMS)
def test_code_is_right_without_optional_passes(name: str) -> None:
    kernel, program = kernel_of(name), program_of(name, fresh_seed())
    evaluation = evaluate(kernel, program.arguments, dims=program.dims)
    for disabled in (OPTIONAL, *(frozenset({one}) for one in sorted(OPTIONAL))):
        compare_outputs(program, evaluation, native_without(disabled)(program, kernel))
