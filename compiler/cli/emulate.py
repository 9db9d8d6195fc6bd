"""Owns ``tilewright emulate``: run a PTX file, whoever wrote it, in the emulator and report what it finds."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer

from tilewright.compiler.cli.report import Exit, reported
from tilewright.compiler.cli.values import parse_value
from tilewright.runtime.emulator.errors import EmulatorError
from tilewright.runtime.errors import CallError

Ptx = Annotated[typer.FileText, typer.Argument(metavar="FILE.ptx")]
Entry = Annotated[str, typer.Option(help="which kernel; needed where there are several")]
Extent = Annotated[str, typer.Option(metavar="X[,Y[,Z]]")]
Values = Annotated[
    list[str], typer.Option("--arg", help="in the order of the parameters: randn:f32[64], zeros:f32[8], x.npy, 1.5:f32")
]
Checks = Annotated[str, typer.Option("--check", help="comma-separated: memory, races, barriers")]


def emulate(
    file: Ptx,
    entry: Entry = "",
    grid: Extent = "1",
    block: Extent = "32",
    arg: Values = [],  # noqa: B006 (typer copies it)
    check: Checks = "memory,races,barriers",
    schedule: Annotated[str, typer.Option(help="in-order, reverse or random")] = "in-order",
    seed: int = 0,
    shared_bytes: int = 0,
) -> None:
    """Emulate a PTX kernel: prints findings and counters; exit code 3 if there are findings."""
    from tilewright.runtime.emulator import Module, launch

    with reported():
        try:
            module = Module.parse(file.read())
            name = entry or _only(list(module.entries))
            arguments = [_argument(text, seed + number) for number, text in enumerate(arg)]
            report = launch(
                module, name, grid=_extent(grid), block=_extent(block), args=arguments, shared_bytes=shared_bytes,
                schedule=schedule, check=tuple(filter(None, check.split(","))), seed=seed,
            )  # fmt: skip
        except EmulatorError as cause:
            raise CallError("TW1210", f"the emulator refuses {file.name}: {cause}") from cause
    for number, value in enumerate(arguments):
        if isinstance(value, np.ndarray):
            typer.echo(f"argument {number}: {value.dtype}{list(value.shape)} {value.reshape(-1)[:8]}")
    for finding in report.findings:
        typer.echo(str(finding), err=True)
    typer.echo(f"{len(report.findings)} findings")
    if report.findings:
        raise typer.Exit(Exit.REFUSED)


def _only(entries: list[str]) -> str:
    if len(entries) != 1:
        raise CallError("TW1208", "which entry?", argument="--entry", expected=", ".join(entries))
    return entries[0]


def _extent(text: str) -> tuple[int, int, int]:
    parts = [int(part) for part in text.split(",") if part.strip().isdecimal()]
    if not 1 <= len(parts) <= 3 or len(parts) != len(text.split(",")):
        raise CallError("TW1208", f"cannot read {text!r}", expected="X, X,Y or X,Y,Z")
    x, y, z = (*parts, 1, 1)[:3]
    return x, y, z


def _argument(text: str, seed: int) -> Any:
    """A tensor, or a scalar with its type (``7:i32``)."""
    value, _, dtype = text.rpartition(":")
    if "[" not in text and value:
        return np.dtype(_SCALARS.get(dtype, dtype)).type(value)
    return parse_value(text, np.random.default_rng(seed), text)


_SCALARS = {"i32": "int32", "u32": "uint32", "i64": "int64", "f32": "float32", "f64": "float64", "f16": "float16"}
