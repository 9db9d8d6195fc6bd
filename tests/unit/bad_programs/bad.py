"""Owns the form of a hand-written bad program: a source with its expected error marked in it."""

from __future__ import annotations

from dataclasses import dataclass

OPEN, CLOSE = "«", "»"


@dataclass(frozen=True)
class Bad:
    """``marked`` is the source with ``«`` and ``»`` around the expected span (``«»`` for an empty one)."""

    code: str
    message: str
    marked: str

    @property
    def text(self) -> str:
        return self.marked.replace(OPEN, "").replace(CLOSE, "")

    @property
    def start(self) -> int:
        return self.marked.index(OPEN)

    @property
    def end(self) -> int:
        return self.marked.index(CLOSE) - len(OPEN)
