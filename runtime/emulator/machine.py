"""The state of one batch of CTAs: lanes, registers, memories, and the services that instructions use."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator.action import Mask, Site
from tilewright.runtime.emulator.engines import Engines
from tilewright.runtime.emulator.matrix_hazards import MatrixHazards
from tilewright.runtime.emulator.memory import INITIALISED, VALID, WRITABLE, Arena, MemorySystem
from tilewright.runtime.emulator.races import RaceDetector, detector_options
from tilewright.runtime.emulator.registers import RegisterFile
from tilewright.runtime.emulator.report import Finding
from tilewright.runtime.emulator.scalar_types import Array
from tilewright.runtime.emulator.spaces import GLOBAL_BASE
from tilewright.runtime.emulator.steps import Binder, Step

if TYPE_CHECKING:
    from tilewright.runtime.emulator.counters import Counters
    from tilewright.runtime.emulator.launch import Geometry, Options
    from tilewright.runtime.emulator.program import Program
    from tilewright.runtime.emulator.races_global import GlobalRaces
    from tilewright.runtime.emulator.report import FindingLog
    from tilewright.runtime.emulator.syntax import Instruction

WARP = 32
SHOWN_LANES = 8


class Machine:
    """A batch of CTAs of one launch.

    Lanes of a CTA are padded to whole warps; padding lanes are never alive.

    Args:
        ctas: linear CTA numbers of the batch, whole clusters in order.
        shared_memory_bytes: dynamic shared memory of each CTA.
    """

    def __init__(
        self,
        program: Program,
        geometry: Geometry,
        options: Options,
        ctas: list[int],
        global_memory: Arena,
        parameters: Arena,
        log: FindingLog,
        counters: Counters,
        global_races: GlobalRaces | None = None,
    ) -> None:
        self.program, self.geometry, self.options = program, geometry, options
        self.ctas = ctas
        self.threads = geometry.threads
        self.padded = -(-self.threads // WARP) * WARP
        self.lanes = self.padded * len(ctas)
        self.warps = self.lanes // WARP
        self.log, self.counters = log, counters
        self.random = random.Random(options.seed)
        lane = np.arange(self.lanes)
        self.cta_of, self.thread_of = lane // self.padded, lane % self.padded
        self.alive = self.thread_of < self.threads
        self.all_alive = bool(self.alive.all())
        self.cluster_size = geometry.cluster_size
        self.cluster_first = self.cta_of // self.cluster_size * self.cluster_size
        self.global_memory, self.parameters = global_memory, parameters
        self._allocate()
        self.registers = RegisterFile(program.rows.counts, self.lanes)
        self.memory = MemorySystem(self)
        self.races: RaceDetector | None = None
        if options.checks("races"):
            cell, proxies = detector_options(program)
            self.races = RaceDetector(self, cell, proxies, global_races)
        self.engines = Engines(self)
        self.hazards = MatrixHazards(self) if program.matrix_events and options.checks("races") else None
        self.progress = 0
        self.steps = 0
        self._specials: dict[str, Any] = {}
        self.bound: dict[int, list[Step]] = {}
        self.binder = Binder(self)

    def _allocate(self) -> None:
        program, geometry = self.program, self.geometry
        used = program.layout.shared_size(geometry.shared_bytes)
        self.shared_used = used
        self.shared_stride = max(-(-(used + 64) // 1024) * 1024, 1024)
        self.shared = Arena("shared", self.shared_stride * len(self.ctas))
        per_cta = self.shared.state[: self.shared_stride * len(self.ctas)].reshape(len(self.ctas), -1)
        for start, size in program.layout.shared_objects(geometry.shared_bytes):
            per_cta[:, start : start + size] = VALID | WRITABLE
        self.shared_base = self.cta_of * self.shared_stride
        self.local_stride = program.layout.local_size
        self.local = Arena("local", max(self.local_stride * self.lanes, 8))
        local = self.local.state[: self.local_stride * self.lanes].reshape(self.lanes, -1)
        for start, size in program.layout.local_objects:
            local[:, start : start + size] = VALID | WRITABLE
        for start, values in program.layout.shared_values:
            raw = np.frombuffer(values, np.uint8)
            data = self.shared.data[: self.shared_stride * len(self.ctas)].reshape(len(self.ctas), -1)
            data[:, start : start + len(raw)] = raw
            per_cta[:, start : start + len(raw)] |= INITIALISED

    # -- lanes ----------------------------------------------------------------------------------------------------

    def lane_ids(self, mask: Mask) -> Array:
        """Lane numbers of a mask of shape (lanes,) or (1, lanes)."""
        if mask is True:
            return np.arange(self.lanes)
        return np.flatnonzero(np.asarray(mask).reshape(-1))

    def lane_mask(self, mask: Mask) -> Array:
        return np.ones(self.lanes, bool) if mask is True else np.broadcast_to(mask, (1, self.lanes))[0]

    def coordinates(self, slot: int) -> tuple[int, int, int]:
        """Grid coordinates of the CTA in a slot of the batch."""
        return self.geometry.cta_coordinates(self.ctas[slot])

    # -- special registers ----------------------------------------------------------------------------------------

    def special(self, name: str) -> Any:
        """Value of a special register: a scalar, a (lanes,) array, or a callable for what changes."""
        if name not in self._specials:
            self._specials[name] = self._make_special(name)
        return self._specials[name]

    def _make_special(self, name: str) -> Any:
        base, _, axis = name.partition(".")
        if axis:
            return self._vector_special(base, "xyzw".index(axis))
        lane = (self.thread_of % WARP).astype(np.uint32)
        one = np.uint32(1)
        table: dict[str, Callable[[], Any]] = {
            "laneid": lambda: lane,
            "warpid": lambda: (self.thread_of // WARP).astype(np.uint32),
            "nwarpid": lambda: np.uint32(self.padded // WARP),
            "smid": lambda: self.cta_of.astype(np.uint32),
            "nsmid": lambda: np.uint32(max(len(self.ctas), 1)),
            "gridid": lambda: np.uint64(1),
            "lanemask_eq": lambda: one << lane,
            "lanemask_lt": lambda: (one << lane) - one,
            "lanemask_le": lambda: (one << lane) | ((one << lane) - one),
            "lanemask_ge": lambda: ~((one << lane) - one),
            "lanemask_gt": lambda: ~((one << lane) | ((one << lane) - one)),
            "cluster_ctarank": lambda: (self.cta_of % self.cluster_size).astype(np.uint32),
            "cluster_nctarank": lambda: np.uint32(self.cluster_size),
            "is_explicit_cluster": lambda: np.bool_(self.cluster_size > 1),
            "clock": lambda: lambda: np.uint32(self.steps & 0xFFFFFFFF),
            "clock_hi": lambda: np.uint32(0),
            "clock64": lambda: lambda: np.uint64(self.steps),
            "globaltimer": lambda: lambda: np.uint64(self.steps),
            "globaltimer_lo": lambda: lambda: np.uint32(self.steps & 0xFFFFFFFF),
            "globaltimer_hi": lambda: np.uint32(0),
            "total_smem_size": lambda: np.uint32(self.shared_used),
            "aggr_smem_size": lambda: np.uint32(self.shared_used),
            "dynamic_smem_size": lambda: np.uint32(self.geometry.shared_bytes),
        }
        return table.get(base, lambda: np.uint32(0))()

    def _vector_special(self, base: str, axis: int) -> Any:
        geometry = self.geometry
        block, grid, cluster = geometry.block, geometry.grid, geometry.cluster
        if axis == 3:
            return np.uint32(0)
        if base == "tid":
            strides = (1, block[0], block[0] * block[1])
            return (self.thread_of // strides[axis] % block[axis]).astype(np.uint32)
        fixed = {
            "ntid": block,
            "nctaid": grid,
            "cluster_nctaid": cluster,
            "nclusterid": tuple(g // c for g, c in zip(grid, cluster, strict=True)),
        }
        if base in fixed:
            return np.uint32(fixed[base][axis])
        place = np.array([geometry.cta_coordinates(cta)[axis] for cta in self.ctas])
        table = {"ctaid": place, "clusterid": place // cluster[axis], "cluster_ctaid": place % cluster[axis]}
        value = table[base].astype(np.uint32)
        return value[0] if len(self.ctas) == 1 else np.ascontiguousarray(value[self.cta_of])

    # -- services -------------------------------------------------------------------------------------------------

    def block_steps(self, index: int) -> list[Step]:
        """The bound steps of a block, made when it first runs."""
        found = self.bound.get(index)
        if found is None:
            found = self.bound[index] = [self.binder.step(group) for group in self.program.groups(index)]
        return found

    def finding(
        self,
        kind: str,
        message: str,
        site: Site | None,
        row: int,
        lanes: Any,
        address: int | None = None,
        other: str | None = None,
        severity: str = "error",
        count: int = 1,
    ) -> None:
        """Record a finding for lanes of this batch."""
        instruction = site.instructions[min(row, site.count - 1)] if site is not None else None
        self.report(kind, message, instruction, lanes, address, other, severity, count)

    def report(
        self,
        kind: str,
        message: str,
        instruction: Instruction | None,
        lanes: Any,
        address: int | None = None,
        other: str | None = None,
        severity: str = "error",
        count: int = 1,
    ) -> None:
        ids = np.unique(np.asarray(lanes).reshape(-1))
        slot = int(self.cta_of[ids[0]]) if len(ids) else -1
        same = ids[self.cta_of[ids] == slot] if len(ids) else ids
        shown = tuple(int(self.thread_of[lane]) for lane in same[:SHOWN_LANES])
        text = message + (f": `{instruction.opcode}`" if instruction is not None else "")
        source = self.program.source_line(instruction) if instruction is not None else None
        self.log.add(
            Finding(
                kind,
                text,
                instruction.line if instruction is not None else 0,
                source,
                shown,
                self.coordinates(slot) if slot >= 0 else None,
                address,
                other,
                severity,
                count,
            )
        )

    def strong(
        self,
        site: Site,
        mask: Mask,
        base: Array,
        offset: Array,
        space: str,
        size: int,
        semantics: str,
        scope: str | None,
    ) -> AbstractContextManager[None]:
        """Ordering of a strong (relaxed, acquire, release, volatile) access for the race detector."""
        if self.races is None:
            return nullcontext()
        return self.races.strong(site, mask, base, offset, space, size, semantics, scope)

    def global_origin(self) -> int:
        return GLOBAL_BASE
