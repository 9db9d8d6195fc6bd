"""What the compiler decides for the library: launches and schedules, as text that a reader can check.

    python -m tests.ir.decisions   # writes tests/ir/decisions.txt anew; read the difference before it is committed
"""

from __future__ import annotations

from pathlib import Path

from tests.library_cases import CASES, Case
from tilewright.compiler.emit import emit
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
MACHINES = {"vectors of 8": Machine(), "vectors of 16": Machine(lanes=16, columns=32)}


def decided(case: Case) -> str:
    """The launches of a library kernel for f32 and their schedules, for each machine."""
    lines = [f"== {case.module}.{case.id}"]
    for title, machine in MACHINES.items():
        with ods.session():
            passes = [Simplify(), Axes(), Common(), Factor(), Fuse(), Simplify(), Axes(), Common(), Partition()]
            module = run_passes(emit(case.typed("f32")), [*passes, TileLaunches(machine=machine)])
            texts = [ir.StringAttr(f.attributes["tile.schedule"]).value for f in functions_of(module)]
        lines += [f"-- {title}", *texts]
    return "\n".join(lines) + "\n"


def known() -> dict[str, str]:
    """The recorded decisions by their first line."""
    parts = FILE.read_text(encoding="utf-8").split("== ")[1:]
    return {part.partition("\n")[0]: f"== {part}" for part in parts}


if __name__ == "__main__":
    FILE.write_text("".join(decided(case) for case in CASES), encoding="utf-8")
