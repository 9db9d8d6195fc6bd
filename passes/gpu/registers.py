"""Owns what a thread holds of a tile: one machine value per register slot of the tile's layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tilewright.dialect.layout import Layout
from tilewright.passes.gpu.layouts import sliced, slots


@dataclass(frozen=True)
class Registers:
    """The slots of a tile in this thread (one for rank 0). ``element`` is the tile-level element type."""

    values: tuple[Any, ...]
    layout: Layout | None
    element: Any


def spread(source: Registers, axes: Sequence[int], target: Layout | None) -> Registers:
    """A broadcast: every slot of ``target`` takes the slot of ``source`` at its coordinates along ``axes``."""
    if target is None or source.layout is None:
        count = 1 if target is None else len(slots(target))
        return Registers(source.values * count, target, source.element)
    assert source.layout == sliced(target, tuple(axes))
    place = {coordinate: k for k, coordinate in enumerate(slots(source.layout))}
    wanted = [tuple(c[a] for a in axes) for c in slots(target)]
    return Registers(tuple(source.values[place[c]] for c in wanted), target, source.element)
