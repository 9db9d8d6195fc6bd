"""Another kernel's roundings stay inside the bound: programs are run again with every operation nudged at random.

The nudged run does what a compiled kernel may do at worst: each result moves by up to what its operation is allowed
(half a unit for operators, four for built-ins), decisions follow the moved values, and casts round them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from tests.data_classes import CLASSES
from tests.fuzz.generate import generate
from tests.library_cases import CASES, Case
from tests.sources import typed_text

from tilewright.compiler.language import typed
from tilewright.compiler.reference import arithmetic, casts, functions, reductions, rounding, writes
from tilewright.compiler.reference.compare import compare
from tilewright.compiler.reference.evaluate import evaluate
from tilewright.compiler.reference.values import Value

MODULES = (arithmetic, casts, functions, reductions, writes)


def _nudged(generator: np.random.Generator) -> Callable[..., Value]:
    def settle(rules, dtype, data, error=None, unsure=None, fault=None, *, units=rounding.BASIC, own=None):
        unit = rounding.UNIT[dtype] * units / (1 if dtype == "f32" else 2)
        free = data != 0 if units == rounding.BUILTIN else ~rounding.representable(data)
        moved = data * (1 + unit * np.where(free, generator.uniform(-1, 1, np.shape(data)), 0.0))
        return rounding.settle(rules, dtype, np.asarray(moved), None, None, fault, units=units, own=own)

    return settle


@contextmanager
def nudging(seed: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        settle = _nudged(np.random.default_rng(seed))
        for module in MODULES:
            patch.setattr(module, "settle", settle)
        yield


def _agrees(kernel: typed.TypedKernel, arguments: dict[str, Any], dims: dict[str, int], seed: int, what: str) -> None:
    bounded = evaluate(kernel, arguments, dims=dims)
    with nudging(seed):
        other = evaluate(kernel, arguments, dims=dims, bound=False)
    for name, value in other.outputs.items():
        comparison = compare(bounded, name, value)
        assert comparison.ok, f"{what}: {comparison.message}"


@pytest.mark.parametrize("start", range(5000, 5150, 50))
def test_nudged_programs_stay_inside(start: int) -> None:
    for seed in range(start, start + 50):
        program = generate(seed)
        kernel = typed_text(program.source, "fuzz", program.types, program.consts)
        _agrees(kernel, program.arguments, {n: program.dims[n] for n in kernel.dims}, seed, f"{seed}\n{program.source}")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.module}.{case.id}")
def test_nudged_library_kernels_stay_inside(case: Case) -> None:
    for dtype in case.dtypes[:2]:
        kernel = case.typed(dtype)
        for data in CLASSES:
            arguments = case.arguments(dtype, data, "prime", seed=2)
            _agrees(kernel, arguments, {}, 1, f"{dtype} {data}")
