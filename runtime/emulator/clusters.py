"""Clusters: the split cluster barrier, ``mapa`` and ``getctarank`` (PTX ISA, "barrier.cluster", "mapa")."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tilewright.runtime.emulator.action import Action, Mask, Order, Site
from tilewright.runtime.emulator.decode import Context, Decoder, Modifiers, destination, operands, source
from tilewright.runtime.emulator.knowledge import merge
from tilewright.runtime.emulator.scalar_types import U32, Array
from tilewright.runtime.emulator.spaces import CLUSTER_MASK, CLUSTER_SHIFT, SHARED_WINDOW
from tilewright.runtime.emulator.syntax import Instruction

if TYPE_CHECKING:
    from tilewright.runtime.emulator.engines import Engines
    from tilewright.runtime.emulator.machine import Machine


class ClusterBarriers:
    """One barrier per cluster; arrival and wait are separate instructions."""

    def __init__(self, machine: Machine, engines: Engines) -> None:
        self.machine = machine
        self.engines = engines
        self.cluster_of = machine.cta_of // machine.cluster_size
        count = int(self.cluster_of[-1]) + 1
        self.generation = np.zeros(count, np.int64)
        self.arrived = np.zeros(machine.lanes, bool)
        self.target = np.zeros(machine.lanes, np.int64)
        self.collecting: dict[int, tuple[Array, Array | None]] = {}
        self.released: dict[int, tuple[Array, Array | None]] = {}

    def arrive(self, site: Site, mask: Mask, relaxed: bool) -> None:
        machine = self.machine
        lanes = machine.lane_ids(mask)
        again = lanes[self.arrived[lanes]]
        if len(again):
            machine.finding("barrier", "a thread arrives twice at the cluster barrier without a wait", site, 0, again)
        self.arrived[lanes] = True
        self.target[lanes] = self.generation[self.cluster_of[lanes]] + 1
        if machine.races is not None and not relaxed:
            self._release(lanes)
        machine.progress += 1
        self.recheck()

    def _release(self, lanes: Array) -> None:
        races = self.machine.races
        assert races is not None
        for cluster in np.unique(self.cluster_of[lanes]).tolist():
            members = lanes[self.cluster_of[lanes] == cluster]
            row = races.know.rows[members].max(axis=0)
            fenced = None if races.know.fenced is None else races.know.fenced[members].max(axis=0)
            old, old_fenced = self.collecting.get(cluster, (None, None))
            self.collecting[cluster] = (merge(old, row), None if fenced is None else merge(old_fenced, fenced))
        races.know.tick(lanes)

    def recheck(self) -> None:
        """Complete the barrier of every cluster whose living threads have all arrived."""
        waiting = self.machine.alive & ~self.arrived
        per_cluster = waiting.reshape(len(self.generation), -1).any(1)
        some = self.arrived.reshape(len(self.generation), -1).any(1)
        for cluster in np.flatnonzero(~per_cluster & some).tolist():
            self.generation[cluster] += 1
            self.arrived[self.cluster_of == cluster] = False
            if cluster in self.collecting:
                self.released[cluster] = self.collecting.pop(cluster)
            self.engines.event = True
            self.machine.progress += 1

    def ready(self, mask: Array) -> Array:
        return np.asarray(mask & (self.generation[self.cluster_of] >= self.target))

    def wait(self, site: Site, mask: Mask) -> None:
        machine = self.machine
        lanes = machine.lane_ids(mask)
        never = lanes[self.target[lanes] == 0]
        if len(never):
            machine.finding("barrier", "a thread waits at the cluster barrier without having arrived", site, 0, never)
        if machine.races is None:
            return
        for cluster in np.unique(self.cluster_of[lanes]).tolist():
            if cluster in self.released:
                machine.races.know.learn(lanes[self.cluster_of[lanes] == cluster], *self.released[cluster])

    def describe(self, mask: Array) -> str:
        cluster = int(self.cluster_of[np.argmax(mask)])
        members = self.cluster_of == cluster
        missing = np.count_nonzero(members & self.machine.alive & ~self.arrived)
        return f"cluster barrier: {missing} threads have not arrived"


def cluster_barrier(context: Context, instruction: Instruction) -> Action:
    """``barrier.cluster.arrive`` and ``barrier.cluster.wait``."""
    m = Modifiers(instruction)
    m.need("cluster")
    name = m.need("arrive", "wait")
    ordering = m.choice(*(("release", "relaxed") if name == "arrive" else ("acquire",)))
    m.flag("aligned")
    m.finish()
    function = partial(_arrive, ordering == "relaxed") if name == "arrive" else _wait
    return Action(instruction, function, (), (), Order.STRICT, effect=True)


def _arrive(relaxed: bool, machine: Machine, site: Site, mask: Mask) -> None:
    machine.engines.clusters.arrive(site, mask, relaxed)


def _wait(machine: Machine, site: Site, mask: Mask) -> None:
    machine.engines.clusters.wait(site, mask)


def mapa(context: Context, instruction: Instruction) -> Action:
    """The address of the same variable in another CTA of the cluster (PTX ISA, "mapa")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    shared = m.flag("shared::cluster")
    m.finish()
    items = operands(instruction, 3)
    inputs = (source(context, instruction, items[1], kind), source(context, instruction, items[2], U32))
    return Action(
        instruction,
        partial(_map_address, 0 if shared else SHARED_WINDOW),
        inputs,
        (destination(instruction, items[0], kind),),
    )


def _map_address(window: int, base: Array, rank: Array) -> Array:
    kind = np.asarray(base).dtype
    inner = (base - kind.type(window)) & kind.type(CLUSTER_MASK)
    field = (np.asarray(rank).astype(kind) + kind.type(1)) << kind.type(CLUSTER_SHIFT)
    return np.asarray((inner | field) + kind.type(window))


def get_rank(context: Context, instruction: Instruction) -> Action:
    """The rank of the CTA that a shared address belongs to (PTX ISA, "getctarank")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    window = 0 if m.flag("shared::cluster") else SHARED_WINDOW
    m.finish()
    items = operands(instruction, 2)
    inputs = (source(context, instruction, items[1], kind),)
    return Action(instruction, partial(_rank, window), inputs, (destination(instruction, items[0], U32),), effect=True)


def _rank(window: int, machine: Machine, site: Site, mask: Mask, address: Array) -> Array:
    field = (np.asarray(address).astype(np.int64) - window) >> CLUSTER_SHIFT
    own = machine.cta_of % machine.cluster_size
    return np.where(field == 0, own, field - 1).astype(np.uint32)


TABLE: dict[str, Decoder] = {"mapa": mapa, "getctarank": get_rank}
