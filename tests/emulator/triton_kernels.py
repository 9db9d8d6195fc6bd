"""Kernels in Triton, and their compilation to PTX without a GPU. Imported only by tests that asked for Triton."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from tilewright.runtime.emulator import Module, Report, launch

WARPS = 4
LOG2_E = tl.constexpr(1.4426950408889634)


@dataclass(frozen=True)
class Built:
    """A compiled kernel: its text, its module with one entry, and what a launch has to give beside the arguments."""

    ptx: str
    module: Module
    shared_bytes: int
    scratch_bytes: int

    def changed(self, ptx: str) -> Built:
        """The same kernel with another text."""
        return replace(self, ptx=ptx, module=Module.parse(ptx))

    def launch(self, grid: tuple[int, ...], args: list[Any], **options: Any) -> Report:
        """Run it. Two pointers end the parameter list: scratch memory for what it needs, and none for profiling."""
        (entry,) = self.module.entries.values()
        scratch = [np.zeros(self.scratch_bytes * math.prod(grid), np.uint8) if self.scratch_bytes else 0, 0]
        assert len(entry.parameters) == len(args) + len(scratch)
        return launch(
            self.module,
            entry.name,
            grid,
            (32 * WARPS,),
            shared_bytes=self.shared_bytes,
            args=[*args, *scratch],
            **options,
        )


def build(
    kernel: Any, types: Mapping[str, str], constants: Mapping[str, Any], architecture: int, stages: int = 3
) -> Built:
    """Compile a kernel for ``sm_<architecture>``.

    Args:
        types: of the run-time parameters in order, in Triton's notation (``*fp16``, ``i32``, ``tensordesc<...>``).
        constants: values of the ``constexpr`` parameters, which come last.

    Pointers and integers are declared divisible by 16 except those called ``length`` and ``columns``.
    """
    even = [n for n, (name, kind) in enumerate(types.items()) if kind[0] in "*i" and name not in ("length", "columns")]
    source = ASTSource(
        fn=triton.jit(kernel),
        signature={**types, **dict.fromkeys(constants, "constexpr")},
        constexprs=dict(constants),
        attrs={(n,): [["tt.divisibility", 16]] for n in even},
    )
    options = {"num_warps": WARPS, "num_stages": stages, "enable_fp_fusion": True}
    compiled = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)
    ptx, facts = compiled.asm["ptx"], compiled.metadata
    return Built(ptx, Module.parse(ptx), facts.shared, facts.global_scratch_size)


def softmax_kernel(x, y, columns, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """One row a program."""
    row = tl.program_id(0)
    place = tl.arange(0, block)
    inside = place < columns
    values = tl.load(x + row * columns + place, mask=inside, other=-float("inf")).to(tl.float32)
    powers = tl.exp(values - tl.max(values, 0))
    tl.store(y + row * columns + place, (powers / tl.sum(powers, 0)).to(y.dtype.element_ty), mask=inside)


def layernorm_kernel(x, y, columns, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """One row a program, without affine parameters."""
    row = tl.program_id(0)
    place = tl.arange(0, block)
    inside = place < columns
    values = tl.load(x + row * columns + place, mask=inside, other=0.0).to(tl.float32)
    centred = tl.where(inside, values - tl.sum(values, 0) / columns, 0.0)
    scale = tl.sqrt(tl.sum(centred * centred, 0) / columns + 1e-5)
    tl.store(y + row * columns + place, (centred / scale).to(y.dtype.element_ty), mask=inside)


def matmul_kernel(a, b, c, m, n, k, rows: tl.constexpr, columns: tl.constexpr, depth: tl.constexpr):  # type: ignore[no-untyped-def]
    """C[m,n] = A[m,k] B[k,n], one tile a program, software-pipelined."""
    row = tl.program_id(0) * rows + tl.arange(0, rows)
    column = tl.program_id(1) * columns + tl.arange(0, columns)
    inner = tl.arange(0, depth)
    left = a + (row[:, None] % m) * k + inner[None, :]
    right = b + inner[:, None] * n + (column[None, :] % n)
    total = tl.zeros((rows, columns), tl.float32)
    for step in range(0, tl.cdiv(k, depth)):
        rest = k - step * depth
        first = tl.load(left, mask=inner[None, :] < rest, other=0.0)
        second = tl.load(right, mask=inner[:, None] < rest, other=0.0)
        total = tl.dot(first, second, total)
        left += depth
        right += depth * n
    inside = (row[:, None] < m) & (column[None, :] < n)
    tl.store(c + row[:, None] * n + column[None, :], total.to(c.dtype.element_ty), mask=inside)


def tma_matmul_kernel(  # type: ignore[no-untyped-def]
    a, b, c, m, n, k, rows: tl.constexpr, columns: tl.constexpr, depth: tl.constexpr, programs: tl.constexpr
):
    """C[m,n] = A[m,k] B[n,k]^T through tensor descriptors; each program walks over the tiles."""
    across = tl.cdiv(n, columns)
    for tile in tl.range(tl.program_id(0), tl.cdiv(m, rows) * across, programs, flatten=True):
        row = (tile // across) * rows
        column = (tile % across) * columns
        total = tl.zeros((rows, columns), tl.float32)
        for step in range(0, tl.cdiv(k, depth)):
            total = tl.dot(a.load([row, step * depth]), b.load([column, step * depth]).T, total)
        c.store([row, column], total.to(c.dtype))


def shift_kernel(x, y, rows, columns, high: tl.constexpr, wide: tl.constexpr):  # type: ignore[no-untyped-def]
    """y = x + 1 through descriptors that the kernel makes itself."""
    source = tl.make_tensor_descriptor(x, shape=[rows, columns], strides=[columns, 1], block_shape=[high, wide])
    target = tl.make_tensor_descriptor(y, shape=[rows, columns], strides=[columns, 1], block_shape=[high, wide])
    row, column = tl.program_id(0) * high, tl.program_id(1) * wide
    target.store([row, column], source.load([row, column]) + 1.0)


def attention_kernel(  # type: ignore[no-untyped-def]
    q, k, v, o, length, scale, causal: tl.constexpr, rows: tl.constexpr, columns: tl.constexpr, width: tl.constexpr
):
    """Flash attention forward over [heads, length, width]: one block of query rows of one head a program."""
    head = tl.program_id(1) * length * width
    row = tl.program_id(0) * rows + tl.arange(0, rows)
    inner = tl.arange(0, width)
    inside = row[:, None] < length
    query = tl.load(q + head + row[:, None] * width + inner[None, :], mask=inside, other=0.0)
    top = tl.full((rows,), -float("inf"), tl.float32)
    total = tl.zeros((rows,), tl.float32)
    result = tl.zeros((rows, width), tl.float32)
    end = tl.minimum(length, (tl.program_id(0) + 1) * rows) if causal else length
    for start in range(0, end, columns):
        place = start + tl.arange(0, columns)
        keys = tl.load(k + head + place[None, :] * width + inner[:, None], mask=place[None, :] < length, other=0.0)
        seen = place[None, :] < length
        if causal:
            seen = seen & (place[None, :] <= row[:, None])
        score = tl.where(seen, tl.dot(query, keys) * (scale * LOG2_E), -float("inf"))
        new_top = tl.maximum(top, tl.max(score, 1))
        powers = tl.exp2(score - new_top[:, None])
        shrink = tl.exp2(top - new_top)
        values = tl.load(v + head + place[:, None] * width + inner[None, :], mask=place[:, None] < length, other=0.0)
        total = total * shrink + tl.sum(powers, 1)
        result = tl.dot(powers.to(values.dtype), values, result * shrink[:, None])
        top = new_top
    tl.store(
        o + head + row[:, None] * width + inner[None, :], (result / total[:, None]).to(o.dtype.element_ty), mask=inside
    )
