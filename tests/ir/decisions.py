"""What the compiler decides for the library: launches and schedules, as text that a reader can check.

    python -m tests.ir.decisions   # writes tests/ir/decisions.txt anew; read the difference before it is committed
"""

from __future__ import annotations

from pathlib import Path

from tests.library_cases import CASES, Case
from tilewright.compiler.emit import emit
from tilewright.compiler.target import GPUS
from tilewright.dialect import ods
from tilewright.dialect.functions import functions_of
from tilewright.dialect.mlir import ir
from tilewright.passes.base import run_passes
from tilewright.passes.tensor.axes import Axes
from tilewright.passes.tensor.common import Common
from tilewright.passes.tensor.factor import Factor
from tilewright.passes.tensor.fuse import Fuse
from tilewright.passes.tensor.partition import Partition
from tilewright.passes.tensor.simplify import Simplify
from tilewright.passes.tile.rule import Machine
from tilewright.passes.tile.tile import TileLaunches

FILE = Path(__file__).with_suffix(".txt")
MACHINES = {
    "vectors of 8": Machine(), "vectors of 16": Machine(lanes=16, columns=32), "sm_80": GPUS["sm_80"].machine
}  # fmt: skip
PRODUCTS = ("matmul", "linear_gelu", "batched_matmul_nt", "conv2d", "softmax", "attention")
"""Kernels that are recorded for other types too: what fits into registers and what tensor cores take differ."""


def decided(case: Case) -> str:
    """The launches of a library kernel and their schedules, for each machine."""
    lines = [f"== {case.module}.{case.id}"]
    for title, machine in MACHINES.items():
        for dtype in ("f32", "bf16", "f64") if case.id in PRODUCTS else ("f32",):
            lines += [f"-- {title}" if dtype == "f32" else f"-- {title}, {dtype}", *_schedules(case, dtype, machine)]
    return "\n".join(lines) + "\n"


def _schedules(case: Case, dtype: str, machine: Machine) -> list[str]:
    passes = [Simplify(), Axes(), Common(), Factor(), Fuse(), Simplify(), Axes(), Common(), Partition()]
    with ods.session():
        module = run_passes(emit(case.typed(dtype)), [*passes, TileLaunches(machine=machine)])
        return [ir.StringAttr(f.attributes["tile.schedule"]).value for f in functions_of(module)]


def known() -> dict[str, str]:
    """The recorded decisions by their first line."""
    parts = FILE.read_text(encoding="utf-8").split("== ")[1:]
    return {part.partition("\n")[0]: f"== {part}" for part in parts}


if __name__ == "__main__":
    FILE.write_text("".join(decided(case) for case in CASES), encoding="utf-8")
