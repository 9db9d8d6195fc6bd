"""Owns ``tilewright compile``: a kernel to a ``.twk`` file, or one of its forms to the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tilewright.compiler.cli import options
from tilewright.compiler.cli.building import Wish, build
from tilewright.compiler.cli.options import Emit, split_file
from tilewright.compiler.cli.report import ErrorFormat, reported
from tilewright.compiler.driver import Compiled
from tilewright.compiler.language.parse import parse
from tilewright.compiler.sources import from_file
from tilewright.runtime.errors import CallError

Output = Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="where to write; default: KERNEL.twk")]
Emitted = Annotated[Emit | None, typer.Option("--emit", help="print this form instead of writing a .twk file")]


def compile(  # noqa: A001 (the command's name)
    file: options.File,
    target: options.Target = "cpu",
    type_: options.Types = [],  # noqa: B006 (typer copies it)
    const: options.Consts = [],  # noqa: B006
    dim: options.Dims = [],  # noqa: B006
    emit: Emitted = None,
    output: Output = "",
    disable: options.Disable = [],  # noqa: B006
    stop_after: options.StopAfter = "",
    print_changed: options.PrintChanged = False,
    time_passes: options.TimePasses = False,
    verify_passes: options.VerifyPasses = False,
    error_format: options.Errors = ErrorFormat.TEXT,
) -> None:
    """Compile a kernel without data; dims that are not fixed stay dynamic.

    An IR file that --emit, --stop-after or --print-changed printed is taken up where it stopped.
    """
    with reported(error_format):
        if emit is Emit.TREE:
            return _write(_tree(file).encode(), output)
        wish = Wish(file, target, type_, const, dim, disable, stop_after, print_changed, time_passes, verify_passes)
        compiled = build(wish)
        if compiled is None:
            return None
        if emit is not None:
            return _write(form_of(compiled, emit), output)
        path = Path(output or f"{compiled.__name__}.twk")
        compiled.save(path)
        typer.echo(f"{path}: {compiled.__name__} for {target}, {len(compiled.plan.launches)} launches")


def _tree(file: str) -> str:
    """The syntax tree, one node a line."""
    from rich.pretty import pretty_repr

    path, _ = split_file(file)
    source = from_file(Path(path)).source
    tree = parse(source)
    return pretty_repr((tree.imports, tree.macros, tree.kernels, tree.schedules), max_width=120) + "\n"


def form_of(compiled: Compiled, emit: Emit) -> bytes:
    """One form of a compiled kernel, as it goes to a file or a terminal."""
    if emit is Emit.OBJ:
        for form in ("o", "cubin"):
            if form in compiled.artifact.code:
                return compiled.artifact.code[form]
        raise CallError("TW1207", "there is no object code for this target", argument="--emit")
    if emit is Emit.ASM:
        return compiled.asm.encode()
    return compiled.ir(emit.value).encode()


def _write(data: bytes, output: str) -> None:
    if output:
        Path(output).write_bytes(data)
    else:
        typer.echo(data, nl=False)
