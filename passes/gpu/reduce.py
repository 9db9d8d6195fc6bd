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
        for step in _digit_steps(layout, LANE, axes):
            columns = [self._merged(kinds, c, [self._shuffle(v, step) for v in c], unsigned) for c in columns]
        for step in _digit_steps(layout, WARPS, axes):
            columns = self._across_warps(columns, kinds, step, unsigned)
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
        self, columns: list[list[Any]], kinds: Sequence[FoldKind], step: int, unsigned: bool
    ) -> list[list[Any]]:
        """Merge with the warp whose number differs in bit ``step``: every thread leaves its values and reads theirs."""
        e = self.emitter
        other = e.same("arith.xori", self.threads.warp, e.constant(e.index, step))
        exchanged = [[self._exchange(v, other) for v in column] for column in columns]
        return [self._merged(kinds, c, o, unsigned) for c, o in zip(columns, exchanged, strict=True)]

    def _exchange(self, value: Any, other: Any) -> Any:
        """The value that the same lane of warp ``other`` holds."""
        e = self.emitter
        start = self.allocate(self.threads.warps * 32 * memory.element_bytes(value.type))
        pointer = memory.advance(e, memory.shared_base(e), e.i8, start)
        memory.barrier(e)
        memory.store(e, [value], memory.advance(e, pointer, value.type, self._thread(self.threads.warp)), value.type)
        memory.barrier(e)
        return memory.load(e, memory.advance(e, pointer, value.type, self._thread(other)), value.type, 1)[0]

    def _thread(self, warp: Any) -> Any:
        e = self.emitter
        return e.same("arith.addi", e.same("arith.muli", warp, e.constant(e.index, 32)), self.threads.lane)


def _digit_steps(layout: Layout, source: str, axes: Sequence[int]) -> list[int]:
    """The weights of the binary digits of ``source`` that move only along dropped ``axes``."""
    steps, place = [], 1
    for digit in layout.source(source).digits:
        moved = {layout.result_digits[t][0] for t in digit.targets}
        if moved & set(axes):
            steps.append(place)
        place *= digit.count
    return steps
