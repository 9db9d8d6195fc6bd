"""The reference and hand-written NumPy agree on every library kernel, for each of its types."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.data_classes import CLASSES, SHAPES
from tests.library_cases import CASES, FOLDER, Case
from tests.sources import module_of

from tilewright.compiler.reference.compare import compare
from tilewright.compiler.reference.evaluate import Evaluation, evaluate
from tilewright.compiler.reference.numerics import is_float, round_to

GRID = [(data, "prime") for data in CLASSES] + [("random", shape) for shape in SHAPES] + [("integers", "ragged")]
LIMITED = ("huge", "special")  # float64 has room where f32 has not


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.module}.{case.id}")
def test_reference_and_peer_agree(case: Case) -> None:
    for dtype in case.dtypes:
        kernel = case.typed(dtype)
        for data, shape in GRID:
            if data in LIMITED and dtype != "f16":
                continue  # squares of the largest numbers overflow in f32, and in float64 they do not
            arguments = case.arguments(dtype, data, shape)
            evaluation = evaluate(kernel, arguments)
            expected = case.expected(arguments)
            assert set(expected) == set(evaluation.outputs)
            for name, value in expected.items():
                _agree(evaluation, name, value, data in LIMITED, f"{dtype} {data} {shape} {name}")


def _agree(evaluation: Evaluation, name: str, value: np.ndarray, limited: bool, what: str) -> None:
    exact, undecided = evaluation.exact[name], evaluation.undecided[name]
    value = np.asarray(value, np.float64)
    assert value.shape == exact.shape, what
    with np.errstate(invalid="ignore"):
        rounded = round_to(value, evaluation.dtypes[name]) if is_float(evaluation.dtypes[name]) else value
        near = (evaluation.low[name] <= rounded) & (rounded <= evaluation.high[name])
        near |= np.abs(value - exact) <= evaluation.bound[name] + 1e-12 * np.abs(value)
    same = near | (value == exact) | (np.isnan(value) & np.isnan(exact)) | undecided
    if limited:
        same |= ~np.isfinite(exact)
    assert same.all(), f"{what}: {value[~same][:3]} and {exact[~same][:3]}"
    assert limited or not undecided.size or undecided.mean() <= 0.05, f"{what}: {undecided.mean()} undecided"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.module}.{case.id}")
def test_the_peer_rounded_to_f32_is_within_the_bound(case: Case) -> None:
    kernel = case.typed(case.dtypes[0])
    arguments = case.arguments(case.dtypes[0], "random", "prime", seed=1)
    evaluation = evaluate(kernel, arguments)
    for name, value in case.expected(arguments).items():
        rounded = np.asarray(value).astype(evaluation.outputs[name].dtype)
        assert compare(evaluation, name, rounded).ok


def test_every_kernel_of_the_library_has_a_case() -> None:
    found = {(path.stem, name) for path in Path(FOLDER).glob("*.tw") for name in module_of(path).kernels}
    assert found == {(case.module, case.kernel) for case in CASES}
