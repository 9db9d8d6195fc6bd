"""Owns programs one of whose run-time checks must fail: a subscript in their data is moved outside."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from tests.fuzz.program import Array, Program
from tests.sources import typed_text
from tilewright.compiler.language import typed
from tilewright.compiler.reference.evaluate import evaluate
from tilewright.compiler.reference.values import ReferenceCheckError


def failing(program: Program) -> tuple[Program, typed.TypedKernel] | None:
    """The program with data that a check must refuse, and its kernel; None where no check is sure to be needed.

    One is sure to be needed where the reference refuses the data, and outputs depend on the subscript where it is
    inside. Code may leave out a read that changes nothing: ``x[at[i]] ** 0`` is 1.
    """
    names = sorted(name for name, value in program.arguments.items() if name.startswith("at") and value.size)
    if not names or "read: gather" not in program.features:
        return None
    choice = random.Random(f"failing {program.seed}")
    name = choice.choice(names)
    values: Array = program.arguments[name]
    place = choice.randrange(values.size)
    outside = _moved(program, name, place, 7 if values.dtype.kind == "u" else choice.choice([-1, 7]))
    kernel = typed_text(program.source, "fuzz", program.types, program.consts)
    if _outputs(outside, kernel) is not None:
        return None
    inside = (_outputs(_moved(program, name, place, value), kernel) for value in range(max(program.dims.values())))
    return (outside, kernel) if _differ(found for found in inside if found is not None) else None


def _moved(program: Program, name: str, place: int, value: int) -> Program:
    values = program.arguments[name].copy()
    values.flat[place] = value
    return replace(program, arguments={**program.arguments, name: values})


def _outputs(program: Program, kernel: typed.TypedKernel) -> dict[str, Any] | None:
    """What the reference computes; None where a check fails."""
    dims = {name: program.dims[name] for name in kernel.dims}
    try:
        return evaluate(kernel, program.arguments, dims=dims, bound=False).outputs
    except ReferenceCheckError:
        return None


def _differ(several: Iterator[dict[str, Any]]) -> bool:
    first = next(several, {})
    return any(not np.array_equal(first[name], other[name]) for other in several for name in first)
