"""The register file: one row per virtual register, one column per lane, one array per width.

Registers that one grouped instruction writes get neighbouring rows, so a group reads and writes plain slices.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tilewright.runtime.emulator.scalar_types import UNSIGNED, Array
from tilewright.runtime.emulator.syntax import Register

GARBAGE = {1: False, 16: 0x7FCD, 32: 0x7FCDCDCD, 64: 0x7FFCDCDCDCDCDCDC}


def file_width(bits: int) -> int:
    """Width of the file that holds registers of ``bits`` bits; 8-bit registers live in the 16-bit file."""
    return {8: 16, 128: 64}.get(bits, bits)


class RowMap:
    """Assigns rows to registers; a 128-bit register takes two rows of the 64-bit file."""

    def __init__(self) -> None:
        self.rows: dict[Register, int] = {}
        self.counts: dict[int, int] = {1: 0, 16: 0, 32: 0, 64: 0}

    def add(self, registers: Iterable[Register]) -> None:
        """Give the registers that have no row yet the next rows, in order."""
        for register in registers:
            if register in self.rows:
                continue
            width = file_width(register.bits)
            self.rows[register] = self.counts[width]
            self.counts[width] += 2 if register.bits == 128 else 1


class RegisterFile:
    """Storage of every register of a batch of lanes.

    Args:
        counts: rows per width.
        lanes: number of columns.
    """

    def __init__(self, counts: dict[int, int], lanes: int) -> None:
        self.files: dict[int, Array] = {
            width: np.full((max(count, 1), lanes), GARBAGE[width], dtype=UNSIGNED[width])
            for width, count in counts.items()
        }

    def view(self, width: int, dtype: np.dtype[Any]) -> Array:
        """All rows of one width seen as ``dtype``; a narrower type sees the low part of each register."""
        base = self.files[width]
        if base.dtype == dtype:
            return base
        if dtype.itemsize == base.dtype.itemsize:
            return base.view(dtype)
        step = base.dtype.itemsize // dtype.itemsize
        return base.view(dtype)[:, ::step]


class Rows:
    """A list of registers used as one two-dimensional operand, e.g. the accumulators of a warpgroup."""

    __slots__ = ("base", "index")

    def __init__(self, base: Array, rows: list[int]) -> None:
        self.base = base
        self.index: Any = as_index(rows)

    def read(self, columns: Any = slice(None)) -> Array:
        """Values as (registers, lanes)."""
        if isinstance(self.index, slice):
            return self.base[self.index, columns]
        return np.asarray(self.base[self.index][:, columns])

    def write(self, columns: Any, values: Array) -> None:
        if isinstance(self.index, slice):
            self.base[self.index, columns] = values
        elif isinstance(columns, slice):
            self.base[self.index, columns] = values
        else:
            self.base[np.ix_(self.index, columns)] = values


def as_index(rows: list[int]) -> Any:
    """A slice when the rows are consecutive, else an index array."""
    if rows == list(range(rows[0], rows[0] + len(rows))):
        return slice(rows[0], rows[0] + len(rows))
    return np.array(rows)
