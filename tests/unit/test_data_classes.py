"""The data generators give what their names promise, for every type."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from tests.data_classes import CLASSES, NUMPY, SHAPES, fill, is_float, sizes

FLOATS = [dtype for dtype in NUMPY if is_float(dtype)]
SHAPE = (40, 50)


def _values(kind: str, dtype: str) -> np.ndarray:
    return fill(kind, SHAPE, dtype, np.random.default_rng(1)).astype(np.float64)


@pytest.mark.parametrize("dtype", NUMPY)
@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_fills_every_type_and_shape(kind: str, dtype: str) -> None:
    for shape in ((), (1,), (3, 0), (2, 3, 4)):
        array = fill(kind, shape, dtype, np.random.default_rng(0))
        assert array.shape == shape and array.dtype == NUMPY[dtype]


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f32", "f64"])
def test_classes_are_what_they_are_called(dtype: str) -> None:
    limits = ml_dtypes.finfo(NUMPY[dtype])
    assert (_values("positive", dtype) > 0).all()
    cancelling = _values("cancelling", dtype)
    assert np.abs(cancelling.sum(axis=1)).mean() < 0.2 * np.abs(cancelling).sum(axis=1).mean()
    tiny = np.abs(_values("tiny", dtype))
    assert tiny.max() < 1e3 * float(limits.smallest_normal) and (tiny < float(limits.smallest_normal)).any()
    huge = np.abs(_values("huge", dtype))
    assert huge.max() == float(limits.max) and (huge < 10).mean() > 0.7
    special = _values("special", dtype)
    assert np.isnan(special).any() and np.isposinf(special).any() and np.isneginf(special).any()
    assert (special == 0).any() and np.isfinite(special).mean() > 0.9
    whole = _values("integers", dtype)
    assert set(np.unique(whole)) == set(range(-4, 5))


def test_shape_classes() -> None:
    generator = np.random.default_rng(2)
    drawn = {shape: [sizes(shape, 3, generator) for _ in range(50)] for shape in SHAPES}
    assert set(drawn["one"]) == {(1, 1, 1)}
    assert all(0 in case for case in drawn["empty"])
    assert all(max(case) >= 15 and max(case) % 16 in (1, 15) for case in drawn["ragged"])
    assert all(size in (2, 3, 5, 7, 11) for case in drawn["prime"] for size in case)
