"""Owns compiling for a command: which of the three kinds of file it is, and what is watched on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import typer

from tilewright.compiler import driver
from tilewright.compiler.assumptions import allocated
from tilewright.compiler.cli.options import split_file
from tilewright.compiler.cli.values import parse_consts, parse_dims, parse_pairs
from tilewright.compiler.driver import Compiled
from tilewright.compiler.jobs import Job, artifact_of, artifact_of_ir
from tilewright.compiler.pipeline import Settings, require_title
from tilewright.compiler.sources import Program, from_file
from tilewright.compiler.target import find
from tilewright.compiler.worker import compile_apart
from tilewright.dialect.printing import UnreadableText, dump
from tilewright.passes.base import Instrument, Record, Stopped
from tilewright.passes.names import UnknownPass
from tilewright.runtime import artifact
from tilewright.runtime.artifact import Artifact
from tilewright.runtime.errors import CallError
from tilewright.runtime.switches import Switches, read


@dataclass(frozen=True)
class Wish:
    """What a command line asks for, as written."""

    file: str
    target: str = "cpu"
    types: Sequence[str] = ()
    consts: Sequence[str] = ()
    dims: Sequence[str] = ()
    disable: Sequence[str] = ()
    stop_after: str = ""
    print_changed: bool = False
    time_passes: bool = False
    verify_passes: bool = False
    keep: bool = True
    switches: Switches = field(default_factory=read)

    @property
    def watched(self) -> bool:
        """Whether the passes must run here, where they can be watched."""
        return bool(self.stop_after or self.print_changed or self.time_passes or self.verify_passes)

    @property
    def settings(self) -> Settings:
        return Settings(disabled=frozenset(self.disable), keep=self.keep, verify=self.verify_passes)


def build(wish: Wish) -> Compiled | None:
    """The compiled kernel of a ``.tw``, ``.mlir`` or ``.twk`` file; None where ``--stop-after`` printed IR instead."""
    try:
        if wish.stop_after:
            require_title(wish.stop_after, find(wish.target, wish.switches), wish.settings)
        return Compiled(_artifact(wish), wish.switches)
    except Stopped as stop:
        typer.echo(dump(stop.module, locations=True))
        return None
    except UnreadableText as cause:
        raise CallError("TW1209", f"{wish.file} is not an IR file: {cause}", argument=wish.file) from cause
    except UnknownPass as cause:
        raise CallError("TW1207", str(cause), argument="--stop-after") from cause


def _artifact(wish: Wish) -> Artifact:
    path, kernel = split_file(wish.file)
    if path.endswith(".twk"):
        return artifact.load(Path(path))
    if path.endswith(".mlir"):
        return _from_ir(wish, Path(path))
    loaded = from_file(Path(path))
    if not wish.watched:
        return _apart(wish, loaded, kernel)
    instrument = _instrument(wish)
    made = artifact_of(job_of(wish, loaded, kernel), wish.switches, instrument)
    _print_times(wish, instrument.record)
    return made


def _from_ir(wish: Wish, path: Path) -> Artifact:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise CallError("TW1209", f"cannot read {path}: {cause}", argument=str(path)) from cause
    instrument = _instrument(wish)
    made = artifact_of_ir(text, wish.target, wish.settings, wish.switches, instrument)
    _print_times(wish, instrument.record)
    return made


def _apart(wish: Wish, loaded: Program, kernel: str | None) -> Artifact:
    return compile_apart(job_of(wish, loaded, kernel), wish.switches)


def job_of(wish: Wish, loaded: Program, kernel: str | None) -> Job:
    """The compilation that the options describe."""
    checked = loaded.kernel(kernel)
    settings = replace(wish.settings, facts=allocated(checked, find(wish.target, wish.switches)))
    instance = driver.instance_of(checked, parse_pairs(wish.types, "--type"), parse_consts(wish.consts))
    dims = tuple(sorted(parse_dims(wish.dims).items()))
    return Job(loaded, checked.name, instance, wish.target, (), dims, settings)


def _instrument(wish: Wish) -> Instrument:
    return Instrument(
        print_changed=typer.echo if wish.print_changed else None,
        stop_after=wish.stop_after or None,
        each=wish.time_passes,
        record=Record(),
    )


def _print_times(wish: Wish, record: Record) -> None:
    if not wish.time_passes:
        return
    total = sum(seconds for _, seconds in record.seconds)
    for title, seconds in record.seconds:
        typer.echo(f"{1e3 * seconds:9.2f} ms  {title}", err=True)
    typer.echo(f"{1e3 * total:9.2f} ms  all passes", err=True)
