"""What a shared-memory access of a warp costs, counted from addresses.

Shared memory has 32 banks of 4 bytes. An instruction of a warp is served in phases: all lanes at once for up to
4 bytes a lane, half warps for 8, quarter warps for 16 (``ldmatrix`` likewise reads eight 16-byte rows a phase). A phase
takes as many wavefronts as the busiest bank has different words; lanes that read one word share it (CUDA C++
programming guide, "Shared memory").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilewright.dialect.layout import IntArray, Layout, LayoutError
from tilewright.dialect.layout_algebra import compose

BANKS = 32
WORD_BYTES = 4


@dataclass(frozen=True)
class BankCost:
    """Wavefronts of all instructions of an access, and how many they would be without a conflict."""

    wavefronts: int
    ideal: int

    @property
    def conflicts(self) -> int:
        """Wavefronts lost."""
        return self.wavefronts - self.ideal


def bank_cost(addresses: IntArray, lane_bytes: int) -> BankCost:
    """Cost of byte addresses of shape (instructions, lanes), each lane accessing `lane_bytes` (1, 2, 4, 8 or 16)."""
    if lane_bytes not in (1, 2, 4, 8, 16):
        raise LayoutError(f"a lane accesses 1, 2, 4, 8 or 16 bytes, not {lane_bytes}")
    if np.any(addresses % lane_bytes):
        raise LayoutError(f"an address is not aligned to {lane_bytes} bytes")
    words_a_lane = max(1, lane_bytes // WORD_BYTES)
    lanes = min(addresses.shape[1], BANKS // words_a_lane)
    phases = addresses.reshape(-1, lanes)
    words = (phases // WORD_BYTES)[:, :, None] + np.arange(words_a_lane)
    wavefronts = sum(_busiest(phase) for phase in words.reshape(len(phases), -1))
    return BankCost(wavefronts, len(phases))


def _busiest(words: IntArray) -> int:
    return int(np.bincount(np.unique(words) % BANKS).max())


def shared_cost(access: Layout, memory: Layout, element_bytes: int, vector: int = 1) -> BankCost:
    """Cost of one CTA reading (or writing) a whole tile of layout `access` in a shared buffer of layout `memory`.

    `memory` maps the tile's indices to ``offset`` in elements. `vector` neighbouring registers make one access of
    ``vector * element_bytes`` bytes; they must be neighbours in memory too (`LayoutError` if not).
    """
    offsets = compose(memory, access)
    registers, lanes, warps = (offsets.size(axis) for axis in ("register", "lane", "warp"))
    register, warp, lane = np.indices((registers, warps, lanes))
    indices = {"register": register, "warp": warp, "lane": lane}
    table = offsets(**{axis: indices[axis] for axis in indices if offsets.source(axis).digits})[0]
    table = np.broadcast_to(table, register.shape)
    if registers % vector:
        raise LayoutError(f"{registers} registers do not split into vectors of {vector}")
    groups = table.reshape(registers // vector, vector, warps, lanes)
    if np.any(groups - groups[:, :1] != np.arange(vector).reshape(1, vector, 1, 1)) or np.any(groups[:, 0] % vector):
        raise LayoutError(f"vectors of {vector} registers are not neighbours in memory: {offsets}")
    return bank_cost(groups[:, 0].reshape(-1, lanes) * element_bytes, vector * element_bytes)
