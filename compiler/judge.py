"""Owns what passes are judged on: small sizes that satisfy what a kernel requires of its dims."""

from __future__ import annotations

import random
from typing import Any

from tilewright.passes.base import Semantics
from tilewright.passes.semantics import random_cases, semantics_of
from tilewright.runtime.plan import Plan

SIZES = (1, 2, 3, 4, 5, 7, 8)
CASES = 2
ATTEMPTS = 2000
SEED = 20_250_301


def semantics_for(module: Any, interface: Plan) -> Semantics | None:
    """The interpreters on a few cases of the kernel; None where no small sizes satisfy its requires."""
    sizes = small_dims(interface, CASES)
    if not sizes:
        return None
    return semantics_of(interface.kernel, random_cases(module, interface.kernel, sizes, SEED))


def small_dims(interface: Plan, count: int, seed: int = SEED) -> list[dict[str, int]]:
    """Up to ``count`` different choices of dims that every check and every shape admits, from a seeded search."""
    generator = random.Random(seed)
    found: list[dict[str, int]] = []
    for _ in range(ATTEMPTS):
        dims = _draw(interface, generator)
        if dims is not None and dims not in found:
            found.append(dims)
        if len(found) == count:
            break
    return found


def _draw(interface: Plan, generator: random.Random) -> dict[str, int] | None:
    dims = {binding.dim: generator.choice(SIZES) for binding in interface.bindings}
    for solution in interface.solutions:
        dims[solution.dim] = solution.value.evaluate(dims)
    if any(value < 0 for value in dims.values()):
        return None
    sizes = [size.evaluate(dims) for argument in interface.arguments for size in argument.shape or ()]
    admitted = min(sizes, default=0) >= 0 and all(check.condition.evaluate(dims) for check in interface.checks)
    return dims if admitted else None
