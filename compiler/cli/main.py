"""Owns the command ``tilewright``: its sub-commands, one file each."""

from __future__ import annotations

import sys

import typer

from tilewright import __version__
from tilewright.compiler.cli.check import check
from tilewright.compiler.cli.compile import compile
from tilewright.compiler.cli.emulate import CONTEXT, emulate
from tilewright.compiler.cli.explain import explain
from tilewright.compiler.cli.fmt import fmt
from tilewright.compiler.cli.report import Exit
from tilewright.compiler.cli.run import run
from tilewright.runtime.errors import TilewrightError

COMMANDS = (run, compile, check, fmt, explain)
EPILOG = (
    "Exit codes: 0 ok, 1 errors in the source, 2 wrong command line, 3 refused call, artifact or IR file, "
    "4 a check found a difference, 5 missing tool or device, 70 internal fault."
)


def application() -> typer.Typer:
    """The command line as an object, for tests and for ``main``."""
    app = typer.Typer(
        name="tilewright", help="A compiler for deep-learning primitives in index notation.", epilog=EPILOG,
        no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    )  # fmt: skip
    for command in COMMANDS:
        app.command()(command)
    app.command(context_settings=CONTEXT)(emulate)
    app.callback()(_callback)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tilewright {__version__}")
        raise typer.Exit


def _callback(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="print the version"),
) -> None:
    """What stands before a sub-command."""


def main() -> None:
    """The entry point; errors that happen before a command runs (bad switches) end it too."""
    try:
        application()()
    except TilewrightError as error:
        typer.echo(str(error), err=True)
        sys.exit(Exit.REFUSED)


if __name__ == "__main__":
    main()
