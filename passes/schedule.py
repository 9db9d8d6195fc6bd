"""Owns schedules: how a launch is blocked, as data that prints, parses and never changes a result.

A schedule has one ``Nest`` per loop nest of a launch (a result that is written, or a fold that is computed on the way
to one), named after its statement. A nest lists its blocks from outermost to innermost::

    y: grid i=96, j=256; stage b above j=256; loop i=48; loop j=16; tile i=6, j=16; loop k=4

``grid`` blocks are the cells of the launch, ``loop`` blocks are sequential loops that advance by their size, ``tile``
blocks are the extents held in registers. An index may be blocked several times, each size a multiple of the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class Where(StrEnum):
    GRID = "grid"
    LOOP = "loop"
    TILE = "tile"


class Operand(StrEnum):
    """The sides of a contraction."""

    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True)
class Block:
    """``size`` points of ``index`` (a position in the domain's index names) per step of this level."""

    index: str
    size: int
    where: Where

    def __str__(self) -> str:
        return f"{self.where.value} {self.index}={self.size}"


@dataclass(frozen=True)
class Stage:
    """Copy one operand of the nest's contraction into a buffer before the block at position ``above`` is entered.

    ``panel`` True stores it in panels as wide as the tile, the reduced index outside (what a register-tiled
    microkernel reads contiguously); False keeps the operand's own order.
    """

    operand: Operand
    above: int
    panel: bool = True

    def __str__(self) -> str:
        return f"stage {self.operand.value} above {self.above}{' in panels' if self.panel else ''}"


@dataclass(frozen=True)
class Nest:
    """The blocks of one loop nest; ``reason`` says why the rule chose them."""

    name: str
    blocks: tuple[Block, ...]
    stages: tuple[Stage, ...] = ()
    reason: str = ""

    def tile_size(self, index: str) -> int:
        """The extent of ``index`` in registers: 1 when no block says more."""
        return next((b.size for b in self.blocks if b.index == index and b.where is Where.TILE), 1)

    def of(self, where: Where) -> tuple[Block, ...]:
        return tuple(b for b in self.blocks if b.where is where)

    def __str__(self) -> str:
        return f"{self.name}: " + "; ".join([*map(str, self.blocks), *map(str, self.stages)])


@dataclass(frozen=True)
class Limit:
    """``index``, an index of the grid as the launch's first result names it, has at most ``most`` points."""

    index: str
    most: int

    def __str__(self) -> str:
        return f"{self.index} <= {self.most}"


@dataclass(frozen=True)
class Schedule:
    """All nests of one launch and what concerns the launch as a whole.

    With ``when`` it is one of several variants of the launch, for shapes that satisfy all of the limits.
    """

    launch: str
    nests: tuple[Nest, ...]
    warps: int = 0
    stages: int = 0
    cluster: int = 1
    split: int = 1
    vector: int = 0
    order: str = "row"
    when: tuple[Limit, ...] = ()

    def nest(self, name: str) -> Nest | None:
        return next((n for n in self.nests if n.name == name), None)

    def with_nest(self, nest: Nest) -> Schedule:
        return replace(self, nests=tuple(nest if n.name == nest.name else n for n in self.nests))

    def __str__(self) -> str:
        options = [f"{k} {getattr(self, k)}" for k in _OPTIONS if getattr(self, k) != getattr(_DEFAULT, k)]
        conditions = [f"when {' and '.join(map(str, self.when))}"] if self.when else []
        return "\n  ".join([f"launch {self.launch}", *conditions, *options, *map(str, self.nests)])


_OPTIONS = ("warps", "stages", "cluster", "split", "vector", "order")
_DEFAULT = Schedule("", ())
_BLOCK = re.compile(r"(grid|loop|tile) (\S+)=(\d+)$")
_LIMIT = re.compile(r"(\S+) <= (\d+)$")
_STAGE = re.compile(r"stage (left|right) above (\d+)( in panels)?$")


def parse_schedule(text: str) -> Schedule:
    """Read back what ``str`` of a schedule prints (reasons are not kept). Raises ``ValueError`` on anything else."""
    lines = [line.strip() for line in text.strip().splitlines()]
    if not lines or not lines[0].startswith("launch "):
        raise ValueError("a schedule starts with 'launch NAME'")
    schedule = Schedule(lines[0].removeprefix("launch "), ())
    for line in lines[1:]:
        schedule = _parse_line(schedule, line)
    return schedule


def _parse_line(schedule: Schedule, line: str) -> Schedule:
    if ":" in line:
        return replace(schedule, nests=(*schedule.nests, _parse_nest(line)))
    key, _, value = line.partition(" ")
    if key == "when":
        return replace(schedule, when=tuple(map(_parse_limit, value.split(" and "))))
    if key not in _OPTIONS:
        raise ValueError(f"unknown schedule option {key!r}; one of {', '.join(_OPTIONS)}")
    if key == "order":
        return replace(schedule, order=value)
    return replace(schedule, **{key: int(value)})  # type: ignore[arg-type]


def _parse_limit(text: str) -> Limit:
    match = _LIMIT.match(text)
    if match is None:
        raise ValueError(f"cannot read the limit {text!r}")
    return Limit(match[1], int(match[2]))


def _parse_nest(line: str) -> Nest:
    name, _, rest = line.partition(":")
    blocks: list[Block] = []
    stages: list[Stage] = []
    for part in filter(None, rest.strip().split("; ")):
        if match := _BLOCK.match(part):
            blocks.append(Block(match[2], int(match[3]), Where(match[1])))
        elif match := _STAGE.match(part):
            stages.append(Stage(Operand(match[1]), int(match[2]), match[3] is not None))
        else:
            raise ValueError(f"cannot read {part!r} in the schedule of {name}")
    return Nest(name, tuple(blocks), tuple(stages))


def check_nest(nest: Nest, indices: Iterable[str]) -> None:
    """Refuse a nest with unknown indices, or blocks of an index that do not divide. Raises ``ValueError``."""
    known = set(indices)
    last: dict[str, int] = {}
    for block in nest.blocks:
        if block.index not in known:
            raise ValueError(f"{nest.name} has no index {block.index!r}; it has {', '.join(sorted(known))}")
        if block.size < 1 or last.get(block.index, block.size) % block.size:
            raise ValueError(f"{nest.name}: {block} does not divide the block of {last.get(block.index)} around it")
        last[block.index] = block.size
