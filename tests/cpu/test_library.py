"""Every kernel of the library, natively, for all its types: against the reference and against hand-written NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilewright as tw
from tests.data_classes import CLASSES, SHAPES
from tests.library_cases import CASES, FOLDER, Case
from tilewright.compiler.reference.compare import compare
from tilewright.compiler.reference.evaluate import Evaluation, evaluate
from tilewright.compiler.reference.numerics import is_float, round_to

GRID = [(data, "prime") for data in CLASSES] + [("random", shape) for shape in SHAPES] + [("integers", "ragged")]
WITHIN_FLOAT64 = ("random", "positive", "cancelling", "integers")
"""Data for which float64 neither overflows nor meets NaN: the peers can be compared element by element."""


@pytest.fixture(scope="module")
def library() -> dict[str, Any]:
    return {module: tw.load(str(FOLDER / f"{module}.tw")) for module in {case.module for case in CASES}}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.module}.{case.id}")
def test_native_code_is_right(case: Case, library: dict[str, Any]) -> None:
    kernel = getattr(library[case.module], case.kernel)
    for dtype in case.dtypes:
        typed = case.typed(dtype)
        for data, shape in GRID:
            arguments = case.arguments(dtype, data, shape)
            evaluation = evaluate(typed, arguments)
            actual = _outputs(kernel(**arguments, **case.consts), list(evaluation.outputs))
            what = f"{dtype} {data} {shape}"
            for name, value in actual.items():
                comparison = compare(evaluation, name, value)
                assert comparison.ok, f"{what}: {comparison.message}"
            if data in WITHIN_FLOAT64:
                _compare_with_peer(case, arguments, evaluation, actual, what)


def _outputs(result: Any, names: list[str]) -> dict[str, Any]:
    values = [result] if len(names) == 1 else list(result)
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


def _compare_with_peer(
    case: Case, arguments: dict[str, Any], evaluation: Evaluation, actual: dict[str, Any], what: str
) -> None:
    """Native results lie as near to the peer as the reference's bound lets them lie to the reference."""
    for name, peer in case.expected(arguments).items():
        value = actual[name].astype(np.float64)
        expected = np.asarray(peer, np.float64)
        if is_float(evaluation.dtypes[name]):
            expected = round_to(expected, evaluation.dtypes[name])
        room = 2 * evaluation.bound[name] + 1e-6 * np.abs(expected)
        with np.errstate(invalid="ignore"):  # two infinities have no difference
            near = np.abs(value - expected) <= room
        same = near | (value == expected) | (np.isnan(value) & np.isnan(expected))
        same |= evaluation.undecided[name]
        assert same.all(), f"{what} {name}: {value[~same][:3]} and the peer {expected[~same][:3]}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.module}.{case.id}")
def test_sums_of_small_integers_are_exact(case: Case, library: dict[str, Any]) -> None:
    """Where every operation is exact on small integers, so is the result: bit for bit."""
    arguments = case.arguments(case.dtypes[0], "integers", "prime", seed=2)
    evaluation = evaluate(case.typed(case.dtypes[0]), arguments)
    actual = _outputs(getattr(library[case.module], case.kernel)(**arguments, **case.consts), list(evaluation.outputs))
    for name, value in actual.items():
        exact = (evaluation.low[name] == evaluation.high[name]) & ~evaluation.undecided[name]
        np.testing.assert_array_equal(value[exact], evaluation.outputs[name][exact])
