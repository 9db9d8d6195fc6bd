"""Attention in its plain form, head by head, and rotary positions."""

from __future__ import annotations

import numpy as np

from tests.numpy_peers.common import Array, logsumexp, softmax, wide


def attention(q: Array, k: Array, v: Array, scale: float, causal: bool = False) -> tuple[Array, Array]:
    """``(o, lse)`` for ``q: [B, H, S, D]``, ``k, v: [B, G, L, D]``; query ``i`` sees keys up to ``i + L - S``."""
    q, k, v = wide(q, k, v)
    batches, heads, queries, depth = q.shape
    groups, keys = k.shape[1], k.shape[2]
    o, lse = np.zeros((batches, heads, queries, depth)), np.zeros((batches, heads, queries))
    for b in range(batches):
        for h in range(heads):
            g = h // (heads // groups)
            scores = scale * (q[b, h] @ k[b, g].T)
            if causal:
                rows = [(i, max(i + keys - queries + 1, 0)) for i in range(queries)]
            else:
                rows = [(i, keys) for i in range(queries)]
            for i, seen in rows:  # keys that are not seen do not count, whatever they hold
                o[b, h, i] = softmax(scores[i, :seen]) @ v[b, g, :seen]
                lse[b, h, i] = logsumexp(scores[i, :seen])
    return o, lse


def rope_half(x: Array, angle: Array, sign: float = 1.0) -> Array:
    """Half-split form: ``x: [..., 2 R]``, ``angle: [..., R]``, pairs are ``(c, c + R)``."""
    x, angle = wide(x, angle)
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    cosine, sine = np.cos(angle), sign * np.sin(angle)
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def rope_interleaved(x: Array, angle: Array, sign: float = 1.0) -> Array:
    """Interleaved form: pairs are ``(2 c, 2 c + 1)``; the last axis of ``x`` is ``2 R``."""
    x, angle = wide(x, angle)
    turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * sign * angle)
    return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)


def rope_positions(x: Array, pos: Array, freq: Array, sign: float) -> Array:
    """Half-split form for positions ``pos: [B, S]`` and frequencies ``freq: [R]`` of ``x: [B, S, H, 2 R]``."""
    pos, freq = wide(pos, freq)
    return rope_half(x, pos[:, :, None, None] * freq, sign)
