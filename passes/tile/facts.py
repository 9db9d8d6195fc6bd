"""Owns the pass ``facts``: what may be assumed of a call is written on every launch that can use it.

Before: a module of tile functions with the promises of its calls (``attach_facts``). After: the same with
``tile.facts`` on each function, the promises that concern its own dims and views, and the alignment of what the runtime
allocates itself. The launcher checks them again for every new shape. Needs: texts as in ``runtime/facts.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from tilewright.dialect import functions, ods
from tilewright.passes.base import Pass

PROMISED = "tw.facts"
ALIGNMENT = 16
"""Bytes: what the runtime aligns its own allocations to, and more."""

_SUBJECT = re.compile(r"(?:align\(([\w.]+)\)|(\w+) %)")


def attach_facts(module: Any, facts: Iterable[str]) -> None:
    """Put what may be assumed of calls on a module, so that it travels with every level."""
    module.operation.attributes[PROMISED] = ods.strings(list(dict.fromkeys(facts)))


def attached_facts(module: Any) -> tuple[str, ...]:
    """The facts that a module carries."""
    attributes = module.operation.attributes
    return tuple(ods.string_list(attributes[PROMISED])) if PROMISED in attributes else ()


@dataclass(frozen=True)
class StateFacts(Pass):
    """Writes the module's facts on its launches."""

    name: ClassVar[str] = "facts"
    result_level: ClassVar[str | None] = "tile"

    def run(self, module: Any) -> Any:
        promised = attached_facts(module)
        for function in functions.functions_of(module):
            arguments = functions.arguments_of(function, "tile")
            known = {argument.name for argument in arguments}
            own = [fact for fact in promised if _concerns(fact, known)]
            own += [f"align({a.name}) >= {ALIGNMENT}" for a in arguments if a.role in ("workspace", "table")]
            function.attributes["tile.facts"] = ods.strings(own)
        return module


def _concerns(fact: str, known: set[str]) -> bool:
    match = _SUBJECT.match(fact)
    return match is None or (match[1] or match[2]) in known
