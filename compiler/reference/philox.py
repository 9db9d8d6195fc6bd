"""Owns the counter-based random numbers of ``rand``.

Philox-4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
"""

from __future__ import annotations

import numpy as np

from tilewright.compiler.reference.values import Array

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ROUNDS = 10


def philox(counter: tuple[Array, Array, Array, Array], key: tuple[Array, Array]) -> tuple[Array, Array, Array, Array]:
    """Four 32-bit words (held in uint64) from a 128-bit counter and a 64-bit key, least word first."""
    a, b, c, d = counter
    low, high = key
    for _ in range(_ROUNDS):
        first, second = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (second >> _HALF) ^ b ^ low, second & _LOW, (first >> _HALF) ^ d ^ high, first & _LOW
        low, high = (low + _KEY_STEPS[0]) & _LOW, (high + _KEY_STEPS[1]) & _LOW
    return a, b, c, d


def uniform(seed: Array, count: Array) -> Array:
    """``rand(seed, count)`` in float64, exact in f32: key = seed, counter = count // 4, word = count % 4."""
    seed, count = np.broadcast_arrays(np.asarray(seed, np.int64), np.asarray(count, np.int64))
    block, key = (count >> np.int64(2)).view(np.uint64), np.ascontiguousarray(seed).view(np.uint64)
    zero = np.zeros_like(block)
    words = philox((block & _LOW, block >> _HALF, zero, zero), (key & _LOW, key >> _HALF))
    chosen = np.choose(count & 3, words)
    return (chosen >> np.uint64(8)).astype(np.float64) * 2.0**-24
