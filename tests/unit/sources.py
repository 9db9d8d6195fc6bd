"""The sources that tests of the syntax share: every form of the language stands in one of them."""

from __future__ import annotations

from pathlib import Path

from tilewright.compiler.language.scan import scan
from tilewright.compiler.language.span import Source

DATA = Path(__file__).parent / "data"
SOURCES: dict[str, str] = {path.name: path.read_text(encoding="utf-8") for path in sorted(DATA.glob("*.tw"))}


def items() -> tuple[str, ...]:
    """The items of all sources, each a small source of its own."""
    found = [(text, item) for text in SOURCES.values() for item in scan(Source("a.tw", text)).items]
    return tuple(text[item.start : item.end] + "\n" for text, item in found)
