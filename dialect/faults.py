"""Owns the internal faults: what only a mistake of ours can cause, never a user's program."""

from __future__ import annotations


class InternalFault(Exception):
    """An invariant of the compiler does not hold; the driver leaves a crash folder for it."""


class IllegalOp(InternalFault):
    """An op stands at a level where it may not exist."""


class PassFault(InternalFault):
    """A pass changed what the program means, or left IR that does not verify."""
