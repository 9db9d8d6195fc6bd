"""Owns where a thread stands: the coordinates of its register slots under a layout, as code.

The coordinate of slot r along an axis is ``base + constant(r)``: the base depends on lane and warp alone and is
computed once a kernel, the constants are known (layouts of threads never let two places move one digit).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tilewright.dialect.faults import InternalFault
from tilewright.dialect.layout import Layout
from tilewright.passes.gpu.layouts import LANE, WARPS, slots
from tilewright.passes.machine.emit import Emitter


@dataclass(frozen=True)
class Placement:
    """For each axis the base (an index value, None for 0), and the coordinates of every slot relative to it."""

    base: tuple[Any, ...]
    slots: tuple[tuple[int, ...], ...]
    steps: tuple[int, ...]  # what divides the base of each axis (0: it is 0)


@dataclass(frozen=True)
class Offset:
    """What lane and warp contribute to an offset (an index value, None for 0), and how the registers' part joins it.

    ``join`` is ``arith.xori`` or ``arith.addi``; ``step`` divides the contribution (0: it is 0).
    """

    base: Any
    join: str
    step: int


class Threads:
    """Lane and warp of this thread, and placements under layouts (each built once)."""

    def __init__(self, emitter: Emitter, warps: int) -> None:
        self.emitter, self.warps = emitter, warps
        thread = emitter.value("arith.index_castui", emitter.index, _special(emitter, "nvvm.read.ptx.sreg.tid.x"))
        self.lane = emitter.same("arith.andi", thread, emitter.constant(emitter.index, 31))
        self.warp = emitter.same("arith.shrui", thread, emitter.constant(emitter.index, 5))
        self._placements: dict[Layout, Placement] = {}
        self._offsets: dict[Layout, Offset] = {}

    def place(self, layout: Layout) -> Placement:
        if layout not in self._placements:
            bases, steps = zip(*[self._base(layout, a) for a in range(len(layout.results))], strict=True)
            self._placements[layout] = Placement(bases, tuple(slots(layout)), steps)
        return self._placements[layout]

    def _base(self, layout: Layout, axis: int) -> tuple[Any, int]:
        """The sum of what lane and warp contribute to ``axis``, and a number that divides it."""
        total, step = None, 0
        for name, value in ((LANE, self.lane), (WARPS, self.warp)):
            for start, count, weight in runs(layout, name, axis):
                part = self._digits(value, start, count, weight)
                total = part if total is None else self._at_top("arith.addi", total, part)
                step = weight if step == 0 else min(step, weight)
        return total, step

    def _digits(self, value: Any, start: int, count: int, weight: int) -> Any:
        """``(value // start % count) * weight``."""
        if start > 1:
            value = self._at_top("arith.divui", value, self._constant(start))
        value = self._at_top("arith.remui", value, self._constant(count))
        return value if weight == 1 else self._at_top("arith.muli", value, self._constant(weight))

    def _at_top(self, name: str, *operands: Any) -> Any:
        with self.emitter.at(0):
            return self.emitter.same(name, *operands)

    def _constant(self, value: int) -> Any:
        return self.emitter.constant(self.emitter.index, value)

    def offset(self, layout: Layout) -> Offset:
        """What lane and warp contribute to a layout onto ``offset``."""
        if layout not in self._offsets:
            self._offsets[layout] = self._offset(layout)
        return self._offsets[layout]

    def _offset(self, layout: Layout) -> Offset:
        weights = [weight for _, _, weight in layout.result_digits]
        total, join, step = None, joined_by(layout), 0
        for name, value in ((LANE, self.lane), (WARPS, self.warp)):
            place = 1
            for digit in layout.source(name).digits:
                mask = sum(weights[t] for t in digit.targets)
                if mask:
                    part = self._digits(value, place, digit.count, mask)
                    total = part if total is None else self._at_top(join, total, part)
                    step = math.gcd(step, mask)
                place *= digit.count
        return Offset(total, join, step)

    def is_owner(self, layout: Layout | None) -> Any:
        """True in the thread that stores an element when several hold copies; None when every thread has its own."""
        conditions = []
        for name, value, size in ((LANE, self.lane, 32), (WARPS, self.warp, self.warps)):
            place = 1
            digits = layout.source(name).digits if layout is not None else ()
            for digit in digits:
                if not digit.targets:
                    conditions.append(self._is_zero(value, place, digit.count))
                place *= digit.count
            if place < size:
                conditions.append(self._is_zero(value, place, size // place))
        with self.emitter.at(0):
            return self.emitter.both(conditions)

    def _is_zero(self, value: Any, place: int, count: int) -> Any:
        with self.emitter.at(0):
            return self.emitter.compare_int("eq", self._digits(value, place, count, 1), self._constant(0))


def joined_by(layout: Layout) -> str:
    """How the parts of an offset are joined: bits that several digits flip by exclusive or, other digits by a sum.

    Where all weights are powers of two, no digit reaches into another's bits, and exclusive or is right for both.
    """
    if all(weight & (weight - 1) == 0 for _, _, weight in layout.result_digits):
        return "arith.xori"
    moved = [target for source in layout.sources for digit in source.digits for target in digit.targets]
    if len(moved) != len(set(moved)):
        raise InternalFault(f"a swizzle around a size that is no power of two: {layout}")
    return "arith.addi"


def runs(layout: Layout, source: str, axis: int) -> list[tuple[int, int, int]]:
    """Runs of digits of ``source`` that move ``axis``: (place of the first, how many values, weight of the first)."""
    found: list[tuple[int, int, int]] = []
    place = 1
    for digit in layout.source(source).digits:
        weight = sum(layout.result_digits[t][2] for t in digit.targets if layout.result_digits[t][0] == axis)
        if weight and found and found[-1][0] * found[-1][1] == place and found[-1][2] * found[-1][1] == weight:
            start, count, first = found[-1]
            found[-1] = (start, count * digit.count, first)
        elif weight:
            found.append((place, digit.count, weight))
        place *= digit.count
    return found


def _special(emitter: Emitter, name: str) -> Any:
    return emitter.op(name, [emitter.i32]).results[0]


def flat_cells(emitter: Emitter, counts: Sequence[Any]) -> list[Any]:
    """The cell of this CTA along each grid axis, last axis fastest, from the linear ``ctaid.x``."""
    rest = emitter.value("arith.index_castui", emitter.index, _special(emitter, "nvvm.read.ptx.sreg.ctaid.x"))
    cells: list[Any] = []
    for count in reversed(counts[1:]):
        cells.append(emitter.same("arith.remui", rest, count))
        rest = emitter.same("arith.divui", rest, count)
    return [rest, *reversed(cells)] if counts else []
