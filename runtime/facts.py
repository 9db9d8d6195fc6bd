"""Owns the facts that generated code may assume of a call, and checks them: their text is part of plans and keys.

Forms: ``<dim> % <n> == 0``, ``align(<argument>) >= <bytes>``, ``index32`` (each tensor's span is below 2**31 elements).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tilewright.runtime.errors import RuntimeFault
from tilewright.runtime.views import TensorView

_DIVISIBLE = re.compile(r"(\w+) % (\d+) == 0")
_ALIGNED = re.compile(r"align\(([\w.]+)\) >= (\d+)")
INDEX32 = "index32"
ALIGNMENT = 16  # bytes: what a 128-bit access needs
_INDEX32_LIMIT = 1 << 31


def holds(fact: str, dims: Mapping[str, int], views: Mapping[str, TensorView], made: Sequence[int] = ()) -> bool:
    """Whether ``fact`` is true of these dims and tensors; a text of no known form is a fault of ours.

    ``made`` are the elements of each dense tensor that no view describes: outputs that a call allocates, and
    workspaces. Their allocation aligns them.
    """
    if match := _DIVISIBLE.fullmatch(fact):
        return dims[match[1]] % int(match[2]) == 0
    if match := _ALIGNED.fullmatch(fact):
        return match[1] not in views or views[match[1]].pointer % int(match[2]) == 0
    if fact == INDEX32:
        return max((*map(_reach, views.values()), *(size - 1 for size in made)), default=0) < _INDEX32_LIMIT
    raise RuntimeFault(f"unknown fact {fact!r} in a plan")


def _reach(view: TensorView) -> int:
    return sum((extent - 1) * abs(stride) for extent, stride in zip(view.shape, view.strides, strict=True))
