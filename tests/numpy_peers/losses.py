"""Cross-entropy over logits, forward and backward."""

from __future__ import annotations

import numpy as np

from tests.numpy_peers import common
from tests.numpy_peers.common import Array, wide


def cross_entropy(logits: Array, target: Array, ignore: int = -100) -> tuple[Array, Array]:
    """``(loss, logsumexp)`` per row of ``logits: [R, V]``; ignored rows have loss 0."""
    (logits,) = wide(logits)
    lse = common.logsumexp(logits)
    kept = target != ignore
    picked = logits[np.arange(len(target)), np.where(kept, target, 0)] if logits.size else np.zeros(len(target))
    return np.where(kept, lse - picked, 0.0), lse


def cross_entropy_backward(logits: Array, target: Array, lse: Array, grad: Array, ignore: int = -100) -> Array:
    """``dlogits`` for the gradient ``grad`` of each row's loss."""
    logits, lse, grad = wide(logits, lse, grad)
    probability = np.exp(logits - lse[:, None])
    probability[np.arange(len(target))[target != ignore], target[target != ignore]] -= 1.0
    return np.where((target != ignore)[:, None], grad[:, None] * probability, 0.0)
