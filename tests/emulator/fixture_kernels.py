"""The kernels of ``fixtures``, compiled by nvcc: for each, a launch on fresh data and the check of its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from tilewright.runtime.emulator import Module, Report, TensorMap, launch

FOLDER = Path(__file__).parent / "fixtures"
STAGES, STAGE_BYTES = 3, 24576
UNIT = 2.0**-24
"""Unit roundoff of f32."""


@lru_cache(maxsize=8)
def fixture_text(name: str) -> str:
    return (FOLDER / f"{name}.ptx").read_text()


@lru_cache(maxsize=8)
def fixture_module(name: str) -> Module:
    return Module.parse(fixture_text(name))


@dataclass(frozen=True)
class Case:
    """A launch: its extents and arguments, and what asserts that the results are right."""

    grid: tuple[int, ...]
    block: int
    args: list[Any]
    check: Callable[[], None]
    shared_bytes: int = 0


@dataclass(frozen=True)
class Kernel:
    """A kernel of a fixture.

    Attributes:
        case: makes a launch for some sizes.
        sizes: small and ragged, with enough steps that each slot of a pipeline is used again.
        unreached: why a block never runs, by the statement that it begins with or the branch that jumps over it.
    """

    fixture: str
    case: Callable[..., Case]
    sizes: tuple[tuple[int, ...], ...]
    unreached: Mapping[str, str] = field(default_factory=dict)

    @property
    def entry(self) -> str:
        return self.case.__name__

    def launch(self, case: Case, module: Module | None = None, **options: Any) -> Report:
        """Run the kernel of the fixture, or of a module that was made out of it."""
        chosen = module or fixture_module(self.fixture)
        return launch(chosen, self.entry, case.grid, (case.block,), (1, 1, 1), case.shared_bytes, case.args, **options)


def changed(name: str, entry: str, old: str, new: str, which: int = 0) -> Module:
    """The fixture with one occurrence of a text, counted from the start of an entry, replaced by another."""
    source = fixture_text(name)
    position = source.index(f".entry {entry}")
    for _ in range(which + 1):
        position = source.index(old, position + 1)
    return Module.parse(source[:position] + new + source[position + len(old) :])


TRIES = {"bra WAIT;": "try_wait of the emulator waits as long as anything can still happen"}
REMAINDER = "what unrolling leaves over of a copy loop: the block makes a whole number of turns"


def close(found: Any, a: Any, b: Any, roundings: int, after: Callable[[Any], Any] = lambda product: product) -> None:
    """``found`` is ``after(a @ b)`` but for that many f32 roundings of partial sums, in any order."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    difference = np.abs(found - after(a @ b))
    bound = roundings * UNIT * (np.abs(a) @ np.abs(b) + 1)
    assert (difference <= bound).all(), f"{np.max(difference / (bound + UNIT)):.3g} times the bound"


def blocks(extent: int, tile: int) -> int:
    return -(-extent // tile)


def tiled_matmul(rng: np.random.Generator, m: int, n: int, k: int) -> Case:
    a, b = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)
    c = np.full((m, n), np.nan, np.float32)
    return Case((blocks(n, 64), blocks(m, 64)), 256, [a, b, c, m, n, k], lambda: close(c, a, b, 2 * k))


def row_softmax(rng: np.random.Generator, rows: int, columns: int) -> Case:
    x = rng.normal(size=(rows, columns)).astype(np.float32)
    y = np.full_like(x, np.nan)

    def check() -> None:
        exact = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
        np.testing.assert_allclose(y, exact / exact.sum(1, keepdims=True), rtol=3e-6)

    return Case((blocks(rows, 2),), 64, [x, y, rows, columns], check)


def divergent(rng: np.random.Generator, count: int) -> Case:
    values = rng.integers(1, 3000, count).astype(np.int32)
    values[:4] = 27, 1, 3, 9  # long, short and both odd switch cases are always there
    output, histogram = np.zeros_like(values), np.zeros(16, np.int32)

    def check() -> None:
        expected = np.array([collatz(int(value)) for value in values])
        np.testing.assert_array_equal(output, expected)
        np.testing.assert_array_equal(histogram, np.bincount(expected & 15, minlength=16))

    return Case((blocks(count, 128),), 128, [values, output, count, histogram], check)


def collatz(value: int) -> int:
    """What ``divergent`` computes for one value."""
    steps = 0
    while value != 1:
        value = 3 * value + 1 if value & 1 else value // 2
        steps += 1
        if steps > 300:
            break
    return {0: steps + 10, 3: steps * 3, 5: steps ^ 0x55}.get(steps & 7, steps - 1)


def split_sum(rng: np.random.Generator, count: int, ctas: int) -> Case:
    values = rng.integers(-1000, 1000, count).astype(np.float32)
    partial, ticket, output = np.zeros(ctas, np.float32), np.zeros(1, np.uint32), np.full(1, np.nan, np.float32)

    def check() -> None:
        assert output[0] == values.sum(dtype=np.float64)

    return Case((ctas,), 128, [values, partial, ticket, output, count], check)


def grid_barrier(rng: np.random.Generator, ctas: int) -> Case:
    values, result, arrived = np.zeros(ctas, np.int32), np.zeros(ctas, np.int32), np.zeros(1, np.uint32)

    def check() -> None:
        np.testing.assert_array_equal(result, (np.arange(ctas) + 1) % ctas * 7 + 1)

    return Case((ctas,), 32, [values, result, arrived], check)


def split_k(rng: np.random.Generator, m: int, n: int, k: int, parts: int) -> Case:
    a, b = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)
    bias = rng.normal(size=n).astype(np.float32)
    c, tickets = np.zeros((m, n), np.float32), np.zeros((blocks(m, 32), blocks(n, 32)), np.uint32)

    def check() -> None:
        close(c, a, b, 2 * k + parts + 1, lambda product: np.maximum(product + bias, 0))
        assert (tickets == parts).all()

    return Case((blocks(n, 32), blocks(m, 32), parts), 64, [a, b, bias, c, tickets, m, n, k], check)


def mma_pipeline(rng: np.random.Generator, m: int, n: int, k: int) -> Case:
    a, b = (rng.normal(size=shape).astype(ml_dtypes.bfloat16) for shape in ((m, k), (k, n)))
    c = np.full((m, n), np.nan, np.float32)
    return Case((blocks(n, 64), blocks(m, 64)), 128, [a, b, c, m, n, k], lambda: close(c, a, b, k // 16 + 4))


def specialised(rng: np.random.Generator, m: int, n: int, k: int) -> Case:
    a, b = (rng.normal(size=shape).astype(np.float16) for shape in ((m, k), (n, k)))
    c = np.full((m, n), np.nan, np.float32)
    maps = [TensorMap.tiled(a, box=(64, 128), swizzle=128), TensorMap.tiled(b, box=(64, 64), swizzle=128)]
    shared = STAGES * STAGE_BYTES + 16 * STAGES
    return Case(
        (blocks(n, 64), blocks(m, 128)), 384, [*maps, c, m, n, k], lambda: close(c, a, b.T, k // 16 + 4), shared
    )


def cluster_sum(rng: np.random.Generator, count: int, clusters: int) -> Case:
    values = rng.integers(-1000, 1000, count).astype(np.float32)
    output = np.full(clusters, np.nan, np.float32)

    def check() -> None:
        assert output.sum() == values.sum(dtype=np.float64)

    return Case((4 * clusters,), 128, [values, output, count], check)


def tile_add(rng: np.random.Generator, rows: int, columns: int) -> Case:
    x = rng.normal(size=(rows, columns)).astype(np.float32)
    y = np.full_like(x, np.nan)
    maps = [TensorMap.tiled(array, box=(32, 32)) for array in (x, y)]

    def check() -> None:
        np.testing.assert_array_equal(y, x + np.float32(1.5))

    return Case((blocks(columns, 32), blocks(rows, 32)), 64, [*maps, np.float32(1.5)], check)


KERNELS = (
    Kernel("basic", tiled_matmul, ((70, 45, 19), (5, 3, 0)), {"@%p3 bra $L__BB1_20;": REMAINDER}),
    Kernel("basic", row_softmax, ((5, 77), (2, 160))),
    Kernel("basic", divergent, ((200,),)),
    Kernel("basic", split_sum, ((1000, 6),)),
    Kernel("basic", grid_barrier, ((5,),)),
    Kernel("splitk", split_k, ((40, 33, 51, 3),)),
    Kernel(
        "pipeline",
        mma_pipeline,
        ((72, 64, 200),),
        {"@%p15 bra $L__BB0_9;": REMAINDER, "@%p40 bra $L__BB0_30;": REMAINDER},
    ),
    Kernel("hopper", specialised, ((100, 64, 456), (8, 8, 320)), TRIES),
    Kernel("hopper", cluster_sum, ((3000, 2),)),
    Kernel("hopper", tile_add, ((50, 40),), {**TRIES, "@%p3 bra $L__BB2_6;": REMAINDER}),
)
