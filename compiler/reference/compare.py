"""Owns the comparison of a compiled kernel's output with the reference, within the reference's own bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.compiler.reference.evaluate import Evaluation
from tilewright.compiler.reference.numerics import is_float
from tilewright.compiler.reference.values import Array


@dataclass(frozen=True)
class Comparison:
    """``worst_ratio`` is the largest distance from the exact value in units of its bound (1 is the limit).

    Where the bound is zero a distance counts as infinite. ``first_bad_index`` is None when everything is right.
    """

    ok: bool
    worst_ratio: float
    undecided_fraction: float
    first_bad_index: tuple[int, ...] | None
    message: str


def compare(evaluation: Evaluation, name: str, actual: Any) -> Comparison:
    """Compare ``actual`` (an array of the output's shape and dtype) with output ``name``.

    NaN must meet NaN, infinities must agree in sign unless the bound reaches past the largest number; undecided
    elements may be anything. Raises ``KeyError`` for an unknown output.
    """
    expected, given = evaluation.outputs[name], np.asarray(actual)
    undecided = evaluation.undecided[name]
    fraction = float(undecided.mean()) if undecided.size else 0.0
    if given.shape != expected.shape or given.dtype != expected.dtype:
        text = f"{name} is {given.dtype}{list(given.shape)}, expected {expected.dtype}{list(expected.shape)}"
        return Comparison(False, np.inf, fraction, None, text)
    data = _wide(given)
    good = undecided | _inside(data, evaluation, name)
    ratio = _ratio(data, evaluation, name, undecided)
    if good.all():
        return Comparison(True, ratio, fraction, None, f"{name} agrees, worst {ratio:.3g} of its bound")
    place = tuple(int(i) for i in np.argwhere(~good)[0])
    return Comparison(False, max(ratio, 1.0), fraction, place, _explain(name, place, data, evaluation, ~good))


def _wide(array: Array) -> Array:
    if array.dtype == np.bool_ or np.issubdtype(array.dtype, np.integer):
        return array.astype(np.int64)
    return array.astype(np.float64)


def _inside(data: Array, evaluation: Evaluation, name: str) -> Array:
    low, high = evaluation.low[name], evaluation.high[name]
    with np.errstate(invalid="ignore"):
        return np.asarray(((low <= data) & (data <= high)) | ((data != data) & (low != low)))


def _ratio(data: Array, evaluation: Evaluation, name: str, undecided: Array) -> float:
    exact, bound = evaluation.exact[name], evaluation.bound[name]
    if not data.size:
        return 0.0
    with np.errstate(all="ignore"):
        distance = np.abs(data - exact)
        ratio = np.where(bound > 0, distance / bound, np.where(distance > 0, np.inf, 0.0))
        calm = undecided | ~np.isfinite(exact) | (distance == 0) | _inside(data, evaluation, name) & ~np.isfinite(ratio)
    return float(np.where(calm | np.isnan(ratio), 0.0, ratio).max())


def _explain(name: str, place: tuple[int, ...], data: Array, evaluation: Evaluation, bad: Array) -> str:
    exact, bound = evaluation.exact[name][place], evaluation.bound[name][place]
    kind = "" if is_float(evaluation.dtypes[name]) else "integer "
    return (
        f"{name}{list(place)} is {kind}{data[place]!r}, expected {exact!r} within {bound:.3g}; "
        f"{int(bad.sum())} of {bad.size} elements are off"
    )
