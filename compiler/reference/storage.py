"""Owns what names hold while a kernel is evaluated: arguments, tables, locals and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.compiler.reference.numerics import working_type
from tilewright.compiler.reference.values import NOT_COMPUTED, Array, Value

Selection = tuple[Array, ...] | tuple[slice, ...]


@dataclass
class Stored:
    """A tensor's elements in its own axis order; the arrays beside ``data`` (see ``Value``) appear when needed."""

    dtype: str
    data: Array
    error: Array | None = None
    unsure: Array | None = None
    fault: Array | None = None
    rescuable: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    @classmethod
    def filled(cls, dtype: str, shape: tuple[int, ...], value: float | int | bool = 0) -> Stored:
        return cls(dtype, np.full(shape, value, dtype=working_type(dtype)))

    def mark_uncomputed(self) -> None:
        self.fault = np.full(self.shape, NOT_COMPUTED, dtype=np.int32)

    def copy(self) -> Stored:
        """An independent copy, for a statement that reads the old elements while it writes new ones."""
        parts = (None if part is None else part.copy() for part in self._parts)
        return Stored(self.dtype, self.data.copy(), *parts)

    def at(self, selection: Selection) -> Value:
        """The elements at ``selection``, as they lie."""
        parts = (None if part is None else part[selection] for part in self._parts)
        return Value(self.dtype, self.data[selection], *parts)

    def put(self, selection: Selection, value: Value) -> None:
        """Write ``value``, which broadcasts to the selection."""
        self.data[selection] = value.data
        self.error = self._put(self.error, selection, value.error, self.data.dtype)
        self.unsure = self._put(self.unsure, selection, value.unsure, np.dtype(np.bool_))
        self.fault = self._put(self.fault, selection, value.fault, np.dtype(np.int32))
        self.rescuable = self._put(self.rescuable, selection, value.rescuable, np.dtype(np.bool_))

    @property
    def _parts(self) -> tuple[Array | None, ...]:
        return self.error, self.unsure, self.fault, self.rescuable

    def _put(self, kept: Array | None, selection: Selection, new: Array | None, dtype: np.dtype[Any]) -> Array | None:
        if new is None and kept is None:
            return None
        if kept is None:
            kept = np.zeros(self.shape, dtype)
        kept[selection] = 0 if new is None else new
        return kept
