"""Owns the facts that code may assume before any call is seen: what ``require`` says, and where tensors lie.

A call is checked against each of them before anything runs (``runtime/facts.py`` has the forms).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tilewright.compiler.language.frontend import CheckedKernel
from tilewright.compiler.target import Target
from tilewright.runtime.facts import ALIGNMENT
from tilewright.runtime.plan import LaunchCheck
from tilewright.runtime.sizes import Number, Operation, SizeExpr, Symbol


def allocated(checked: CheckedKernel, target: Target) -> tuple[str, ...]:
    """What code that is compiled without data assumes of its calls: tensors lie as allocators give them."""
    if "aligned" not in target.specialises:
        return ()
    return tuple(f"align({item.name.id}) >= {ALIGNMENT}" for item in (*checked.tensors, *checked.outputs))


def required(checks: Iterable[LaunchCheck], target: Target) -> tuple[str, ...]:
    """The divisors of dims that a kernel's ``require`` lines state, alone or in an ``and``."""
    if "divisible" not in target.specialises:
        return ()
    return tuple(fact for check in checks for fact in _stated(check.condition))


def _stated(condition: SizeExpr) -> Iterator[str]:
    match condition:
        case Operation("and", parts):
            for part in parts:
                yield from _stated(part)
        case Operation("==", (Operation("%", (Symbol(dim), Number(divisor))), Number(0))) if divisor > 0:
            yield f"{dim} % {divisor} == 0"
