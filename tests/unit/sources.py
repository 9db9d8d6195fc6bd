"""The sources that tests of the syntax share: every form of the language stands in one of them."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).parent / "data"
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in sorted(DATA.glob("*.tw"))}
