"""Owns writing: the points of one statement collected, checked, combined and rounded into their target."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tilewright.compiler.reference import casts
from tilewright.compiler.reference.numerics import is_float, wrap
from tilewright.compiler.reference.reductions import growth, neutral_extreme
from tilewright.compiler.reference.rounding import EXACT_SUM, TINY, UNIT, Rules, hull, settle
from tilewright.compiler.reference.storage import Selection, Stored
from tilewright.compiler.reference.values import Array, ReferenceCheckError, Value, dense, some


@dataclass
class Target:
    """An output or inout: ``exact`` before rounding to ``stored.dtype`` (in ``exact.dtype``), ``stored`` after it."""

    stored: Stored
    exact: Stored
    started: bool

    def put(self, rules: Rules, selection: Selection, value: Value) -> None:
        """Write unrounded elements and their rounded form."""
        self.exact.put(selection, value)
        self.stored.put(selection, casts.cast(rules, value, self.stored.dtype))

    def begin(self, op: str) -> None:
        """Give an output its start value, unless an earlier statement did."""
        if self.started:
            return
        self.started = True
        if op in ("max=", "min="):
            start = neutral_extreme(op[:3], self.stored.dtype)
            self.exact.data[...] = start
            self.stored.data[...] = start


@dataclass
class Points:
    """The points that one statement writes, flat: linear element numbers with their values of ``dtype``."""

    dtype: str
    where: list[Array] = field(default_factory=list)
    data: list[Array] = field(default_factory=list)
    error: list[Array] = field(default_factory=list)
    unsure: list[Array] = field(default_factory=list)
    doubts: list[Array] = field(default_factory=list)
    anywhere: bool = False  # some subscript is undecided, so that any element may be meant

    def doubt(self, numbers: Array, points: Array) -> None:
        """Points that perhaps are written, and perhaps not."""
        shape = np.broadcast_shapes(numbers.shape, points.shape)
        self.doubts.append(np.broadcast_to(numbers, shape)[np.broadcast_to(points, shape)])

    def marks(self, shape: tuple[int, ...]) -> Array | None:
        """The elements of a target that these points leave undecided."""
        if not self.doubts and not self.anywhere:
            return None
        marks = np.full(int(np.prod(shape, dtype=np.int64)), self.anywhere)
        marks[np.concatenate([np.zeros(0, np.int64), *self.doubts])] = True
        return marks.reshape(shape)

    def add(self, numbers: Array, value: Value, keep: Array) -> None:
        """Points in one box; arrays broadcast to each other, ``keep`` says which are written."""
        like = np.zeros((), value.data.dtype)
        parts = np.broadcast_arrays(
            numbers, value.data, dense(value.error, like), dense(value.unsure, np.zeros((), np.bool_)), keep
        )
        chosen = parts[-1]
        for kept, part in zip((self.where, self.data, self.error, self.unsure), parts, strict=False):
            kept.append(part[chosen])

    def joined(self) -> tuple[Array, Array, Array, Array]:
        where, data, error, unsure = (np.concatenate(part) for part in (self.where, self.data, self.error, self.unsure))
        return where, data, error, unsure


def commit(rules: Rules, op: str, target: Target, points: Points, text: str) -> None:
    """Combine collected points with the old elements of ``target``: accumulation rounds once."""
    if points.where:
        _combine(rules, op, target, points, text)
    marks = points.marks(target.exact.shape)
    if marks is not None:
        for stored in (target.exact, target.stored):
            stored.unsure = marks if stored.unsure is None else stored.unsure | marks


def _combine(rules: Rules, op: str, target: Target, points: Points, text: str) -> None:
    where, data, error, unsure = points.joined()
    if op == "=":
        _refuse_duplicates(where, target.exact.shape, text)
    combine = {"=": _assign, "+=": _accumulate, "max=": _extreme, "min=": _extreme}[op]
    touched = np.unique(where)
    element = np.searchsorted(touched, where)
    selection = np.unravel_index(touched, target.exact.shape) if target.exact.shape else ()
    old = target.exact.at(selection) if touched.size else None
    if old is None:
        return
    parts = (None if part is None else np.atleast_1d(part) for part in (old.error, old.unsure))
    flat = Value(old.dtype, np.atleast_1d(old.data), *parts)
    value = combine(rules, op, flat, element, data, error)
    value = Value(points.dtype if op == "=" else value.dtype, value.data, value.error, value.unsure)
    marks = np.zeros(touched.size, np.bool_)
    np.logical_or.at(marks, element, unsure)
    merged = some(marks | dense(value.unsure, marks))
    if not target.exact.shape:
        value = Value(value.dtype, value.data[0], None if value.error is None else value.error[0])
        merged = None if merged is None else merged[0]
    target.put(rules, selection, Value(value.dtype, value.data, value.error, merged))


def _refuse_duplicates(where: Array, shape: tuple[int, ...], text: str) -> None:
    numbers, counts = np.unique(where, return_counts=True)
    if counts.size and counts.max() > 1:
        place = [int(i) for i in np.unravel_index(int(numbers[counts.argmax()]), shape)] if shape else []
        raise ReferenceCheckError(f"{counts.max()} points write {text}{place}")


def _assign(rules: Rules, op: str, old: Value, element: Array, data: Array, error: Array) -> Value:
    result, errors = np.zeros(old.data.shape, old.data.dtype), np.zeros(old.data.shape, error.dtype)
    result[element], errors[element] = data, error
    return Value(old.dtype, result, some(errors))


def _accumulate(rules: Rules, op: str, old: Value, element: Array, data: Array, error: Array) -> Value:
    result = old.data.copy()
    np.add.at(result, element, data)
    errors = np.array(dense(old.error, result) + np.zeros(result.shape, error.dtype))
    np.add.at(errors, element, error)
    if not is_float(old.dtype):
        return Value(old.dtype, wrap(result, old.dtype), some(errors), old.unsure)
    if rules.bound:
        errors = errors + _growth(old, element, data)
    return settle(rules, old.dtype, result, some(errors), old.unsure, units=0)


def _growth(old: Value, element: Array, data: Array) -> Array:
    """Roundings of an accumulation in any order, zero where every order is exact."""
    size, counts = np.abs(old.data), np.zeros(old.data.shape)
    np.add.at(size, element, np.abs(data))
    np.add.at(counts, element, 1.0)
    whole = np.rint(old.data * 256) == old.data * 256
    np.logical_and.at(whole, element, np.rint(data * 256) == data * 256)
    exact = whole & (size * 256 <= EXACT_SUM[old.dtype])
    return np.where(exact, 0.0, growth(counts + 1) * UNIT[old.dtype] * size + counts * TINY[old.dtype])


def _extreme(rules: Rules, op: str, old: Value, element: Array, data: Array, error: Array) -> Value:
    combine = np.maximum if op == "max=" else np.minimum

    def fold(start: Array, terms: Array) -> Array:
        result = start.copy()
        combine.at(result, element, terms)
        return result

    result = fold(old.data, data)
    if not error.any() and old.error is None:
        return Value(old.dtype, result, None, old.unsure)
    slack = dense(old.error, result)
    spread = hull(result, fold(old.data - slack, data - error), fold(old.data + slack, data + error))
    return Value(old.dtype, result, some(np.where(np.isnan(spread), 0, spread)), old.unsure)
