"""Owns looking up codes: the one place that knows every part of the catalogue."""

from __future__ import annotations

from functools import cache

from tilewright.compiler.language.catalogue import calls, meaning, syntax
from tilewright.compiler.language.catalogue.entry import Entry


@cache
def all_entries() -> tuple[Entry, ...]:
    """Every entry, by code."""
    return tuple(sorted((*syntax.ENTRIES, *meaning.ENTRIES, *calls.ENTRIES), key=lambda entry: entry.code))


def entry(code: str) -> Entry:
    """The entry of ``code``; raises ``KeyError`` for a code that nothing reports."""
    return _by_code()[code]


@cache
def _by_code() -> dict[str, Entry]:
    return {one.code: one for one in all_entries()}
