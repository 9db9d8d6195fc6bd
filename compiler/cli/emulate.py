"""Owns ``tilewright emulate``: hands its words to the emulator's own command, which uses the exit codes of all."""

from __future__ import annotations

import typer

from tilewright.runtime.emulator import command

CONTEXT = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def emulate(context: typer.Context) -> None:
    """Emulate a PTX file, whoever wrote it, and report races, bad addresses, deadlocks: see `emulate --help`."""
    raise typer.Exit(command.main(context.args))
