"""``tilewright emulate FILE.ptx``: run a kernel on the emulator from the command line.

Arguments are written ``f32[64,128]=random``, ``bf16[8,8]=zeros``, ``i32=7``, ``f32[16]=arange``, ``f32=0.5``,
``f32[4]@data.npy`` or, for a tensor map over an array, ``map:f16[128,64]=random:box=64x64:swizzle=128``.
"""

from __future__ import annotations

import argparse
import html
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from tilewright.runtime.emulator.arguments import Uninitialised
from tilewright.runtime.emulator.errors import EmulatorError, LaunchError
from tilewright.runtime.emulator.launch import CHECKS, COMPLETIONS, MODELS, SCHEDULES, launch
from tilewright.runtime.emulator.module import Module
from tilewright.runtime.emulator.report import Report
from tilewright.runtime.emulator.tensormap import TensorMap

ARGUMENT = re.compile(r"(?P<type>[a-z]\w*)(?:\[(?P<shape>[\d,]+)\])?(?:=(?P<value>[^@]+)|@(?P<file>.+))?$")
DTYPES: dict[str, Any] = {
    "f16": np.float16,
    "f32": np.float32,
    "f64": np.float64,
    "bf16": ml_dtypes.bfloat16,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "u8": np.uint8,
    "u16": np.uint16,
    "u32": np.uint32,
    "u64": np.uint64,
}


def parse_argument(text: str, seed: int) -> Any:
    """One ``--arg`` as an array, a scalar or a tensor map.

    Raises:
        LaunchError: saying what is wrong with the text.
    """
    if text.startswith("map:"):
        return _tensor_map(text[4:], seed)
    match = ARGUMENT.match(text)
    if match is None or match["type"] not in DTYPES:
        raise LaunchError(
            f"argument `{text}`: expected TYPE=VALUE, TYPE[SHAPE]=FILL or TYPE[SHAPE]@FILE with a type of "
            f"{', '.join(DTYPES)}"
        )
    kind = np.dtype(DTYPES[match["type"]])
    if match["shape"] is None:
        return kind.type(float(match["value"] or 0) if kind.kind not in "iu" else int(match["value"] or "0", 0))
    shape = tuple(int(extent) for extent in match["shape"].split(","))
    if match["file"]:
        return np.ascontiguousarray(np.load(match["file"], allow_pickle=False).astype(kind).reshape(shape))
    return _filled(match["value"] or "zeros", shape, kind, seed)


def _filled(fill: str, shape: tuple[int, ...], kind: np.dtype[Any], seed: int) -> Any:
    count = int(np.prod(shape))
    if fill == "empty":
        return Uninitialised(np.zeros(shape, kind))
    values: Any
    if fill == "random":
        rng = np.random.default_rng(seed)
        values = rng.integers(0, 100, shape) if kind.kind in "iu" else rng.normal(size=shape)
    else:
        table: dict[str, Any] = {
            "zeros": np.zeros(shape),
            "ones": np.ones(shape),
            "arange": np.arange(count).reshape(shape),
        }
        if fill not in table:
            raise LaunchError(f"fill `{fill}` is not one of random, empty, {', '.join(table)}")
        values = table[fill]
    return np.asarray(values).astype(kind)


def _tensor_map(text: str, seed: int) -> TensorMap:
    array, *rest = text.split(":")
    options = dict(piece.split("=", 1) for piece in rest)
    unknown = set(options) - {"box", "swizzle", "fill"}
    if unknown or "box" not in options:
        raise LaunchError(f"tensor map `{text}`: needs box=AxB and allows swizzle, fill")
    box = tuple(int(extent) for extent in options["box"].split("x"))
    return TensorMap.tiled(
        parse_argument(array, seed), box, swizzle=int(options.get("swizzle", 0)), fill=int(options.get("fill", 0))
    )


def _extents(text: str) -> tuple[int, ...]:
    return tuple(int(extent) for extent in re.split(r"[x,]", text))


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tilewright emulate", description="Run a PTX kernel on the emulator.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--entry", help="kernel name; may be left out when there is one")
    parser.add_argument("--grid", type=_extents, default=(1,))
    parser.add_argument("--block", type=_extents, default=(32,))
    parser.add_argument("--cluster", type=_extents, default=(1, 1, 1))
    parser.add_argument("--shared", type=int, default=0, help="dynamic shared memory in bytes")
    parser.add_argument("--arg", action="append", default=[], help="see the documentation; repeat in order")
    parser.add_argument("--schedule", choices=SCHEDULES, default="in-order")
    parser.add_argument("--completion", choices=COMPLETIONS, default="lazy")
    parser.add_argument("--check", default="memory,races,barriers", help=f"comma-separated, of {', '.join(CHECKS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tc", choices=MODELS, default="ideal")
    parser.add_argument("--report", type=Path, help="write the report to this .json or .html file")
    return parser


def as_html(report: Report) -> str:
    """The report as one self-contained page."""
    rows = "".join(f"<li class='{finding.severity}'>{html.escape(str(finding))}</li>" for finding in report.findings)
    style = "body{font-family:sans-serif}.error{color:#a00}.warning{color:#960}"
    counts = html.escape(f"{report.counters}\n{report.coverage}")
    return (
        f"<!doctype html><meta charset='utf-8'><title>Emulation report</title><style>{style}</style>"
        f"<h1>Findings</h1><ul>{rows or '<li>none</li>'}</ul><h1>Counters</h1><pre>{counts}</pre>"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 when nothing was found, 1 for findings, 2 for bad input."""
    options = build_parser().parse_args(arguments)
    try:
        report = _run(options)
    except (EmulatorError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(report)
    if options.report is not None:
        page = as_html(report) if options.report.suffix == ".html" else report.to_json()
        options.report.write_text(page, encoding="utf-8")
    return 1 if report.errors else 0


def _run(options: argparse.Namespace) -> Report:
    module = Module.parse(options.file.read_text(encoding="utf-8", errors="replace"))
    names = list(module.entries)
    if options.entry is None and len(names) != 1:
        raise LaunchError(f"choose one with --entry: {', '.join(names) or 'the module has no entry'}")
    args = [parse_argument(text, options.seed + position) for position, text in enumerate(options.arg)]
    checks = tuple(name for name in options.check.split(",") if name)
    return launch(
        module,
        options.entry or names[0],
        options.grid,
        options.block,
        options.cluster,
        options.shared,
        args,
        options.schedule,
        options.completion,
        checks,
        options.seed,
        options.tc,
    )
