"""Convolutions and pools in NHWC, one window offset at a time."""

from __future__ import annotations

import numpy as np

from tests.numpy_peers.common import Array, wide


def _padded(x: Array, pad: int, value: float) -> Array:
    return np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), constant_values=value)


def _window(x: Array, r: int, s: int, size: tuple[int, int], stride: int, dilation: int) -> Array:
    """What offset ``(r, s)`` of the window sees at every output position."""
    top, left = r * dilation, s * dilation
    return x[:, top : top + (size[0] - 1) * stride + 1 : stride, left : left + (size[1] - 1) * stride + 1 : stride]


def conv2d(
    x: Array, w: Array, b: Array | None = None, stride: int = 1, pad: int = 0, dilation: int = 1, groups: int = 1
) -> Array:
    """``x: [N, H, W, C]``, ``w: [K, R, S, C / groups]`` -> ``[N, P, Q, K]``."""
    x, w = wide(x, w)
    count, height, width, channels = x.shape
    filters, rows, columns, depth = w.shape
    size = tuple((n + 2 * pad - dilation * (k - 1) - 1) // stride + 1 for n, k in ((height, rows), (width, columns)))
    x = _padded(x, pad, 0.0)
    y = np.zeros((count, *size, filters))
    share = filters // groups if groups else 0
    for r in range(rows):
        for s in range(columns):
            seen = _window(x, r, s, (size[0], size[1]), stride, dilation)
            for g in range(groups):
                weights = w[g * share : (g + 1) * share, r, s]
                y[..., g * share : (g + 1) * share] += seen[..., g * depth : (g + 1) * depth] @ weights.T
    return y if b is None else y + wide(b)[0]


def depthwise_conv2d(x: Array, w: Array, b: Array | None = None, stride: int = 1, pad: int = 0) -> Array:
    """``x: [N, H, W, C]``, ``w: [R, S, C]`` -> ``[N, P, Q, C]``."""
    x, w = wide(x, w)
    rows, columns, channels = w.shape
    size = tuple((n + 2 * pad - k) // stride + 1 for n, k in ((x.shape[1], rows), (x.shape[2], columns)))
    x = _padded(x, pad, 0.0)
    y = np.zeros((x.shape[0], *size, channels))
    for r in range(rows):
        for s in range(columns):
            y += _window(x, r, s, (size[0], size[1]), stride, 1) * w[r, s]
    return y if b is None else y + wide(b)[0]


def depthwise_conv1d(x: Array, w: Array, b: Array) -> Array:
    """Causal: ``x: [B, L, D]``, ``w: [D, K]``; the last tap sees the present."""
    x, w, b = wide(x, w, b)
    taps = w.shape[1]
    padded = np.pad(x, ((0, 0), (taps - 1, 0), (0, 0)))
    y = np.zeros_like(x) + b
    for j in range(taps):
        y += padded[:, j : j + x.shape[1]] * w[:, j]
    return y


def maxpool2d(x: Array, window: int, stride: int, pad: int) -> tuple[Array, Array]:
    """``(y, position)``: the position is ``r * window + s`` of the first largest element."""
    (x,) = wide(x)
    size = tuple((n + 2 * pad - window) // stride + 1 for n in x.shape[1:3])
    x = _padded(x, pad, -np.inf)
    offsets = [(r, s) for r in range(window) for s in range(window)]
    views = np.stack([_window(x, r, s, (size[0], size[1]), stride, 1) for r, s in offsets])
    return views.max(axis=0), views.argmax(axis=0)


def avgpool2d(x: Array, window: int, stride: int, pad: int = 0, count_pad: bool = True) -> Array:
    """Averages; padding counts as zeros in the divisor when ``count_pad``."""
    (x,) = wide(x)
    size = tuple((n + 2 * pad - window) // stride + 1 for n in x.shape[1:3])
    ones = _padded(np.ones((1, *x.shape[1:3], 1)), pad, 1.0 if count_pad else 0.0)
    x = _padded(x, pad, 0.0)
    y, count = np.zeros((x.shape[0], *size, x.shape[3])), np.zeros((1, *size, 1))
    for r in range(window):
        for s in range(window):
            y += _window(x, r, s, (size[0], size[1]), stride, 1)
            count += _window(ones, r, s, (size[0], size[1]), stride, 1)
    return y / count


def global_average(x: Array) -> Array:
    """``[N, H, W, C]`` -> ``[N, C]``; NaN over no positions."""
    (x,) = wide(x)
    return np.divide(x.sum(axis=(1, 2)), np.float64(x.shape[1] * x.shape[2]))
