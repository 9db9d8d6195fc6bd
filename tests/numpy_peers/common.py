"""Scalar functions and softmax in float64, shared by the peers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_erf = np.vectorize(math.erf, otypes=[np.float64])


def wide(*arrays: Any) -> tuple[Array, ...]:
    """Arguments in float64."""
    return tuple(np.asarray(array).astype(np.float64) for array in arrays)


def identity(x: Array) -> Array:
    return x


def relu(x: Array) -> Array:
    return np.maximum(x, 0.0)


def gelu(x: Array) -> Array:
    """The exact form with erf."""
    return 0.5 * x * (1.0 + _erf(x / math.sqrt(2.0))) if x.size else x


def gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def silu(x: Array) -> Array:
    return x * sigmoid(x)


def softmax(x: Array, axis: int = -1) -> Array:
    shifted = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
    return shifted / shifted.sum(axis=axis, keepdims=True)


def logsumexp(x: Array, axis: int = -1) -> Array:
    top = x.max(axis=axis, keepdims=True, initial=-np.inf)
    return np.squeeze(top, axis) + np.log(np.exp(x - top).sum(axis=axis))
