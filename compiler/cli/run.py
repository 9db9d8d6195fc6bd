"""Owns ``tilewright run``: call a kernel with generated or stored data; check it, time it, keep its results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from tilewright.compiler.cli import options
from tilewright.compiler.cli.building import Wish, build
from tilewright.compiler.cli.options import split_file
from tilewright.compiler.cli.report import ErrorFormat, Exit, reported
from tilewright.compiler.cli.values import parse_arguments
from tilewright.compiler.jit import JitKernel
from tilewright.compiler.reference.compare import Comparison, compare
from tilewright.compiler.reference.evaluate import Evaluation, ReferenceCheckError, evaluate
from tilewright.compiler.sources import Program, from_file
from tilewright.runtime.errors import CallError, RunError
from tilewright.runtime.switches import Switches, read

REFERENCE = "reference"
TIMED_SECONDS = 0.5
Outputs = dict[str, np.ndarray[Any, Any]]

Arguments = Annotated[
    list[str],
    typer.Option("--arg", metavar="NAME=VALUE", help="randn:f32[64,128], rand, randint(0,5), index, zeros, ones, "
                 "arange; x.npy, x.npz:name; a number for scalars and consts; a type for a type parameter"),
]  # fmt: skip
Device = Annotated[str, typer.Option(help="cpu, cuda, emulator, or reference (the language's own interpreter)")]
Check = Annotated[bool, typer.Option("--check", help="compare with the reference within its bound; exit code 4")]
Time = Annotated[bool, typer.Option("--time", help="print the time of a call")]
Out = Annotated[str, typer.Option("--out", metavar="FILE", help=".npy for one output, .npz for several")]
Seed = Annotated[int, typer.Option(help="of the generated data")]


def run(
    file: options.File,
    target: options.Target = "cpu",
    device: Device = "",
    arg: Arguments = [],  # noqa: B006 (typer copies it)
    check: Check = False,
    time: Time = False,
    out: Out = "",
    seed: Seed = 0,
    error_format: options.Errors = ErrorFormat.TEXT,
) -> None:
    """Run a kernel on the CPU, in the emulator, on a GPU, or in the reference interpreter."""
    with reported(error_format):
        values = parse_arguments(arg, seed)
        call = _caller(file, target, device)
        outputs = call(values)
        for name, value in outputs.items():
            typer.echo(_summary(name, value))
        if time:
            typer.echo(f"time {_time(lambda: call(values))}")
        if out:
            _save(Path(out), outputs)
        if check and not _checked(file, values, outputs):
            raise typer.Exit(Exit.DIFFERENT)


def _caller(file: str, target: str, device: str) -> Callable[[Mapping[str, Any]], Outputs]:
    """The kernel as a function from arguments by name to outputs by name."""
    path, kernel = split_file(file)
    if not path.endswith(".tw"):
        compiled = build(Wish(file, target, keep=False))
        assert compiled is not None
        names = [output.name for output in compiled.plan.outputs]
        return lambda values: _named(names, compiled(device=device or None, **values))
    loaded, switches = from_file(Path(path)), read()
    checked = loaded.kernel(kernel)
    if device == REFERENCE:
        return lambda values: dict(_reference(loaded, kernel, values, switches).outputs)
    jitted = JitKernel(loaded, checked, target, switches)
    names = [output.name.id for output in checked.outputs]
    return lambda values: _named(names, jitted(device=device or None, **values))


def _named(names: list[str], result: Any) -> Outputs:
    if not names:
        return {}
    return {names[0]: result} if len(names) == 1 else dict(zip(names, result, strict=True))


def _reference(loaded: Program, kernel: str | None, values: Mapping[str, Any], switches: Switches) -> Evaluation:
    """The meaning of the call; errors of the call are the same as the compiled kernel's."""
    jitted = JitKernel(loaded, loaded.kernel(kernel), "cpu", switches)
    typed, arguments = jitted.typed_for(values)
    try:
        return evaluate(typed, arguments)
    except ReferenceCheckError as cause:
        raise RunError("TW1015", str(cause)) from cause
    except KeyError as cause:
        raise CallError("TW1001", f"argument {cause.args[0]} is missing", argument=str(cause.args[0])) from cause


def _checked(file: str, values: Mapping[str, Any], outputs: Outputs) -> bool:
    """Whether every output is within the reference's bound; prints how far it is."""
    path, kernel = split_file(file)
    if not path.endswith(".tw"):
        raise CallError("TW1208", "--check needs the .tw file", argument=file)
    evaluation = _reference(from_file(Path(path)), kernel, values, read())
    comparisons = {name: compare(evaluation, name, value) for name, value in outputs.items()}
    for comparison in comparisons.values():
        typer.echo(_verdict(comparison))
    return all(comparison.ok for comparison in comparisons.values())


def _verdict(comparison: Comparison) -> str:
    undecided = comparison.undecided_fraction
    note = f" ({undecided:.1%} undecided)" if undecided else ""
    return f"check {'ok' if comparison.ok else 'FAILED'}: {comparison.message}{note}"


def _summary(name: str, value: Any) -> str:
    array = np.asarray(value)
    if array.size == 0:
        return f"{name}: {array.dtype}{list(array.shape)}, empty"
    if array.size == 1:
        return f"{name}: {array.dtype}{list(array.shape)} = {array.reshape(-1)[0]}"
    wide = array.astype(np.float64)
    return (
        f"{name}: {array.dtype}{list(array.shape)}, min {wide.min():.6g}, mean {wide.mean():.6g}, max {wide.max():.6g}"
    )


def _time(call: Callable[[], Any]) -> str:
    """Best and median of as many calls as fit into half a second, at least three."""
    seconds: list[float] = []
    end = time.perf_counter() + TIMED_SECONDS
    while len(seconds) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    seconds.sort()
    return f"{1e3 * seconds[0]:.4g} ms best, {1e3 * seconds[len(seconds) // 2]:.4g} ms median of {len(seconds)} calls"


def _save(path: Path, outputs: Outputs) -> None:
    """NumPy's own dtypes as they are; narrow floats, which its files do not know, as f32."""
    stored = {name: _storable(np.asarray(value)) for name, value in outputs.items()}
    if path.suffix == ".npz":
        np.savez(path, **stored)  # type: ignore[arg-type]
    elif len(stored) == 1:
        np.save(path, next(iter(stored.values())))
    else:
        raise CallError("TW1208", f"{len(stored)} outputs need a .npz file", argument="--out", found=str(path))


def _storable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.astype(np.float32) if array.dtype.kind == "V" or array.dtype.num >= 256 else array
