"""Owns what an expression evaluates to: data, how far off a compiled kernel may be, and which checks failed.

Everything is evaluated everywhere and nothing is raised at once. A failed check leaves the number of its entry in the
``FaultLog`` at the points where it failed; conditions, guards and bounds drop those numbers together with the values
that they do not choose, and only a number that reaches an output is raised. That is evaluation by demand, vectorised.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilewright.compiler.language.span import Span

Array = NDArray[Any]

NOT_COMPUTED = 1  # fault number of an element that a recurrence has not reached yet


class ReferenceCheckError(Exception):
    """A check of the language failed for the given data: ``message`` says what, ``span`` where in the source."""

    def __init__(self, message: str, span: Span | None = None, code: str | None = None) -> None:
        self.message, self.span, self.code = message, span, code
        super().__init__(f"{span}: {message}" if span is not None else message)


@dataclass(frozen=True, slots=True)
class Value:
    """``data`` (float64, int64 or bool) with arrays that broadcast against it; ``None`` means zero everywhere.

    ``error`` bounds the distance of a compiled kernel's value from ``data``. ``unsure`` marks points where a decision
    could fall either way, so that any value is right. ``fault`` holds numbers of the fault log. ``rescuable`` marks
    infinities that a product of finite factors ran into: a fused multiply-add may still bring them back.
    """

    dtype: str
    data: Array
    error: Array | None = None
    unsure: Array | None = None
    fault: Array | None = None
    rescuable: Array | None = None

    @property
    def exact(self) -> bool:
        return self.error is None and self.unsure is None


@dataclass
class FaultLog:
    """The checks that failed somewhere, numbered from 1; which of them matter is known when an output is written."""

    entries: list[tuple[str, Span | None]] = field(
        default_factory=lambda: [("read of an element that is computed later", None)]
    )

    def add(self, message: str, span: Span) -> int:
        self.entries.append((message, span))
        return len(self.entries)

    def refuse(self, fault: Array | None) -> None:
        """Raise the check with the lowest number that reached ``fault``."""
        if fault is None or not fault.any():
            return
        message, span = self.entries[int(fault[fault > 0].min()) - 1]
        raise ReferenceCheckError(message, span)


def either(*masks: Array | None) -> Array | None:
    """The points where any of the masks is set."""
    present = [mask for mask in masks if mask is not None]
    if not present:
        return None
    result = present[0]
    for mask in present[1:]:
        result = result | mask
    return result


def worst(*faults: Array | None) -> Array | None:
    """The highest fault number of each point."""
    present = [fault for fault in faults if fault is not None]
    if not present:
        return None
    result = present[0]
    for fault in present[1:]:
        result = np.maximum(result, fault)
    return result


def total(*errors: Array | None) -> Array | None:
    """The sum of the errors that are present."""
    present = [error for error in errors if error is not None]
    if not present:
        return None
    result = present[0]
    for error in present[1:]:
        result = result + error
    return result


def dense(array: Array | None, like: Array) -> Array:
    """``array``, or zeros of the kind that ``like`` has."""
    return np.zeros((), like.dtype) if array is None else array


def some(array: Array | None) -> Array | None:
    """``array`` if it is set anywhere, else None: keeps exact programs exact and cheap."""
    return array if array is not None and array.any() else None
