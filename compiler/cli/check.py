"""Owns ``tilewright check``: all errors of some files, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tilewright.compiler.cli import options
from tilewright.compiler.cli.report import ErrorFormat, Exit, reported
from tilewright.compiler.language.errors import Diagnostic, SourceErrors, render
from tilewright.compiler.sources import from_file

Files = Annotated[list[str], typer.Argument(metavar="FILE...", help=".tw files")]


def check(files: Files, error_format: options.Errors = ErrorFormat.TEXT) -> None:
    """Check files: names, types, extents, bounds. Prints every error of every file."""
    found: list[Diagnostic] = []
    kernels = 0
    with reported(error_format):
        for file in files:
            try:
                kernels += len(from_file(Path(file)).module.kernels)
            except SourceErrors as errors:
                found += errors.diagnostics
    if error_format is ErrorFormat.JSON:
        typer.echo(render(found, "json"), nl=False)
    elif found:
        typer.echo(render(found), err=True, nl=False)
    else:
        typer.echo(f"{len(files)} files, {kernels} kernels: no errors")
    if found:
        raise typer.Exit(Exit.SOURCE)
