"""Mutation test of the emulator as an oracle: break one line of a working kernel and see whether the break is noticed.

A mutant is killed when, in some mode, the result is wrong, the report holds a finding, or the run stops. Run it:

    python -m tests.emulator.mutate_ptx [--sample N] [--seed S] [--only NAME] [--kind PREFIX] [--out FILE]

It prints a table by class and every survivor, with the argument where ``ptx_mutants.equivalent`` has one.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
from tests.emulator.ptx_mutants.edits import edits
from tests.emulator.ptx_mutants.equivalent import argument
from tests.emulator.ptx_mutants.infection import watched
from tests.emulator.ptx_mutants.liveness import needed_lines
from tests.emulator.ptx_mutants.subjects import SUBJECTS, Subject

from tilewright.runtime.emulator import Module, TensorMap
from tilewright.runtime.emulator.errors import EmulatorError, FindingRaised

MODES: tuple[dict[str, Any], ...] = (
    {"completion": "lazy"},
    {"completion": "eager", "schedule": "random"},
    {"completion": "random", "schedule": "random"},
    {"completion": "lazy", "schedule": "reverse"},
)
ALIKE = 6
"""Of statements that differ in registers only, as unrolled loops have them, so many get each mistake; all of them get
the mistakes of synchronisation."""


@dataclass(frozen=True)
class Mutant:
    """A kernel with one mistake. ``line`` is 0 for a mistake in the arguments, which ``alter`` makes."""

    subject: Subject
    kind: str
    line: int
    original: str
    changed: str
    alter: Callable[[list[Any]], list[Any]] | None = None

    @property
    def synchronisation(self) -> bool:
        return self.kind.startswith("sync")

    def module(self) -> Module:
        lines = self.subject.text().split("\n")
        if self.line:
            lines[self.line - 1] = self.changed
        return Module.parse("\n".join(lines))

    def __str__(self) -> str:
        return f"{self.subject.name} {self.kind} line {self.line}: {self.original[:100]} -> {self.changed[:100]}"


@dataclass(frozen=True)
class Verdict:
    """How a mutant was noticed (None: it survived), and why a survivor is equivalent (None: it is not known to be)."""

    mutant: Mutant
    how: str | None
    reason: str | None


@lru_cache(maxsize=32)
def live_lines(subject: Subject) -> frozenset[int]:
    """Lines that matter for a subject's launches: executed, and of an effect or of a value that one depends on."""
    module, blocks = Module.parse(subject.text()), []
    for sizes in subject.sizes:
        counters = subject.run(module, 0, sizes)[0].counters
        blocks += [block for block in counters.program.blocks if counters.lanes_per_block[block.index]]
    return frozenset(needed_lines(blocks))


def mutants(subject: Subject) -> list[Mutant]:
    """All mutants of a subject: one statement each, in code that matters, and one field of a tensor map each."""
    lines, seen, found = subject.text().split("\n"), Counter[Any](), []
    for number in sorted(live_lines(subject)):
        code = lines[number - 1].strip()
        for changed, kind in {text: kind for kind, text in reversed(list(edits(code)))}.items():
            mutant = Mutant(subject, kind, number, code, changed)
            shape = mutant.kind, re.sub(r"%\w+\d", "%", code), re.sub(r"%\w+\d", "%", mutant.changed)
            seen[shape] += 1
            if mutant.synchronisation or seen[shape] <= ALIKE:
                found.append(mutant)
    return found + list(_map_mutants(subject))


def _map_mutants(subject: Subject) -> Iterator[Mutant]:
    for position, value in enumerate(subject.prepare(np.random.default_rng(0), subject.sizes[0]).args):
        if not isinstance(value, TensorMap):
            continue
        for width in {0, 32, 64, 128} - {value.swizzle}:
            yield Mutant(
                subject, "swizzle", 0, f"map {position} {value.swizzle}", f"swizzle {width}",
                partial(_with_swizzle, position, width),
            )  # fmt: skip


def _with_swizzle(position: int, width: int, args: list[Any]) -> list[Any]:
    changed = list(args)
    changed[position] = replace(args[position], fields=replace(args[position].fields, swizzle=width))
    return changed


@lru_cache(maxsize=32)
def step_limit(subject: Subject) -> int:
    """Blocks a mutant may run: at least twice what the original needs in any mode."""
    module, limit = Module.parse(subject.text()), 64
    while not all(
        subject.run(module, seed, sizes, max_steps=limit, **mode)[0].completed
        for seed, mode in enumerate(MODES)
        for sizes in subject.sizes
    ):
        limit *= 2
    return 2 * limit


def killed(mutant: Mutant) -> str | None:
    """How a mutant is noticed, or None."""
    subject, limit = mutant.subject, step_limit(mutant.subject)
    try:
        module = mutant.module()
        for seed, mode in enumerate(MODES):
            for sizes in subject.sizes:
                report, right = subject.run(
                    module, seed, sizes, mutant.alter, max_steps=limit, raise_on_finding=True, **mode
                )
                if report.findings or not right:
                    return report.findings[0].kind if report.findings else "result"
    except FindingRaised as error:
        return str(error).split(": ")[1].removeprefix("error ")
    except EmulatorError as error:
        return type(error).__name__
    return None


UNTOUCHED = "the statement gives the original's value in every launch (watched)"


def excuse(mutant: Mutant) -> str | None:
    """Why a survivor is equivalent, or None."""
    line = watched(mutant.original, mutant.changed) if mutant.line else None
    if line is not None and killed(replace(mutant, changed=line)) is None:
        return UNTOUCHED
    lines = mutant.subject.text().split("\n")
    start = next(i for i, line in enumerate(lines) if f".entry {mutant.subject.entry}(" in line)
    nth = sum(line.strip() == mutant.original for line in lines[start : mutant.line])
    return argument(mutant.subject.name, mutant.kind, mutant.original, mutant.changed, nth)


def judged(chosen: Iterable[Mutant]) -> Iterator[Verdict]:
    for mutant in chosen:
        how = killed(mutant)
        yield Verdict(mutant, how, None if how else excuse(mutant))


def choose(sample: int | None, seed: int, only: str = "", kind: str = "") -> list[Mutant]:
    """All mutants, or a seeded sample of them."""
    every = [m for s in SUBJECTS if only in ("", s.name) for m in mutants(s) if m.kind.startswith(kind)]
    return every if sample is None else random.Random(seed).sample(every, min(sample, len(every)))


@dataclass(frozen=True)
class Rates:
    """The three numbers that the oracle is held to."""

    synchronisation: float
    every: float
    equivalent: float

    @classmethod
    def of(cls, verdicts: list[Verdict]) -> Rates:
        real = [v for v in verdicts if v.reason is None]
        sync = [v for v in real if v.mutant.synchronisation]
        return cls(_share(sync), _share(real), 1 - len(real) / max(len(verdicts), 1))


def _share(verdicts: list[Verdict]) -> float:
    return sum(v.how is not None for v in verdicts) / max(len(verdicts), 1)


def table(verdicts: list[Verdict]) -> str:
    """Rows of a Markdown table by class."""
    rows: dict[str, list[int]] = {}
    for v in verdicts:
        row = rows.setdefault(v.mutant.kind, [0, 0, 0])
        row[0] += 1
        row[1] += v.how is not None
        row[2] += v.reason is not None
    rows["all"] = [sum(row[i] for row in rows.values()) for i in range(3)]
    return "\n".join(f"| {kind} | {a} | {b} | {c} |" for kind, (a, b, c) in sorted(rows.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--kind", default="")
    parser.add_argument("--out", help="write every verdict as JSON lines")
    options = parser.parse_args()
    verdicts, start = [], time.process_time()
    log = open(options.out, "w") if options.out else None
    for verdict in judged(choose(options.sample, options.seed, options.only, options.kind)):
        verdicts.append(verdict)
        m = verdict.mutant
        if log is not None:
            log.write(
                json.dumps([m.subject.name, m.kind, m.line, m.original, m.changed, verdict.how, verdict.reason]) + "\n"
            )
            log.flush()
        if verdict.how is None:
            print(f"survivor {m} | {verdict.reason or ''}", flush=True)
    print(table(verdicts))
    print(Rates.of(verdicts), f"{time.process_time() - start:.0f} s")


if __name__ == "__main__":
    main()
