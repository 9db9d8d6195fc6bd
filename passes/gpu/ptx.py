"""Owns the way from a thread-level module to PTX, and from PTX to a cubin with its resources, by ptxas.

The thread level is a ``gpu.module`` of ``llvm.func`` kernels. MLIR and LLVM end the process on what they cannot select,
so only what the legality list of the level allows gets here. ptxas is a program of NVIDIA's (extra ``[cuda]``).
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tilewright.dialect import ods
from tilewright.dialect.faults import InternalFault
from tilewright.dialect.legality import check_level
from tilewright.dialect.mlir import dialect, ir
from tilewright.dialect.upstream import run_upstream

LOWERING = (
    "gpu.module(canonicalize,cse,loop-invariant-code-motion,convert-scf-to-cf,convert-math-to-llvm,convert-to-llvm,"
    "reconcile-unrealized-casts,canonicalize,cse)"
)
DEBUG_LINES = "ensure-debug-info-scope-on-llvm-func{emission-kind=DebugDirectivesOnly}"
TO_PTX = "gpu-module-to-binary{format=isa}"
LLVM_LEVEL, LLVM_LEVEL_OF_PRODUCTS = 2, 0
"""LLVM 23 takes a value that is multiplied up in a loop from 1 never to be NaN, and then that no factor is: ``prod`` of
``0 / 0`` became 0. What multiplies up is not optimised before ptxas."""
PTXAS_LEVEL = 3
SERIALISED = re.compile(r"C75\d\d")


class ToolMissing(RuntimeError):
    """ptxas or nvdisasm is not installed."""


@dataclass(frozen=True)
class Chip:
    """What code generation must know of an architecture: ``sm_80`` and the PTX version to write."""

    name: str
    features: str = "+ptx80"


@dataclass(frozen=True)
class Resources:
    """What one kernel takes, as ptxas reports it. ``spills`` are bytes of spill stores and loads together."""

    entry: str
    registers: int
    spills: int
    shared_bytes: int
    stack_bytes: int


@dataclass(frozen=True)
class Assembled:
    """A cubin, the resources of its kernels, and the warnings that say ptxas serialised something."""

    cubin: bytes
    resources: tuple[Resources, ...]
    warnings: tuple[str, ...]


def target_attribute(chip: Chip, level: int = LLVM_LEVEL) -> Any:
    return ir.Attribute.parse(f'#nvvm.target<O = {level}, chip = "{chip.name}", features = "{chip.features}">')


def multiplies_up(operation: Any) -> bool:
    """Whether some loop inside carries a float that each step only multiplies."""
    for region in operation.regions:
        for block in region.blocks:
            for op in ods.ops_of(block):
                if (op.name == "scf.for" and _carries_product(op)) or multiplies_up(op):
                    return True
    return False


def _carries_product(loop: Any) -> bool:
    block = loop.regions[0].blocks[0]
    carried, following = list(block.arguments)[1:], ods.ops_of(block)[-1].operands
    for held, value in zip(carried, following, strict=True):
        owner = value.owner
        if not isinstance(owner, ir.Block) and owner.name == "arith.mulf" and held in list(owner.operands):
            return True
    return False


def to_ptx(module: Any) -> str:
    """PTX of a thread-level module (which is converted in place); ``IllegalOp`` for what LLVM would abort on."""
    check_level(module, "thread")
    for pipeline in (LOWERING, DEBUG_LINES, TO_PTX):
        run_upstream(pipeline, module)
    for op in module.body.operations:
        if op.operation.name == "gpu.binary":
            blob = dialect("gpu").ObjectAttr(op.operation.attributes["objects"][0]).object
            return bytes(blob).rstrip(b"\0").decode()
    raise InternalFault("MLIR gave no PTX")


def assemble(ptx: str, chip: Chip) -> Assembled:
    """Assemble PTX. Raises ``ToolMissing`` without ptxas, ``InternalFault`` when ptxas refuses our text."""
    program = tool("ptxas")
    with tempfile.TemporaryDirectory(prefix="tilewright-") as folder:
        source, target = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_text(ptx)
        command = [program, f"-arch={chip.name}", "-v", f"-O{PTXAS_LEVEL}", str(source), "-o", str(target)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if run.returncode:
            raise InternalFault(f"ptxas refuses our PTX: {run.stderr[-2000:]}")
        told = run.stdout + run.stderr
        warnings = tuple(line for line in told.splitlines() if SERIALISED.search(line))
        return Assembled(target.read_bytes(), tuple(_resources(told)), warnings)


def disassemble(cubin: bytes) -> str:
    """SASS text of a cubin. Raises ``ToolMissing`` without nvdisasm."""
    program = tool("nvdisasm")
    with tempfile.TemporaryDirectory(prefix="tilewright-") as folder:
        source = Path(folder, "kernel.cubin")
        source.write_bytes(cubin)
        run = subprocess.run([program, "-c", str(source)], capture_output=True, text=True, timeout=300, check=False)
        if run.returncode:
            raise InternalFault(f"nvdisasm refuses a cubin: {run.stderr[-2000:]}")
        return run.stdout


def opcode_counts(sass: str) -> dict[str, int]:
    """How often each SASS opcode (without modifiers) occurs."""
    counts: dict[str, int] = {}
    for match in re.finditer(r"^\s+(?:/\*[0-9a-f]+\*/\s+)?(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]+)", sass, re.MULTILINE):
        counts[match[1]] = counts.get(match[1], 0) + 1
    return counts


@functools.cache
def tool(name: str) -> str:
    """The path of an NVIDIA tool: from the wheels of the extra ``[cuda]``, else from the PATH."""
    for package in ("nvidia-cuda-nvcc", "nvidia-cuda-nvdisasm"):
        path = _in_wheel(package, name)
        if path is not None:
            return path
    found = shutil.which(name)
    if found is None:
        raise ToolMissing(f"{name} is not installed: pip install 'tilewright[cuda]'")
    return found


def _in_wheel(package: str, name: str) -> str | None:
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == name and file.parent.name == "bin":
            path = str(file.locate())
            return path if os.access(path, os.X_OK) else None
    return None


def _resources(told: str) -> list[Resources]:
    """Read the lines of ``ptxas -v``: one entry a kernel."""
    found = []
    parts = re.split(r"Compiling entry function '([^']+)'", told)
    for entry, text in zip(parts[1::2], parts[2::2], strict=True):
        found.append(
            Resources(
                entry,
                _number(r"Used (\d+) registers", text),
                _number(r"(\d+) bytes spill stores", text) + _number(r"(\d+) bytes spill loads", text),
                _number(r"(\d+) bytes smem", text),
                _number(r"(\d+) bytes stack frame", text),
            )
        )
    return found


def _number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    return int(match[1]) if match else 0
