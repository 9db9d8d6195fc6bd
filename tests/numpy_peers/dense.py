"""Linear layers and gated products."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.numpy_peers.common import Array, identity, silu, wide
from tests.numpy_peers.elementwise import dsilu


def linear(
    x: Array,
    w: Array,
    bias: Array | None = None,
    residual: Array | None = None,
    activation: Callable[[Array], Array] = identity,
) -> Array:
    """``activation(x w^T + bias) + residual`` for ``x: [M, K]``, ``w: [N, K]``."""
    x, w = wide(x, w)
    y = np.dot(x, w.T)
    if bias is not None:
        y = y + wide(bias)[0]
    y = activation(y)
    return y if residual is None else y + wide(residual)[0]


def matmul(a: Array, b: Array) -> Array:
    """``a b`` over the last two axes."""
    a, b = wide(a, b)
    return np.matmul(a, b)


def swiglu(x: Array, gate: Array, up: Array) -> Array:
    """``silu(x gate^T) * (x up^T)`` for weights of shape ``[N, K]``."""
    return silu(linear(x, gate)) * linear(x, up)


def swiglu_pointwise(a: Array, b: Array) -> Array:
    """``silu(a) * b``."""
    a, b = wide(a, b)
    return silu(a) * b


def linear_backward(x: Array, w: Array, dy: Array) -> dict[str, Array]:
    """Gradients of ``x w^T + b``."""
    x, w, dy = wide(x, w, dy)
    return {"dx": np.dot(dy, w), "dw": np.dot(dy.T, x), "db": dy.sum(axis=0)}


def swiglu_backward(dh: Array, a: Array, b: Array) -> dict[str, Array]:
    """Gradients of ``silu(a) * b``."""
    dh, a, b = wide(dh, a, b)
    return {"da": dh * b * dsilu(a), "db": dh * silu(a)}
