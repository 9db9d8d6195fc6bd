"""Owns scratch memory on the host: 64-byte aligned buffers that calls borrow and give back.

Fresh memory costs a page fault for each 4 KiB, which is more than many launches; so buffers are kept, up to a bound.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ALIGNMENT = 64
KEPT_BUFFERS = 8
KEPT_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Buffer:
    """``size`` bytes at ``pointer``; ``memory`` owns them."""

    pointer: int
    size: int
    memory: np.ndarray[Any, Any] = field(repr=False)


class WorkspacePool:
    """Buffers between two calls; safe from several threads (a deque's ends are atomic)."""

    def __init__(self) -> None:
        self._kept: deque[Buffer] = deque(maxlen=KEPT_BUFFERS)

    def take(self, size: int) -> Buffer:
        """A buffer of at least ``size`` bytes whose content is unspecified."""
        for _ in range(len(self._kept)):
            try:
                buffer = self._kept.popleft()
            except IndexError:
                break
            if size <= buffer.size <= 2 * size + 4096:
                return buffer
            self._kept.append(buffer)
        return _allocate(size)

    def give(self, buffer: Buffer) -> None:
        """Return a buffer that nobody uses any more."""
        if buffer.size * KEPT_BUFFERS <= KEPT_BYTES or not self._kept:
            self._kept.append(buffer)


def _allocate(size: int) -> Buffer:
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = memory.ctypes.data
    pointer = (start + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    return Buffer(pointer, size, memory)


def kept(content: bytes) -> Buffer:
    """A buffer of its own that holds ``content``."""
    buffer = _allocate(len(content))
    start = buffer.pointer - buffer.memory.ctypes.data
    buffer.memory[start : start + len(content)] = np.frombuffer(content, np.uint8)
    return buffer
