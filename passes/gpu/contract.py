"""Owns contractions on threads: ``mma.sync`` on fragments from shared memory by ``ldmatrix``, FMA chains otherwise.

Fragment orders are those of ``passes/gpu/layouts.py``; each ``ldmatrix.x4`` gives the A fragment of one 16x16 block, or
the B fragments of two neighbouring 16x8 blocks (PTX ISA, "ldmatrix", "mma.sync.m16n8k16").
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tilewright.dialect import tile
from tilewright.dialect.faults import InternalFault
from tilewright.dialect.layout import Layout
from tilewright.dialect.layout_algebra import compose
from tilewright.dialect.layout_library import distributed, repeat, replicate
from tilewright.dialect.mlir import ir
from tilewright.passes.gpu import memory
from tilewright.passes.gpu.assign_layouts import contraction_axes, fragment_plan
from tilewright.passes.gpu.layouts import REGISTER, WARPS, WarpGrid, sliced, slots, warp_grid
from tilewright.passes.gpu.memory import SharedBuffer
from tilewright.passes.gpu.place import Offset, Threads
from tilewright.passes.gpu.registers import Registers
from tilewright.passes.machine.elements import is_half
from tilewright.passes.machine.emit import Emitter
from tilewright.passes.machine.products import multiply_add, widened

ROWS_OF = {  # where lane l points: matrix l // 8, row l % 8; axes (outer, k) of the operand's fragment
    ("a", False): [(8, (1, 0)), (2, (8, 0)), (2, (0, 8))],
    ("a", True): [(8, (0, 1)), (2, (8, 0)), (2, (0, 8))],
    ("b", False): [(8, (1, 0)), (2, (0, 8)), (2, (8, 0))],
    ("b", True): [(8, (0, 1)), (2, (0, 8)), (2, (8, 0))],
}


@dataclass(frozen=True)
class Staged:
    """A factor that lies in shared memory, not loaded yet: its buffer and the fragment layout that is wanted."""

    buffer: SharedBuffer
    layout: Layout
    element: Any


class Contractions:
    """Lowers ``tile.contract``; ``remarks`` name products of 16-bit floats that miss the tensor cores."""

    def __init__(self, emitter: Emitter, threads: Threads, shared_load: Any) -> None:
        self.emitter, self.threads, self.shared_load = emitter, threads, shared_load
        self.remarks: list[str] = []

    def contract(self, op: Any, a: Registers | Staged, b: Registers | Staged, acc: Registers) -> Registers:
        plan = fragment_plan(op, self.threads.warps)
        if plan is None:
            self._remark(op, a)
            return self._products(op, self._loaded(a), self._loaded(b), acc)
        axes = contraction_axes(op)
        assert axes is not None
        row, column, k = axes
        sizes = self._sizes(op)
        grid = warp_grid(sizes[row], sizes[column], self.threads.warps)
        assert grid is not None
        block = Block(sizes[row], sizes[column], sizes[k], grid)
        a_axes, b_axes, _ = (tuple(x.position for x in m.results) for m in tile.contract_maps(op))
        left = self._fragments("a", a, a_axes == (row, k), block)
        right = self._fragments("b", b, b_axes == (column, k), block)
        kind = "bf16" if isinstance(a.element, ir.BF16Type) else "f16"
        return self._multiply(left, right, acc, block, kind)

    def _remark(self, op: Any, factor: Registers | Staged) -> None:
        if is_half(factor.element):
            sizes = "x".join(str(size) for _, size in sorted(self._sizes(op).items()))
            self.remarks.append(f"multiply-adds: a tile of {sizes} has no fragments for {self.threads.warps} warps")

    @staticmethod
    def _sizes(op: Any) -> dict[int, int]:
        sizes: dict[int, int] = {}
        for value, m in zip(op.operands, tile.contract_maps(op), strict=True):
            sizes.update(zip((x.position for x in m.results), ir.RankedTensorType(value.type).shape, strict=True))
        return sizes

    def _loaded(self, value: Registers | Staged) -> Registers:
        return self.shared_load(value.buffer, value.layout, value.element) if isinstance(value, Staged) else value

    # ------------------------------------------------------------ fragments

    def _fragments(
        self, side: str, value: Registers | Staged, outer_first: bool, block: Block
    ) -> list[list[list[Any]]]:
        """The 32-bit registers of a factor: ``[outer block][k step][register]``."""
        if not isinstance(value, Staged):
            raise InternalFault("a 16-bit factor of a product is in registers and not in shared memory")
        steps = block.depth // 16
        outer = block.rows // (block.grid.rows * 16) if side == "a" else block.columns // (block.grid.columns * 8)
        return self._by_ldmatrix(side, value.buffer, outer_first, block, outer, steps)

    def _by_ldmatrix(
        self, side: str, buffer: SharedBuffer, outer_first: bool, block: Block, outer: int, steps: int
    ) -> list[list[list[Any]]]:
        k_fast = _is_contiguous(buffer, 1 if outer_first else 0)
        wide = 1 if side == "a" else 2  # 16 rows of A, or two blocks of 8 columns of B
        layout = distributed((16, 16), register=[], lane=ROWS_OF[(side, not k_fast)])
        layout = repeat(repeat(layout, REGISTER, 1, steps), REGISTER, 0, outer // wide)
        grid = block.grid
        if side == "a":
            layout = repeat(replicate(layout, WARPS, grid.columns), WARPS, 0, grid.rows)
        else:
            layout = replicate(repeat(layout, WARPS, 0, grid.columns), WARPS, grid.rows)
        if not outer_first:
            layout = sliced(layout, (1, 0))
        placed = compose(buffer.layout, layout)
        found: list[list[list[Any]]] = [[[] for _ in range(steps)] for _ in range(outer)]
        for number, (offset,) in enumerate(slots(placed)):
            words = self._ldmatrix(buffer, self.threads.offset(placed), offset, not k_fast)
            first, step = divmod(number, steps)
            for part in range(wide):
                width = 4 // wide
                found[first * wide + part][step] = words[part * width : (part + 1) * width]
        return found

    def _ldmatrix(self, buffer: SharedBuffer, thread: Offset, constant: int, transposed: bool) -> list[Any]:
        e = self.emitter
        pointer = self.pointer(buffer, thread, constant)
        result = ir.Type.parse("!llvm.struct<(i32, i32, i32, i32)>")
        attributes = {
            "num": ir.IntegerAttr.get(e.i32, 4),
            "layout": ir.Attribute.parse(f"#nvvm.mma_layout<{'col' if transposed else 'row'}>"),
            "shape": ir.Attribute.parse("#nvvm.ld_st_matrix_shape<m = 8, n = 8>"),
            "eltType": ir.Attribute.parse("#nvvm.ld_st_matrix_elt_type<b16>"),
        }
        words = e.op("nvvm.ldmatrix", [result], [pointer], attributes).results[0]
        return self._unpacked(words, e.i32, 4)

    def pointer(self, buffer: SharedBuffer, thread: Offset, constant: int) -> Any:
        """The address of the element of a stage buffer where ``thread`` and ``constant`` lead."""
        e = self.emitter
        offset: Any = constant
        if thread.base is not None:
            offset = e.same(thread.join, thread.base, e.constant(e.index, constant)) if constant else thread.base
        start = memory.advance(e, memory.shared_base(e), e.i8, buffer.start)
        return memory.advance(e, start, buffer.element, offset)

    # ------------------------------------------------------------ instructions

    def _multiply(
        self, left: list[list[list[Any]]], right: list[list[list[Any]]], acc: Registers, block: Block, kind: str
    ) -> Registers:
        values = list(acc.values)
        columns = len(right)
        for step in range(block.depth // 16):
            for i, a in enumerate(left):
                for j, b in enumerate(right):
                    at = 4 * (i * columns + j)
                    values[at : at + 4] = self._mma(a[step], b[step], values[at : at + 4], kind)
        return Registers(tuple(values), acc.layout, acc.element)

    def _mma(self, a: Sequence[Any], b: Sequence[Any], c: Sequence[Any], kind: str) -> list[Any]:
        """One m16n8k16 with f32 accumulators."""
        e = self.emitter
        result = ir.Type.parse("!llvm.struct<(f32, f32, f32, f32)>")
        operands = [*self._typed(a, kind), *self._typed(b, kind), *c]
        attributes = {
            "shape": ir.Attribute.parse("#nvvm.shape<m = 16, n = 8, k = 16>"),
            "layoutA": ir.Attribute.parse("#nvvm.mma_layout<row>"),
            "layoutB": ir.Attribute.parse("#nvvm.mma_layout<col>"),
            "multiplicandAPtxType": ir.Attribute.parse(f"#nvvm.mma_type<{kind}>"),
            "multiplicandBPtxType": ir.Attribute.parse(f"#nvvm.mma_type<{kind}>"),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([4, 2, 4]),
        }
        return self._unpacked(e.op("nvvm.mma.sync", [result], operands, attributes).results[0], e.f32, 4)

    def _typed(self, words: Sequence[Any], kind: str) -> list[Any]:
        """MLIR wants f16 factors as vectors of two, bf16 factors as words."""
        e = self.emitter
        if kind == "bf16":
            return list(words)
        return [e.value("llvm.bitcast", e.vector_type(2, e.f16), w) for w in words]

    def _unpacked(self, struct: Any, element: Any, count: int) -> list[Any]:
        e = self.emitter
        return [
            e.value("llvm.extractvalue", element, struct, position=ir.DenseI64ArrayAttr.get([k])) for k in range(count)
        ]

    def _products(self, op: Any, a: Registers, b: Registers, acc: Registers) -> Registers:
        """Every accumulator's own chain of multiply-adds over the reduced axes."""
        e = self.emitter
        a_axes, b_axes, c_axes = (tuple(x.position for x in m.results) for m in tile.contract_maps(op))
        sizes = self._sizes(op)
        reduced = sorted(set(sizes) - set(c_axes))
        assert acc.layout is not None and a.layout is not None and b.layout is not None
        left = dict(zip(slots(a.layout), a.values, strict=True))
        right = dict(zip(slots(b.layout), b.values, strict=True))
        values = []
        for coordinate, total in zip(slots(acc.layout), acc.values, strict=True):
            for point in itertools.product(*(range(sizes[x]) for x in reduced)):
                at = dict(zip((*c_axes, *reduced), (*coordinate, *point), strict=True))
                x, y = left[tuple(at[k] for k in a_axes)], right[tuple(at[k] for k in b_axes)]
                x, y = widened(e, x, a.element, acc.element), widened(e, y, b.element, acc.element)
                total = multiply_add(e, x, y, total)
            values.append(total)
        return Registers(tuple(values), acc.layout, acc.element)


@dataclass(frozen=True)
class Block:
    """The sizes of a contraction and the warps' grid."""

    rows: int
    columns: int
    depth: int
    grid: WarpGrid


def _is_contiguous(buffer: SharedBuffer, axis: int) -> bool:
    """Whether neighbours along ``axis`` are neighbours in memory."""
    digit = buffer.layout.sources[axis].digits[0]
    return digit.targets == (0,)
