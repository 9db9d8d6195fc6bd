"""Owns the entries for syntax, limits and imports."""

from __future__ import annotations

from tilewright.compiler.language.catalogue.entry import Entry

ENTRIES: tuple[Entry, ...] = ()
