"""Kernels that only move elements."""

from __future__ import annotations

import numpy as np

from tests.numpy_peers.common import Array, wide


def transpose(x: Array) -> Array:
    return np.swapaxes(wide(x)[0], -1, -2)


def concat(a: Array, b: Array, axis: int = -1) -> Array:
    return np.concatenate(wide(a, b), axis=axis)


def pad(x: Array, left: int, right: int, value: float = 0.0) -> Array:
    """The last axis, padded."""
    (x,) = wide(x)
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(left, right)], constant_values=value)


def embedding(table: Array, ids: Array) -> Array:
    return wide(table)[0][ids]


def embedding_position(table: Array, position: Array, ids: Array) -> Array:
    """Rows of the table plus rows of positions; ``ids: [B, S]``."""
    table, position = wide(table, position)
    return table[ids] + position[: ids.shape[1]]


def embedding_sum(table: Array, ids: Array, weight: Array) -> Array:
    """Weighted sums of rows; ``ids, weight: [A, R]``."""
    table, weight = wide(table, weight)
    return np.einsum("ar,ard->ad", weight, table[ids] if table.size else np.zeros((*ids.shape, table.shape[1])))


def pad2d(x: Array, value: float, top: int, bottom: int, left: int, right: int) -> Array:
    """A border around a matrix."""
    return np.pad(wide(x)[0], ((top, bottom), (left, right)), constant_values=value)
