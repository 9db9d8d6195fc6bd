"""Byte-addressed memory with a state per byte, and the checked loads and stores of every space.

State bits say whether a byte exists, holds a value, and may be written. Between objects lie bytes that do not exist, so
running off an object is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator.action import Mask, Site
from tilewright.runtime.emulator.scalar_types import UNSIGNED, Array
from tilewright.runtime.emulator.spaces import (
    CLUSTER_MASK,
    CLUSTER_SHIFT,
    GLOBAL_BASE,
    LOCAL_WINDOW,
    PARAM_WINDOW,
    SHARED_WINDOW,
    WINDOW_END,
)

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

VALID, INITIALISED, WRITABLE = 1, 2, 4
GARBAGE_BYTE = 0xCD
SPREAD = {size: int.from_bytes(b"\x01" * size, "little") for size in (1, 2, 4, 8)}


class Arena:
    """A block of bytes with states. ``origin`` is the address of byte 0 in messages."""

    def __init__(self, name: str, size: int, origin: int = 0) -> None:
        padded = -(-size // 64) * 64 + 64
        self.name = name
        self.size = size
        self.origin = origin
        self.data = np.full(padded, GARBAGE_BYTE, np.uint8)
        self.state = np.zeros(padded, np.uint8)
        self._views: dict[tuple[bool, int, int], Array] = {}

    def view(self, of_state: bool, item: int, count: int) -> Array:
        """The bytes as (units, count) items of ``item`` bytes."""
        key = (of_state, item, count)
        found = self._views.get(key)
        if found is None:
            base = self.state if of_state else self.data
            unit = item * count
            found = base[: len(base) // unit * unit].view(UNSIGNED[item * 8]).reshape(-1, count)
            self._views[key] = found
        return found

    def states_ok(self, offsets: Array, total: int, need: int) -> Array | None:
        """None when every byte has the needed state bits, else a boolean array of the good accesses."""
        item = min(total, 8)
        pattern = UNSIGNED[item * 8].type(SPREAD[item] * need)
        found = self.view(True, item, total // item)[offsets // total] & pattern
        good = found == pattern
        return None if good.all() else np.asarray(good.all(axis=1))

    def mark(self, offsets: Array, total: int) -> None:
        """Written bytes exist, hold a value and stay writable."""
        item = min(total, 8)
        self.view(True, item, total // item)[offsets // total] = UNSIGNED[item * 8].type(SPREAD[item] * 7)


@dataclass(slots=True)
class Access:
    """The active lanes of one memory step: flat byte offsets into an arena.

    ``positions`` are flat indices into (instructions, lanes); None means all of them in order.
    """

    arena: Arena
    offsets: Array
    positions: Array | None
    lanes_total: int
    size: int

    def lanes(self) -> Array:
        if self.positions is None:
            return np.arange(len(self.offsets)) % self.lanes_total
        return self.positions % self.lanes_total

    def rows(self) -> Array:
        if self.positions is None:
            return np.arange(len(self.offsets)) // self.lanes_total
        return self.positions // self.lanes_total

    def keep(self, good: Array) -> Access:
        positions = np.arange(len(self.offsets)) if self.positions is None else self.positions
        return Access(self.arena, self.offsets[good], positions[good], self.lanes_total, self.size)


class MemorySystem:
    """Loads and stores of a machine: resolves spaces, checks, tells the race detector and the counters."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.lanes = machine.lanes
        self.check_initialised = "memory" in machine.options.check

    # -- addresses ------------------------------------------------------------------------------------------------

    def addresses(self, base: Array, offset: Array, count: int) -> Array:
        """(count, lanes) byte addresses."""
        total = np.add(base, offset, dtype=np.int64, casting="unsafe")
        return np.broadcast_to(total, (count, self.lanes))

    def resolve(self, site: Site, mask: Mask, space: str, address: Array, size: int) -> list[Access]:
        """Accesses of the active lanes, one per space that generic addresses reach."""
        if mask is True:
            positions, flat = None, address.ravel()
        else:
            positions = np.flatnonzero(np.broadcast_to(mask, address.shape))
            flat = address.ravel()[positions]
        if not len(flat):
            return []
        if space != "generic":
            return [self._place(space, flat, positions, size)]
        return self._split_generic(flat, positions, size)

    def _split_generic(self, flat: Array, positions: Array | None, size: int) -> list[Access]:
        windows = np.where(flat >= WINDOW_END, 0, flat >> 40)
        names = {0: "global", 1: "shared", 2: "local", 3: "param"}
        origins = {0: 0, 1: SHARED_WINDOW, 2: LOCAL_WINDOW, 3: PARAM_WINDOW}
        present = [int(windows[0])] if (windows == windows[0]).all() else [int(w) for w in np.unique(windows)]
        if len(present) == 1:
            return [self._place(names[present[0]], flat - origins[present[0]], positions, size)]
        every = np.arange(len(flat)) if positions is None else positions
        return [self._place(names[w], flat[windows == w] - origins[w], every[windows == w], size) for w in present]

    def _place(self, space: str, flat: Array, positions: Array | None, size: int) -> Access:
        machine = self.machine
        if space in ("global", "const"):
            return Access(machine.global_memory, flat - GLOBAL_BASE, positions, self.lanes, size)
        if space.startswith("shared"):
            return Access(machine.shared, self._shared_offsets(flat, positions), positions, self.lanes, size)
        if space == "local":
            lanes = self._lane_ids(flat, positions)
            inside = (flat >= 0) & (flat < machine.local_stride)
            offsets = np.where(inside, flat + lanes * machine.local_stride, -1)
            return Access(machine.local, offsets, positions, self.lanes, size)
        return Access(machine.parameters, flat, positions, self.lanes, size)

    def _lane_ids(self, flat: Array, positions: Array | None) -> Array:
        return (np.arange(len(flat)) if positions is None else positions) % self.lanes

    def _shared_offsets(self, flat: Array, positions: Array | None) -> Array:
        """Arena offsets of shared addresses; -1 marks an address outside every CTA of the cluster."""
        machine = self.machine
        lanes = self._lane_ids(flat, positions)
        inner = flat & CLUSTER_MASK
        rank = flat >> CLUSTER_SHIFT
        if not rank.any():
            return np.where(inner < machine.shared_stride, inner + machine.shared_base[lanes], -1)
        good = (inner < machine.shared_stride) & (rank >= 0) & (rank <= machine.cluster_size)
        slot = np.where(rank == 0, machine.cta_of[lanes], machine.cluster_first[lanes] + rank - 1)
        return np.where(good, inner + slot * machine.shared_stride, -1)

    # -- access ---------------------------------------------------------------------------------------------------

    def checked(self, site: Site, access: Access, need: int, what: str) -> Access:
        """The part of an access that may happen; the rest becomes findings."""
        offsets, size = access.offsets, access.size
        bad = offsets & (size - 1) if size & (size - 1) == 0 else np.zeros_like(offsets)
        if bad.any() and (offsets >= 0).all():
            self._report(site, access, bad != 0, "misaligned", f"{what} of {size} bytes is not aligned")
            access = access.keep(bad == 0)
            offsets = access.offsets
        limit = len(access.arena.data) - size
        if len(offsets) and (int(offsets.min()) < 0 or int(offsets.max()) > limit):
            outside = (offsets < 0) | (offsets > limit)
            self._report(site, access, outside, "out-of-bounds", f"{access.arena.name} {what} of {size} bytes")
            access = access.keep(~outside)
        return self._check_states(site, access, need, what)

    def _check_states(self, site: Site, access: Access, need: int, what: str) -> Access:
        if not len(access.offsets):
            return access
        arena, size = access.arena, access.size
        if not self.check_initialised:
            need &= ~INITIALISED
        good = arena.states_ok(access.offsets, size, need)
        if good is None:
            return access
        exists = arena.states_ok(access.offsets, size, VALID)
        if exists is not None:
            self._report(site, access, ~exists, "out-of-bounds", f"{arena.name} {what} of {size} bytes")
            access, good = access.keep(exists), good[exists]
        if need & WRITABLE:
            writable = arena.states_ok(access.offsets, size, VALID | WRITABLE)
            if writable is not None:
                self._report(site, access, ~writable, "read-only", f"{arena.name} {what} to read-only memory")
                return access.keep(writable)
        if need & INITIALISED and not good.all():
            self._report(site, access, ~good, "uninitialised", f"{arena.name} {what} of bytes never written")
        return access

    def _report(self, site: Site, access: Access, bad: Array, kind: str, message: str) -> None:
        lanes, rows = access.lanes(), access.rows()
        first = int(np.argmax(bad))
        self.machine.finding(
            kind,
            message,
            site,
            int(rows[first]),
            lanes[bad],
            self._shown(access, first),
            count=int(np.count_nonzero(bad)),
        )

    def _shown(self, access: Access, index: int) -> int:
        offset = int(access.offsets[index])
        if access.arena is self.machine.shared and offset >= 0:
            return offset % self.machine.shared_stride
        return offset + access.arena.origin

    def load(self, site: Site, mask: Mask, space: str, base: Array, offset: Array, item: int, count: int) -> Any:
        """Load ``count`` items of ``item`` bytes per lane: one (instructions, lanes) array, or a tuple of them."""
        rows = site.count
        size = item * count
        address = self.addresses(base, offset, rows)
        accesses = self.resolve(site, mask, space, address, size)
        result = np.zeros((rows * self.lanes, count), UNSIGNED[item * 8])
        for raw in accesses:
            access = self.checked(site, raw, VALID | INITIALISED, "load")
            if not len(access.offsets):
                continue
            self._observe(site, access, False)
            values = access.arena.view(False, item, count)[access.offsets // size]
            if access.positions is None:
                result = values
            else:
                result[access.positions] = values
        if count == 1:
            return result.reshape(rows, self.lanes)
        return tuple(result[:, i].reshape(rows, self.lanes) for i in range(count))

    def store(
        self, site: Site, mask: Mask, space: str, base: Array, offset: Array, values: list[Array], item: int
    ) -> None:
        """Store the items of every active lane; of two lanes that hit one place the higher wins."""
        rows, count = site.count, len(values)
        size = item * count
        address = self.addresses(base, offset, rows)
        shape = (rows, self.lanes)
        flat = [np.broadcast_to(value, shape).reshape(-1) for value in values]
        for raw in self.resolve(site, mask, space, address, size):
            access = self.checked(site, raw, VALID | WRITABLE, "store")
            if not len(access.offsets):
                continue
            chosen = flat if access.positions is None else [value[access.positions] for value in flat]
            new = chosen[0][:, None] if count == 1 else np.stack(chosen, axis=1)
            self._observe(site, access, True, new)
            access.arena.view(False, item, count)[access.offsets // size] = new
            access.arena.mark(access.offsets, size)
        self.machine.progress += 1

    def _observe(self, site: Site, access: Access, write: bool, new: Array | None = None) -> None:
        machine = self.machine
        if machine.races is not None:
            machine.races.access(site, access, write, new=new)
        machine.counters.memory(site, access, write)
