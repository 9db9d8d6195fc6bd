"""Owns the reasons of a compilation as text: why launches hold what they hold, and how each nest was blocked."""

from __future__ import annotations

from typing import Any

from tilewright.dialect import functions
from tilewright.dialect.mlir import ir
from tilewright.passes.tile.rule import Machine, default_schedule


def reasons(module: Any, machine: Machine) -> str:
    """One paragraph per launch of a module after ``partition``."""
    launches = [function for function in functions.functions_of(module) if functions.grid_of(function) is not None]
    return "\n\n".join(_launch(function, machine) for function in launches) + "\n"


def _launch(function: Any, machine: Machine) -> str:
    attributes = function.operation.attributes
    why = ir.StringAttr(attributes["tw.reason"]).value if "tw.reason" in attributes else "no reason given"
    lines = [f"launch {functions.name_of(function)}", f"  {why}"]
    for nest in default_schedule(function, machine).nests:
        lines += [f"  {nest}", f"    because: {nest.reason}"]
    return "\n".join(lines)
