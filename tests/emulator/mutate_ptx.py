"""Mutation test of the emulator as an oracle: break one line of a working kernel and see whether the break is noticed.

A mutant is killed when, in some mode, the result is wrong, the report holds an error, or the run stops. Run it:

    python tests/emulator/mutate_ptx.py [--sample N] [--seed S] [--only NAME]

It prints a table by class and every survivor that is not listed in ``EQUIVALENT``.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from tilewright.runtime.emulator import Module, Report, TensorMap, launch
from tilewright.runtime.emulator.errors import EmulatorError

FOLDER = Path(__file__).parent / "fixtures"
MODES: tuple[dict[str, Any], ...] = (
    {"completion": "lazy"},
    {"completion": "eager", "schedule": "random", "seed": 1},
    {"completion": "random", "schedule": "random", "seed": 2},
    {"completion": "lazy", "schedule": "reverse"},
)
STEPS = 12_000


@dataclass(frozen=True)
class Subject:
    """A kernel under test: ``run`` launches a module and returns the report and whether the result is right."""

    name: str
    file: str
    entry: str
    run: Callable[..., tuple[Report, bool]]


@dataclass(frozen=True)
class Mutant:
    subject: Subject
    kind: str
    line: int
    text: str

    @property
    def synchronisation(self) -> bool:
        return self.kind.startswith("sync")


def close(actual: Any, exact: Any, scale: Any, units: float) -> bool:
    return bool((np.abs(actual - exact) <= units * 2.0**-24 * scale + 1e-30).all())


def tiled_matmul(module: Module, **options: Any) -> tuple[Report, bool]:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(70, 40)).astype(np.float32), rng.normal(size=(40, 66)).astype(np.float32)
    c = np.full((70, 66), np.nan, np.float32)
    report = launch(module, "tiled_matmul", (2, 2), (256,), args=[a, b, c, 70, 66, 40], max_steps=STEPS, **options)
    wide = a.astype(np.float64), b.astype(np.float64)
    return report, close(c, wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1]), 20)


def row_softmax(module: Module, **options: Any) -> tuple[Report, bool]:
    x = np.random.default_rng(2).normal(size=(5, 77)).astype(np.float32)
    y = np.full_like(x, np.nan)
    report = launch(module, "row_softmax", (3,), (64,), args=[x, y, 5, 77], max_steps=STEPS, **options)
    exact = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    exact /= exact.sum(1, keepdims=True)
    return report, close(y, exact, exact, 60)


def split_sum(module: Module, **options: Any) -> tuple[Report, bool]:
    values = np.arange(1000, dtype=np.float32)
    partial, ticket, output = np.zeros(6, np.float32), np.zeros(1, np.uint32), np.zeros(1, np.float32)
    report = launch(
        module, "split_sum", (6,), (128,), args=[values, partial, ticket, output, 1000], max_steps=STEPS, **options
    )
    return report, bool(output[0] == 499500)


def mma_pipeline(module: Module, **options: Any) -> tuple[Report, bool]:
    rng = np.random.default_rng(3)
    a, b = (rng.normal(size=shape).astype(ml_dtypes.bfloat16) for shape in ((72, 264), (264, 72)))
    c = np.full((72, 72), np.nan, np.float32)
    report = launch(module, "mma_pipeline", (2, 2), (128,), args=[a, b, c, 72, 72, 264], max_steps=STEPS, **options)
    wide = a.astype(np.float64), b.astype(np.float64)
    return report, close(c, wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1]), 20)


def specialised(module: Module, **options: Any) -> tuple[Report, bool]:
    rng = np.random.default_rng(4)
    a, b = (rng.normal(size=shape).astype(np.float16) for shape in ((100, 456), (72, 456)))
    c = np.full((100, 72), np.nan, np.float32)
    maps = [TensorMap.tiled(a, box=(64, 128), swizzle=128), TensorMap.tiled(b, box=(64, 64), swizzle=128)]
    report = launch(
        module,
        "specialised",
        (2, 1),
        (384,),
        shared_bytes=3 * 24576 + 48,
        args=[*maps, c, 100, 72, 456],
        max_steps=STEPS,
        **options,
    )
    wide = a.astype(np.float64), b.astype(np.float64).T
    return report, close(c, wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1]), 20)


def cluster_sum(module: Module, **options: Any) -> tuple[Report, bool]:
    values, output = np.arange(1500, dtype=np.float32), np.zeros(2, np.float32)
    report = launch(module, "cluster_sum", (8,), (128,), args=[values, output, 1500], max_steps=STEPS, **options)
    return report, bool(output.sum() == values.sum())


def tile_add(module: Module, **options: Any) -> tuple[Report, bool]:
    x = np.random.default_rng(5).normal(size=(50, 40)).astype(np.float32)
    y = np.full_like(x, np.nan)
    maps = [TensorMap.tiled(array, box=(32, 32)) for array in (x, y)]
    report = launch(module, "tile_add", (2, 2), (64,), args=[*maps, np.float32(1.5)], max_steps=STEPS, **options)
    return report, bool((y == x + np.float32(1.5)).all())


SUBJECTS = (
    Subject("tiled_matmul", "basic", "tiled_matmul", tiled_matmul),
    Subject("row_softmax", "basic", "row_softmax", row_softmax),
    Subject("split_sum", "basic", "split_sum", split_sum),
    Subject("mma_pipeline", "pipeline", "mma_pipeline", mma_pipeline),
    Subject("specialised", "hopper", "specialised", specialised),
    Subject("cluster_sum", "hopper", "cluster_sum", cluster_sum),
    Subject("tile_add", "hopper", "tile_add", tile_add),
)

DELETED = re.compile(
    r"^(bar\.sync|barrier\.sync|bar\.warp|cp\.async\.(commit_group|wait_group|bulk\.(commit_group|wait_group))"
    r"|wgmma\.(fence|commit_group|wait_group)|mbarrier\.(init|arrive|expect_tx)|fence|membar|barrier\.cluster)"
)
EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "mma_pipeline",
        "sync-delete",
        "cp.async.commit_group",
    ): "the prologue's groups may merge when the waits count later ones",
    ("specialised", "sync-delete", "fence.mbarrier_init"): "fence.proxy.async after it orders the same writes",
    ("specialised", "sync-delete", "fence.proxy.async"): "fence.mbarrier_init before it orders the same writes",
    ("specialised", "sync-delete", "wgmma.fence"): "inside the loop only wgmma itself touches the accumulators",
    (
        "split_sum",
        "sync-delete",
        "bar.sync#8",
    ): "thread 0 alone reads what it wrote itself in the last step of the tree",
}
"""Survivors that change nothing a program may rely on, by (subject, kind, start of the instruction), with the reason;
``#n`` picks the n-th such instruction of the kernel."""


def _edits(code: str) -> Iterator[tuple[str, str]]:
    """Kinds and replacement texts for one instruction."""
    if DELETED.match(code):
        yield "sync-delete", "//" + code
    counted = re.search(r"(wait_group(?:\.read|\.sync\.aligned)?\s+)(\d+)", code)
    if counted:
        yield "sync-wait+1", code.replace(counted.group(), f"{counted[1]}{int(counted[2]) + 1}")
    if code.startswith("bar.sync") and "," not in code:
        yield "sync-barrier-id", re.sub(r"bar\.sync(\s+)\S+;", r"bar.sync\g<1>7, 32;", code)
    if "ldmatrix" in code:
        yield "trans", code.replace(".trans", "") if ".trans" in code else code.replace(".x4.", ".x4.trans.")
    for old, new in (
        ("setp.lt", "setp.le"),
        ("setp.ge", "setp.gt"),
        ("setp.gt", "setp.ge"),
        ("setp.ne", "setp.eq"),
        ("sub.f32", "add.f32"),
        ("add.f32", "sub.f32"),
        ("max.f32", "min.f32"),
        ("xor.b32", "or.b32"),
    ):
        if code.startswith(old):
            yield "operator", code.replace(old, new, 1)
    immediate = re.search(r", (\d+);$", code)
    if immediate and re.match(r"(add|shl|shr|and|mul|mad|or|shfl)\b", code) and not code.startswith("shfl"):
        yield "immediate+1", code.replace(immediate.group(), f", {int(immediate[1]) + 1};")
    if code.startswith("@%p"):
        yield "guard", code.replace("@%p", "@!%p", 1)


@lru_cache(maxsize=16)
def executed_lines(subject: Subject) -> frozenset[int]:
    """Lines of the blocks that the working kernel runs; a change elsewhere cannot matter for these inputs."""
    report, _ = subject.run(Module.parse((FOLDER / f"{subject.file}.ptx").read_text()))
    counters = report.counters
    ran = (block for block in counters.program.blocks if counters.lanes_per_block[block.index])
    return frozenset(instruction.line for block in ran for instruction in block.instructions)


def mutants(subject: Subject) -> list[Mutant]:
    """All mutants of a subject in code that runs, one line each."""
    lines = (FOLDER / f"{subject.file}.ptx").read_text().split("\n")
    start = next(i for i, line in enumerate(lines) if f".entry {subject.entry}(" in line)
    end = next(i for i in range(start, len(lines)) if lines[i] == "}")
    found = []
    for index in range(start, end):
        code = lines[index].strip()
        if index + 1 not in executed_lines(subject):
            continue
        for kind, replacement in _edits(code):
            changed = [*lines[:index], replacement, *lines[index + 1 :]]
            found.append(Mutant(subject, kind, index + 1, "\n".join(changed)))
    return found


def killed(mutant: Mutant) -> str | None:
    """How a mutant is noticed, or None."""
    try:
        module = Module.parse(mutant.text)
        for mode in MODES:
            report, right = mutant.subject.run(module, **mode)
            if report.findings:
                return report.findings[0].kind
            if not right or not report.completed:
                return "result"
    except EmulatorError as error:
        return type(error).__name__
    return None


def excuse(mutant: Mutant) -> str | None:
    """Why a survivor is equivalent, or None."""
    lines = (FOLDER / f"{mutant.subject.file}.ptx").read_text().split("\n")
    entry = next(i for i, line in enumerate(lines) if f".entry {mutant.subject.entry}(" in line)
    for (name, kind, pattern), reason in EQUIVALENT.items():
        start, _, which = pattern.partition("#")
        places = [i + 1 for i in range(entry, len(lines)) if lines[i].strip().startswith(start)]
        chosen = places if not which else places[int(which) - 1 : int(which)]
        if (name, kind) == (mutant.subject.name, mutant.kind) and mutant.line in chosen:
            return reason
    return None


def choose(sample: int | None, seed: int, only: str | None) -> list[Mutant]:
    """All synchronisation mutants and a seeded sample of the others."""
    every = [mutant for subject in SUBJECTS if only in (None, subject.name) for mutant in mutants(subject)]
    if sample is None:
        return every
    return random.Random(seed).sample(every, min(sample, len(every)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only")
    parser.add_argument("--sync", action="store_true", help="only synchronisation mutants")
    options = parser.parse_args()
    table: dict[str, list[int]] = {}
    for mutant in choose(options.sample, options.seed, options.only):
        if options.sync and not mutant.synchronisation:
            continue
        how, reason = killed(mutant), None
        row = table.setdefault(mutant.kind, [0, 0, 0])
        row[0] += 1
        row[1] += how is not None
        if how is None:
            reason = excuse(mutant)
            row[2] += reason is not None
            code = (FOLDER / f"{mutant.subject.file}.ptx").read_text().split("\n")[mutant.line - 1].strip()
            print(
                f"survivor {mutant.subject.name} {mutant.kind} line {mutant.line}: {code[:90]} {reason or ''}",
                flush=True,
            )
    for kind, (count, dead, excused) in sorted(table.items()):
        print(f"{kind:18s} {count:5d} mutants, {dead:5d} killed, {excused:4d} equivalent")


if __name__ == "__main__":
    main()
