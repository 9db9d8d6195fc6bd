"""Slopes of the activations."""

from __future__ import annotations

import math

import numpy as np

from tests.numpy_peers.common import Array, _erf, sigmoid


def drelu(x: Array) -> Array:
    return np.where(x > 0, 1.0, 0.0)


def dgelu(x: Array) -> Array:
    """Of the exact form: the distribution function plus ``x`` times the density of a standard normal."""
    below = 0.5 * (1.0 + _erf(x / math.sqrt(2.0))) if x.size else x
    return below + x * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def dsilu(x: Array) -> Array:
    s = sigmoid(x)
    return s + x * s * (1.0 - s)
