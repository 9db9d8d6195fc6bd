"""Owns the entries for names, types and numerics, indices and extents, bounds, statements and order, macros."""

from __future__ import annotations

from tilewright.compiler.language.catalogue.entry import Entry
from tilewright.compiler.language.catalogue.meaning_places import PLACES
from tilewright.compiler.language.catalogue.meaning_words import WORDS

ENTRIES: tuple[Entry, ...] = (*WORDS, *PLACES)
