"""What the interpreters raise."""

from __future__ import annotations

from typing import Any

from tilewright.dialect.faults import InternalFault


class InterpreterFault(InternalFault):
    """The IR did what it must never do: read outside, trapped, stored one element from two cells.

    The message starts with the op's name and ends with its location.
    """

    def __init__(self, op: Any, message: str) -> None:
        op = op.operation
        super().__init__(f"{op.name}: {message}, at {op.location}")


class CheckFailed(Exception):
    """A run-time check of the program failed (a gathered subscript is outside): the program's fault, not the IR's."""

    def __init__(self, op: Any, message: str) -> None:
        op = op.operation
        super().__init__(f"{op.name}: {message}, at {op.location}")
