"""What the compiler writes for the library: how often each op stands in each launch, for a CPU and for sm_80, as text.

    python -m tests.ir.mixes   # writes tests/ir/mixes.txt anew; read the difference before it is committed

Results stay right when an optimisation is lost: a guard that was proved away, a mask that only an edge needs, a wide
access. This is where it shows. Ops of ``arith`` stand without their dialect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.library_cases import CASES, Case
from tilewright.compiler.emit import emit
from tilewright.compiler.language.typed import TypedKernel
from tilewright.compiler.pipeline import Settings, road
from tilewright.compiler.target import GPUS, Target
from tilewright.dialect import ods
from tilewright.dialect.mlir import ir
from tilewright.passes.base import run_passes
from tilewright.passes.cpu.lower import lower as lower_to_cpu
from tilewright.passes.cpu.target import from_features
from tilewright.passes.gpu.lower import lower as lower_to_gpu
from tilewright.passes.gpu.ptx import Chip
from tilewright.passes.tile.facts import attach_facts
from tilewright.passes.tile.rule import Machine

FILE = Path(__file__).with_suffix(".txt")
FLAGS = dict.fromkeys(("avx2", "fma", "f16c"), True)
CPU = Target(
    "cpu", ("cpu",), cpu=from_features("x86-64-v3", "x86_64-unknown-linux-gnu", FLAGS), machine=Machine(columns=16)
)
GPU = GPUS["sm_80"]


def written(case: Case) -> str:
    """The mixes of a library kernel: f32 on a CPU; bf16, where it takes that, and aligned rows on a GPU."""
    dtype = "bf16" if "bf16" in case.dtypes else "f32"
    return "\n".join([
        f"== {case.module}.{case.id}", *_cpu(case.typed("f32")), *_gpu(case.typed(dtype), _facts(case, dtype)), "",
    ])  # fmt: skip


def _facts(case: Case, dtype: str) -> tuple[str, ...]:
    kernel = case.typed(dtype)
    tensors = [tensor.name for tensor in (*kernel.tensors, *kernel.outputs)]
    return (*(f"align({name}) >= 16" for name in tensors), *(f"{dim} % 16 == 0" for dim in kernel.dims))


def _cpu(kernel: TypedKernel) -> Iterator[str]:
    assert CPU.cpu is not None
    with ods.session():
        yield from _lines("cpu", lower_to_cpu(_tiled(kernel, CPU, ()), CPU.cpu).module.body)


def _gpu(kernel: TypedKernel, facts: tuple[str, ...]) -> Iterator[str]:
    with ods.session():
        lowered = lower_to_gpu(_tiled(kernel, GPU, facts), Chip("sm_80"), GPU.machine.stages)
        yield from (f"-- {k.name}: {k.threads} threads, {k.shared_bytes} bytes shared" for k in lowered.kernels)
        yield from _lines("sm_80", ods.ops_of(lowered.module.body)[0].regions[0].blocks[0])


def _tiled(kernel: TypedKernel, target: Target, facts: tuple[str, ...]) -> Any:
    module = emit(kernel)
    for _, passes in road(target, Settings()):
        attach_facts(module, facts)
        module = run_passes(module, passes)
    return module


def _lines(title: str, block: Any) -> Iterator[str]:
    """One line a function, in their order."""
    for op in ods.ops_of(block):
        if op.name in ("func.func", "llvm.func"):
            counts = Counter(_title(inner) for inner in _inside(op))
            mix = ", ".join(name + f" x{count}" * (count > 1) for name, count in sorted(counts.items()))
            yield f"{title} {ir.StringAttr(op.attributes['sym_name']).value}: {mix}"


def _title(op: Any) -> str:
    """The op's name; of a number that is counted with, the number too: sizes and steps are decisions."""
    name = str(op.name).removeprefix("arith.")
    if name != "constant" or not isinstance(op.attributes["value"], ir.IntegerAttr):
        return name
    return f"{name} {ir.IntegerAttr(op.attributes['value']).value}"


def _inside(operation: Any) -> Iterator[Any]:
    for region in operation.regions:
        for block in region.blocks:
            for op in ods.ops_of(block):
                yield op
                yield from _inside(op)


def known() -> dict[str, str]:
    """The recorded mixes by kernel."""
    parts = FILE.read_text(encoding="utf-8").split("== ")[1:]
    return {part.partition("\n")[0]: f"== {part}" for part in parts}


if __name__ == "__main__":
    FILE.write_text("".join(written(case) for case in CASES), encoding="utf-8")
