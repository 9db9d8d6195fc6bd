"""Owns ``tilewright fmt``: files in the one layout of the language."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tilewright.compiler.cli import options
from tilewright.compiler.cli.report import ErrorFormat, Exit, reported
from tilewright.compiler.language.format import format_source
from tilewright.compiler.sources import source_of

Files = Annotated[list[str], typer.Argument(metavar="FILE...", help=".tw files; - reads from stdin and prints")]
Only = Annotated[bool, typer.Option("--check", help="change nothing; exit code 4 if a file would change")]


def fmt(files: Files, check: Only = False, error_format: options.Errors = ErrorFormat.TEXT) -> None:
    """Format files in place. Comments stay; formatting twice changes nothing more."""
    changed = 0
    with reported(error_format):
        for file in files:
            changed += _format(file, check)
    if check and changed:
        raise typer.Exit(Exit.DIFFERENT)


def _format(file: str, check: bool) -> bool:
    """Whether the file was (or would be) changed."""
    if file == "-":
        typer.echo(format_source(sys.stdin.read(), "<stdin>"), nl=False)
        return False
    before = source_of(Path(file)).text
    after = format_source(before, file)
    if after == before:
        return False
    if check:
        typer.echo(f"{file} would change")
    else:
        Path(file).write_bytes(after.encode())
        typer.echo(f"{file} formatted")
    return True
