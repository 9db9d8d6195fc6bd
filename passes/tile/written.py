"""Owns what a ``schedule`` block means: written settings bend the rule's schedule, and nothing else.

``tile i=128`` sets the outermost block of every index called ``i`` (a reduced index: its tile); ``tile s.j=64`` only
in the nest of statement ``s``. Blocks inside are brought to sizes that divide. ``warps``, ``stages`` and ``vector`` are
the launch's. A setting that no launch can use is an error, so that a typo does not pass for a choice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tilewright.passes.schedule import Block, Nest, Schedule, Where

LAUNCH_OPTIONS = ("warps", "stages", "vector")


class UnusedSetting(ValueError):
    """A written setting that no launch has a place for."""


@dataclass(frozen=True)
class Setting:
    """``tile i=128`` has the key ``("tile", "i")``, ``tile s.j=64`` ``("tile", "s", "j")``, ``stages 4`` one word."""

    key: tuple[str, ...]
    value: int | str

    def __str__(self) -> str:
        if self.key[0] == "tile":
            return f"tile {'.'.join(self.key[1:])}={self.value}"
        return f"{self.key[0]} {self.value}"


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
    if not any(_concerns(nest, setting) for nest in schedule.nests):
        return None
    nests = [_resized(nest, setting) if _concerns(nest, setting) else nest for nest in schedule.nests]
    return replace(schedule, nests=tuple(nests))


def _apply_option(schedule: Schedule, setting: Setting) -> Schedule | None:
    name = setting.key[0]
    if name not in LAUNCH_OPTIONS or not isinstance(setting.value, int):
        return None
    return replace(schedule, **{name: setting.value})  # type: ignore[arg-type]


def _concerns(nest: Nest, setting: Setting) -> bool:
    """Whether the nest blocks the index, and belongs to the statement if one is named."""
    statement = setting.key[1] if len(setting.key) == 3 else None
    if statement is not None and nest.name.partition("/")[0].partition(".")[0] != statement:
        return False
    return any(_written(b.index) == setting.key[-1] for b in nest.blocks)


def _written(index: str) -> str:
    """The name as it was written: renamed indices carry a number after a dot."""
    return index.partition(".")[0]


def _resized(nest: Nest, setting: Setting) -> Nest:
    """The nest with the outermost block of the index set to the size, and the blocks inside made to divide it."""
    index, size = setting.key[-1], setting.value
    assert isinstance(size, int)
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
    return replace(nest, blocks=_with_tile(blocks, index, size), reason=f"{nest.reason}; {setting} as written")


def _with_tile(blocks: Sequence[Block], index: str, size: int) -> tuple[Block, ...]:
    """A grid block of more than one point needs a tile or a loop inside: the tile takes a power of two that divides."""
    own = [b for b in blocks if _written(b.index) == index]
    if not own or own[-1].where is not Where.GRID or size == 1:
        return tuple(blocks)
    return (*blocks, Block(own[-1].index, 1, Where.LOOP))


def refuse_unused(unused_by_launch: Sequence[tuple[Setting, ...]]) -> None:
    """Raise ``UnusedSetting`` for a setting that no launch used."""
    if not unused_by_launch:
        return
    everywhere = [s for s in unused_by_launch[0] if all(s in unused for unused in unused_by_launch)]
    if everywhere:
        raise UnusedSetting(f"no launch has a place for: {', '.join(map(str, everywhere))}")
