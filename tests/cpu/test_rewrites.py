"""However a library kernel is written, the compiler makes the same of it: launches, instructions, results."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.compiling import Mix, assert_right, instruction_mix
from tests.library_cases import CASES, FOLDER, Case
from tests.rewrites import REWRITES, Rewritten, checked_of, rewritten
from tests.sources import module_of
from tilewright.compiler.pipeline import Settings

REWRITES_PER_KERNEL = 20
ALLOWED = 0.05


def _rewritten(case: Case, seed: int) -> Rewritten:
    module = module_of(FOLDER / f"{case.module}.tw")
    checked, instance = checked_of(module, case.kernel, {"T": "f32"}, case.consts)
    return rewritten(checked, instance, seed)


def _difference(one: Mix, other: Mix) -> float:
    """The ops that one program has and the other has not, over those of the first."""
    first, second = sum(one, Counter()), sum(other, Counter())
    return sum(abs(first[name] - second[name]) for name in first | second) / sum(first.values())


def _check_mix(case: Case, seed: int, expected: Mix) -> Rewritten:
    rewrite = _rewritten(case, seed)
    actual = instruction_mix(rewrite.kernel)
    what = f"{case.id}, seed {seed}: {', '.join(rewrite.steps)}"
    assert rewrite.steps, what
    assert len(actual) == len(expected), f"{what}: {len(actual)} launches, not {len(expected)}"
    assert _difference(expected, actual) <= ALLOWED, f"{what}: {expected} became {actual}"
    return rewrite


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.module}.{case.id}")
def test_a_rewritten_kernel_has_the_same_launches_and_instructions(case: Case) -> None:
    expected = instruction_mix(case.typed("f32"))
    for seed in (0, 1):
        _check_mix(case, seed, expected)


@pytest.mark.parametrize("case", CASES[::6], ids=lambda case: f"{case.module}.{case.id}")
def test_a_rewritten_kernel_has_the_same_results(case: Case) -> None:
    arguments = case.arguments("f32", "random", "ragged")
    assert_right(_rewritten(case, 2).kernel, case.typed("f32"), arguments, Settings())


def test_every_kind_of_rewrite_is_applied() -> None:
    """A generator that refuses everything would prove nothing."""
    taken = Counter(step for case in CASES for step in _rewritten(case, 0).steps)
    assert all(taken[name] >= 5 for name in REWRITES), taken
    assert sum(taken.values()) >= 4 * len(CASES), taken


@pytest.mark.soak
def test_all_rewrites() -> None:
    for case in CASES:
        meaning, expected = case.typed("f32"), instruction_mix(case.typed("f32"))
        arguments = case.arguments("f32", "random", "ragged")
        for seed in range(REWRITES_PER_KERNEL):
            rewrite = _check_mix(case, seed, expected)
            assert_right(rewrite.kernel, meaning, arguments, Settings())
