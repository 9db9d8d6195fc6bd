"""Owns the roads a generated program can take besides the reference: each runs it and returns its outputs by name."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import tilewright
from tests.fuzz.program import Program
from tilewright.compiler.back_ends import with_kernels
from tilewright.compiler.emit import emit
from tilewright.compiler.interface import interface_of
from tilewright.compiler.language import typed
from tilewright.compiler.pipeline import Settings, compile_typed, road
from tilewright.compiler.planning import plan_of
from tilewright.compiler.target import Target, find
from tilewright.dialect import ods
from tilewright.dialect.interpret.tensor import run_tensor
from tilewright.passes.base import Instrument, run_passes
from tilewright.passes.cpu.target import host
from tilewright.passes.gpu.lower import lower
from tilewright.passes.gpu.ptx import Chip, to_ptx
from tilewright.passes.tile.rule import Machine
from tilewright.runtime.artifact import Artifact
from tilewright.runtime.emulated import EmulatorEngine
from tilewright.runtime.launch import Program as Launcher
from tilewright.runtime.loading import program_for
from tilewright.runtime.switches import Switches


def tensor_level(program: Program, kernel: typed.TypedKernel) -> dict[str, Any]:
    """The tensor level as it was emitted, before any pass, in the arithmetic of its own dtypes."""
    with ods.session():
        module = emit(kernel)
        dims = {name: program.dims[name] for name in kernel.dims}
        return run_tensor(module, kernel.name, program.arguments, dims)


def native(program: Program, kernel: typed.TypedKernel) -> dict[str, Any]:
    """Native code, compiled in process and called through the public door."""
    result = tilewright.jit(program.source)(**program.arguments, **program.types, **program.consts)
    return _named(kernel, result)


def native_small(program: Program, kernel: typed.TypedKernel) -> dict[str, Any]:
    """Native code in small tiles for vectors of four, chosen quickly: all of our passes, and little of LLVM's."""
    return compiled_and_run(kernel, small_target(program.seed), Settings(), program.arguments)


def native_judged(program: Program, kernel: typed.TypedKernel) -> dict[str, Any]:
    """The same, and the interpreters run the IR before and after each pass on other data."""
    return compiled_and_run(kernel, small_target(program.seed), Settings(verify=True), program.arguments)


def small_target(seed: int) -> Target:
    """This CPU as if its vectors had four lanes, with tiles that extents of one to six fill, overlap and undercut."""
    choice = random.Random(f"target {seed}")
    machine = Machine(
        lanes=4,
        unroll=choice.choice((1, 1, 2)),
        long_unroll=1,
        rows=choice.choice((1, 2, 3)),
        columns=choice.choice((4, 4, 8)),
        depth=choice.choice((1, 2, 4)),
        row_block=choice.choice((6, 12)),
        column_block=8,
        cell_rows=12,
        cell_vectors=choice.choice((8, 16)),
    )
    return Target("cpu", ("cpu",), cpu=replace(host(), lanes=4, effort=0), machine=machine)


def emulated(program: Program, kernel: typed.TypedKernel) -> dict[str, Any]:
    """PTX for sm_80 in the emulator; ptxas is not asked. Raises ``Unsupported`` for functions that the GPU end lacks."""
    target = find("sm_80", Switches())
    assert target.gpu is not None
    with ods.session():
        module = emit(kernel)
        for _, passes in road(target, Settings()):
            module = run_passes(module, passes)
        lowered = lower(module, Chip(target.gpu.arch), target.machine.stages)
        plan = plan_of(module, interface_of(kernel, None), {one.name: one.sites for one in lowered.kernels})
        ptx = to_ptx(lowered.module)
    launcher = Launcher(with_kernels(plan, lowered.kernels, target), EmulatorEngine(ptx))
    return _named(kernel, launcher(**program.arguments))


def compiled_and_run(
    kernel: typed.TypedKernel, target: Target, settings: Settings, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """The outputs of ``kernel`` compiled in this process for ``target``, by name.

    Where passes are judged they are verified too; where they are not, running the code is the check.
    """
    built = compile_typed(kernel, target, settings, Instrument(verify=settings.verify, levels=settings.verify))
    artifact = Artifact(built.plan, target.description(), built.code, {}, {})
    return _named(kernel, program_for(artifact, "cpu", threads=1)(**arguments))


def _named(kernel: typed.TypedKernel, result: Any) -> dict[str, Any]:
    names = [tensor.name for tensor in kernel.outputs]
    return dict(zip(names, result if len(names) > 1 else (result,), strict=True))
