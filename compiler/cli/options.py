"""Owns the options that several commands share, as types of their parameters."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from tilewright.compiler.cli.report import ErrorFormat


class Emit(StrEnum):
    """What ``--emit`` prints instead of compiling to a file."""

    TREE = "tree"
    TENSOR = "tensor"
    PLAN = "plan"
    TILE = "tile"
    TILE_GPU = "tile-gpu"
    THREAD = "thread"
    LLVM = "llvm"
    PTX = "ptx"
    SASS = "sass"
    ASM = "asm"
    OBJ = "obj"


File = Annotated[str, typer.Argument(metavar="FILE[:KERNEL]", help="a .tw file, an IR file (.mlir) or a .twk file")]
Target = Annotated[str, typer.Option(help="cpu or sm_80")]
Types = Annotated[list[str], typer.Option("--type", metavar="NAME=TYPE", help="a type parameter, e.g. T=f32")]
Consts = Annotated[list[str], typer.Option("--const", metavar="NAME=VALUE", help="a const")]
Dims = Annotated[list[str], typer.Option("--dim", metavar="NAME=SIZE", help="fix a dim; the others stay dynamic")]
Disable = Annotated[list[str], typer.Option("--disable", metavar="PASS", help="leave an optional pass out")]
StopAfter = Annotated[str, typer.Option("--stop-after", metavar="PASS", help="print the IR after this pass and end")]
PrintChanged = Annotated[bool, typer.Option("--print-changed", help="print the IR after each pass that changed it")]
TimePasses = Annotated[bool, typer.Option("--time-passes", help="print how long each pass took")]
VerifyPasses = Annotated[bool, typer.Option("--verify-passes", help="run the IR before and after each pass, compare")]
Errors = Annotated[ErrorFormat, typer.Option("--error-format", help="how errors are printed")]


def split_file(text: str) -> tuple[str, str | None]:
    """``FILE:KERNEL`` as its two parts; a colon that no kernel name follows belongs to the path."""
    path, colon, kernel = text.rpartition(":")
    return (path, kernel) if colon and kernel.isidentifier() and path else (text, None)
