"""What a pass is, how a list of passes runs, and the one place where each step is verified, timed, printed and dumped.

A pass takes valid IR and gives valid IR; in between anything goes. Its options are its fields. It may edit the module
in place or build a new one; after it ran, handles into the old module are dead.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from tilewright.dialect import ods
from tilewright.dialect.faults import InternalFault, PassFault
from tilewright.dialect.legality import check_level
from tilewright.dialect.mlir import ir, passmanager
from tilewright.dialect.printing import dump
from tilewright.dialect.upstream import run_upstream, told


@dataclass(frozen=True)
class Pass(ABC):
    """One step of the compiler. `name` is kebab-case; `result_level` is the level its result must be legal at."""

    name: ClassVar[str]
    result_level: ClassVar[str | None] = None

    @abstractmethod
    def run(self, module: Any) -> Any:
        """The module after the pass: the same one, edited, or a new one."""

    @property
    def title(self) -> str:
        """The name by which this entry of a pipeline is told, timed and stopped at."""
        return self.name

    def joined(self, following: Pass) -> Pass | None:
        """One pass that does this and then ``following`` at less cost; None where there is none."""
        return None


@dataclass(frozen=True)
class NativePass(Pass):
    """A pass, or a comma-separated list of passes, of MLIR itself, by its textual pipeline: ``NativePass("cse")``.

    `level` is what the result must be legal at. An unknown name is refused when the entry is made.
    """

    name: ClassVar[str] = "native"
    pipeline: str
    level: str | None = None

    def __post_init__(self) -> None:
        self._manager()

    @property
    def title(self) -> str:
        return self.pipeline

    def _manager(self) -> Any:
        try:
            with ods.session():
                return passmanager.PassManager.parse(f"builtin.module({self.pipeline})")
        except (ir.MLIRError, ValueError) as error:
            raise InternalFault(f"MLIR has no pass pipeline {self.pipeline!r}: {error}") from error

    def run(self, module: Any) -> Any:
        try:
            run_upstream(self.pipeline, module)
        except InternalFault as fault:
            raise PassFault(f"in pass {self.pipeline}: {fault}") from fault
        return module


class Stopped(Exception):
    """The pass named by ``stop_after`` ran; `module` is the IR after it."""

    def __init__(self, title: str, module: Any) -> None:
        super().__init__(f"stopped after {title}")
        self.title = title
        self.module = module


Behaviour = Callable[[Any], Any]
"""Runs the interpreters on a module: a value that must not change from pass to pass."""

Comparison = Callable[[Any, Any], str | None]
"""What differs between two behaviours, None if they agree."""


@dataclass(frozen=True)
class Semantics:
    """How a wrong pass is found: run the IR before and after each pass and compare."""

    behaviour: Behaviour
    compare: Comparison


@dataclass
class Record:
    """What was measured while passes ran; a pass that ran twice has two entries."""

    seconds: list[tuple[str, float]] = field(default_factory=list)
    changed: list[tuple[str, bool]] = field(default_factory=list)


@dataclass(frozen=True)
class Instrument:
    """What happens around every pass. The default verifies and checks levels, and nothing else.

    Passes that can be joined run as one unless `each` is set or something is done between them. `print_changed` gets
    text after each pass that changed something, and one line for each that did not. `folder` gets one file a pass,
    numbered. `semantics` makes the interpreters judge each pass. `stop_after` raises `Stopped`.
    """

    verify: bool = True
    levels: bool = True
    print_changed: Callable[[str], None] | None = None
    folder: Path | None = None
    stop_after: str | None = None
    semantics: Semantics | None = None
    each: bool = False
    record: Record = field(default_factory=Record)

    @property
    def watches_text(self) -> bool:
        return self.print_changed is not None or self.folder is not None

    @property
    def looks_between(self) -> bool:
        """Whether every pass must leave a module of its own."""
        return self.each or self.watches_text or self.semantics is not None or self.stop_after is not None


@dataclass
class _Watch:
    """What is remembered from one pass to the next: the last text and the last behaviour."""

    instrument: Instrument
    text: str = ""
    behaviour: Any = None

    def start(self, module: Any) -> None:
        if self.instrument.watches_text:
            self.text = dump(module)
        if self.instrument.semantics is not None:
            self.behaviour = self.instrument.semantics.behaviour(module)

    def after(self, step: Pass, module: Any, seconds: float) -> None:
        """The one callback: everything that is done with the module after a pass."""
        self.instrument.record.seconds.append((step.title, seconds))
        self._check(step, module)
        if self.instrument.watches_text:
            self._show(step, module)
        if self.instrument.semantics is not None:
            self._judge(step, module, self.instrument.semantics)
        if step.title == self.instrument.stop_after:
            raise Stopped(step.title, module)

    def _check(self, step: Pass, module: Any) -> None:
        if self.instrument.verify:
            _verify(step, module)
        level = step.level if isinstance(step, NativePass) else step.result_level
        if self.instrument.levels and level is not None:
            check_level(module, level)

    def _show(self, step: Pass, module: Any) -> None:
        text = dump(module)
        changed = text != self.text
        self.text = text
        self.instrument.record.changed.append((step.title, changed))
        if self.instrument.print_changed is not None:
            self.instrument.print_changed(f"// after {step.title}\n{text}" if changed else _unchanged(step))
        if self.instrument.folder is not None:
            _write(self.instrument.folder, step.title, text if changed else _unchanged(step) + "\n")

    def _judge(self, step: Pass, module: Any, semantics: Semantics) -> None:
        try:
            now = semantics.behaviour(module)
        except InternalFault as fault:
            raise PassFault(f"pass {step.title} left IR that cannot run: {fault}") from fault
        difference = semantics.compare(self.behaviour, now)
        if difference is not None:
            raise PassFault(f"pass {step.title} changed what the program means: {difference}")
        self.behaviour = now


def _unchanged(step: Pass) -> str:
    return f"// after {step.title} (unchanged)"


def _write(folder: Path, title: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    number = sum(1 for _ in folder.glob("*.mlir"))
    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in title)[:60]
    (folder / f"{number:02d}-{safe}.mlir").write_text(text)


def _verify(step: Pass, module: Any) -> None:
    try:
        module.operation.verify()
    except ir.MLIRError as error:
        raise PassFault(f"pass {step.title} left IR that does not verify: {told(error)}") from error


def run_passes(module: Any, passes: Sequence[Pass], instrument: Instrument | None = None) -> Any:
    """Run passes in order and return the last module.

    Raises `PassFault` for a pass that leaves invalid IR or changes the meaning, `IllegalOp` for an op above or below
    its level, `Stopped` after ``stop_after``. What a pass itself raises comes out unchanged.
    """
    instrument = instrument or Instrument()
    watch = _Watch(instrument)
    watch.start(module)
    for step in passes if instrument.looks_between else _joined(passes):
        started = time.perf_counter()
        module = step.run(module)
        watch.after(step, module, time.perf_counter() - started)
    return module


def _joined(passes: Sequence[Pass]) -> list[Pass]:
    """The same work in fewer passes."""
    steps: list[Pass] = []
    for step in passes:
        together = steps[-1].joined(step) if steps else None
        if together is None:
            steps.append(step)
        else:
            steps[-1] = together
    return steps
