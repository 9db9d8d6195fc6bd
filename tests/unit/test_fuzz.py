"""The generator keeps its promises, and every program it writes checks and evaluates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from tests.fuzz.features import REQUIRED
from tests.fuzz.generate import generate, run_case
from tests.fuzz.program import Program

from tilewright.compiler.language import typed
from tilewright.compiler.language.check.vocabulary import CONSTANTS, FUNCTIONS, REDUCTIONS
from tilewright.compiler.language.spacing import LOOSENESS
from tilewright.compiler.language.typed import DTYPES
from tilewright.compiler.reference.evaluate import evaluate

PROGRAMS = 1500
CASES = 300
BLOCK = 50


@pytest.fixture(scope="module")
def features() -> Counter[str]:
    found: Counter[str] = Counter()
    for seed in range(PROGRAMS):
        found.update(generate(seed).features)
    return found


def test_every_form_is_in_two_programs_of_a_hundred(features: Counter[str]) -> None:
    rare = {name: features[name] / PROGRAMS for name in REQUIRED if features[name] < 0.02 * PROGRAMS}
    assert not rare


OPERATORS = set(LOOSENESS) - {",", ";", "else", "where"}
OTHERS = {"**", "not", "~", "neg", "chain", "if"}
NOT_COMPILED = {"segment", "rand", "f8e4m3", "f8e5m2"}
"""Words that compilation refuses; what is written in other ways than by a word is listed by hand in ``features``."""


@pytest.mark.parametrize(
    "words",
    [OPERATORS, OTHERS, REDUCTIONS, set(FUNCTIONS), set(DTYPES), CONSTANTS - {"true", "false"}],
    ids=["operators", "other operators", "reductions", "functions", "dtypes", "constants"],
)
def test_every_word_that_is_compiled_is_one_of_the_forms(words: Iterable[str]) -> None:
    """``float +``, ``call: exp``, ``reduce: sum``, ``input: f32``, ``odd: nan``: the form ends with the word."""
    ends = {part for form in REQUIRED for part in (form.rpartition(" ")[2], form)}
    assert not set(words) - NOT_COMPILED - ends


@pytest.mark.parametrize("kind", ["float", "int"])
def test_arithmetic_is_required_of_both_kinds(kind: str) -> None:
    assert {f"{kind} {op}" for op in ("+", "-", "*", "/", "**", "neg", "min", "max")} <= REQUIRED


@pytest.mark.parametrize("role", ["input: ", "output: ", "cast: to "])
def test_every_dtype_is_required_in_every_role(role: str) -> None:
    assert {f"{role}{dtype}" for dtype in set(DTYPES) - NOT_COMPILED} <= REQUIRED


def test_half_of_the_programs_have_small_whole_numbers(features: Counter[str]) -> None:
    assert 0.45 < features["data: integers"] / PROGRAMS < 0.55


def test_a_seed_always_gives_the_same_program() -> None:
    for seed in range(20):
        first, second = generate(seed), generate(seed)
        assert first.source == second.source and first.features == second.features
        for name, value in first.arguments.items():
            np.testing.assert_array_equal(value, second.arguments[name])


@pytest.mark.parametrize("start", range(0, CASES, BLOCK))
def test_programs_check_and_evaluate(start: int) -> None:
    outcomes = [run_case(seed) for seed in range(start, start + BLOCK)]
    whole = [outcome for outcome in outcomes if outcome.program.data_class == "integers"]
    assert np.mean([outcome.undecided > 0 for outcome in outcomes]) <= 0.05
    assert sum(o.exact_elements for o in whole) >= 0.5 * sum(o.elements for o in whole)


def test_a_wrong_result_is_caught() -> None:
    def right(program: Program, kernel: typed.TypedKernel) -> dict[str, np.ndarray]:
        dims = {name: program.dims[name] for name in kernel.dims}
        return evaluate(kernel, program.arguments, dims=dims).outputs

    def wrong(program: Program, kernel: typed.TypedKernel) -> dict[str, np.ndarray]:
        outputs = right(program, kernel)
        last = outputs[kernel.outputs[-1].name]
        last.reshape(-1)[-1:] = ~last.reshape(-1)[-1:] if last.dtype == bool else last.reshape(-1)[-1:] * 2 + 3
        return outputs

    run_case(1, [right])
    with pytest.raises(AssertionError, match="seed 1: .* elements are off"):
        run_case(1, [wrong])
