"""Owns how the command line ends: which error gives which exit code, and how errors are printed.

Codes: 0 all is well; 1 the source or kernel has errors; 2 the command line is wrong; 3 a call, artifact or IR file is
refused, or a check inside a running kernel failed; 4 ``--check`` found a difference, ``fmt --check`` an unformatted
file, ``emulate`` a fault; 5 a tool or device is missing or failed; 70 an internal fault.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum

import typer

from tilewright.compiler.language.errors import SourceErrors, render
from tilewright.dialect.faults import InternalFault
from tilewright.runtime.errors import DeviceError, TilewrightError


class Exit(IntEnum):
    OK = 0
    SOURCE = 1
    USAGE = 2
    REFUSED = 3
    DIFFERENT = 4
    MISSING = 5
    INTERNAL = 70


class ErrorFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


TOOL_CODES = ("TW1203", "TW1205", "TW1206")


@contextmanager
def reported(form: ErrorFormat = ErrorFormat.TEXT) -> Iterator[None]:
    """Print whatever error comes out of the block, and end with its exit code."""
    try:
        yield
    except SourceErrors as errors:
        typer.echo(_source_errors(errors, form), err=form is ErrorFormat.TEXT, nl=False)
        raise typer.Exit(Exit.SOURCE) from None
    except TilewrightError as error:
        typer.echo(_one(error.code, str(error), error, form), err=form is ErrorFormat.TEXT)
        missing = isinstance(error, DeviceError) or error.code in TOOL_CODES
        raise typer.Exit(Exit.MISSING if missing else Exit.REFUSED) from None
    except InternalFault as fault:
        typer.echo(_one("internal", str(fault), None, form), err=form is ErrorFormat.TEXT)
        raise typer.Exit(Exit.INTERNAL) from None


def _source_errors(errors: SourceErrors, form: ErrorFormat) -> str:
    return render(errors.diagnostics, "json") if form is ErrorFormat.JSON else f"{errors}\n"


def _one(code: str, text: str, error: TilewrightError | None, form: ErrorFormat) -> str:
    if form is ErrorFormat.TEXT:
        return text
    record = {"code": code, "message": error.message if error else text}
    if error:
        record |= {"expected": error.expected, "found": error.found, "remedy": error.remedy}
    return json.dumps({"errors": [record]}, indent=2)
