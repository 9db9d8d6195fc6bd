"""Owns the two roads below the fork: tile programs to native code in an object file, or to PTX and a cubin."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tilewright.compiler.planning import plan_of
from tilewright.compiler.target import Target
from tilewright.dialect.faults import ExceedsTarget
from tilewright.dialect.printing import dump
from tilewright.runtime.plan import Plan


@dataclass(frozen=True)
class Built:
    """What a compilation gives: the plan, its code by form, and texts for people by file name."""

    plan: Plan
    code: dict[str, bytes]
    notes: dict[str, str] = field(default_factory=dict)


def native(module: Any, interface: Plan, target: Target, keep: bool) -> Built:
    """Object code for a CPU; with ``keep`` the LLVM IR and the assembly text too."""
    from tilewright.passes.cpu.native import compile_native

    assert target.cpu is not None
    made = compile_native(module, target.cpu)
    plan = plan_of(module, interface, made.sites)
    notes = {"llvm.ll": made.llvm_ir, "code.s": made.asm} if keep else {}
    return Built(plan, {"o": made.object_bytes}, notes)


def gpu(module: Any, interface: Plan, target: Target, keep: bool) -> Built:
    """PTX, and a cubin with its resources where ptxas is installed (the emulator needs the PTX alone)."""
    from tilewright.passes.gpu.lower import lower
    from tilewright.passes.gpu.ptx import Chip, ToolMissing, assemble, to_ptx

    assert target.gpu is not None
    chip = Chip(target.gpu.arch)
    lowered = lower(module, chip, target.machine.stages)
    notes = {"thread.mlir": dump(lowered.module, locations=True) + "\n"} if keep else {}
    sites = {kernel.name: kernel.sites for kernel in lowered.kernels}
    plan = with_kernels(plan_of(module, interface, sites), lowered.kernels, target)
    ptx = to_ptx(lowered.module)
    code = {"ptx": ptx.encode()}
    notes["code.ptx"] = ptx
    notes["remarks.txt"] = "".join(f"{k.name}: {remark}\n" for k in lowered.kernels for remark in k.remarks)
    try:
        assembled = assemble(ptx, chip)
    except ToolMissing:
        return Built(plan, code, notes)
    code["cubin"] = assembled.cubin
    notes["remarks.txt"] += "".join(f"ptxas: {warning}\n" for warning in assembled.warnings)
    notes["resources.json"] = json.dumps(_resources(assembled.resources, plan), indent=1)
    if keep:
        notes |= _disassembled(assembled.cubin)
    return Built(plan, code, notes)


def with_kernels(plan: Plan, kernels: Sequence[Any], target: Target) -> Plan:
    """The plan with each launch's threads and shared memory."""
    found = {kernel.name: kernel for kernel in kernels}
    launches = []
    for launch in plan.launches:
        kernel = found[launch.name]
        assert target.gpu is not None
        _require(launch.name, "threads", kernel.threads, target.gpu.threads_per_block)
        _require(launch.name, "bytes of shared memory", kernel.shared_bytes, target.gpu.shared_bytes)
        launches.append(replace(launch, block=(kernel.threads, 1, 1), shared_bytes=kernel.shared_bytes))
    return replace(plan, launches=tuple(launches))


def _require(launch: str, what: str, needed: int, most: int) -> None:
    if needed > most:
        raise ExceedsTarget(launch, what, needed, most)


def _resources(found: Sequence[Any], plan: Plan) -> dict[str, dict[str, Any]]:
    """By launch: what ptxas reports, and the dynamic shared memory of the plan."""
    dynamic = {launch.name: launch.shared_bytes for launch in plan.launches}
    rows = {}
    for resources in found:
        row = dataclasses.asdict(resources)
        name = row.pop("entry")
        rows[name] = {**row, "dynamic_shared_bytes": dynamic.get(name, 0)}
    return rows


def _disassembled(cubin: bytes) -> dict[str, str]:
    from tilewright.passes.gpu.ptx import ToolMissing, disassemble

    try:
        return {"code.sass": disassemble(cubin)}
    except ToolMissing:
        return {}
