"""The meaning of a fold over whole arrays: what both interpreters share about `FoldKind`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tilewright.dialect.folds import Element, FoldKind, arity, init
from tilewright.dialect.interpret.numbers import Array, Numbers, is_float
from tilewright.dialect.interpret.operations import FLOAT_FUNCTIONS, unsigned


def start_values(kind: FoldKind, types: Sequence[Any], is_unsigned: bool, numbers: Numbers) -> list[Array]:
    """The neutral values of a fold, one per value of an element, held as `numbers` holds them."""
    dtype = numbers.dtype(types[0])
    bits = 1 if dtype == np.bool_ else 8 * dtype.itemsize
    neutral = init(kind, Element(is_float(types[0]), bits, is_unsigned))
    return [_as(number, numbers.dtype(type_)) for number, type_ in zip(neutral, types, strict=True)]


def _as(number: int | float, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "i" and number > np.iinfo(dtype).max:
        return np.asarray(number, f"u{dtype.itemsize}").view(dtype)
    return np.asarray(number, dtype)


def fold_all(
    kinds: Sequence[FoldKind],
    values: Sequence[Array],
    types: Sequence[Any],
    axes: tuple[int, ...],
    counts: Array,
    is_unsigned: bool,
    numbers: Numbers,
) -> list[Array]:
    """Fold arrays of one shape over `axes`; elements where `counts` is false do not exist.

    `values` and `types` hold `arity(kind)` entries for each kind in turn.
    """
    results: list[Array] = []
    for kind in kinds:
        size = arity(kind)
        group, values = values[:size], values[size:]
        kinds_types, types = types[:size], types[size:]
        starts = start_values(kind, kinds_types, is_unsigned, numbers)
        if size == 2:
            results += _fold_pair(kind, group, starts, axes, counts, is_unsigned)
        else:
            kept = np.where(counts, group[0], starts[0])
            results.append(_fold_one(kind, kept, starts[0], axes, is_unsigned))
    return results


def _fold_one(kind: FoldKind, kept: Array, start: Array, axes: tuple[int, ...], is_unsigned: bool) -> Array:
    if kind in (FoldKind.ADD, FoldKind.MUL):
        function = np.add if kind is FoldKind.ADD else np.multiply
        with np.errstate(all="ignore"):
            return np.asarray(function.reduce(kept, axis=axes, dtype=kept.dtype))
    result = np.broadcast_to(start, _without(kept.shape, axes))
    for plane in _planes(kept, axes):
        result = merge_one(kind, result, plane, is_unsigned)
    return np.array(result)


def _without(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def _planes(kept: Array, axes: tuple[int, ...]) -> Array:
    """The folded axes as one first axis, in order."""
    moved = np.moveaxis(kept, axes, range(len(axes)))
    return moved.reshape(math.prod(moved.shape[: len(axes)]), *moved.shape[len(axes) :])


def merge_one(kind: FoldKind, left: Array, right: Array, is_unsigned: bool) -> Array:
    """`left` merged with `right` for a fold of one value."""
    if kind in (FoldKind.ADD, FoldKind.MUL):
        with np.errstate(all="ignore"):
            return np.asarray((np.add if kind is FoldKind.ADD else np.multiply)(left, right))
    if kind in (FoldKind.AND, FoldKind.OR):
        return np.asarray((np.bitwise_and if kind is FoldKind.AND else np.bitwise_or)(left, right))
    largest = kind is FoldKind.MAX
    if left.dtype.kind not in "ib":
        function = FLOAT_FUNCTIONS["arith.maximumf" if largest else "arith.minimumf"]
        return np.asarray(function(left, right)).astype(left.dtype)
    read = unsigned if is_unsigned else np.asarray
    first = read(left) >= read(right) if largest else read(left) <= read(right)
    return np.where(first, left, right)


def _fold_pair(
    kind: FoldKind,
    group: Sequence[Array],
    starts: Sequence[Array],
    axes: tuple[int, ...],
    counts: Array,
    is_unsigned: bool,
) -> list[Array]:
    """Best value and its lowest position; NaN beats every number; position -1 is no element."""
    values, places = (_planes(array, axes) for array in np.broadcast_arrays(*group))
    exists = _planes(np.broadcast_to(counts, np.broadcast_shapes(*(a.shape for a in group), counts.shape)), axes)
    exists = exists & (places >= 0)
    if values.shape[0] == 0:
        return [np.broadcast_to(start, values.shape[1:]).copy() for start in starts]
    rank = _rank(kind, values, is_unsigned)
    best = np.max(np.where(exists, rank, np.iinfo(np.int64).min), axis=0)
    candidates = exists & (rank == best)
    far = np.iinfo(places.dtype).max
    chosen = np.argmin(np.where(candidates, places, far), axis=0)[None]
    some = exists.any(axis=0)
    picked = [np.take_along_axis(array, chosen, axis=0)[0] for array in (values, places)]
    return [np.where(some, array, start).astype(array.dtype) for array, start in zip(picked, starts, strict=True)]


def _rank(kind: FoldKind, values: Array, is_unsigned: bool) -> Array:
    """Values replaced by their order (equal values equal, the best highest), so that all kinds compare alike."""
    keys = unsigned(values) if is_unsigned else values.astype(np.float64) if values.dtype.kind not in "ib" else values
    nan = np.isnan(keys) if keys.dtype.kind == "f" else np.zeros(keys.shape, np.bool_)
    order = np.unique(np.where(nan, 0, keys), return_inverse=True)[1].reshape(keys.shape).astype(np.int64)
    order = order if kind is FoldKind.ARGMAX else -order
    return np.where(nan, np.iinfo(np.int64).max, order)
