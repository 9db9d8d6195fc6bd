"""The kernels of ``fixtures``, compiled by nvcc: for each, a launch on fresh data and the judge of its result.

Outputs start as NaN and count as uninitialised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from tilewright.runtime.emulator import Module, Report, TensorMap, Uninitialised, launch

FOLDER = Path(__file__).parent / "fixtures"
Sizes = tuple[int, ...]


@lru_cache(maxsize=8)
def fixture_text(name: str) -> str:
    return (FOLDER / f"{name}.ptx").read_text()


@lru_cache(maxsize=8)
def fixture_module(name: str) -> Module:
    return Module.parse(fixture_text(name))


@dataclass
class Case:
    """Arguments of one launch and the judge of what it leaves behind."""

    grid: Sizes
    block: Sizes
    args: list[Any]
    right: Callable[[], bool]
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
    case: Callable[[np.random.Generator, Sizes], Case]
    sizes: tuple[Sizes, ...]
    unreached: Mapping[str, str] = field(default_factory=dict)

    @property
    def entry(self) -> str:
        return self.case.__name__

    def launch(self, case: Case, module: Module | None = None, **options: Any) -> Report:
        """Run the kernel of the fixture, or of a module that was made out of it."""
        chosen = module or fixture_module(self.fixture)
        return launch(chosen, self.entry, case.grid, case.block, (1, 1, 1), case.shared_bytes, case.args, **options)


def changed(name: str, entry: str, old: str, new: str, which: int = 0) -> Module:
    """The fixture with one occurrence of a text, counted from the start of an entry, replaced by another."""
    source = fixture_text(name)
    position = source.index(f".entry {entry}")
    for _ in range(which + 1):
        position = source.index(old, position + 1)
    return Module.parse(source[:position] + new + source[position + len(old) :])


TRIES = {"bra WAIT;": "try_wait of the emulator waits as long as anything can still happen"}
REMAINDER = "what unrolling leaves over of a copy loop: the block makes a whole number of turns"


def close(actual: Any, exact: Any, scale: Any, units: float, eps: float = 2.0**-24) -> bool:
    """Whether each value is within ``units`` roundings of ``scale`` of the exact one; NaN is not."""
    return bool((np.abs(actual.astype(np.float64) - exact) <= units * eps * scale + 1e-30).all())


def empty(shape: Any, dtype: Any = np.float32) -> Any:
    return np.full(shape, np.nan, dtype)


def tiled_matmul(rng: np.random.Generator, sizes: Sizes) -> Case:
    m, n, k = sizes
    a, b = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)
    c = empty((m, n))
    wide = a.astype(np.float64), b.astype(np.float64)

    def right() -> bool:
        return close(c, wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1]), 20)

    return Case((-(-n // 64), -(-m // 64)), (256,), [a, b, Uninitialised(c), m, n, k], right)


SOFTMAX_ROUNDINGS = 7
"""Roundings of 2^-24 that a value of softmax may be off: exponential, sum and quotient."""


def logits(rng: np.random.Generator, sizes: Sizes) -> Any:
    """Even rows spread over what ``exp`` can do. Odd rows have a peak that overflows where the maximum misses it.

    Few bits, so that subtracting the maximum is exact.
    """
    x = rng.uniform(-80, 0, sizes)
    odd = np.arange(1, sizes[0], 2)
    x[odd, (rng.integers(sizes[1]) + odd * max(sizes[1] // sizes[0], 1)) % sizes[1]] += 180
    return (np.rint((x + rng.uniform(-20, 20, (sizes[0], 1))) * 1024) / 1024).astype(np.float32)


def softmax_right(y: Any, exact: Any) -> bool:
    """Within the bound; subnormal numbers are only as exact as they are spaced."""
    return bool((np.abs(y - exact) <= SOFTMAX_ROUNDINGS * 2.0**-24 * exact + 2.0**-148).all())


def softmax_of(x: Any) -> Any:
    powers = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def row_softmax(rng: np.random.Generator, sizes: Sizes) -> Case:
    x = logits(rng, sizes)
    y, exact = empty(sizes), softmax_of(x)
    return Case((-(-sizes[0] // 2),), (64,), [x, Uninitialised(y), *sizes], lambda: softmax_right(y, exact))


def collatz(value: int) -> int:
    steps = 0
    while value != 1:
        value = 3 * value + 1 if value & 1 else value // 2
        steps += 1
        if steps > 300:
            break
    return {0: steps + 10, 3: steps * 3, 5: steps ^ 0x55}.get(steps & 7, steps - 1)


AT_THE_LIMIT = (126_575, 253_150, 84_383, 837_799)
"""Numbers of 299, 300, 301 and more steps: the kernel stops counting after 300."""


def divergent(rng: np.random.Generator, sizes: Sizes) -> Case:
    """Small values, so that each kind of step count occurs in few steps, and some about the limit."""
    values = rng.integers(1, 200, sizes[0]).astype(np.int32)
    values[: len(AT_THE_LIMIT)] = AT_THE_LIMIT
    output, histogram = np.full(sizes[0], -1, np.int32), np.zeros(16, np.int32)
    exact = np.array([collatz(int(value)) for value in values])

    def right() -> bool:
        counts = np.bincount(exact & 15, minlength=16)
        return bool((output == exact).all() and (histogram == counts).all())

    return Case((2,), (64,), [values, Uninitialised(output), sizes[0], histogram], right)


def split_sum(rng: np.random.Generator, sizes: Sizes) -> Case:
    """Integers, so that every order of additions gives the same sum."""
    count, ctas = sizes
    values = rng.integers(-500, 500, count).astype(np.float32)
    partial, ticket, output = empty(ctas), np.zeros(1, np.uint32), empty(1)
    rows = np.pad(values, (0, -count % (128 * ctas))).reshape(-1, ctas, 128)

    def right() -> bool:
        return bool((partial == rows.sum((0, 2))).all() and ticket[0] == ctas and output[0] == values.sum())

    args = [values, Uninitialised(partial), ticket, Uninitialised(output), count]
    return Case((ctas,), (128,), args, right)


def grid_barrier(rng: np.random.Generator, sizes: Sizes) -> Case:
    values, result = (np.full(sizes[0], -1, np.int32) for _ in range(2))
    arrived = np.zeros(1, np.uint32)
    expected = (np.arange(sizes[0]) + 1) % sizes[0] * 7 + 1

    def right() -> bool:
        return bool((result == expected).all() and arrived[0] == sizes[0])

    return Case((sizes[0],), (64,), [Uninitialised(values), Uninitialised(result), arrived], right)


def split_k(rng: np.random.Generator, sizes: Sizes) -> Case:
    m, n, k, parts = sizes
    a, b = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)
    bias = rng.normal(size=n).astype(np.float32)
    c, tickets = np.zeros((m, n), np.float32), np.zeros((-(-m // 32), -(-n // 32)), np.uint32)
    wide = a.astype(np.float64), b.astype(np.float64)

    def right() -> bool:
        exact = np.maximum(wide[0] @ wide[1] + bias, 0)
        near = close(c, exact, np.abs(wide[0]) @ np.abs(wide[1]) + np.abs(bias), 2 * k + parts + 1)
        return near and bool((tickets == parts).all())

    return Case((-(-n // 32), -(-m // 32), parts), (64,), [a, b, bias, c, tickets, m, n, k], right)


def mma_pipeline(rng: np.random.Generator, sizes: Sizes) -> Case:
    m, n, k = sizes
    a, b = (rng.normal(size=shape).astype(ml_dtypes.bfloat16) for shape in ((m, k), (k, n)))
    c = empty((m, n))
    wide = a.astype(np.float64), b.astype(np.float64)

    def right() -> bool:
        return close(c, wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1]), 20)

    return Case((-(-n // 64), -(-m // 64)), (128,), [a, b, Uninitialised(c), m, n, k], right)


def specialised(rng: np.random.Generator, sizes: Sizes) -> Case:
    m, n, k = sizes
    a, b = (rng.normal(size=shape).astype(np.float16) for shape in ((m, k), (n, k)))
    c = empty((m, n))
    maps = [TensorMap.tiled(a, box=(64, 128), swizzle=128), TensorMap.tiled(b, box=(64, 64), swizzle=128)]
    wide = a.astype(np.float64), b.astype(np.float64).T

    def right() -> bool:
        return close(c, wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1]), 20)

    args = [*maps, Uninitialised(c), m, n, k]
    return Case((-(-n // 64), -(-m // 128)), (384,), args, right, 3 * 24576 + 48)


def cluster_sum(rng: np.random.Generator, sizes: Sizes) -> Case:
    count, ctas = sizes
    values = rng.integers(-500, 500, count).astype(np.float32)
    output = empty(ctas // 4)
    rows = np.pad(values, (0, -count % (128 * ctas))).reshape(-1, ctas // 4, 512)

    def right() -> bool:
        return bool((output == rows.sum((0, 2))).all())

    return Case((ctas,), (128,), [values, Uninitialised(output), count], right)


def tile_add(rng: np.random.Generator, sizes: Sizes) -> Case:
    x = rng.normal(size=sizes).astype(np.float32)
    y, amount = empty(sizes), np.float32(rng.normal())
    maps = [TensorMap.tiled(array, box=(32, 32)) for array in (x, y)]
    grid = -(-sizes[1] // 32), -(-sizes[0] // 32)
    return Case(grid, (64,), [*maps, amount], lambda: bool((y == x + amount).all()))


KERNELS = (
    Kernel("basic", tiled_matmul, ((70, 45, 19), (5, 3, 0)), {"@%p3 bra $L__BB1_20;": REMAINDER}),
    Kernel("basic", row_softmax, ((5, 77), (2, 160))),
    Kernel("basic", divergent, ((100,),)),
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
    Kernel("hopper", cluster_sum, ((3000, 8),)),
    Kernel("hopper", tile_add, ((50, 40),), {**TRIES, "@%p3 bra $L__BB2_6;": REMAINDER}),
)
