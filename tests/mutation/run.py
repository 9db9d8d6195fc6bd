"""Owns the run: draws mutants, makes each in a forked child of this process, and writes down who noticed it.

    python -m tests.mutation.run --sample 200 --seed 1 --seconds 1800 --out mutants.json

No file is changed: the child replaces the code of one function in its own memory. A child that crashes, or uses many
times the processor time that a judge takes without a mistake, has been noticed too. The parent never compiles
anything, so no MLIR context crosses a fork.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import multiprocessing
import os
import random
import resource
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import FunctionType, ModuleType

import tilewright
from tests.mutation.judges import Judge, Judges, own_tests, prepared
from tests.mutation.mutants import Mutant, codes_in, mutants_of, mutated_code

FOLDERS = ("passes/tensor", "passes/tile", "passes/cpu", "passes/gpu", "passes/machine")
EMITTERS = "compiler/emit*.py"
ROOT = Path(tilewright.__file__).parent
HARD_SECONDS = 3600


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: ``noticed`` names the judge, "crash" or "time"; empty for a survivor."""

    mutant: Mutant
    noticed: str
    message: str
    seconds: float


def files() -> list[str]:
    """The files whose code is mutated, relative to the package."""
    found = [p for folder in FOLDERS for p in (ROOT / folder).glob("*.py")]
    found += ROOT.glob(EMITTERS)
    return sorted(str(p.relative_to(ROOT)) for p in found if p.name != "__init__.py")


def all_mutants() -> list[Mutant]:
    return [m for file in files() for m in mutants_of(file, (ROOT / file).read_text(encoding="utf-8"))]


def draw(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """A random sample, the same for the same seed."""
    return random.Random(seed).sample(list(mutants), min(count, len(mutants)))


def module_of(file: str) -> ModuleType:
    return importlib.import_module("tilewright." + file.removesuffix(".py").replace("/", "."))


def make(mutant: Mutant) -> None:
    """Make the mistake in this process; ``LookupError`` where the function is not found.

    Functions that it made before, when its module was imported, get the mistake too.
    """
    module = module_of(mutant.file)
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    code = mutated_code(mutant, source, str(module.__file__))
    codes = {(one.co_qualname, one.co_firstlineno): one for one in codes_in(code)}
    functions = [f for f in gc.get_objects() if isinstance(f, FunctionType) and f.__module__ == module.__name__]
    found = [f for f in functions if (f.__code__.co_qualname, f.__code__.co_firstlineno) in codes]
    if not any(f.__qualname__ == mutant.function for f in found):
        raise LookupError(mutant.function)
    for function in found:
        function.__code__ = codes[function.__code__.co_qualname, function.__code__.co_firstlineno]


@dataclass(frozen=True)
class Running:
    """A child that judges a mutant, and where its answer comes from."""

    mutant: Mutant
    child: ForkProcess
    receiver: Connection
    started: float

    def verdict(self) -> Verdict:
        """What the child says; waits for it."""
        answer: tuple[str, str, float]
        try:
            answer = self.receiver.recv()
        except EOFError:
            self.child.join()
            killed = self.child.exitcode in (-signal.SIGXCPU, -signal.SIGKILL)
            seconds = time.monotonic() - self.started
            answer = ("time" if killed else "crash", f"exit code {self.child.exitcode}", seconds)
        self.child.join()
        return Verdict(self.mutant, *answer)


def started(mutant: Mutant | None, judges: Sequence[Judge]) -> Running:
    """A child of its own for a mutant (None: for the code as it is)."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(mutant, judges, sender))
    child.start()
    sender.close()
    return Running(mutant or Mutant("", "", 0, 0, "", 0, 0), child, receiver, time.monotonic())


def judged(mutant: Mutant | None, judges: Sequence[Judge]) -> Verdict:
    """The verdict over one mutant (None: over the code as it is), in a child of its own."""
    return started(mutant, judges).verdict()


def _child(mutant: Mutant | None, judges: Sequence[Judge], sender: Connection) -> None:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    started = time.process_time()
    if mutant is not None:
        make(mutant)
    for judge in judges:
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + judge.seconds, HARD_SECONDS))
        try:
            judge.ask()
        except Exception as error:
            sender.send((judge.name, f"{type(error).__name__}: {error}"[:300], time.process_time() - started))
            return
    sender.send(("", "", time.process_time() - started))


def require_clean(mutants: Sequence[Mutant], judges: Judges) -> None:
    """``RuntimeError`` where the judges find fault with the code as it is."""
    folders = sorted({own_tests_of(m.file) for m in mutants})
    own = [own_tests(folder) for folder in folders]
    for several in (judges.shared, judges.gpu, judges.last, *([one] for one in own)):
        verdict = judged(None, several)
        if verdict.noticed:
            raise RuntimeError(f"the code as it is fails {verdict.noticed}: {verdict.message}")


def run(mutants: Sequence[Mutant], seconds: float, jobs: int = 1) -> Iterator[Verdict]:
    """Verdicts as they come, ``jobs`` children at a time; no mutant is begun after the time is over."""
    judges = prepared()
    deadline = time.monotonic() + seconds
    require_clean(mutants, judges)
    waiting = iter(mutants)
    running = [started(mutant, judges.of(mutant.file)) for mutant in islice(waiting, jobs)]
    while running:
        ready = wait([one.receiver for one in running])
        for one in [one for one in running if one.receiver in ready]:
            running.remove(one)
            following = next(waiting, None) if time.monotonic() < deadline else None
            if following is not None:
                running.append(started(following, judges.of(following.file)))
            yield one.verdict()


def own_tests_of(file: str) -> str:
    """What stands for all files with the same tests: their folder."""
    return "compiler/emit" if file.startswith("compiler/emit") else file.rpartition("/")[0] + "/"


def report(verdicts: Sequence[Verdict], seed: int) -> dict[str, object]:
    """The figures and the survivors as JSON data."""
    survivors = [v.mutant for v in verdicts if not v.noticed]
    return {
        "seed": seed,
        "mutants": len(verdicts),
        "noticed": len(verdicts) - len(survivors),
        "rate": round(1 - len(survivors) / max(len(verdicts), 1), 4),
        "survivors": [{"place": m.place, **asdict(m)} for m in survivors],
        "verdicts": [{"place": v.mutant.place, "what": v.mutant.what, "noticed": v.noticed, "message": v.message,
                      "seconds": round(v.seconds, 2)} for v in verdicts],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("mutants.json"))
    options = parser.parse_args()
    verdicts: list[Verdict] = []
    data: dict[str, object] = {}
    for verdict in run(draw(all_mutants(), options.sample, options.seed), options.seconds, options.jobs):
        verdicts.append(verdict)
        data = report(verdicts, options.seed)
        options.out.write_text(json.dumps(data, indent=1) + "\n")
    print(f"{data.get('noticed', 0)} of {data.get('mutants', 0)} noticed")


if __name__ == "__main__":
    main()
