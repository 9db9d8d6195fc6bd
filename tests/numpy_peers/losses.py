"""Cross-entropy over logits, forward and backward."""

from __future__ import annotations

import numpy as np

from tests.numpy_peers import common
from tests.numpy_peers.common import Array, wide


def cross_entropy(logits: Array, target: Array, ignore: int = -100) -> tuple[Array, Array]:
    """``(loss, logsumexp)`` per row of ``logits: [R, V]``; ignored rows have loss 0."""
    lse = common.logsumexp(*wide(logits))
    return picked_loss(logits, target, lse, ignore), lse


def picked_loss(logits: Array, target: Array, lse: Array, ignore: int = -100) -> Array:
    """``lse`` less the logit of each row's target; 0 for ignored rows."""
    (logits,) = wide(logits)
    kept = target != ignore
    picked = logits[np.arange(len(target)), np.where(kept, target, 0)] if logits.size else np.zeros(len(target))
    return np.where(kept, lse - picked, 0.0)


def cross_entropy_backward(logits: Array, target: Array, lse: Array, grad: Array, ignore: int = -100) -> Array:
    """``dlogits`` for the gradient ``grad`` of each row's loss."""
    logits, lse, grad = wide(logits, lse, grad)
    probability = np.exp(logits - lse[:, None])
    probability[np.arange(len(target))[target != ignore], target[target != ignore]] -= 1.0
    return np.where((target != ignore)[:, None], grad[:, None] * probability, 0.0)


def mse(x: Array, y: Array) -> Array:
    """The mean of squared differences; NaN over nothing."""
    x, y = wide(x, y)
    return np.divide(np.square(x - y).sum(), np.float64(x.size))
