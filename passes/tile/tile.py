"""Owns the pass ``tile``: from the launches of the tensor level to a module of neutral tile programs.

Before: the module after ``partition``: a kernel function that calls launches in order, and the launches. After: one
tile function per launch and the order of the launches in ``tile.plan``. Each launch is blocked by the schedule given
for it, or by the default rule for the machine, bent by the settings of the kernel's ``schedule`` block.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from tilewright.dialect import functions, ods
from tilewright.dialect.mlir import ir
from tilewright.passes.base import Pass
from tilewright.passes.schedule import Schedule
from tilewright.passes.tile.launch import tile_launch
from tilewright.passes.tile.rule import Machine, default_schedule
from tilewright.passes.tile.written import Setting, apply_settings, refuse_unused


@dataclass(frozen=True)
class TileLaunches(Pass):
    """Tiles every launch of a module; ``schedules`` override the rule by launch name."""

    name: ClassVar[str] = "tile"
    result_level: ClassVar[str | None] = "tile"
    machine: Machine = field(default_factory=Machine)
    schedules: tuple[Schedule, ...] = ()
    written: tuple[Setting, ...] = ()

    def run(self, module: Any) -> Any:
        launches = [f for f in functions.functions_of(module) if functions.grid_of(f) is not None]
        schedules = self._schedules(launches)
        tiled = ir.Module.create(loc=module.operation.location)
        with ir.InsertionPoint(tiled.body):
            for launch, schedule in zip(launches, schedules, strict=True):
                with launch.location:
                    tile_launch(launch, schedule)
        tiled.operation.attributes["tile.plan"] = ods.strings([functions.name_of(f) for f in launches])
        return tiled

    def _schedules(self, launches: list[Any]) -> list[Schedule]:
        """Given ones as they are; the rule's with the written settings. Raises ``UnusedSetting``."""
        given = {s.launch: s for s in self.schedules}
        found, unused = [], []
        for launch in launches:
            schedule = given.get(functions.name_of(launch))
            if schedule is None:
                schedule, left = apply_settings(default_schedule(launch, self.machine), self.written)
                unused.append(left)
            found.append(schedule)
        refuse_unused(unused)
        return found
