"""Owns the targets: what is known about each machine that code is generated for. Passes see these rows, never names.

Figures of GPUs are from the CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tilewright.passes.cpu import target as cpu_target
from tilewright.passes.cpu.target import CpuTarget
from tilewright.passes.tile.rule import Machine
from tilewright.runtime.errors import CallError
from tilewright.runtime.switches import Switches


@dataclass(frozen=True)
class Gpu:
    """What bounds a CTA; ``shared_bytes`` is the most dynamic shared memory that a kernel may opt in to."""

    arch: str
    shared_bytes: int
    registers_per_thread: int = 255
    threads_per_block: int = 1024


@dataclass(frozen=True)
class Target:
    """One row. ``devices`` can run its code, the first one is the default.

    ``specialises`` are the kinds of facts that its code may assume of a call: ``divisible``, ``aligned``, ``index32``.
    ``machine`` is what the schedule rule knows of it.
    """

    name: str
    devices: tuple[str, ...]
    specialises: tuple[str, ...] = ()
    cpu: CpuTarget | None = None
    gpu: Gpu | None = None
    machine: Machine = field(default_factory=Machine)

    def description(self) -> dict[str, str]:
        """The row as text: part of cache keys and artifacts."""
        if self.cpu is not None:
            return {"name": self.name, "cpu": self.cpu.name, "features": self.cpu.features, "triple": self.cpu.triple}
        return {"name": self.name, "arch": self.gpu.arch if self.gpu else ""}


_GPU_FACTS = ("divisible", "aligned", "index32")
_AMPERE = Machine(
    lanes=128, unroll=4, long_unroll=4, rows=128, columns=128, depth=32, cell_vectors=512, packs=False, keeps=False,
    warps=4, matrix_warps=8, stages=3,
)  # fmt: skip
GPUS: Mapping[str, Target] = {
    "sm_80": Target("sm_80", ("cuda", "emulator"), _GPU_FACTS, gpu=Gpu("sm_80", shared_bytes=166_912), machine=_AMPERE),
}


def find(name: str, switches: Switches) -> Target:
    """The target called ``name``; ``cpu`` is this machine unless the switches say otherwise (TW1019 if unknown)."""
    if name == "cpu":
        cpu = _cpu(switches)
        machine = Machine(lanes=cpu.lanes, columns=2 * cpu.lanes, registers=cpu.registers)
        return Target("cpu", ("cpu",), cpu=cpu, machine=machine)
    if name in GPUS:
        return GPUS[name]
    raise CallError("TW1019", f"unknown target {name!r}", argument="target", expected=", ".join(["cpu", *GPUS]),
                    found=name)  # fmt: skip


def _cpu(switches: Switches) -> CpuTarget:
    host = cpu_target.host()
    if not switches.cpu:
        return host
    features = dict.fromkeys((item[1:] for item in switches.cpu_features.split(",") if item), False)
    for item in filter(None, switches.cpu_features.split(",")):
        features[item[1:]] = item.startswith("+")
    return cpu_target.from_features(switches.cpu, host.triple, features)


def device_for(target: Target, device: str | None) -> str:
    """The device to run on: the given one if it can run the target's code (TW1012), else the target's first."""
    if device is None:
        return target.devices[0]
    if device not in target.devices:
        raise CallError("TW1012", f"{device!r} cannot run code for {target.name}", argument="device",
                        expected=", ".join(target.devices), found=device)  # fmt: skip
    return device
