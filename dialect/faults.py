"""Owns the faults that passes raise: internal ones, which only a mistake of ours can cause, and what a target lacks."""

from __future__ import annotations

from typing import Any


class InternalFault(Exception):
    """An invariant of the compiler does not hold; the driver leaves a crash folder for it."""


class IllegalOp(InternalFault):
    """An op stands at a level where it may not exist."""


class PassFault(InternalFault):
    """A pass changed what the program means, or left IR that does not verify."""


class ExceedsTarget(InternalFault):
    """A launch needs more of ``what`` than the target has: a written schedule may ask for it, our rule may not."""

    def __init__(self, launch: str, what: str, needed: int, most: int) -> None:
        super().__init__(f"{launch} takes {needed:,} {what}, and the target has {most:,}")
        self.what, self.needed, self.most = what, needed, most


class Unsupported(Exception):
    """A valid program needs ``what`` (a noun phrase), but the target has no code for it: an error of the user's."""

    def __init__(self, what: str, location: Any) -> None:
        super().__init__(what)
        self.what = what
        self.place = str(location)
