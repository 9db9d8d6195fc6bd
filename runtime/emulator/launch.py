"""Launching a kernel on the emulator: arguments in, batches of CTAs, results and report out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.runtime.emulator.arguments import GlobalMemory, pack_parameters
from tilewright.runtime.emulator.assumptions import Assumptions, assumptions
from tilewright.runtime.emulator.counters import Counters
from tilewright.runtime.emulator.errors import EmulationStopped, LaunchError
from tilewright.runtime.emulator.limits import MAX_CTAS, MAX_SHARED, shortened
from tilewright.runtime.emulator.machine import Machine
from tilewright.runtime.emulator.module import Module
from tilewright.runtime.emulator.program import Program
from tilewright.runtime.emulator.races import global_cell
from tilewright.runtime.emulator.races_global import GlobalRaces
from tilewright.runtime.emulator.report import FindingLog, Report
from tilewright.runtime.emulator.scheduler import Scheduler

SCHEDULES = ("in-order", "reverse", "random")
COMPLETIONS = ("eager", "lazy", "random")
CHECKS = ("memory", "races", "barriers", "performance")
MODELS = ("ideal", "sm80", "sm90")
BATCH_LANES = 4096
RESIDENT_LANES = 65536


@dataclass(frozen=True, slots=True)
class Options:
    """How to run; see ``launch``."""

    schedule: str = "in-order"
    completion: str = "lazy"
    check: tuple[str, ...] = ("memory", "races", "barriers")
    seed: int = 0
    tc: str = "ideal"
    max_steps: int = 50_000_000
    strict: bool = True
    assume: Assumptions = Assumptions()

    def checks(self, name: str) -> bool:
        return name in self.check


@dataclass(frozen=True, slots=True)
class Geometry:
    """Grid, block and cluster of a launch."""

    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    cluster: tuple[int, int, int]
    shared_bytes: int

    @property
    def threads(self) -> int:
        return self.block[0] * self.block[1] * self.block[2]

    @property
    def ctas(self) -> int:
        return self.grid[0] * self.grid[1] * self.grid[2]

    @property
    def cluster_size(self) -> int:
        return self.cluster[0] * self.cluster[1] * self.cluster[2]

    def cta_coordinates(self, index: int) -> tuple[int, int, int]:
        """Grid coordinates of a CTA; numbering goes cluster by cluster, x first inside each."""
        (gx, gy, _), (cx, cy, cz) = self.grid, self.cluster
        number, rank = divmod(index, self.cluster_size)
        wide, high = gx // cx, gy // cy
        base = (number % wide * cx, number // wide % high * cy, number // (wide * high) * cz)
        return base[0] + rank % cx, base[1] + rank // cx % cy, base[2] + rank // (cx * cy)


def launch(
    module: Module,
    entry: str,
    grid: Sequence[int],
    block: Sequence[int],
    cluster: Sequence[int] = (1, 1, 1),
    shared_bytes: int = 0,
    args: Sequence[Any] = (),
    schedule: str = "in-order",
    completion: str = "lazy",
    check: Sequence[str] = ("memory", "races", "barriers"),
    seed: int = 0,
    tc: str = "ideal",
    raise_on_finding: bool = False,
    max_steps: int = 50_000_000,
    strict: bool = True,
    assume: dict[str, str] | None = None,
) -> Report:
    """Run a kernel over NumPy arrays, which are read and written in place.

    Args:
        grid, block, cluster: up to three extents, x first.
        shared_bytes: dynamic shared memory per CTA.
        args: one per parameter: arrays for pointers, scalars, ``TensorMap``, or raw bytes.
        schedule: ``in-order``, ``reverse`` or ``random`` order of warps.
        completion: when asynchronous work happens: ``eager``, ``lazy`` (last legal moment) or ``random``.
        check: any of ``memory``, ``races``, ``barriers``, ``performance``.
        seed: of both random policies.
        tc: arithmetic of matrix instructions: ``ideal``, ``sm80``, ``sm90``.
        raise_on_finding: raise ``FindingRaised`` at the first error instead of going on.
        strict: report what only the strict reading of the memory model objects to, as warnings.
        assume: modelling assumptions to change, by name; see ``assumptions.Assumptions``.

    Raises:
        LaunchError: when the launch does not fit the kernel.
        UnsupportedInstruction: for an instruction that is not modelled.
    """
    options = _options(schedule, completion, tuple(check), seed, tc, max_steps, strict, assumptions(assume or {}))
    geometry = _geometry(module, entry, grid, block, cluster, shared_bytes)
    program = module.program(entry)
    if program.layout.real_static + shared_bytes > MAX_SHARED:
        raise LaunchError(
            f"{program.layout.real_static + shared_bytes} bytes of shared memory, at most {MAX_SHARED} exist"
        )
    memory = GlobalMemory(module.globals, args)
    parameters = pack_parameters(module.entries[entry], args, memory)
    log = FindingLog(raise_on_finding, memory.describe)
    counters = Counters(program, options.checks("performance"))
    global_races = None
    if options.checks("races"):
        global_races = GlobalRaces(memory.arena, global_cell(program), geometry)
    completed = True
    try:
        with np.errstate(all="ignore"):
            for ctas in _batches(program, geometry, options):
                machine = Machine(
                    program, geometry, options, ctas, memory.arena, parameters, log, counters, global_races
                )
                Scheduler(machine).run()
                machine.engines.finish_all()
    except EmulationStopped:
        completed = False
    finally:
        memory.copy_back()
    return Report(list(log.found.values()), counters, counters.coverage(), completed)


def _options(
    schedule: str,
    completion: str,
    check: tuple[str, ...],
    seed: int,
    tc: str,
    max_steps: int,
    strict: bool,
    assume: Assumptions,
) -> Options:
    for value, allowed, name in (
        (schedule, SCHEDULES, "schedule"),
        (completion, COMPLETIONS, "completion"),
        (tc, MODELS, "tc"),
    ):
        if value not in allowed:
            raise LaunchError(f"{name}={value!r} is not one of {', '.join(allowed)}")
    for value in check:
        if value not in CHECKS:
            raise LaunchError(f"check {value!r} is not one of {', '.join(CHECKS)}")
    return Options(schedule, completion, check, seed, tc, max_steps, strict, assume)


def _extent(name: str, values: Sequence[int], limits: tuple[int, int, int]) -> tuple[int, int, int]:
    padded = tuple(int(value) for value in values) + (1, 1, 1)
    if not 1 <= len(values) <= 3 or any(not 1 <= v <= limit for v, limit in zip(padded[:3], limits, strict=True)):
        raise LaunchError(f"{name} {tuple(values)} must have up to three extents from 1 to {limits}")
    return padded[0], padded[1], padded[2]


def _geometry(
    module: Module, entry: str, grid: Sequence[int], block: Sequence[int], cluster: Sequence[int], shared_bytes: int
) -> Geometry:
    known = module.entries.get(entry)
    if known is None:
        raise LaunchError(f"no entry `{entry}`; the module has {shortened(', '.join(module.entries)) or 'none'}")
    if known.cluster is not None and tuple(cluster) == (1, 1, 1):
        cluster = known.cluster
    geometry = Geometry(
        _extent("grid", grid, (2**31 - 1, 65535, 65535)),
        _extent("block", block, (1024, 1024, 64)),
        _extent("cluster", cluster, (16, 16, 16)),
        int(shared_bytes),
    )
    if geometry.threads > 1024:
        raise LaunchError(f"{geometry.threads} threads per block, at most 1024 exist")
    if known.reqntid is not None and known.reqntid != geometry.block:
        raise LaunchError(f"block {geometry.block}, but `{entry}` requires {known.reqntid}")
    if known.maxntid is not None and geometry.threads > int(np.prod(known.maxntid)):
        raise LaunchError(f"block {geometry.block}, but `{entry}` allows at most {known.maxntid}")
    if known.cluster is not None and known.cluster != geometry.cluster:
        raise LaunchError(f"cluster {geometry.cluster}, but `{entry}` requires {known.cluster}")
    if any(g % c for g, c in zip(geometry.grid, geometry.cluster, strict=True)) or geometry.cluster_size > 16:
        raise LaunchError(f"grid {geometry.grid} is not made of clusters {geometry.cluster} of at most 16 CTAs")
    if geometry.ctas > MAX_CTAS:
        raise LaunchError(f"{geometry.ctas} CTAs, at most {MAX_CTAS} are emulated")
    if shared_bytes < 0:
        raise LaunchError("shared_bytes is negative")
    return geometry


def _batches(program: Program, geometry: Geometry, options: Options) -> Iterator[list[int]]:
    """CTAs that run together. Kernels that may wait for other CTAs get the whole grid resident when it fits."""
    padded = -(-geometry.threads // 32) * 32
    limit = RESIDENT_LANES if program.spins else BATCH_LANES
    per_batch = max(limit // (padded * geometry.cluster_size), 1) * geometry.cluster_size
    starts = np.arange(0, geometry.ctas, per_batch)
    if options.schedule == "reverse":
        starts = starts[::-1]
    elif options.schedule == "random":
        np.random.default_rng(options.seed).shuffle(starts)
    for start in starts.tolist():
        yield list(range(start, min(start + per_batch, geometry.ctas)))
