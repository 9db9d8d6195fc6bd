"""The kernels that are broken: every working fixture, and kernels of this compiler; how each is launched and judged.

Data is random, outputs start as NaN, and shapes are small but ragged, with enough steps that each slot of a pipeline is
used again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from tests.emulator.sm80 import artifact, case_of, facts_for

from tilewright.runtime.emulator import Module, Report, TensorMap, Uninitialised, launch

FIXTURES = Path(__file__).parent.parent / "fixtures"
Sizes = tuple[int, ...]


@dataclass
class Prepared:
    """Arguments of one launch and the judge of what it leaves behind."""

    grid: Sizes
    block: Sizes
    args: list[Any]
    right: Callable[[], bool]
    shared_bytes: int = 0


@dataclass(frozen=True)
class Subject:
    """A kernel under test.

    Attributes:
        text: makes the PTX; ``prepare`` makes fresh arguments of some sizes.
        sizes: the launches that every mutant gets, cheap ones first.
    """

    name: str
    text: Callable[[], str]
    entry: str
    prepare: Callable[[np.random.Generator, Sizes], Prepared]
    sizes: tuple[Sizes, ...] = field(default=((),))

    def run(self, module: Module, seed: int, sizes: Sizes, alter: Any = None, **options: Any) -> tuple[Report, bool]:
        """Launch with fresh data; the report, and whether the results are right. ``alter`` edits the arguments."""
        prepared = self.prepare(np.random.default_rng(seed), sizes)
        args = prepared.args if alter is None else alter(prepared.args)
        report = launch(
            module, self.entry, prepared.grid, prepared.block, shared_bytes=prepared.shared_bytes, args=args, seed=seed,
            **options,
        )  # fmt: skip
        return report, report.completed and prepared.right()


def close(actual: Any, exact: Any, scale: Any, units: float, eps: float = 2.0**-24) -> bool:
    """Whether each value is within ``units`` roundings of ``scale`` of the exact one; NaN is not."""
    return bool((np.abs(actual.astype(np.float64) - exact) <= units * eps * scale + 1e-30).all())


def empty(shape: Any, dtype: Any = np.float32) -> Any:
    return np.full(shape, np.nan, dtype)


def tiled_matmul(rng: np.random.Generator, sizes: Sizes) -> Prepared:
    m, n, k = sizes
    a, b = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)
    c = empty((m, n))
    wide = a.astype(np.float64), b.astype(np.float64)

    def right() -> bool:
        return close(c, wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1]), 20)

    return Prepared((-(-n // 64), -(-m // 64)), (256,), [a, b, Uninitialised(c), m, n, k], right)


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


def row_softmax(rng: np.random.Generator, sizes: Sizes) -> Prepared:
    x = logits(rng, sizes)
    y, exact = empty(sizes), softmax_of(x)
    return Prepared((-(-sizes[0] // 2),), (64,), [x, Uninitialised(y), *sizes], lambda: softmax_right(y, exact))


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


def divergent(rng: np.random.Generator, sizes: Sizes) -> Prepared:
    """Small values, so that each kind of step count occurs in few steps, and some about the limit."""
    values = rng.integers(1, 200, sizes[0]).astype(np.int32)
    values[: len(AT_THE_LIMIT)] = AT_THE_LIMIT
    output, histogram = np.full(sizes[0], -1, np.int32), np.zeros(16, np.int32)
    exact = np.array([collatz(int(value)) for value in values])

    def right() -> bool:
        counts = np.bincount(exact & 15, minlength=16)
        return bool((output == exact).all() and (histogram == counts).all())

    return Prepared((2,), (64,), [values, Uninitialised(output), sizes[0], histogram], right)


def split_sum(rng: np.random.Generator, sizes: Sizes) -> Prepared:
    """Integers, so that every order of additions gives the same sum."""
    count, ctas = sizes
    values = rng.integers(-500, 500, count).astype(np.float32)
    partial, ticket, output = empty(ctas), np.zeros(1, np.uint32), empty(1)
    rows = np.pad(values, (0, -count % (128 * ctas))).reshape(-1, ctas, 128)

    def right() -> bool:
        return bool((partial == rows.sum((0, 2))).all() and ticket[0] == ctas and output[0] == values.sum())

    args = [values, Uninitialised(partial), ticket, Uninitialised(output), count]
    return Prepared((ctas,), (128,), args, right)


def grid_barrier(rng: np.random.Generator, sizes: Sizes) -> Prepared:
    values, result = (np.full(sizes[0], -1, np.int32) for _ in range(2))
    arrived = np.zeros(1, np.uint32)
    expected = (np.arange(sizes[0]) + 1) % sizes[0] * 7 + 1

    def right() -> bool:
        return bool((result == expected).all() and arrived[0] == sizes[0])

    return Prepared((sizes[0],), (64,), [Uninitialised(values), Uninitialised(result), arrived], right)


def mma_pipeline(rng: np.random.Generator, sizes: Sizes) -> Prepared:
    m, n, k = sizes
    a, b = (rng.normal(size=shape).astype(ml_dtypes.bfloat16) for shape in ((m, k), (k, n)))
    c = empty((m, n))
    wide = a.astype(np.float64), b.astype(np.float64)

    def right() -> bool:
        return close(c, wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1]), 20)

    return Prepared((-(-n // 64), -(-m // 64)), (128,), [a, b, Uninitialised(c), m, n, k], right)


def specialised(rng: np.random.Generator, sizes: Sizes) -> Prepared:
    m, n, k = sizes
    a, b = (rng.normal(size=shape).astype(np.float16) for shape in ((m, k), (n, k)))
    c = empty((m, n))
    maps = [TensorMap.tiled(a, box=(64, 128), swizzle=128), TensorMap.tiled(b, box=(64, 64), swizzle=128)]
    wide = a.astype(np.float64), b.astype(np.float64).T

    def right() -> bool:
        return close(c, wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1]), 20)

    args = [*maps, Uninitialised(c), m, n, k]
    return Prepared((-(-n // 64), -(-m // 128)), (384,), args, right, 3 * 24576 + 48)


def cluster_sum(rng: np.random.Generator, sizes: Sizes) -> Prepared:
    count, ctas = sizes
    values = rng.integers(-500, 500, count).astype(np.float32)
    output = empty(ctas // 4)
    rows = np.pad(values, (0, -count % (128 * ctas))).reshape(-1, ctas // 4, 512)

    def right() -> bool:
        return bool((output == rows.sum((0, 2))).all())

    return Prepared((ctas,), (128,), [values, Uninitialised(output), count], right)


def tile_add(rng: np.random.Generator, sizes: Sizes) -> Prepared:
    x = rng.normal(size=sizes).astype(np.float32)
    y, amount = empty(sizes), np.float32(rng.normal())
    maps = [TensorMap.tiled(array, box=(32, 32)) for array in (x, y)]
    grid = -(-sizes[1] // 32), -(-sizes[0] // 32)
    return Prepared(grid, (64,), [*maps, amount], lambda: bool((y == x + amount).all()))


def own_softmax(rng: np.random.Generator, sizes: Sizes) -> Prepared:
    x = logits(rng, sizes)
    y, exact, status = empty(sizes), softmax_of(x), np.zeros(1, np.int64)
    plan = artifact(case_of("softmax"), "f32").plan.launches[0]
    args = [x, Uninitialised(y), *map(np.int64, sizes), status]

    def right() -> bool:
        return not status[0] and softmax_right(y, exact)

    return Prepared((sizes[0],), plan.block, args, right, plan.shared_bytes)


MATMUL_SIZES = {"M": 144, "N": 80, "K": 240}


def own_matmul(rng: np.random.Generator, sizes: Sizes) -> Prepared:
    """Whole numbers, whose sums are exact, so that the rounding to bf16 is checked to the bit; and one row of NaN."""
    m, n, k = sizes
    a, b = (rng.integers(-100, 100, shape).astype(ml_dtypes.bfloat16) for shape in ((m, k), (k, n)))
    a[3, 1] = np.nan
    y, status = empty((m, n), ml_dtypes.bfloat16), np.zeros(1, np.int64)
    exact = (a.astype(np.float32) @ b.astype(np.float32)).astype(ml_dtypes.bfloat16).astype(np.float32)
    plan = _own_matmul().plan.launches[0]
    args = [a, b, Uninitialised(y), *map(np.int64, sizes), status]

    def right() -> bool:
        return not status[0] and bool(np.array_equal(y.astype(np.float32), exact, equal_nan=True))

    return Prepared((-(-m // 128) * -(-n // 128),), plan.block, args, right, plan.shared_bytes)


def _own_matmul() -> Any:
    case = case_of("matmul")
    return artifact(case, "bf16", facts_for(case, MATMUL_SIZES))


@lru_cache(maxsize=8)
def fixture(name: str) -> str:
    return (FIXTURES / f"{name}.ptx").read_text()


def _fixed(name: str, file: str, prepare: Callable[..., Prepared], *sizes: Sizes, entry: str = "") -> Subject:
    return Subject(name, lambda: fixture(file), entry or name, prepare, sizes or ((),))


SUBJECTS = (
    _fixed("tiled_matmul", "basic", tiled_matmul, (5, 8, 38), (10, 5, 46), (3, 5, 0), (8, 67, 34), (71, 66, 40)),
    _fixed("row_softmax", "basic", row_softmax, (3, 20), (5, 77), (16, 100), (12, 300)),
    _fixed("divergent", "basic", divergent, (100,)),
    _fixed("split_sum", "basic", split_sum, (1000, 6), (2000, 9), (100, 1), (400, 3), (500, 4)),
    _fixed("grid_barrier", "basic", grid_barrier, (5,)),
    _fixed("mma_pipeline", "pipeline", mma_pipeline, (8, 32, 64), (8, 72, 8), (72, 16, 136)),
    _fixed("specialised", "hopper", specialised, (20, 71, 192), (9, 46, 64), (132, 21, 456)),
    _fixed("cluster_sum", "hopper", cluster_sum, (1500, 8), (300, 4)),
    _fixed("tile_add", "hopper", tile_add, (50, 40)),
    Subject(
        "own_softmax", lambda: artifact(case_of("softmax"), "f32").code["ptx"].decode(), "softmax_0", own_softmax,
        ((3, 39), (5, 202), (12, 300), (4, 1101)),
    ),
    Subject(
        "own_matmul", lambda: _own_matmul().code["ptx"].decode(), "matmul_0", own_matmul,
        ((32, 144, 48), (48, 16, 16), (144, 128, 16), tuple(MATMUL_SIZES.values())),
    ),
)  # fmt: skip
