"""``tilewright emulate FILE.ptx``: run a kernel on the emulator from the command line."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.runtime.emulator.assumptions import CHOICES
from tilewright.runtime.emulator.command_values import HELP, array_of, parse_argument, types
from tilewright.runtime.emulator.errors import EmulatorError, LaunchError
from tilewright.runtime.emulator.launch import CHECKS, COMPLETIONS, MODELS, SCHEDULES, launch
from tilewright.runtime.emulator.limits import shortened
from tilewright.runtime.emulator.module import Entry, Module
from tilewright.runtime.emulator.page import as_page
from tilewright.runtime.emulator.presentation import Emulation, Observation, as_json, as_text, listing, observe
from tilewright.runtime.emulator.report import Report

CLEAN, USAGE, REFUSED, FAULTS = 0, 2, 3, 4
"""Exit codes, those of the other commands."""
EPILOG = f"""\
{HELP.format(types=types())}

exit codes: {CLEAN} no errors found, {USAGE} wrong command line, {REFUSED} PTX, arguments or launch refused, \
{FAULTS} the kernel has errors

example: tilewright emulate add.ptx --grid 4 --block 128 --arg 'f32[512]=random' --arg 'f32[512]=empty' --arg i32=512"""
ALL = "all"


def build_parser() -> argparse.ArgumentParser:
    """The options; their names are those of ``launch``."""
    parser = argparse.ArgumentParser(
        prog="tilewright emulate",
        description="Run a PTX kernel without a GPU and report races, bad addresses, deadlocks and misused barriers.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE.ptx", help="PTX text from any compiler; - reads standard input")
    parser.add_argument("--list", action="store_true", help="print the kernels and their parameters, run nothing")
    what = parser.add_argument_group("what to launch")
    what.add_argument("--entry", metavar="NAME", help="the kernel; may be left out when there is one")
    what.add_argument("--grid", type=_extents, default=(1,), metavar="X[,Y[,Z]]", help="CTAs; default: 1")
    what.add_argument(
        "--block", type=_extents, metavar="X[,Y[,Z]]", help="threads; default: what the PTX requires, or 32"
    )
    what.add_argument("--cluster", type=_extents, default=(1, 1, 1), metavar="X[,Y[,Z]]", help="CTAs of a cluster")
    what.add_argument("--shared-bytes", type=int, default=0, metavar="N", help="dynamic shared memory of a CTA")
    what.add_argument("--arg", action="append", default=[], metavar="VALUE", help="an argument; see below")
    how = parser.add_argument_group("how to run")
    how.add_argument("--schedule", choices=(*SCHEDULES, ALL), default="in-order", help="order of warps")
    how.add_argument("--completion", choices=(*COMPLETIONS, ALL), default="lazy", help="when asynchronous work happens")
    how.add_argument("--seed", type=int, default=0, metavar="N", help="of random arguments, schedules and completions")
    how.add_argument("--tc", choices=MODELS, default="ideal", help="sums of matrix instructions")
    how.add_argument("--check", type=_checks, default=CHECKS[:3], metavar="A,B", help=f"of {', '.join(CHECKS)}")
    how.add_argument("--strict", action=argparse.BooleanOptionalAction, default=True,
                     help="warn of what only a strict reading of the memory model objects to")  # fmt: skip
    how.add_argument("--assume", action="append", default=[], type=_assumption, metavar="NAME=CHOICE",
                     help=f"a modelling assumption to change: {_assumptions()}")  # fmt: skip
    how.add_argument("--max-steps", type=int, default=50_000_000, metavar="N", help="blocks to run before giving up")
    out = parser.add_argument_group("what to write")
    out.add_argument("--report", type=_report_path, metavar="FILE", help="the report as .json, or as a page, .html")
    out.add_argument("--out", action="append", default=[], type=_output, metavar="N=FILE.npy",
                     help="store argument N, from 0, as the kernel left it (in the last mode)")  # fmt: skip
    return parser


def _extents(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+([x,]\d+){0,2}", text):
        raise argparse.ArgumentTypeError(f"`{text}` is not one to three numbers, as in 4,2 or 4x2")
    return tuple(int(extent) for extent in re.split(r"[x,]", text))


def _checks(text: str) -> tuple[str, ...]:
    names = tuple(name for name in text.split(",") if name)
    for name in names:
        if name not in CHECKS:
            raise argparse.ArgumentTypeError(f"`{name}` is not one of {', '.join(CHECKS)}")
    return names


def _assumptions() -> str:
    return "; ".join(f"{name}={'|'.join(choices)}" for name, choices in CHOICES.items())


def _assumption(text: str) -> tuple[str, str]:
    name, _, choice = text.partition("=")
    if choice not in CHOICES.get(name, ()):
        raise argparse.ArgumentTypeError(f"`{text}` is none of {_assumptions()}")
    return name, choice


def _report_path(text: str) -> Path:
    if Path(text).suffix not in (".json", ".html"):
        raise argparse.ArgumentTypeError(f"`{text}` ends neither in .json nor in .html")
    return Path(text)


def _output(text: str) -> tuple[int, Path]:
    number, _, name = text.partition("=")
    if not number.isdecimal() or not name.endswith(".npy"):
        raise argparse.ArgumentTypeError(f"`{text}` is not N=FILE.npy")
    return int(number), Path(name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = build_parser().parse_args(arguments)
    try:
        text = sys.stdin.read() if options.file == "-" else Path(options.file).read_text("utf-8", "replace")
        module = Module.parse(text)
        if options.list:
            print(listing(module))
            return CLEAN
        emulation = _emulate(options, module, text)
        print(as_text(emulation))
        if options.report is not None:
            form = as_page if options.report.suffix == ".html" else as_json
            options.report.write_text(form(emulation), encoding="utf-8")
    except (EmulatorError, OSError, MemoryError) as error:
        print(f"error: {error or 'out of memory'}", file=sys.stderr)
        return REFUSED
    return FAULTS if any(seen.finding.severity == "error" for seen in emulation.observations) else CLEAN


def _emulate(options: argparse.Namespace, module: Module, text: str) -> Emulation:
    """Run the kernel in the mode, or in all modes, that the options name."""
    entry = _entry(options, module)
    schedules = SCHEDULES if options.schedule == ALL else (options.schedule,)
    completions = COMPLETIONS if options.completion == ALL else (options.completion,)
    observations: dict[tuple[Any, ...], Observation] = {}
    reports: list[Report] = []
    args: list[Any] = []
    for schedule, completion in product(schedules, completions):
        report, args = _launch(options, module, entry, schedule, completion)
        observe(observations, report, f"schedule {schedule}, completion {completion}")
        reports.append(report)
    _store(options.out, args)
    settings = {
        "kernel": entry.name,
        "grid": "x".join(map(str, options.grid)),
        "block": "x".join(map(str, _block(options, entry))),
        "schedule": options.schedule,
        "completion": options.completion,
        "seed": str(options.seed),
    }
    stopped = next((report for report in reports if not report.completed), reports[0])
    return Emulation(options.file, text, settings, stopped, tuple(observations.values()), len(reports))


def _entry(options: argparse.Namespace, module: Module) -> Entry:
    names = list(module.entries)
    if options.entry is None and len(names) != 1:
        raise LaunchError(f"choose one with --entry: {shortened(', '.join(names)) or 'the module has no kernel'}")
    name = options.entry or names[0]
    if name not in module.entries:
        raise LaunchError(f"no kernel `{name}`; the module has {shortened(', '.join(names)) or 'none'}")
    return module.entries[name]


def _block(options: argparse.Namespace, entry: Entry) -> tuple[int, ...]:
    return options.block or entry.reqntid or (32,)


def _launch(
    options: argparse.Namespace, module: Module, entry: Entry, schedule: str, completion: str
) -> tuple[Report, list[Any]]:
    """One launch on new arguments, which are the same each time."""
    args = [parse_argument(text, options.seed + position) for position, text in enumerate(options.arg)]
    if len(args) != len(entry.parameters):
        raise LaunchError(f"{len(args)} times --arg, but the kernel is\n{listing(module, entry.name)}")
    report = launch(
        module,
        entry.name,
        options.grid,
        _block(options, entry),
        options.cluster,
        options.shared_bytes,
        args,
        schedule,
        completion,
        options.check,
        options.seed,
        options.tc,
        max_steps=options.max_steps,
        strict=options.strict,
        assume=dict(options.assume),
    )
    return report, args


def _store(outputs: Sequence[tuple[int, Path]], args: Sequence[Any]) -> None:
    for number, path in outputs:
        array = array_of(args[number]) if number < len(args) else None
        if array is None:
            raise LaunchError(f"--out {number}={path}: argument {number} is no array")
        np.save(path, array)
