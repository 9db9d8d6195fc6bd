"""Owns the pass ``tile``: from the launches of the tensor level to a module of neutral tile programs.

Before: the module after ``partition``: a kernel function that calls launches in order, and the launches. After: one
tile function per launch, or several of which a call runs the one for its shape (decision 0003), and their order in
``tile.plan``. Each is blocked by a schedule given for its launch, or by the default rule for the machine, bent by the
settings of the kernel's ``schedule`` block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tilewright.dialect import functions, ods
from tilewright.dialect.faults import InternalFault
from tilewright.dialect.mlir import ir
from tilewright.passes.base import Pass
from tilewright.passes.schedule import Schedule
from tilewright.passes.tile.launch import tile_launch
from tilewright.passes.tile.rule import Machine
from tilewright.passes.tile.thin import schedules_of
from tilewright.passes.tile.written import Setting, apply_settings, refuse_unused


@dataclass(frozen=True)
class TileLaunches(Pass):
    """Tiles every launch of a module; ``schedules`` override the rule by launch name, several of one are variants."""

    name: ClassVar[str] = "tile"
    result_level: ClassVar[str | None] = "tile"
    machine: Machine = field(default_factory=Machine)
    schedules: tuple[Schedule, ...] = ()
    written: tuple[Setting, ...] = ()

    def run(self, module: Any) -> Any:
        launches = [f for f in functions.functions_of(module) if functions.grid_of(f) is not None]
        schedules = self._schedules(launches)
        tiled = ir.Module.create(loc=module.operation.location)
        names: list[str] = []
        with ir.InsertionPoint(tiled.body):
            for launch, variants in zip(launches, schedules, strict=True):
                with launch.location:
                    names += [functions.name_of(f) for f in _tile_variants(launch, variants)]
        tiled.operation.attributes["tile.plan"] = ods.strings(names)
        return tiled

    def _schedules(self, launches: list[Any]) -> list[tuple[Schedule, ...]]:
        """The variants of each launch: given ones as they are, else the rule's with the written settings.

        Raises ``UnusedSetting``.
        """
        found, unused = [], []
        for launch in launches:
            given = tuple(s for s in self.schedules if s.launch == functions.name_of(launch))
            if not given:
                given, left = bent_schedules(launch, self.machine, self.written)
                unused.append(left)
            found.append(given)
        refuse_unused(unused)
        return found


def bent_schedules(
    launch: Any, machine: Machine, written: Sequence[Setting]
) -> tuple[tuple[Schedule, ...], tuple[Setting, ...]]:
    """The rule's variants of a launch bent by the written settings, and the settings it has no place for.

    A written tile is meant for every shape: it leaves the last variant alone.
    """
    variants = schedules_of(launch, machine)
    bent = [apply_settings(schedule, written)[0] for schedule in variants]
    unused = apply_settings(variants[-1], written)[1]
    if any(setting.key[0] == "tile" and setting not in unused for setting in written):
        return (bent[-1],), unused
    return tuple(bent), unused


def _tile_variants(launch: Any, variants: Sequence[Schedule]) -> Iterator[Any]:
    """A tile function for each schedule; the last has the launch's name."""
    if variants[-1].when:
        raise InternalFault(f"no schedule of {functions.name_of(launch)} holds for every shape")
    for number, schedule in enumerate(variants, start=1):
        suffix = "" if number == len(variants) else f"_v{number}"
        yield tile_launch(launch, schedule, suffix)
