"""Owns ``tilewright emulate``: hands its words to the emulator's own command and translates the exit code."""

from __future__ import annotations

import typer

from tilewright.compiler.cli.report import Exit
from tilewright.runtime.emulator import command

CONTEXT = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
CODES = {0: Exit.OK, 1: Exit.DIFFERENT, 2: Exit.REFUSED}


def emulate(context: typer.Context) -> None:
    """Emulate a PTX file, whoever wrote it, and report races, bad addresses, deadlocks: see `emulate --help`."""
    raise typer.Exit(CODES[command.main(context.args)])
