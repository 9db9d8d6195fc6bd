"""Owns the entries for calls and launches, artifacts, tools."""

from __future__ import annotations

from tilewright.compiler.language.catalogue.entry import Entry

ENTRIES: tuple[Entry, ...] = ()
