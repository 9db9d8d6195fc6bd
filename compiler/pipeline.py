"""Owns the order of all passes: from a typed kernel to code, on one screen.

``compile_typed`` is the whole road. What a pass does stands in its own file; what happens around each pass (verifying,
legality, printing, timing, judging by the interpreters) in ``passes/base.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tilewright.compiler.assumptions import required
from tilewright.compiler.back_ends import Built, gpu, native
from tilewright.compiler.emit import emit
from tilewright.compiler.explain import reasons
from tilewright.compiler.interface import ATTRIBUTE, attach, attached, interface_of
from tilewright.compiler.judge import semantics_for
from tilewright.compiler.language.typed import TypedKernel
from tilewright.compiler.target import Target
from tilewright.dialect import ods
from tilewright.dialect.printing import dump, parse_module
from tilewright.passes.base import Instrument, Pass, Stopped, run_passes
from tilewright.passes.gpu.assign_layouts import AssignLayouts
from tilewright.passes.names import UnknownPass, near
from tilewright.passes.schedule import Schedule
from tilewright.passes.tensor.axes import Axes
from tilewright.passes.tensor.common import Common
from tilewright.passes.tensor.factor import Factor
from tilewright.passes.tensor.fuse import Fuse
from tilewright.passes.tensor.partition import Partition
from tilewright.passes.tensor.siblings import Siblings
from tilewright.passes.tensor.simplify import Simplify
from tilewright.passes.tile.bounds import SplitEdges
from tilewright.passes.tile.facts import PROMISED, StateFacts, attach_facts
from tilewright.passes.tile.ranges import SplitRanges
from tilewright.passes.tile.tile import TileLaunches
from tilewright.passes.tile.written import WRITTEN, Setting, attach_settings, attached_settings
from tilewright.runtime.errors import CallError
from tilewright.runtime.plan import Plan

LEVELS = ("tensor", "plan", "tile", "tile-gpu")
CARRIED = (ATTRIBUTE, WRITTEN, PROMISED)
"""Module attributes that every level has."""


@dataclass(frozen=True)
class Settings:
    """Choices of one compilation besides kernel and target: part of the cache key.

    ``disabled`` are names of optional passes, ``schedules`` replace the rule's by launch name, ``keep`` asks for the
    IR of every level and the text of the code among the notes, ``facts`` are what the code may assume of a call.
    ``verify`` runs the IR before and after each pass; it never changes the result.
    """

    disabled: frozenset[str] = frozenset()
    schedules: tuple[Schedule, ...] = ()
    facts: tuple[str, ...] = ()
    keep: bool = False
    verify: bool = False


def compile_typed(
    kernel: TypedKernel, target: Target, settings: Settings, instrument: Instrument, dims: dict[str, int] | None = None
) -> Built:
    """Compile a typed kernel: emit it, optimise and partition it, tile it, and hand it to the target's back end."""
    with ods.session():
        module = emit(kernel)
        interface = interface_of(kernel, dims)
        attach(module, interface)
        attach_facts(module, (*settings.facts, *required(interface.checks, target)))
        attach_settings(module, written_for(kernel, target))
        return compile_module(module, "tensor", target, settings, instrument)


def compile_module(module: Any, level: str, target: Target, settings: Settings, instrument: Instrument) -> Built:
    """Go on from a module at ``level``, one of ``LEVELS``; inside an MLIR session.

    A dump of the tensor level may be from before or after any of its passes: all of them run (again).
    """
    interface = attached(module)
    if interface is None:
        raise CallError(
            "TW1207", "the IR does not say how its kernel is called", expected="module attribute tw.interface"
        )
    if settings.verify and level == "tensor":
        instrument = replace(instrument, semantics=semantics_for(module, interface))
    passed = LEVELS[1 : LEVELS.index(level) + 1] + (LEVELS[:1] if level != "tensor" else ())
    notes: dict[str, str] = {}
    for stage, passes in road(target, settings, attached_settings(module)):
        if stage in passed:
            continue
        module = _run(module, passes, instrument)
        if settings.keep:
            notes |= level_notes(module, stage, target)
    return back_end(module, interface, target, settings, notes)


def written_for(kernel: TypedKernel, target: Target) -> tuple[Setting, ...]:
    """What the schedule blocks of a kernel say for a target."""
    blocks = [settings for name, settings in kernel.schedules if name == target.name]
    return tuple(Setting(item.key, item.value) for settings in blocks for item in settings)


def _run(module: Any, passes: Sequence[Pass], instrument: Instrument) -> Any:
    """The module after ``passes``, complete also where a pass was the last one wanted: with interface and settings."""
    carried = [(name, module.operation.attributes[name]) for name in CARRIED if name in module.operation.attributes]
    try:
        module = run_passes(module, passes, instrument)
    except Stopped as stop:
        _carry(carried, stop.module)
        raise
    _carry(carried, module)
    return module


def _carry(attributes: Sequence[tuple[str, Any]], module: Any) -> None:
    for name, attribute in attributes:
        module.operation.attributes[name] = attribute


def level_notes(module: Any, level: str, target: Target) -> dict[str, str]:
    """The dump of a level, and after partition the reasons of what was decided."""
    notes = {f"{level}.mlir": dump(module, locations=True) + "\n"}
    if level == "plan":
        notes["explain.txt"] = reasons(module, target.machine, attached_settings(module))
    return notes


def road(target: Target, settings: Settings, written: tuple[Setting, ...] = ()) -> list[tuple[str, list[Pass]]]:
    """The passes that lead to each level, in order: this is the compiler, down to where the targets part.

    ``written`` are the settings of the kernel's schedule block. Raises ``CallError`` TW1207 for a name in
    ``settings.disabled`` that is no optional pass.
    """
    clean: tuple[Pass, ...] = (Simplify(), Axes(), Common())
    stages: list[tuple[str, list[Pass]]] = [
        ("tensor", [*clean, Factor(), Fuse(), *clean, Siblings(), Common()]),
        ("plan", [Partition()]),
        ("tile", [TileLaunches(target.machine, settings.schedules, written), SplitRanges(), SplitEdges()]),
    ]
    if target.gpu is not None:
        stages.append(("tile-gpu", [StateFacts(), AssignLayouts(warps=target.machine.warps)]))
    return [(level, enabled(passes, settings.disabled)) for level, passes in stages]


OPTIONAL = frozenset({"simplify", "axes", "common", "factor", "fuse", "siblings", "ranges", "bounds"})
"""Passes that only make code better: each may be left out, and results stay right. The others are what the next level
is made by: ``partition`` makes launches, ``tile`` tile programs; ``facts`` and ``assign-layouts`` write down what code
for a GPU is generated from."""


def enabled(passes: Sequence[Pass], disabled: frozenset[str]) -> list[Pass]:
    """The passes without those that are switched off."""
    wrong = sorted(disabled - OPTIONAL)
    if wrong:
        expected = ", ".join(sorted(OPTIONAL))
        raise CallError("TW1207", f"{wrong[0]!r} cannot be switched off", expected=expected, found=wrong[0])
    return [step for step in passes if step.name not in disabled]


def titles(target: Target, settings: Settings) -> list[str]:
    """The names that ``--stop-after`` takes for a target."""
    return [step.title for _, passes in road(target, settings) for step in passes]


def require_title(name: str, target: Target, settings: Settings) -> None:
    """Refuse a pass name that this road does not have (``UnknownPass`` with near names)."""
    known = titles(target, settings)
    if name not in known:
        raise UnknownPass(f"no pass {name!r} on the way to {target.name}{near(name, known)}")


def back_end(module: Any, interface: Plan, target: Target, settings: Settings, notes: dict[str, str]) -> Built:
    """Below the fork: native code for a CPU, PTX and a cubin for a GPU."""
    build = native if target.cpu is not None else gpu
    built = build(module, interface, target, settings.keep)
    return replace(built, notes={**notes, **built.notes, **plan_notes(built.plan)})


def plan_notes(plan: Plan) -> dict[str, str]:
    """The texts about a plan that every artifact keeps."""
    return {"schedule.txt": "\n".join(launch.schedule for launch in plan.launches) + "\n", "plan.txt": f"{plan}\n"}


def parse_level(text: str) -> tuple[Any, str]:
    """A dumped module and the level it is at; inside an MLIR session. Raises ``UnreadableText``."""
    module = parse_module(text)
    if "tile.plan" in module.operation.attributes:
        return module, "tile-gpu" if "tile.warps" in text else "tile"
    return module, "plan" if "tw.grid" in text else "tensor"
