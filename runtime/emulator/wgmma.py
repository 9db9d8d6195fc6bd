"""The warpgroup matrix engine: descriptors, operand gathering, groups, and the multiplication itself.

PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions". Work of a warpgroup happens in order; when, is the
completion policy's choice. Operands in shared memory and registers are read when the work happens, so code that touches
them too early computes something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator import ops_sparse
from tilewright.runtime.emulator.action import Site
from tilewright.runtime.emulator.memory import INITIALISED, VALID, Access
from tilewright.runtime.emulator.numerics_formats import decode, encode
from tilewright.runtime.emulator.ops_matrix import BITS, FAMILY, bit_product, product, split_elements
from tilewright.runtime.emulator.registers import Rows
from tilewright.runtime.emulator.scalar_types import Array

if TYPE_CHECKING:
    from tilewright.runtime.emulator.engines import Engines
    from tilewright.runtime.emulator.machine import Machine

WARPGROUP = 128
WARP = 32
UNIT = 16
SWIZZLE_OF_MODE = {0: 0, 1: 128, 2: 64, 3: 32}


@dataclass(frozen=True, slots=True)
class WgmmaForm:
    """Shape, types and immediates of one wgmma."""

    n: int
    k: int
    result: str
    left: str
    right: str
    left_sign: int = 1
    right_sign: int = 1
    left_transposed: bool = False
    right_transposed: bool = False
    saturate: bool = False
    sparse: bool = False
    selector: int = 0

    @property
    def kept(self) -> int:
        """Elements of a row of A that are stored: half of them when it is sparse."""
        return self.k // 2 if self.sparse else self.k


def swizzle(addresses: Array, width: int) -> Array:
    """XOR the 16-byte column of an address with its row, for swizzles of 32, 64 and 128 bytes."""
    rows = {0: 0, 32: 1, 64: 3, 128: 7}[width]
    return np.asarray(addresses ^ (((addresses >> 7) & rows) << 4))


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A shared-memory matrix descriptor; strides in bytes (PTX ISA, "Matrix Descriptor")."""

    start: int
    leading: int
    stride: int
    base_offset: int
    width: int

    @classmethod
    def unpack(cls, value: int) -> Descriptor:
        return cls(
            (value & 0x3FFF) << 4,
            (value >> 16 & 0x3FFF) << 4,
            (value >> 32 & 0x3FFF) << 4,
            value >> 49 & 7,
            SWIZZLE_OF_MODE[value >> 62 & 3],
        )

    def units(self, extent: int, k: int, bits: int, transposed: bool) -> Array:
        """Addresses of the 16-byte units of a matrix: (extent, k units), or (k, extent units) when transposed."""
        if transposed:
            return swizzle(self._transposed(extent, k, bits // 8), self.width)
        row, unit = np.arange(extent)[:, None], np.arange(k * bits // 8 // UNIT)[None, :]
        if self.width:
            inside = (row % 8) * self.width + unit * UNIT
            return swizzle(self.start + row // 8 * self.stride + inside, self.width)
        return self.start + row // 8 * self.stride + unit * self.leading + row % 8 * UNIT

    def _transposed(self, extent: int, k: int, item: int) -> Array:
        row, unit = np.arange(k)[:, None], np.arange(extent * item // UNIT)[None, :]
        if self.width:
            per_block = self.width // UNIT
            return (
                self.start
                + unit // per_block * self.leading
                + row // 8 * self.stride
                + row % 8 * self.width
                + unit % per_block * UNIT
            )
        return self.start + unit * self.stride + row // 8 * self.leading + row % 8 * UNIT


class MatrixWork:
    """One wgmma of one warpgroup."""

    __slots__ = (
        "accumulator",
        "done",
        "engine",
        "form",
        "group",
        "left",
        "metadata",
        "right",
        "scale",
        "site",
        "warpgroup",
    )

    def __init__(
        self,
        engine: MatrixEngine,
        site: Site,
        form: WgmmaForm,
        warpgroup: int,
        accumulator: Rows,
        left: Rows | int,
        right: int,
        scale: bool,
        group: int,
        metadata: Rows | None,
    ) -> None:
        self.metadata = metadata
        self.engine, self.site, self.form, self.warpgroup = engine, site, form, warpgroup
        self.accumulator, self.left, self.right, self.scale, self.group = accumulator, left, right, scale, group
        self.done = False

    def finish(self) -> None:
        """Everything issued before in the same warpgroup happens first."""
        self.engine.run_through(self)


class MatrixEngine:
    """Queues of wgmma work per warpgroup."""

    def __init__(self, machine: Machine, engines: Engines) -> None:
        self.machine = machine
        self.engines = engines
        self.queues: dict[int, list[MatrixWork]] = {}
        self.committed: dict[int, int] = {}

    def issue(
        self,
        site: Site,
        form: WgmmaForm,
        lanes: Array,
        accumulator: Rows,
        left: Any,
        right: Array,
        scale: Array,
        metadata: Rows | None = None,
    ) -> None:
        """Start the operation for every warpgroup among the lanes."""
        groups = np.unique(lanes // WARPGROUP)
        for warpgroup in groups.tolist():
            members = lanes[lanes // WARPGROUP == warpgroup]
            if len(members) != WARPGROUP:
                self.machine.finding(
                    "divergent-wgmma", "not every thread of the warpgroup takes part", site, 0, members
                )
                continue
            first = int(members[0])
            self._uniform(site, members, right)
            operand: Rows | int = left if isinstance(left, Rows) else int(self._uniform(site, members, left)[first])
            work = MatrixWork(
                self,
                site,
                form,
                warpgroup,
                accumulator,
                operand,
                int(right[first]),
                bool(scale[first]),
                self.committed.get(warpgroup, 0),
                metadata,
            )
            self.queues.setdefault(warpgroup, []).append(work)
            self._observe(work)
            self.engines.submit(work)

    def _uniform(self, site: Site, members: Array, values: Array) -> Array:
        if (values[members] != values[members[0]]).any():
            self.machine.finding(
                "descriptor", "the matrix descriptor differs between the threads of a warpgroup", site, 0, members
            )
        return values

    def commit(self, lanes: Array) -> None:
        for warpgroup in np.unique(lanes // WARPGROUP).tolist():
            if lanes[0] // WARP % 4 == 0 or len(lanes) >= WARPGROUP:
                self.committed[warpgroup] = self.committed.get(warpgroup, 0) + 1

    def wait(self, site: Site, lanes: Array, allowed: int) -> None:
        """All but the latest ``allowed`` groups of the lanes' warpgroups are complete."""
        for warpgroup in np.unique(lanes // WARPGROUP).tolist():
            limit = self.committed.get(warpgroup, 0) - allowed
            due = [work for work in self.queues.get(warpgroup, []) if work.group < limit]
            if due:
                self.run_through(due[-1])
            if self.machine.races is not None:
                self._waited(lanes[lanes // WARPGROUP == warpgroup], limit)

    def run_through(self, last: MatrixWork) -> None:
        queue = self.queues[last.warpgroup]
        while queue:
            work = queue.pop(0)
            self._execute(work)
            work.done = True
            if work is last:
                return

    # -- operands -------------------------------------------------------------------------------------------------

    def _base(self, warpgroup: int) -> int:
        return int(self.machine.shared_base[warpgroup * WARPGROUP])

    def _matrix(self, work: MatrixWork, value: int, extent: int, k: int, kind: str, transposed: bool) -> Array:
        """Raw elements as (extent, k)."""
        descriptor = Descriptor.unpack(value)
        machine, bits = self.machine, BITS[kind]
        if descriptor.base_offset:
            machine.finding(
                "descriptor",
                "a base offset in a matrix descriptor is not modelled",
                work.site,
                0,
                [work.warpgroup * WARPGROUP],
            )
        units = descriptor.units(extent, k, bits, transposed)
        flat = units.reshape(-1)
        lane = np.full(len(flat), work.warpgroup * WARPGROUP)
        inside = flat <= machine.shared_stride - UNIT
        offsets = np.where(inside, flat + self._base(work.warpgroup), -1)
        access = machine.memory.checked(
            work.site,
            Access(machine.shared, offsets, lane, machine.lanes, UNIT),
            VALID | INITIALISED,
            "wgmma operand read",
        )
        data = machine.shared.view(False, 8, 2)[np.where(inside, offsets, 0) // UNIT]
        machine.counters.bytes_read["shared"] += len(access.offsets) * UNIT
        elements = split_elements(np.ascontiguousarray(data), bits).reshape(units.shape[0], -1)
        return np.asarray(elements.T if transposed else elements)

    def _left_registers(self, rows: Rows, warpgroup: int, item_bits: int) -> Array:
        columns = slice(warpgroup * WARPGROUP, (warpgroup + 1) * WARPGROUP)
        values = split_elements(np.ascontiguousarray(rows.read(columns)), item_bits)
        split = values.reshape(-1, 2, 4, 8, 4, 32 // item_bits)
        return split.transpose(2, 1, 3, 0, 4, 5).reshape(64, -1)

    def _execute(self, work: MatrixWork) -> None:
        form, machine = work.form, self.machine
        if isinstance(work.left, Rows):
            left = self._left_registers(work.left, work.warpgroup, BITS[form.left])
        else:
            left = self._matrix(work, work.left, 64, form.kept, form.left, form.left_transposed)
        left = self._dense(work, left) if work.metadata is not None else left
        right = self._matrix(work, work.right, form.n, form.k, form.right, form.right_transposed)
        columns = slice(work.warpgroup * WARPGROUP, (work.warpgroup + 1) * WARPGROUP)
        c = self._read_accumulator(work, columns) if work.scale else self._zero(form)
        if form.left_sign * form.right_sign < 0:
            left = self._negated(left, form.left)
        if form.left == "b1":
            result = bit_product(left, right.T, c, "and")
        else:
            result = product(left, right.T, c, form.left, form.right, form.result, form.saturate, machine.options.tc)
        self._write_accumulator(work, columns, result)
        machine.progress += 1

    def _dense(self, work: MatrixWork, packed: Array) -> Array:
        """The kept elements (64, k/2) at the places that the metadata of the four warps gives them."""
        assert work.metadata is not None
        columns = slice(work.warpgroup * WARPGROUP, (work.warpgroup + 1) * WARPGROUP)
        words = np.ascontiguousarray(work.metadata.read(columns)).reshape(4, 8, 4)
        family = FAMILY[work.form.left]
        entries = ops_sparse.indices(words, family, work.form.k, work.form.selector)
        mask = np.zeros(self.machine.lanes, bool)
        mask[columns] = True
        dense, invalid = ops_sparse.expand(packed, entries.reshape(64, -1), family)
        warps = np.zeros((1, self.machine.warps, 16, invalid.shape[-1]), bool)
        warps[0, work.warpgroup * 4 : work.warpgroup * 4 + 4] = invalid.reshape(4, 16, -1)
        ops_sparse.report_invalid(self.machine, work.site, mask, warps)
        return dense

    def _negated(self, raw: Array, kind: str) -> Array:
        return np.asarray(raw ^ raw.dtype.type(1 << (BITS[kind] - 1)))

    def _zero(self, form: WgmmaForm) -> Array:
        return np.zeros((64, form.n), np.int32 if form.result == "s32" else np.float32)

    def _read_accumulator(self, work: MatrixWork, columns: slice) -> Array:
        form = work.form
        values = np.ascontiguousarray(work.accumulator.read(columns))
        if form.result == "f16":
            halves = values.view(np.uint16).reshape(form.n // 8, 2, 4, 8, 4, 2)
            return decode(np.ascontiguousarray(halves.transpose(2, 1, 3, 0, 4, 5)).reshape(64, form.n), "f16")
        typed = values.view(np.int32 if form.result == "s32" else np.float32)
        split = typed.reshape(form.n // 8, 2, 2, 4, 8, 4)
        return split.transpose(3, 1, 4, 0, 5, 2).reshape(64, form.n)

    def _write_accumulator(self, work: MatrixWork, columns: slice, result: Array) -> None:
        form = work.form
        split = result.reshape(4, 2, 8, form.n // 8, 4, 2)
        if form.result == "f16":
            halves = split if split.dtype == np.uint16 else encode(split, "f16")
            packed = np.ascontiguousarray(halves.transpose(3, 1, 0, 2, 4, 5)).view(np.uint32)
            work.accumulator.write(columns, packed.reshape(-1, WARPGROUP))
            return
        words = np.ascontiguousarray(split.transpose(3, 1, 5, 0, 2, 4)).view(np.uint32)
        work.accumulator.write(columns, words.reshape(-1, WARPGROUP))

    # -- races ----------------------------------------------------------------------------------------------------

    def _observe(self, work: MatrixWork) -> None:
        """The reads of shared memory may happen from now until the wait: one actor per warp."""
        races = self.machine.races
        if races is None:
            return
        form = work.form
        bits = BITS[form.left]
        base = self._base(work.warpgroup)
        limit = self.machine.shared_stride - UNIT
        right = Descriptor.unpack(work.right).units(form.n, form.k, bits, form.right_transposed).reshape(-1)
        right = right[right <= limit] + base
        left = (
            None
            if isinstance(work.left, Rows)
            else Descriptor.unpack(work.left).units(64, form.kept, bits, form.left_transposed)
        )
        for warp in range(4):
            lane = work.warpgroup * WARPGROUP + warp * WARP
            number = lane % races.know.domain // WARP
            actor = races.know.actor(("wgmma", number), f"wgmma of warp {number}")
            races.group_of[actor] = races.know.actor(("warpgroup", number // 4), f"wgmma of warpgroup {number // 4}")
            places = right
            if left is not None:
                part = left[warp * 16 : (warp + 1) * 16] if not form.left_transposed else left
                part = part.reshape(-1)
                places = np.concatenate([right, part[part <= limit] + base])
            races.engine_read(work.site, lane, places, UNIT, actor, work.group + 1)

    def _waited(self, lanes: Array, limit: int) -> None:
        races = self.machine.races
        assert races is not None
        for warp in np.unique(lanes // WARP).tolist():
            number = warp * WARP % races.know.domain // WARP
            actor = races.know.actors.get(("wgmma", number))
            if actor is not None:
                members = lanes[lanes // WARP == warp]
                rows = races.know.rows
                for column in (actor, races.group_of[actor]):
                    rows[members, column] = np.maximum(rows[members, column], max(limit, 0))
