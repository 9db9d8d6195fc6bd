"""Owns the entries for names, types and numerics, indices and extents, bounds, statements and order, macros."""

from __future__ import annotations

from tilewright.compiler.language.catalogue.entry import Entry

ENTRIES: tuple[Entry, ...] = ()
