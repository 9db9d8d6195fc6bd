"""Owns reductions across threads: in registers, then by shuffles over lanes, then through shared memory over warps.

The order is fixed by the layout, so the same launch gives the same bits every time. After it every thread of a group
holds the result (PTX ISA, "shfl.sync"; butterfly over the lane bits that the dropped axes used).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tilewright.dialect.folds import FoldKind, arity, merge
from tilewright.dialect.layout import Layout
from tilewright.dialect.mlir import ir
from tilewright.passes.gpu import memory
from tilewright.passes.gpu.layouts import LANE, WARPS, sliced, slots
from tilewright.passes.gpu.place import Threads
from tilewright.passes.gpu.registers import Registers
from tilewright.passes.machine.elements import storage_bytes
from tilewright.passes.machine.emit import Emitter

FULL_MASK = -1


class Reductions:
    """Lowers ``tile.reduce``; ``scratch`` is shared memory for one element a warp and slot."""

    def __init__(self, emitter: Emitter, threads: Threads, allocate: Any) -> None:
        self.emitter, self.threads, self.allocate = emitter, threads, allocate

    def reduce(
        self, tiles: Sequence[Registers], kinds: Sequence[FoldKind], axes: Sequence[int], unsigned: bool
    ) -> list[Registers]:
        layout = tiles[0].layout
        assert layout is not None
        kept = tuple(a for a in range(len(layout.results)) if a not in axes)
        result = sliced(layout, kept) if kept else None
        columns = self._in_registers(tiles, kinds, unsigned, layout, kept)
        for step, _ in _moved_digits(layout, LANE, axes):  # 32 lanes: every digit is a bit
            columns = [self._merged(kinds, c, [self._shuffle(v, step) for v in c], unsigned) for c in columns]
        for step, count in _moved_digits(layout, WARPS, axes):
            columns = [self._across_warps(c, kinds, step, count, unsigned) for c in columns]
        return [Registers(tuple(c[k] for c in columns), result, t.element) for k, t in enumerate(tiles)]

    def _in_registers(
        self, tiles: Sequence[Registers], kinds: Sequence[FoldKind], unsigned: bool, layout: Layout,
        kept: tuple[int, ...],
    ) -> list[list[Any]]:
        """For every slot of the result, the values of all folds after merging this thread's own slots."""
        groups: dict[tuple[int, ...], list[Any]] = {}
        for k, coordinate in enumerate(slots(layout)):
            place = tuple(coordinate[a] for a in kept)
            values = [t.values[k] for t in tiles]
            groups[place] = values if place not in groups else self._merged(kinds, groups[place], values, unsigned)
        order = slots(sliced(layout, kept)) if kept else [()]
        return [groups[c] for c in order]

    def _merged(
        self, kinds: Sequence[FoldKind], left: Sequence[Any], right: Sequence[Any], unsigned: bool
    ) -> list[Any]:
        result: list[Any] = []
        with self.emitter.insertion_point, self.emitter.location:
            for kind in kinds:
                here = slice(len(result), len(result) + arity(kind))
                result.extend(merge(kind, left[here], right[here], unsigned))
        return result

    def _shuffle(self, value: Any, step: int) -> Any:
        """The value of the lane whose number differs in bit ``step``."""
        e = self.emitter
        width = 64 if isinstance(value.type, ir.IndexType) else int(value.type.width)
        if width == 64:
            return self._shuffle_wide(value, step)
        integer = ir.IntegerType.get_signless(width)
        word = value if isinstance(value.type, ir.IntegerType) else e.value("arith.bitcast", integer, value)
        if width < 32:
            word = e.value("arith.extui", e.i32, word)
        moved = self._shuffle_word(word, step)
        if width < 32:
            moved = e.value("arith.trunci", integer, moved)
        return moved if isinstance(value.type, ir.IntegerType) else e.value("arith.bitcast", value.type, moved)

    def _shuffle_wide(self, value: Any, step: int) -> Any:
        e = self.emitter
        bits = value
        if isinstance(value.type, ir.IndexType):
            bits = e.value("arith.index_cast", e.i64, value)
        elif not isinstance(value.type, ir.IntegerType):
            bits = e.value("arith.bitcast", e.i64, value)
        shift = e.constant(e.i64, 32)
        low = self._shuffle_word(e.value("arith.trunci", e.i32, bits), step)
        high = self._shuffle_word(e.value("arith.trunci", e.i32, e.same("arith.shrui", bits, shift)), step)
        wide = e.same("arith.shli", e.value("arith.extui", e.i64, high), shift)
        joined = e.same("arith.ori", wide, e.value("arith.extui", e.i64, low))
        if isinstance(value.type, ir.IndexType):
            return e.value("arith.index_cast", e.index, joined)
        return joined if isinstance(value.type, ir.IntegerType) else e.value("arith.bitcast", value.type, joined)

    def _shuffle_word(self, word: Any, step: int) -> Any:
        e = self.emitter
        kind = ir.Attribute.parse("#nvvm<shfl_kind bfly>")
        operands = [e.constant(e.i32, FULL_MASK), word, e.constant(e.i32, step), e.constant(e.i32, 31)]
        return e.op("nvvm.shfl.sync", [e.i32], operands, {"kind": kind}).results[0]

    # ------------------------------------------------------------ warps

    def _across_warps(
        self, values: list[Any], kinds: Sequence[FoldKind], step: int, count: int, unsigned: bool
    ) -> list[Any]:
        """Merge the warps whose numbers differ in one digit: every thread leaves its values and reads the others'.

        Two warps exchange theirs; more are merged by each in the order of their numbers, so that all get equal bits.
        """
        others = self._pair(step) if count == 2 else self._group(step, count)
        found = [self._exchange(value, others) for value in values]
        merged = values if count == 2 else [held.pop(0) for held in found]
        for theirs in zip(*found, strict=True):
            merged = self._merged(kinds, merged, theirs, unsigned)
        return merged

    def _pair(self, step: int) -> list[Any]:
        """The warp whose number differs in bit ``step``."""
        e = self.emitter
        return [e.same("arith.xori", self.threads.warp, e.constant(e.index, step))]

    def _group(self, step: int, count: int) -> list[Any]:
        """The warps whose numbers differ from this one's in the digit of weight ``step``, itself among them."""
        e = self.emitter
        weight, radix = e.constant(e.index, step), e.constant(e.index, count)
        digit = e.same("arith.remui", e.same("arith.divui", self.threads.warp, weight), radix)
        first = e.same("arith.subi", self.threads.warp, e.same("arith.muli", digit, weight))
        return [e.same("arith.addi", first, e.constant(e.index, k * step)) for k in range(count)]

    def _exchange(self, value: Any, others: Sequence[Any]) -> list[Any]:
        """The values that the same lane of each of the warps ``others`` holds."""
        e = self.emitter
        start = self.allocate(self.threads.warps * 32 * storage_bytes(value.type))
        pointer = memory.advance(e, memory.shared_base(e), e.i8, start)
        memory.barrier(e)
        memory.store(e, [value], memory.advance(e, pointer, value.type, self._thread(self.threads.warp)), value.type)
        memory.barrier(e)
        places = [memory.advance(e, pointer, value.type, self._thread(warp)) for warp in others]
        return [memory.load(e, place, value.type, 1)[0] for place in places]

    def _thread(self, warp: Any) -> Any:
        e = self.emitter
        return e.same("arith.addi", e.same("arith.muli", warp, e.constant(e.index, 32)), self.threads.lane)


def _moved_digits(layout: Layout, source: str, axes: Sequence[int]) -> list[tuple[int, int]]:
    """The weight and radix of each digit of ``source`` that moves along dropped ``axes``."""
    found, place = [], 1
    for digit in layout.source(source).digits:
        moved = {layout.result_digits[t][0] for t in digit.targets}
        if moved & set(axes):
            found.append((place, digit.count))
        place *= digit.count
    return found
