"""What a launch found and counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tilewright.runtime.emulator.errors import FindingRaised
from tilewright.runtime.emulator.spaces import GLOBAL_BASE

MAX_FINDINGS = 1000


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of the emulated program.

    Attributes:
        kind: short stable name, e.g. ``"out-of-bounds"``, ``"race"``, ``"deadlock"``.
        message: one sentence.
        ptx_line: one-based line of the PTX text, 0 when no instruction is to blame.
        source_line: ``"file:line"`` from ``.loc``, or None.
        lanes: threads (linear index inside the CTA) that did it, the first few.
        cta: the CTA of these threads.
        address: the address as the instruction sees it, or None.
        other: the other party of a race, or what a waiting thread waits for.
        severity: ``"error"``, or ``"warning"`` for what only the strict reading of the memory model objects to.
        count: how often it happened.
        place: the address in the caller's terms, e.g. ``"byte 64 of argument 0"``, where it is a global one.
    """

    kind: str
    message: str
    ptx_line: int = 0
    source_line: str | None = None
    lanes: tuple[int, ...] = ()
    cta: tuple[int, int, int] | None = None
    address: int | None = None
    other: str | None = None
    severity: str = "error"
    count: int = 1
    place: str | None = None

    def __str__(self) -> str:
        place = f"PTX line {self.ptx_line}" if self.ptx_line else "kernel"
        text = f"{place}: {self.severity} {self.kind}: {self.message}"
        if self.source_line:
            text += f" (source {self.source_line})"
        if self.cta is not None:
            text += f"; CTA {self.cta}, threads {', '.join(map(str, self.lanes))}"
        if self.address is not None:
            text += f"; address {self.address:#x}" + (f" ({self.place})" if self.place else "")
        if self.other:
            text += f"; other: {self.other}"
        return text + (f"; {self.count} times" if self.count > 1 else "")


class FindingLog:
    """Collects findings; equal ones (kind, line, other) are counted once.

    Args:
        stop_at_first: raise ``FindingRaised`` for the first error.
        describe: gives a global address in the caller's terms.
    """

    def __init__(self, stop_at_first: bool, describe: Callable[[int], str | None]) -> None:
        self.stop_at_first = stop_at_first
        self.describe = describe
        self.found: dict[tuple[Any, ...], Finding] = {}
        self.dropped = 0

    def add(self, finding: Finding) -> None:
        key = (finding.kind, finding.ptx_line, finding.other, finding.severity)
        known = self.found.get(key)
        if known is not None:
            self.found[key] = replace(known, count=known.count + finding.count)
            return
        if len(self.found) >= MAX_FINDINGS:
            self.dropped += 1
            return
        if finding.address is not None and finding.address >= GLOBAL_BASE:
            finding = replace(finding, place=self.describe(finding.address))
        self.found[key] = finding
        if self.stop_at_first and finding.severity == "error":
            raise FindingRaised(str(finding))


@dataclass(slots=True)
class Report:
    """Result of a launch.

    Attributes:
        findings: faults, most certain kinds first in the order they were met.
        counters: see ``counters.py``.
        coverage: share of the basic blocks of the entry that ran, and the PTX lines of those that did not.
        completed: False when the launch was stopped (deadlock, trap, step limit).
    """

    findings: list[Finding] = field(default_factory=list)
    counters: Any = None
    coverage: Any = None
    completed: bool = True

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def warnings(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity != "error"]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "completed": self.completed,
            "findings": [asdict(finding) for finding in self.findings],
            "counters": self.counters.as_dict() if self.counters is not None else None,
            "coverage": asdict(self.coverage) if self.coverage is not None else None,
        }

    def to_json(self) -> str:
        return json.dumps(self.as_dict(), indent=1)

    def __str__(self) -> str:
        lines = [str(finding) for finding in self.findings] or ["no findings"]
        if self.counters is not None:
            lines.append(str(self.counters))
        if self.coverage is not None:
            lines.append(str(self.coverage))
        return "\n".join(lines)
