"""Judging passes by the interpreters: cases on small shapes, run before and after each pass, compared.

Both interpreters compute in float64 and round where the IR writes a cast, so that a pass may re-associate but nothing
else. Half of the cases hold small integers, where sums are exact and even that difference disappears.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.dialect.affine import evaluate_map
from tilewright.dialect.functions import arguments_of, dims_of, functions_of, name_of
from tilewright.dialect.interpret.faults import CheckFailed
from tilewright.dialect.interpret.numbers import Array, language_dtype
from tilewright.dialect.interpret.tensor import run_tensor
from tilewright.dialect.interpret.tile import run_tile
from tilewright.dialect.mlir import ir
from tilewright.passes.base import Semantics

Outputs = Mapping[str, Array]

STAND_IN = 2.625
"""What a gather that is outside reads when passes are compared: nothing that a program gives such a read itself."""


@dataclass(frozen=True)
class Result:
    """Outputs by name, and whether a run-time check failed on the way: then they are made of stand-ins."""

    outputs: Outputs
    failed: bool = False


@dataclass(frozen=True)
class Case:
    """Sizes for the dims, and a value for every argument by name."""

    dims: Mapping[str, int]
    arguments: Mapping[str, Any]


def semantics_of(kernel: str, cases: Sequence[Case]) -> Semantics:
    """Judge passes on `kernel` by these cases."""

    def behaviour(module: Any) -> list[Result]:
        return [run_case(module, kernel, case) for case in cases]

    return Semantics(behaviour, compare_all)


def run_case(module: Any, kernel: str, case: Case) -> Result:
    """Run a module of either level; once more with stand-ins where a check failed."""
    try:
        return Result(_outputs(module, kernel, case, outside=None))
    except CheckFailed:
        return Result(_outputs(module, kernel, case, outside=STAND_IN), failed=True)


def _outputs(module: Any, kernel: str, case: Case, outside: float | None) -> Outputs:
    """What a module computes; ``tile.plan`` tells its level."""
    if "tile.plan" in module.operation.attributes:
        order = plan_of(module)
        return run_tile(module, order, case.arguments, case.dims, precision="wide", outside=outside, shuffle=1)
    return run_tensor(module, kernel, case.arguments, case.dims, precision="wide", outside=outside)


def plan_of(module: Any) -> list[str]:
    """The names of the launches of a module at the tile level, in order."""
    entries = ir.ArrayAttr(module.operation.attributes["tile.plan"])
    return [str(entry.value) for entry in entries]


def random_cases(module: Any, kernel: str, sizes: Iterable[Mapping[str, int]], seed: int) -> list[Case]:
    """Cases for a kernel at the tensor level, one for each choice of dims: small integers and reals in turn.

    `sizes` must satisfy what the kernel requires of its dims.
    """
    function = next(f for f in functions_of(module) if name_of(f) == kernel)
    generator = np.random.default_rng(seed)
    return [
        Case(dims, _arguments(function, dims, generator, integers=number % 2 == 0)) for number, dims in enumerate(sizes)
    ]


def _arguments(
    function: Any, dims: Mapping[str, int], generator: np.random.Generator, integers: bool
) -> dict[str, Any]:
    symbols = [dims[name] for name in dims_of(function, "tw")]
    values = {}
    for argument in arguments_of(function, "tw"):
        shape = () if argument.shape is None else tuple(evaluate_map(argument.shape, (), symbols))
        values[argument.name] = random_values(generator, shape, argument.dtype, integers)
    return values


def random_values(generator: np.random.Generator, shape: tuple[int, ...], dtype: str, integers: bool) -> Array:
    """Values of a language dtype: small integers (indices that are often inside), or reals around zero."""
    if dtype == "bool":
        return generator.integers(0, 2, shape).astype(np.bool_)
    kind = language_dtype(dtype)
    if kind.kind in "iu":
        low = 0 if kind.kind == "u" or integers else -3
        return generator.integers(low, 4, shape).astype(kind)
    if integers:
        return generator.integers(-4, 5, shape).astype(kind)
    return generator.normal(size=shape).astype(kind)


def compare_all(before: Sequence[Result], after: Sequence[Result]) -> str | None:
    """The first difference between the outputs of all cases."""
    for number, (first, second) in enumerate(zip(before, after, strict=True)):
        difference = compare(first, second)
        if difference is not None:
            return f"case {number}: {difference}"
    return None


def compare(before: Result, after: Result) -> str | None:
    """What differs between two runs; None if they agree within re-association.

    A check that fails only after is a difference. One that failed before may be gone if no output needs the element
    that it protected. That shows in the outputs: what needs the element is made of the stand-in before, and without
    the check of something else after.
    """
    if after.failed and not before.failed:
        return "a result before, a run-time check failed after"
    if set(before.outputs) != set(after.outputs):
        return f"outputs {sorted(before.outputs)} before, {sorted(after.outputs)} after"
    lost = " (a run-time check failed before and none after)" if before.failed and not after.failed else ""
    for name, expected in before.outputs.items():
        difference = _compare_arrays(np.asarray(expected), np.asarray(after.outputs[name]))
        if difference is not None:
            return f"output {name!r} {difference}{lost}"
    return None


RELATIVE = 2.0**-40
"""Re-association in float64 over the few hundred terms of a case, with room; far below any float32 mistake."""


def _compare_arrays(before: Array, after: Array) -> str | None:
    if before.shape != after.shape:
        return f"has shape {before.shape} before, {after.shape} after"
    if before.dtype.kind in "iub":
        wrong = before != after
    else:
        wrong = ~_close(before.astype(np.float64), after.astype(np.float64))
    if not np.any(wrong):
        return None
    place = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(wrong)))
    return f"differs at {place}: {np.atleast_1d(before)[place]} before, {np.atleast_1d(after)[place]} after"


def _close(before: Array, after: Array) -> Array:
    """Equal, or apart by re-association. (That it tips a cast to a narrow type the other way is rarer than 1e-9.)"""
    same = (before == after) | (np.isnan(before) & np.isnan(after))
    finite = np.isfinite(before) & np.isfinite(after)
    scale = np.max(np.abs(before), where=np.isfinite(before), initial=0.0)
    with np.errstate(invalid="ignore"):
        return np.asarray(same | (finite & (np.abs(before - after) <= RELATIVE * scale)))
