"""Owns reductions over the leading axes of arrays: sums with their growth of error, extremes, logic, positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilewright.compiler.reference.numerics import integer_range, is_float, wrap
from tilewright.compiler.reference.rounding import EXACT_SUM, OVERFLOW, TINY, UNIT, Rules, hull, settle
from tilewright.compiler.reference.values import Array, Value, dense, either, some


@dataclass(frozen=True)
class Domain:
    """The points reduced over: the first ``axes`` axes of ``shape``. ``mask`` (None: all) says which count,
    ``open`` which of them may or may not count. ``positions`` are their row-major numbers."""

    axes: tuple[int, ...]
    shape: tuple[int, ...]
    mask: Array | None
    open: Array | None
    positions: Array

    @property
    def points(self) -> int:
        return int(np.prod([self.shape[axis] for axis in self.axes], dtype=np.int64))

    def counts(self) -> Array:
        """How many points count, per remaining element."""
        if self.mask is None:
            return np.asarray(self.points, dtype=np.int64)
        return np.asarray(np.count_nonzero(self.spread(self.mask), axis=self.axes))

    def spread(self, array: Array) -> Array:
        """``array`` with the reduced axes in full; the other axes stay as they are."""
        missing = len(self.shape) - array.ndim
        array = array.reshape((1,) * missing + array.shape)
        return np.broadcast_to(array, tuple(self.shape[a] for a in self.axes) + array.shape[len(self.axes) :])

    def kept(self, array: Array, neutral: float | int | bool) -> Array:
        """``array`` with ``neutral`` where points do not count."""
        return self.spread(array if self.mask is None else np.where(self.mask, array, neutral))

    def kept_any(self, flags: Array | None) -> Array | None:
        return None if flags is None else some(np.asarray(self.kept(flags, False).any(axis=self.axes)))


def reduce(rules: Rules, op: str, body: Value, domain: Domain) -> Value:
    """``sum prod max min mean any all`` of ``body`` over ``domain``."""
    if op in ("any", "all"):
        return _logical(op, body, domain)
    if op in ("max", "min"):
        return _extreme(op, body, domain)
    if not is_float(body.dtype):
        return _integer(op, body, domain)
    return {"sum": _sum, "mean": _mean, "prod": _product}[op](rules, body, domain)


def growth(points: Array) -> Array:
    """Roundings that a sum of so many terms may suffer, in any order: every addition, and a few for partial sums
    kept apart (lanes, splits, tensor-core groups)."""
    return points + 4.0


# ---------------------------------------------------------------- floats


def _sum(rules: Rules, body: Value, domain: Domain) -> Value:
    terms = domain.kept(body.data, 0.0)
    data = terms.sum(axis=domain.axes)
    if not rules.bound:
        return settle(rules, body.dtype, data, units=0)
    sizes = np.abs(terms)
    size = sizes.sum(axis=domain.axes)
    counts = domain.counts()
    error = np.where(
        _exact_sum(body.dtype, terms, size, domain) | (counts <= 1),
        0.0,
        growth(counts) * UNIT[body.dtype] * size + counts * TINY[body.dtype],
    )
    if body.error is not None:
        error = error + domain.kept(body.error, 0.0).sum(axis=domain.axes)
    if domain.open is not None:
        doubt = np.where(domain.open, np.abs(body.data) + dense(body.error, body.data), 0.0)
        error = error + domain.spread(doubt).sum(axis=domain.axes)
    rescued = domain.kept_any(body.rescuable)
    unsure = either(_unsure(body, domain), rescued, _partial_overflow(body.dtype, terms, size, domain))
    return settle(rules, body.dtype, data, some(error), unsure, units=0)


def _exact_sum(dtype: str, terms: Array, size: Array, domain: Domain) -> Array:
    """Where every order of summation is exact: terms on one grid, and few enough."""
    result = _on_grid(terms, size, 1.0, dtype, domain)
    return result if result.all() else result | _on_grid(terms, size, 256.0, dtype, domain)


def _on_grid(terms: Array, size: Array, grid: float, dtype: str, domain: Domain) -> Array:
    scaled = terms * grid
    return np.asarray((np.rint(scaled) == scaled).all(axis=domain.axes) & (size * grid <= EXACT_SUM[dtype]))


def _partial_overflow(dtype: str, terms: Array, size: Array, domain: Domain) -> Array | None:
    """Where some order of summation passes an infinity on the way that another order does not."""
    slack = 1.0 + growth(domain.counts()) * UNIT[dtype]
    if (size * slack < OVERFLOW[dtype]).all():
        return None
    limit, scale = (2.0**960, 2.0**-64) if dtype == "f64" else (OVERFLOW[dtype], 1.0)  # room for sums past the limit
    up, down = (_reach(sign * scale * terms, domain) for sign in (1.0, -1.0))
    is_nan = np.isnan(terms).any(axis=domain.axes) | (up[1] & down[1])
    rises, falls = up[1] | (up[0] * slack >= limit), down[1] | (down[0] * slack >= limit)
    stays = np.abs(up[0] - down[0]) - (slack - 1.0) * (up[0] + down[0]) >= limit
    lost = (rises & falls) | ((rises ^ falls) & ~(up[1] | down[1] | stays))
    return some(np.asarray(lost & ~is_nan))


def _reach(terms: Array, domain: Domain) -> tuple[Array, Array]:
    """The sum of the finite terms above zero, and whether one is infinite."""
    finite = np.where((terms > 0) & np.isfinite(terms), terms, 0.0).sum(axis=domain.axes)
    return finite, np.asarray((terms == np.inf).any(axis=domain.axes))


def _mean(rules: Rules, body: Value, domain: Domain) -> Value:
    total = _sum(rules, body, domain)
    counts = domain.counts().astype(np.float64)
    error = None if total.error is None else np.where(counts > 0, total.error / np.maximum(counts, 1.0), 0.0)
    data = np.where(counts > 0, total.data / np.maximum(counts, 1.0), np.nan)
    unsure = either(total.unsure, domain.kept_any(domain.open), _open_points(domain))
    return settle(rules, body.dtype, data, error, unsure)


def _open_points(domain: Domain) -> Array | None:
    return None if domain.open is None else some(np.asarray(domain.spread(domain.open).any(axis=domain.axes)))


def _product(rules: Rules, body: Value, domain: Domain) -> Value:
    terms = domain.kept(body.data, 1.0)
    data = terms.prod(axis=domain.axes)
    if not rules.bound:
        return settle(rules, body.dtype, data, units=0)
    sizes = np.abs(terms)
    largest = np.where(sizes > 1, sizes, 1.0).prod(axis=domain.axes)
    least = np.where(sizes < 1, sizes, 1.0).prod(axis=domain.axes)
    whole = (np.rint(terms) == terms).all(axis=domain.axes)
    exact = (whole & (largest <= EXACT_SUM[body.dtype])) | (domain.counts() <= 1)
    error = np.where(exact, 0.0, growth(domain.counts()) * UNIT[body.dtype] * np.abs(data) + TINY[body.dtype] * largest)
    if body.error is not None:
        upper = (sizes + domain.kept(body.error, 0.0)).prod(axis=domain.axes)
        error = error + (upper - np.abs(data))
    strays = (largest >= OVERFLOW[body.dtype]) & (least < 1) & np.isfinite(largest)
    unsure = either(_unsure(body, domain), some(strays), _open_points(domain))
    return settle(rules, body.dtype, data, some(error), unsure, units=0)


# ---------------------------------------------------------------- integers, extremes, logic


def _integer(op: str, body: Value, domain: Domain) -> Value:
    terms = domain.kept(body.data, 0 if op == "sum" else 1).astype(np.int64)
    data = terms.sum(axis=domain.axes) if op == "sum" else terms.prod(axis=domain.axes)
    dtype = "i32" if body.dtype == "bool" else body.dtype
    error, unsure = None, _unsure(body, domain)
    if op == "sum":
        error = None if body.error is None else domain.kept(body.error, 0).sum(axis=domain.axes)
        if domain.open is not None:
            doubt = np.where(domain.open, np.abs(body.data.astype(np.int64)), 0)
            error = dense(error, data) + domain.spread(doubt).sum(axis=domain.axes)
    else:
        inexact = None if body.error is None else domain.kept_any(body.error > 0)
        unsure = either(unsure, inexact, _open_points(domain))
    return Value(dtype, wrap(data, dtype), some(error), unsure)


def neutral_extreme(op: str, dtype: str) -> float | int | bool:
    """The result of ``max`` or ``min`` over no points."""
    if dtype == "bool":
        return op == "min"
    if is_float(dtype):
        return -np.inf if op == "max" else np.inf
    return integer_range(dtype)[0 if op == "max" else 1]


def _extreme(op: str, body: Value, domain: Domain) -> Value:
    neutral = neutral_extreme(op, body.dtype)
    combine = np.maximum if op == "max" else np.minimum

    def fold(array: Array) -> Array:
        return np.asarray(combine.reduce(domain.kept(array, neutral), axis=domain.axes, initial=neutral))

    data = fold(body.data)
    error, unsure = None, either(_unsure(body, domain), _open_points(domain))
    if body.error is not None:
        error = hull(data, fold(body.data - body.error), fold(body.data + body.error))
        error = some(np.where(np.isnan(error), 0, error))
    return Value(body.dtype, data, error, unsure)


def _logical(op: str, body: Value, domain: Domain) -> Value:
    wanted = op == "any"
    hits = body.data if wanted else ~body.data
    doubt = either(body.unsure, domain.open)
    sure_hits = hits if doubt is None else hits & ~doubt
    found = np.asarray(domain.kept(hits, False).any(axis=domain.axes))
    unsure = None
    if doubt is not None:
        certain = np.asarray(domain.kept(sure_hits, False).any(axis=domain.axes))
        might = domain.spread(doubt if domain.mask is None else doubt & (domain.mask | dense(domain.open, doubt)))
        unsure = some(np.asarray(might.any(axis=domain.axes) & ~certain))
    return Value("bool", found if wanted else ~found, None, unsure)


def _unsure(body: Value, domain: Domain) -> Array | None:
    return domain.kept_any(body.unsure)
