"""Owns the reasons of a compilation as text: why launches hold what they hold, and how each nest was blocked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tilewright.dialect import functions
from tilewright.dialect.mlir import ir
from tilewright.passes.schedule import Schedule
from tilewright.passes.tile.rule import Machine
from tilewright.passes.tile.tile import bent_schedules
from tilewright.passes.tile.written import Setting


def reasons(module: Any, machine: Machine, written: Sequence[Setting] = ()) -> str:
    """One paragraph per launch of a module after ``partition``; ``written`` settings are told where they apply."""
    launches = [function for function in functions.functions_of(module) if functions.grid_of(function) is not None]
    return "\n\n".join(_launch(function, machine, written) for function in launches) + "\n"


def _launch(function: Any, machine: Machine, written: Sequence[Setting]) -> str:
    attributes = function.operation.attributes
    why = ir.StringAttr(attributes["tw.reason"]).value if "tw.reason" in attributes else "no reason given"
    lines = [f"launch {functions.name_of(function)}", f"  {why}"]
    variants, unused = bent_schedules(function, machine, written)
    lines += [f"  {setting} as written" for setting in written if setting.key[0] != "tile" and setting not in unused]
    for schedule in variants:
        if len(variants) > 1:
            lines.append(f"  {_condition(schedule)}")
        for nest in schedule.nests:
            lines += [f"  {nest}", f"    because: {nest.reason}"]
    return "\n".join(lines)


def _condition(schedule: Schedule) -> str:
    return f"when {' and '.join(map(str, schedule.when))}:" if schedule.when else "otherwise:"
