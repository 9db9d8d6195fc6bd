"""Owns the roads a generated program can take besides the reference: each runs it and returns its outputs by name."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tilewright
from tests.fuzz.generate import Backend
from tests.fuzz.program import Program
from tilewright.compiler.emit import emit
from tilewright.compiler.language import typed
from tilewright.compiler.pipeline import Settings, compile_typed
from tilewright.compiler.target import GPUS, Target
from tilewright.dialect import ods
from tilewright.dialect.interpret.tensor import run_tensor
from tilewright.passes.base import Instrument
from tilewright.passes.cpu.target import host
from tilewright.passes.gpu import ptx
from tilewright.passes.tile.rule import Machine
from tilewright.runtime.artifact import Artifact
from tilewright.runtime.emulated import EmulatorEngine
from tilewright.runtime.facts import ALIGNMENT
from tilewright.runtime.launch import Program as Runnable
from tilewright.runtime.loading import program_for


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


def native_without(disabled: frozenset[str]) -> Backend:
    """Native code in small tiles without some optional passes."""

    def road(program: Program, kernel: typed.TypedKernel) -> dict[str, Any]:
        return compiled_and_run(kernel, small_target(program.seed), Settings(disabled=disabled), program.arguments)

    return road


def small_target(seed: int) -> Target:
    """This CPU as if its vectors had four lanes, with tiles that extents of one to six fill, overlap and undercut."""
    choice = random.Random(f"target {seed}")
    machine = Machine(
        lanes=4,
        unroll=choice.choice((1, 1, 2)),
        long_unroll=1,
        rows=choice.choice((1, 2, 3)),
        columns=choice.choice((4, 6, 8)),
        depth=choice.choice((1, 2, 4)),
        row_block=choice.choice((6, 12)),
        column_block=8,
        cell_rows=12,
        cell_vectors=choice.choice((8, 16)),
    )
    return Target("cpu", ("cpu",), cpu=replace(host(), lanes=4, effort=0), machine=machine)


def emulated(program: Program, kernel: typed.TypedKernel) -> dict[str, Any]:
    """PTX for sm_80 in tiles of any size, run in the emulator, which looks for races and bad addresses."""
    target, choice = small_gpu(program.seed), random.Random(f"emulated {program.seed}")
    facts = true_facts(program, kernel) if choice.random() < 0.5 else ()
    with pytest.MonkeyPatch.context() as patch:  # the emulator needs no machine code
        patch.setattr(ptx, "assemble", _no_assembler)
        built = compile_typed(kernel, target, Settings(facts=facts), Instrument(verify=False, levels=True))
    order = choice.choice(("in-order", "reverse", "random"))
    completion = choice.choice(("eager", "lazy", "random"))
    engine = EmulatorEngine(built.code["ptx"].decode(), schedule=order, completion=completion, seed=program.seed)
    return _named(kernel, Runnable(built.plan, engine)(**program.arguments))


def _no_assembler(*_: Any) -> Any:
    raise ptx.ToolMissing("not asked for")


def small_gpu(seed: int) -> Target:
    """sm_80 with tiles that small extents fill, overlap and undercut, powers of two or not."""
    choice = random.Random(f"gpu {seed}")
    machine = Machine(
        lanes=choice.choice((4, 8, 12, 32, 64)),
        unroll=choice.choice((1, 2)),
        long_unroll=1,
        rows=choice.choice((16, 32, 5)),
        columns=choice.choice((16, 32, 6)),
        depth=choice.choice((16, 8, 3)),
        cell_vectors=choice.choice((2, 4, 16)),
        packs=False,
        keeps=False,
        warps=choice.choice((1, 2, 3, 4)),
        matrix_warps=choice.choice((1, 2)),
        stages=choice.choice((1, 2, 3)),
    )
    return replace(GPUS["sm_80"], machine=machine)


def true_facts(program: Program, kernel: typed.TypedKernel) -> tuple[str, ...]:
    """What may be assumed of this call: where its tensors lie, and that each dim is a multiple of itself."""
    aligned = [name for name, value in program.arguments.items() if is_aligned(value)]
    outputs = [tensor.name for tensor in kernel.outputs]
    divisible = [f"{dim} % {program.dims[dim]} == 0" for dim in kernel.dims if program.dims[dim]]
    return (*(f"align({name}) >= {ALIGNMENT}" for name in (*aligned, *outputs)), *divisible)


def is_aligned(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ctypes.data % ALIGNMENT == 0


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
