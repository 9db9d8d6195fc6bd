"""Owns the form of a catalogue entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Stage = Literal["parse", "check", "import", "read", "compile", "call", "tool"]


@dataclass(frozen=True)
class Entry:
    """One error code.

    ``stage`` says who reports it: for ``parse`` and ``check`` the examples are sources, and a test asserts that ``bad``
    gives exactly this code and ``good`` none. For the other stages the examples show a call or a command. An empty
    ``bad`` is for what no short text can show (a file of more than so many bytes).
    """

    code: str
    title: str
    explanation: str
    bad: str
    good: str
    stage: Stage = "check"
