"""The kernels that are broken: every working fixture, and kernels of this compiler; how each is launched and judged.

Data is random, outputs start as NaN, and shapes are small but ragged, with enough steps that each slot of a pipeline is
used again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
from tests.emulator.fixture_kernels import (
    Case,
    Sizes,
    cluster_sum,
    divergent,
    empty,
    fixture_text,
    grid_barrier,
    logits,
    mma_pipeline,
    row_softmax,
    softmax_of,
    softmax_right,
    specialised,
    split_sum,
    tile_add,
    tiled_matmul,
)
from tests.emulator.sm80 import artifact, case_of, facts_for

from tilewright.runtime.emulator import Module, Report, Uninitialised, launch


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
    prepare: Callable[[np.random.Generator, Sizes], Case]
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


def own_softmax(rng: np.random.Generator, sizes: Sizes) -> Case:
    x = logits(rng, sizes)
    y, exact, status = empty(sizes), softmax_of(x), np.zeros(1, np.int64)
    plan = artifact(case_of("softmax"), "f32").plan.launches[0]
    args = [x, Uninitialised(y), *map(np.int64, sizes), status]

    def right() -> bool:
        return not status[0] and softmax_right(y, exact)

    return Case((sizes[0],), plan.block, args, right, plan.shared_bytes)


MATMUL_SIZES = {"M": 144, "N": 80, "K": 240}


def own_matmul(rng: np.random.Generator, sizes: Sizes) -> Case:
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

    return Case((-(-m // 128) * -(-n // 128),), plan.block, args, right, plan.shared_bytes)


def _own_matmul() -> Any:
    case = case_of("matmul")
    return artifact(case, "bf16", facts_for(case, MATMUL_SIZES))


def _fixed(name: str, file: str, prepare: Callable[..., Case], *sizes: Sizes, entry: str = "") -> Subject:
    return Subject(name, lambda: fixture_text(file), entry or name, prepare, sizes or ((),))


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
