"""Owns the crash folder: everything that is needed to repeat an internal fault, in files that can be sent to us.

``source.tw`` and the files that it imports, ``NN-<stage>.mlir`` (the IR after each stage that still worked),
``fault.txt`` (the traceback), ``environment.json`` (versions, switches, target, instance) and ``replay.sh``, one line
that repeats the compilation.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tilewright.compiler.language.typed import Instance
from tilewright.compiler.version import versions
from tilewright.runtime.switches import Switches


@dataclass(frozen=True)
class Case:
    """What was compiled when the fault happened; ``imports`` are texts by their path below the source's folder."""

    source: str
    kernel: str
    target: str
    instance: Instance = field(default_factory=Instance)
    dims: Mapping[str, int] = field(default_factory=dict)
    disabled: frozenset[str] = frozenset()
    imports: Mapping[str, str] = field(default_factory=dict)


def write(fault: BaseException, case: Case, texts: Mapping[str, str], switches: Switches, home: Path) -> Path | None:
    """Leave a crash folder below ``home`` and give its path; None where nothing can be written.

    The folder's name depends on the fault and the source alone, so a fault that repeats does not fill the disk.
    """
    trace = "".join(traceback.format_exception(fault))
    digest = hashlib.sha256((case.source + case.kernel + type(fault).__name__).encode()).hexdigest()[:12]
    for base in (home, Path(tempfile.gettempdir()) / "tilewright-crashes"):
        try:
            return _fill(base / f"{case.kernel}-{digest}", trace, case, texts, switches)
        except OSError:
            continue
    return None


def _fill(folder: Path, trace: str, case: Case, texts: Mapping[str, str], switches: Switches) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in {**case.imports, "source.tw": case.source}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for number, (stage, text) in enumerate(texts.items()):
        (folder / f"{number:02d}-{stage}.mlir").write_text(text)
    (folder / "fault.txt").write_text(trace)
    (folder / "environment.json").write_text(json.dumps(_environment(case, switches), indent=1, default=str))
    replay = folder / "replay.sh"
    replay.write_text(f"#!/bin/sh\ncd {shlex.quote(str(folder))} && {replay_line(case)}\n")
    replay.chmod(0o700)
    return folder


def _environment(case: Case, switches: Switches) -> dict[str, object]:
    return {
        "versions": versions(),
        "switches": vars(switches),
        "python": sys.version,
        "platform": sys.platform,
        "kernel": case.kernel,
        "target": case.target,
        "types": dict(case.instance.types),
        "consts": dict(case.instance.consts),
        "dims": dict(case.dims),
        "disabled": sorted(case.disabled),
    }


def replay_line(case: Case) -> str:
    """The command that repeats the compilation inside the folder."""
    words = ["tilewright", "compile", f"source.tw:{case.kernel}", "--target", case.target]
    for flag, pairs in (
        ("--type", case.instance.types),
        ("--const", case.instance.consts),
        ("--dim", case.dims.items()),
    ):
        for name, value in pairs:
            words += [flag, f"{name}={value}"]
    for name in sorted(case.disabled):
        words += ["--disable", name]
    return shlex.join(words)
