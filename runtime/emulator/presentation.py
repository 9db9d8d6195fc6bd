"""What the command line shows of a launch: findings with the lines of PTX and source they stand at, tables, JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tilewright.runtime.emulator.module import Entry, Module
from tilewright.runtime.emulator.report import Finding, Report

LARGEST_SOURCE = 1 << 22
MOST_LINES = 10


@dataclass(frozen=True)
class Observation:
    """A finding of one or several launches: the first, in which mode, and in how many modes."""

    finding: Finding
    mode: str
    modes: int = 1


@dataclass(frozen=True)
class Emulation:
    """A kernel that was run, in one mode or in several, and all that is needed to show it.

    Attributes:
        name, text: the PTX file.
        settings: how it was launched.
        report: of the first launch, or of the first that was stopped; counters are shown from it.
        launches: in how many modes it ran.
    """

    name: str
    text: str
    settings: Mapping[str, str]
    report: Report
    observations: tuple[Observation, ...]
    launches: int

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def observe(known: dict[tuple[Any, ...], Observation], report: Report, mode: str) -> None:
    """Add the findings of one launch; equal kinds at one line count as one."""
    seen = set()
    for finding in report.findings:
        key = (finding.kind, finding.ptx_line, finding.severity)
        if key not in known:
            known[key] = Observation(finding, mode)
        elif key not in seen:
            known[key] = replace(known[key], modes=known[key].modes + 1)
        seen.add(key)


def listing(module: Module, only: str | None = None) -> str:
    """The kernels of a module with what a launch must give."""
    chosen = [entry for entry in module.entries.values() if only in (None, entry.name)]
    return "\n".join(_signature(entry) for entry in chosen) or "the module has no kernel"


def _signature(entry: Entry) -> str:
    facts = [
        f"{name} {'x'.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in (
            ("requires block", entry.reqntid),
            ("at most block", entry.maxntid),
            ("cluster", entry.cluster),
            ("static shared bytes", entry.shared_bytes or None),
        )
        if value is not None
    ]
    lines = [f"{entry.name}{' (' + ', '.join(facts) + ')' if facts else ''}"]
    for number, parameter in enumerate(entry.parameters):
        shown = f"{parameter.size} bytes" if parameter.type == "b8" else parameter.type
        space = f", pointer to {parameter.pointer_space}" if parameter.pointer_space else ""
        lines.append(f"  {number}: {shown}{space}  {parameter.name}")
    return "\n".join(lines)


def ptx_line(emulation: Emulation, number: int) -> str:
    """The text of a one-based line, without its layout; empty for one that is not there."""
    return " ".join(emulation.lines[number - 1].split()) if 0 < number <= len(emulation.lines) else ""


def source_text(emulation: Emulation, place: str | None) -> str:
    """The line of the source that ``.loc`` names, where that file can be found."""
    name, _, number = (place or "").rpartition(":")
    folder = Path(emulation.name).parent
    path = next((path for path in (Path(name), folder / name) if name and path.is_file()), None)
    if path is None or not number.isdecimal() or path.stat().st_size > LARGEST_SOURCE:
        return ""
    lines = path.read_text("utf-8", "replace").splitlines()
    return lines[int(number) - 1].strip() if 0 < int(number) <= len(lines) else ""


def facts(emulation: Emulation, observation: Observation) -> list[str]:
    """Who, where in memory, the other party, how often."""
    finding = observation.finding
    found = []
    if finding.cta is not None:
        found.append(f"CTA {finding.cta}, threads {', '.join(map(str, finding.lanes))}")
    if finding.address is not None:
        found.append(f"address {finding.address:#x}" + (f": {finding.place}" if finding.place else ""))
    if finding.other:
        found.append(f"other: {finding.other}")
    if finding.count > 1:
        found.append(f"{finding.count} times")
    if emulation.launches > 1:
        found.append(f"in {observation.modes} of {emulation.launches} modes, first with {observation.mode}")
    return found


def summary(emulation: Emulation) -> str:
    """How many findings there are, in one line."""
    errors = sum(seen.finding.severity == "error" for seen in emulation.observations)
    warnings = len(emulation.observations) - errors
    if not emulation.observations:
        return "no findings" + (f" in {emulation.launches} modes" if emulation.launches > 1 else "")
    text = f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
    return text if emulation.report.completed else f"{text}; the launch was stopped, its results are incomplete"


def as_text(emulation: Emulation) -> str:
    """The report for a terminal."""
    blocks = [", ".join(f"{name} {value}" for name, value in emulation.settings.items())]
    blocks += [_finding_text(emulation, observation) for observation in emulation.observations]
    blocks.append(summary(emulation))
    blocks += [str(table) for table in emulation.report.counters.tables()]
    coverage = emulation.report.coverage
    missed = ", ".join(map(str, coverage.missed_lines[:MOST_LINES])) + (
        ", …" * (len(coverage.missed_lines) > MOST_LINES)
    )
    return "\n\n".join([*blocks, f"{coverage}{f'; not run from PTX line {missed}' if missed else ''}"])


def _finding_text(emulation: Emulation, observation: Observation) -> str:
    finding = observation.finding
    lines = [f"{finding.severity}: {finding.kind}: {finding.message}"]
    if finding.ptx_line:
        lines.append(f"  {Path(emulation.name).name}:{finding.ptx_line}: {ptx_line(emulation, finding.ptx_line)}")
    if finding.source_line:
        lines.append(f"  {finding.source_line}: {source_text(emulation, finding.source_line)}".rstrip(": "))
    return "\n".join([*lines, *(f"  {fact}" for fact in facts(emulation, observation))])


def as_json(emulation: Emulation) -> str:
    """All of it as data: the launch, and for each finding in which modes it was seen."""
    found = [{**asdict(seen.finding), "mode": seen.mode, "modes": seen.modes} for seen in emulation.observations]
    launch = {"file": emulation.name, **emulation.settings, "launches": emulation.launches}
    return json.dumps({"launch": launch, **emulation.report.as_dict(), "findings": found}, indent=1)
