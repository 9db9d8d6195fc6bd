"""Owns reductions that answer with a position: ``argmax argmin argtop`` and the value ``top``."""

from __future__ import annotations

import numpy as np

from tilewright.compiler.reference.numerics import is_float
from tilewright.compiler.reference.reductions import Domain, neutral_extreme
from tilewright.compiler.reference.values import Array, Value, either, some


def select(op: str, body: Value, domain: Domain, rank: Value | None = None) -> Value:
    """The position (``index``) or value of the element that ``op`` picks; NaN counts as the extreme, ties go low."""
    shape = np.broadcast_shapes(
        domain.spread(body.data).shape[len(domain.axes) :],
        () if domain.mask is None else domain.spread(domain.mask).shape[len(domain.axes) :],
        () if rank is None else rank.data.shape,
        domain.spread(domain.positions).shape[len(domain.axes) :],
    )
    table = _Table(body, domain, shape, ascending=op == "argmin")
    wanted = np.zeros((), np.int64) if rank is None else rank.data
    inexact_rank = None if rank is None else either(rank.unsure, None if rank.error is None else rank.error > 0)
    row, found = table.pick(np.broadcast_to(wanted, shape))
    doubt = either(table.doubt(), inexact_rank)
    if op == "top":
        data = np.where(found, table.take(table.data, row), neutral_extreme("max", body.dtype))
        error = None if body.error is None else some(np.where(found, table.largest_error(), 0))
        return Value(body.dtype, data, error, some(doubt) if doubt is not None else None)
    data = np.where(found, table.take(table.positions, row), np.int64(-1))
    return Value("index", data, None, some(either(doubt, table.contested(row, found))))


class _Table:
    """The points of a domain as rows, the remaining elements as columns."""

    def __init__(self, body: Value, domain: Domain, shape: tuple[int, ...], ascending: bool) -> None:
        self.domain, self.shape, self.body = domain, shape, body
        self.data = self._rows(body.data)
        self.mask = self._rows(np.ones((), np.bool_) if domain.mask is None else domain.mask)
        self.positions = self._rows(domain.positions)
        self.error = None if body.error is None else self._rows(body.error)
        self.order = self._order(ascending)

    def _rows(self, array: Array) -> Array:
        spread = self.domain.spread(array)
        reduced = spread.shape[: len(self.domain.axes)]
        rows = int(np.prod(reduced, dtype=np.int64))
        rest = spread.shape[len(reduced) :]
        full = spread.reshape(reduced + (1,) * (len(self.shape) - len(rest)) + rest)
        # Binders nest inwards, so their axes are reversed: row-major order needs the first binder slowest.
        full = full.transpose(tuple(reversed(range(len(reduced)))) + tuple(range(len(reduced), full.ndim)))
        return np.broadcast_to(full.reshape((rows,) + full.shape[len(reduced) :]), (rows,) + self.shape)

    def _order(self, ascending: bool) -> Array:
        """Row numbers from the element that wins to the one that loses; rows that do not count come last."""
        if self.data.dtype == np.float64:
            nan = np.isnan(self.data)
            key = np.where(nan, 0.0, self.data if ascending else -self.data)
            return np.lexsort((key, ~nan, ~self.mask), axis=0)
        number = self.data.astype(np.int64)
        return np.lexsort((number if ascending else ~number, ~self.mask), axis=0)

    def pick(self, rank: Array) -> tuple[Array, Array]:
        """``(row, found)`` of the element with the given rank."""
        found = (rank >= 0) & (rank < self.mask.sum(axis=0))
        if not self.order.shape[0]:
            return np.zeros(self.shape, np.int64), np.zeros(self.shape, np.bool_)
        return self.take(self.order, np.clip(rank, 0, self.order.shape[0] - 1)), found

    def take(self, rows: Array, row: Array) -> Array:
        if not rows.shape[0]:
            return np.zeros(self.shape, rows.dtype)
        taken: Array = np.take_along_axis(rows, row[None], axis=0)[0]
        return taken

    def doubt(self) -> Array | None:
        """Columns with a point that is undecided, or that may not count."""
        marks = either(self.body.unsure, self.domain.open)
        return None if marks is None else some(np.asarray(self._rows(marks).any(axis=0)))

    def largest_error(self) -> Array:
        assert self.error is not None
        return np.asarray(np.where(self.mask, self.error, 0).max(axis=0, initial=0))

    def contested(self, row: Array, found: Array) -> Array | None:
        """Columns where another element may really stand where the winner does."""
        if self.error is None or not is_float(self.body.dtype):
            return None
        slack = self.error + self.take(self.error, row)
        with np.errstate(all="ignore"):
            near = np.abs(self.data - self.take(self.data, row)) <= slack
        others = np.arange(len(self.mask)).reshape((-1,) + (1,) * len(self.shape)) != row
        rivals = near & (slack > 0) & self.mask & others
        return some(np.asarray(rivals.any(axis=0) & found))
