"""Owns ``tilewright explain``: why a kernel was compiled as it was, or what an error code means."""

from __future__ import annotations

import re

import typer

from tilewright.compiler.cli import options
from tilewright.compiler.cli.building import Wish, build
from tilewright.compiler.cli.report import ErrorFormat, reported
from tilewright.compiler.language.catalogue.index import entry
from tilewright.compiler.language.catalogue.pages import page
from tilewright.runtime.errors import CallError


def explain(
    what: options.File,
    target: options.Target = "cpu",
    type_: options.Types = [],  # noqa: B006 (typer copies it)
    const: options.Consts = [],  # noqa: B006
    dim: options.Dims = [],  # noqa: B006
    error_format: options.Errors = ErrorFormat.TEXT,
) -> None:
    """Explain a compilation (FILE[:KERNEL]): launches, schedules and their reasons; or an error code (TW1005)."""
    with reported(error_format):
        if re.fullmatch(r"TW\d{4}", what):
            return typer.echo(_page(what), nl=False)
        compiled = build(Wish(what, target, type_, const, dim))
        if compiled is None:
            return None
        typer.echo(compiled.plan)
        notes = compiled.artifact.notes
        typer.echo(f"\n{notes.get('explain.txt', '')}{notes.get('remarks.txt', '')}", nl=False)
        for launch, figures in compiled.resources.items():
            typer.echo(f"{launch}: " + ", ".join(f"{name} {value}" for name, value in figures.items()))


def _page(code: str) -> str:
    try:
        return page(entry(code))
    except KeyError:
        raise CallError("TW1208", f"there is no error code {code}", argument=code) from None
