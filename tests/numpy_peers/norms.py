"""Softmax and the normalisations, with their backward passes derived by hand."""

from __future__ import annotations

import numpy as np

from tests.numpy_peers import common
from tests.numpy_peers.common import Array, wide


def softmax(x: Array) -> Array:
    return common.softmax(*wide(x))


def softmax_backward(y: Array, dy: Array) -> Array:
    """``dx`` from the output ``y`` and ``dy``."""
    y, dy = wide(y, dy)
    return y * (dy - (y * dy).sum(axis=-1, keepdims=True))


def layernorm(x: Array, w: Array, b: Array, eps: float) -> tuple[Array, Array, Array]:
    """``(y, mean, 1 / deviation)`` over the last axis; the statistics are not rounded on the way to ``y``."""
    x, w, b = wide(x, w, b)
    mean = x.mean(axis=-1, keepdims=True) if x.shape[-1] else np.full(x.shape[:-1] + (1,), np.nan)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True) if x.shape[-1] else mean
    scale = 1.0 / np.sqrt(variance + eps)
    return (x - mean) * scale * w + b, mean[..., 0], scale[..., 0]


def layernorm_backward(x: Array, w: Array, mean: Array, scale: Array, dy: Array) -> tuple[Array, Array, Array]:
    """``(dx, dw, db)`` for ``x: [M, C]`` and the saved statistics."""
    x, w, mean, scale, dy = wide(x, w, mean, scale, dy)
    normal = (x - mean[:, None]) * scale[:, None]
    u = dy * w
    centred = u - _mean(u) - normal * _mean(u * normal)
    return scale[:, None] * centred, (dy * normal).sum(axis=0), dy.sum(axis=0)


def rmsnorm(x: Array, w: Array, eps: float) -> tuple[Array, Array]:
    """``(y, 1 / root mean square)`` over the last axis."""
    x, w = wide(x, w)
    scale = 1.0 / np.sqrt(_mean(x * x) + eps)
    return x * scale * w, scale[..., 0]


def rmsnorm_backward(x: Array, w: Array, scale: Array, dy: Array) -> tuple[Array, Array]:
    """``(dx, dw)`` for ``x: [M, C]`` and the saved scale."""
    x, w, scale, dy = wide(x, w, scale, dy)
    normal = x * scale[:, None]
    u = dy * w
    return scale[:, None] * (u - normal * _mean(u * normal)), (dy * normal).sum(axis=0)


def _mean(x: Array) -> Array:
    if not x.shape[-1]:
        return np.full(x.shape[:-1] + (1,), np.nan)
    return x.mean(axis=-1, keepdims=True)


def log_softmax(x: Array) -> Array:
    (x,) = wide(x)
    return x - common.logsumexp(x)[..., None]


def log_softmax_backward(y: Array, dy: Array) -> Array:
    """``dx`` from the output ``y`` and ``dy``."""
    y, dy = wide(y, dy)
    return dy - np.exp(y) * dy.sum(axis=-1, keepdims=True)


def groupnorm(x: Array, w: Array, b: Array, eps: float, groups: int) -> Array:
    """``x: [N, P, C]``; statistics over positions and the channels of a group."""
    x, w, b = wide(x, w, b)
    parts = x.reshape(x.shape[0], x.shape[1], groups, x.shape[2] // groups)
    count = parts.shape[1] * parts.shape[3]
    mean = parts.sum(axis=(1, 3), keepdims=True) / max(count, 1)
    variance = ((parts - mean) ** 2).sum(axis=(1, 3), keepdims=True) / max(count, 1)
    return ((parts - mean) / np.sqrt(variance + eps)).reshape(x.shape) * w + b
