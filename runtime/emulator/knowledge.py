"""Vector clocks of every thread: what each lane knows to have happened.

Rows are lanes, columns the actors of the lane's *domain* (its cluster): first the threads, then each thread's cp.async
engine, then actors made on demand (the TMA writes of an mbarrier, the wgmma reads of a warp, bulk stores), and the CTAs
of the grid at the end. Row[column] is the latest clock of that actor which the lane is ordered after.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np

from tilewright.runtime.emulator.scalar_types import Array

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

WARP = 32
SPARE = 32


class Knowledge:
    """The clock matrix and how synchronisation moves knowledge.

    Args:
        proxies: also keep, per lane and actor, up to where a proxy fence has made writes visible to the async proxy.
        publishes: also keep up to where a gpu-scope fence allows a later relaxed write to publish events.
    """

    def __init__(self, machine: Machine, proxies: bool, publishes: bool = False) -> None:
        self.machine = machine
        self.domain = machine.padded * machine.cluster_size
        self.column = np.arange(machine.lanes) % self.domain
        self.width = 2 * self.domain + SPARE
        self.used = 2 * self.domain
        self.rows = np.zeros((machine.lanes, self.width), np.uint32)
        self.rows[np.arange(machine.lanes), self.column] = 1
        self.fenced = np.zeros_like(self.rows) if proxies else None
        self.published = np.zeros_like(self.rows) if publishes else None
        self.observed: Array | None = None
        self.actors: dict[Hashable, int] = {}
        self.names: dict[int, str] = {}

    def actor(self, key: Hashable, name: str) -> int:
        """Column of an actor; the same key in different domains may share it."""
        found = self.actors.get(key)
        if found is not None:
            return found
        if self.used == self.width:
            self._grow()
        found = self.actors[key] = self.used
        self.names[found] = name
        self.used += 1
        return found

    def _grow(self) -> None:
        extra = np.zeros((self.rows.shape[0], self.width), np.uint32)
        self.rows = np.concatenate([self.rows, extra], axis=1)
        if self.fenced is not None:
            self.fenced = np.concatenate([self.fenced, extra], axis=1)
        if self.published is not None:
            self.published = np.concatenate([self.published, extra], axis=1)
        if self.observed is not None:
            self.observed = np.concatenate([self.observed, extra], axis=1)
        self.width *= 2

    def clocks(self, lanes: Array) -> Array:
        return np.asarray(self.rows[lanes, self.column[lanes]])

    def tick(self, lanes: Array) -> None:
        self.rows[lanes, self.column[lanes]] += np.uint32(1)

    def join(self, arrived: Array, released: Array) -> None:
        """Everything the arriving lanes know becomes known to the released ones."""
        limit = self.used
        for table in self._tables():
            known = table[arrived, :limit].max(axis=0)
            if len(arrived) == len(released):
                table[released, :limit] = known
            else:
                table[released, :limit] = np.maximum(table[released, :limit], known)
        self.tick(arrived)

    def _tables(self) -> list[Array]:
        return [table for table in (self.rows, self.fenced, self.published, self.observed) if table is not None]

    def join_warps(self, lanes: Array) -> None:
        """The same inside each warp of ``lanes``."""
        limit = self.used
        warps = np.unique(lanes // WARP)
        member = np.zeros(self.machine.lanes, bool)
        member[lanes] = True
        inside = member.reshape(-1, WARP)[warps]
        for table in self._tables():
            part = table.reshape(-1, WARP, self.width)[warps, :, :limit]
            known = np.where(inside[:, :, None], part, 0).max(axis=1)
            table.reshape(-1, WARP, self.width)[warps, :, :limit] = np.where(inside[:, :, None], known[:, None], part)
        self.tick(lanes)

    def snapshot(self, lane: int) -> tuple[Array, Array | None]:
        fenced = None if self.fenced is None else self.fenced[lane, : self.width].copy()
        return self.rows[lane].copy(), fenced

    def learn(self, lanes: Array, row: Array, fenced: Array | None) -> None:
        """Merge a snapshot into some lanes."""
        size = len(row)
        self.rows[lanes, :size] = np.maximum(self.rows[lanes, :size], row)
        if self.fenced is not None and fenced is not None:
            self.fenced[lanes, :size] = np.maximum(self.fenced[lanes, :size], fenced)

    def proxy_fence(self, lanes: Array) -> None:
        """Everything the lanes know is now visible to the async proxy as far as they are concerned."""
        if self.fenced is not None:
            self.fenced[lanes] = np.maximum(self.fenced[lanes], self.rows[lanes])
            self.tick(lanes)

    def publish(self, lanes: Array) -> None:
        """A gpu-scope fence: what the lanes know may be published by their later relaxed writes."""
        if self.published is not None:
            self.published[lanes] = np.maximum(self.published[lanes], self.rows[lanes])
            self.tick(lanes)

    def observe(self, lane: int, columns: Array, clocks: Array) -> None:
        """A relaxed read saw what another thread published; a later fence makes it known."""
        if self.observed is None:
            self.observed = np.zeros_like(self.rows)
        self.observed[lane, columns] = np.maximum(self.observed[lane, columns], clocks)

    def acquire(self, lanes: Array) -> None:
        """A gpu-scope fence: what was observed, here or by a thread that a barrier orders before, becomes known."""
        if self.observed is not None:
            self.rows[lanes] = np.maximum(self.rows[lanes], self.observed[lanes])

    def describe(self, column: int, slot: int) -> str:
        """Name of an actor for messages; ``slot`` is a CTA slot of the domain."""
        padded = self.machine.padded
        if column < 2 * self.domain:
            inside = column % self.domain
            thread = f"thread {inside % padded}"
            if self.machine.cluster_size > 1:
                thread += f" of cluster rank {inside // padded}"
            return thread if column < self.domain else f"cp.async of {thread}"
        return self.names.get(column, "engine")


def merge(left: Array | None, right: Array) -> Array:
    """Elementwise maximum of rows whose lengths may differ."""
    if left is None:
        return right.copy()
    if len(left) < len(right):
        left, right = right, left
    result = left.copy()
    result[: len(right)] = np.maximum(result[: len(right)], right)
    return result
