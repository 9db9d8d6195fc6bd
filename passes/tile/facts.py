"""Owns the pass ``facts``: what the caller promised is written on every launch that can use it.

Before: tile functions. After: the same with ``tile.facts``, the promises that concern the launch's own dims and views,
and the alignment of what the runtime allocates itself.
The launcher checks them again for every new shape. Needs: texts as in ``runtime/facts.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from tilewright.dialect import functions, ods
from tilewright.passes.base import Pass

ALIGNMENT = 16
"""Bytes: what the runtime aligns its own allocations to, and more."""

_SUBJECT = re.compile(r"(?:align\(([\w.]+)\)|(\w+) %)")


@dataclass(frozen=True)
class StateFacts(Pass):
    """Attaches ``facts`` to launches."""

    name: ClassVar[str] = "facts"
    result_level: ClassVar[str | None] = "tile"
    facts: tuple[str, ...] = ()

    def run(self, module: Any) -> Any:
        for function in functions.functions_of(module):
            arguments = functions.arguments_of(function, "tile")
            known = {argument.name for argument in arguments}
            own = [fact for fact in self.facts if _concerns(fact, known)]
            own += [f"align({a.name}) >= {ALIGNMENT}" for a in arguments if a.role in ("workspace", "table")]
            function.attributes["tile.facts"] = ods.strings(own)
        return module


def _concerns(fact: str, known: set[str]) -> bool:
    match = _SUBJECT.match(fact)
    return match is None or (match[1] or match[2]) in known
