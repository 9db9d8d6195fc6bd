"""Owns which layout a tile gets on a GPU with ``mma.sync``: blocks that suit memory, fragments, what follows from them.

All layouts map ``register, lane, warp`` to the axes of a tile (``dialect/layout.py``). The warps of a contraction form
a grid of rows x columns whose column number runs fastest; A is held again by every warp of a row, B by every warp of
a column (PTX ISA, "Warp-level matrix instructions", figures of m16n8k16 and m16n8k8).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from tilewright.dialect.layout import Digit, Layout, Result, Source
from tilewright.dialect.layout_library import FRAGMENTS, WARP, distributed, repeat, replicate

REGISTER, LANE, WARPS = "register", "lane", "warp"
ROW_ATOM, COLUMN_ATOM = 16, 8


@functools.lru_cache(maxsize=4096)
def blocked(shape: tuple[int, ...], warps: int, vector: int, fast: int = -1) -> Layout:
    """Neighbouring lanes on neighbouring vectors of axis ``fast`` (default the last), then the axes before it.

    Lanes and warps that find no element left hold copies of what others hold; ``vector`` is cut down to what divides.
    """
    rank = len(shape)
    fast = fast % rank
    order = [fast, *[a for a in reversed(range(rank)) if a != fast]]
    left = list(shape)
    layout = distributed((1,) * rank, register=[], lane=[], warp=[])
    width = math.gcd(vector, left[fast])
    layout, left[fast] = repeat(layout, REGISTER, fast, width), left[fast] // width
    for place, count in ((LANE, WARP), (WARPS, warps)):
        for axis in order:
            part = _share(count, left[axis])
            layout, left[axis], count = repeat(layout, place, axis, part), left[axis] // part, count // part
        if count > 1:
            layout = replicate(layout, place, count)
    for axis in order:
        layout = repeat(layout, REGISTER, axis, left[axis])
    return layout


def _share(count: int, left: int) -> int:
    """How many of ``count`` lanes or warps divide what is left of an axis.

    An odd factor only when no power of two stays behind it: in memory the odd digit of an axis is the last one, and
    layouts compose where their digits meet.
    """
    part = math.gcd(count, left)
    twos = part & -part
    return part if (left // part) % 2 else twos


@dataclass(frozen=True)
class WarpGrid:
    """How the warps of a contraction share its rows and columns."""

    rows: int
    columns: int


def warp_grid(rows: int, columns: int, warps: int) -> WarpGrid | None:
    """The most square warp tiles that hold whole fragments; None when the tile is too small for its warps."""
    best: tuple[int, WarpGrid] | None = None
    for across in (2**k for k in range(warps.bit_length())):
        down = warps // across
        if down * across != warps or rows % (down * ROW_ATOM) or columns % (across * COLUMN_ATOM * 2):
            continue
        cost = rows // down + columns // across
        if best is None or cost < best[0]:
            best = (cost, WarpGrid(down, across))
    return best[1] if best else None


@dataclass(frozen=True)
class Fragments:
    """The layouts of a contraction's tiles: A is (row, k), B is (k, column), C is (row, column)."""

    a: Layout
    b: Layout
    c: Layout
    depth: int  # of one instruction: 16 for 16-bit elements, 8 for tf32


def fragments(rows: int, columns: int, depth: int, grid: WarpGrid, atom: str = "m16n8k16") -> Fragments:
    """Fragments of one instruction repeated over registers and warps."""
    step = 16 if atom == "m16n8k16" else 8
    down, across = rows // (grid.rows * ROW_ATOM), columns // (grid.columns * COLUMN_ATOM)
    a = repeat(repeat(FRAGMENTS[f"{atom}.a"], REGISTER, 1, depth // step), REGISTER, 0, down)
    a = repeat(replicate(a, WARPS, grid.columns), WARPS, 0, grid.rows)
    b = repeat(repeat(FRAGMENTS[f"{atom}.b"], REGISTER, 0, depth // step), REGISTER, 1, across)
    b = replicate(repeat(b, WARPS, 1, grid.columns), WARPS, grid.rows)
    c = repeat(repeat(FRAGMENTS[f"{atom}.c"], REGISTER, 1, across), REGISTER, 0, down)
    c = repeat(repeat(c, WARPS, 1, grid.columns), WARPS, 0, grid.rows)
    return Fragments(a, b, c, step)


@functools.lru_cache(maxsize=4096)
def sliced(layout: Layout, kept: tuple[int, ...]) -> Layout:
    """The layout of a tile that has only the axes ``kept`` of a tile with ``layout``, held where its elements are.

    Registers that only told the dropped axes apart disappear; lanes and warps that did hold copies.
    """
    digits = layout.result_digits
    number_of: dict[int, int] = {}
    results: list[Result] = []
    for axis in kept:
        own = [n for n, (a, _, _) in enumerate(digits) if a == axis]
        for n in own:
            number_of[n] = len(number_of)
        results.append(Result(f"dim{len(results)}", tuple(digits[n][1] for n in own)))
    sources = []
    for source in layout.sources:
        moved = [Digit(d.count, _renumbered(d.targets, number_of)) for d in source.digits]
        if source.name == REGISTER:
            moved = [d for d in moved if d.targets]
        sources.append(Source(source.name, tuple(moved)))
    return Layout(tuple(sources), tuple(results))


def _renumbered(targets: Sequence[int], number_of: dict[int, int]) -> tuple[int, ...]:
    return tuple(sorted(number_of[t] for t in targets if t in number_of))


def reordered(layout: Layout, axes: Sequence[int]) -> Layout:
    """The layout of the transposed tile: result axis ``k`` is axis ``axes[k]`` of ``layout``."""
    return sliced(layout, tuple(axes))


def slots(layout: Layout) -> list[tuple[int, ...]]:
    """The coordinates of every register slot of lane 0 of warp 0."""
    count = layout.size(REGISTER)
    columns = [layout(**({REGISTER: r} if count > 1 else {})) for r in range(count)]
    return [tuple(int(c) for c in column) for column in columns]


def owns_once(layout: Layout, place: str) -> list[int]:
    """The weights (in the index of ``place``) and counts of digits that hold copies: weight, count, weight, count.

    A thread stores only if all of them are zero.
    """
    found, weight = [], 1
    for digit in layout.source(place).digits:
        if not digit.targets:
            found += [weight, digit.count]
        weight *= digit.count
    return found
