"""Owns what a ``schedule`` block means: written settings bend the rule's schedule, and nothing else.

``tile i=128`` sets the outermost block of every index called ``i`` (a reduced index: its tile); ``tile s.j=64`` only
in the nest of statement ``s``. Blocks inside are brought to sizes that divide. ``warps``, and ``stages`` (the buffers
of a ring), are the launch's, on machines that have them. A setting that no launch can use is an error, so that a typo
does not pass for a choice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tilewright.dialect import ods
from tilewright.passes.schedule import Block, Nest, Schedule, Where

WRITTEN = "tw.schedule"


LARGEST_TILE = 256
"""Points of one index in registers: code grows with them."""


class UnusedSetting(ValueError):
    """Written settings that no launch has a place for."""

    def __init__(self, settings: Sequence[Setting]) -> None:
        super().__init__(f"no launch has a place for: {', '.join(map(str, settings))}")
        self.settings = tuple(settings)


@dataclass(frozen=True)
class Setting:
    """``tile i=128`` has the key ``("tile", "i")``, ``tile s.j=64`` ``("tile", "s", "j")``, ``stages 4`` one word."""

    key: tuple[str, ...]
    value: int

    def __str__(self) -> str:
        if self.key[0] == "tile":
            return f"tile {'.'.join(self.key[1:])}={self.value}"
        return f"{self.key[0]} {self.value}"


def parse_setting(text: str) -> Setting:
    """Read back what ``str`` of a setting prints. Raises ``ValueError`` on anything else."""
    option, _, rest = text.partition(" ")
    path, _, value = rest.rpartition("=")
    return Setting((option, *path.split(".")) if path else (option,), int(value))


def attach_settings(module: Any, settings: Sequence[Setting]) -> None:
    """Put the settings of a kernel's schedule block on its module, so that they travel with every level."""
    if settings:
        module.operation.attributes[WRITTEN] = ods.strings([str(setting) for setting in settings])


def attached_settings(module: Any) -> tuple[Setting, ...]:
    """The settings that a module carries."""
    attributes = module.operation.attributes
    if WRITTEN not in attributes:
        return ()
    return tuple(parse_setting(text) for text in ods.string_list(attributes[WRITTEN]))


def apply_settings(schedule: Schedule, settings: Iterable[Setting]) -> tuple[Schedule, tuple[Setting, ...]]:
    """The schedule of a launch with the settings that concern it, and those that it could not use."""
    unused = []
    for setting in settings:
        changed = _apply(schedule, setting)
        if changed is None:
            unused.append(setting)
        else:
            schedule = changed
    return schedule, tuple(unused)


def _apply(schedule: Schedule, setting: Setting) -> Schedule | None:
    if setting.key[0] != "tile":
        return _apply_option(schedule, setting)
    if len(setting.key) not in (2, 3) or not any(_concerns(nest, setting) for nest in schedule.nests):
        return None
    if any(_is_too_large(nest, setting) for nest in schedule.nests if _concerns(nest, setting)):
        return None
    nests = [_resized(nest, setting) if _concerns(nest, setting) else nest for nest in schedule.nests]
    return replace(schedule, nests=tuple(nests))


def _apply_option(schedule: Schedule, setting: Setting) -> Schedule | None:
    """Warps where the machine has them, copies in flight where it has them and something is staged."""
    if setting.key == ("warps",) and schedule.warps:
        return replace(schedule, warps=setting.value)
    if setting.key == ("stages",) and schedule.stages and any(nest.stages for nest in schedule.nests):
        return replace(schedule, stages=setting.value)
    return None


def _concerns(nest: Nest, setting: Setting) -> bool:
    """Whether the nest blocks the index, and belongs to the statement if one is named."""
    statement = setting.key[1] if len(setting.key) == 3 else None
    if statement is not None and nest.name.partition("/")[0].partition(".")[0] != statement:
        return False
    return any(_written(b.index) == setting.key[-1] for b in nest.blocks)


def _is_too_large(nest: Nest, setting: Setting) -> bool:
    """Whether the size would be that of a tile in registers, and more than is sensible there."""
    outermost = next(b for b in nest.blocks if _written(b.index) == setting.key[-1])
    return outermost.where is Where.TILE and setting.value > LARGEST_TILE


def _written(index: str) -> str:
    """The name as it was written: renamed indices carry a number after a dot."""
    return index.partition(".")[0]


def _resized(nest: Nest, setting: Setting) -> Nest:
    """The nest with the outermost block of the index set to the size, and the blocks inside made to divide it."""
    index, size = setting.key[-1], setting.value
    blocks: list[Block] = []
    limit = size
    first = True
    for block in nest.blocks:
        if _written(block.index) != index:
            blocks.append(block)
            continue
        wanted = size if first else math.gcd(block.size, limit)
        limit, first = wanted, False
        blocks.append(replace(block, size=wanted))
    resized = replace(nest, blocks=tuple(blocks), reason=f"{nest.reason}; {setting} as written")
    return _with_loop(resized, index, size)


def _with_loop(nest: Nest, index: str, size: int) -> Nest:
    """Cells of more than one point of an index that has no block inside walk over it first, outside of all stages: what
    they hold may depend on it."""
    own = [b for b in nest.blocks if _written(b.index) == index]
    if size == 1 or own[-1].where is not Where.GRID:
        return nest
    at = len(nest.of(Where.GRID))
    blocks = (*nest.blocks[:at], Block(own[-1].index, 1, Where.LOOP), *nest.blocks[at:])
    return replace(nest, blocks=blocks, stages=tuple(replace(s, above=s.above + 1) for s in nest.stages))


def refuse_unused(unused_by_launch: Sequence[tuple[Setting, ...]]) -> None:
    """Raise ``UnusedSetting`` for a setting that no launch used."""
    if not unused_by_launch:
        return
    everywhere = [s for s in unused_by_launch[0] if all(s in unused for unused in unused_by_launch)]
    if everywhere:
        raise UnusedSetting(everywhere)
