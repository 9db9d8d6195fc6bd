"""Survivors that change nothing a program may rely on, each with its argument."""
from __future__ import annotations
def argument(subject: str, kind: str, original: str, changed: str) -> str | None:
    return None
