"""Owns how a place is shown: its source line with the span underlined, safe for any terminal and any text.

Columns are those a terminal shows: tabs advance to the next multiple of four, wide characters take two columns,
combining ones none; control characters are shown as ``?`` so that a hostile file cannot steer the terminal.
"""

from __future__ import annotations

import unicodedata

from tilewright.compiler.language import limits
from tilewright.compiler.language.span import Span

TAB_COLUMNS = 4


def excerpt(span: Span) -> list[str]:
    """The first line of ``span`` and the carets under it; nothing for a place outside the text."""
    line = span.source.line(span.line)
    if not line:
        return []
    end = span.end_column if span.end_line == span.line else len(line) + 1
    first, last = min(span.column, len(line) + 1) - 1, min(end, len(line) + 1) - 1
    shift = _cut(line, first)
    line, first, last = line[shift : shift + limits.NOTE_LINE_COLUMNS], first - shift, last - shift
    before, marked = _shown(line[:first], 0), ""
    marked = _shown(line[first:last], width(before))
    carets = "^" * max(1, width(marked) if last <= len(line) else width(_shown(line[first:], width(before))))
    shown = before + _shown(line[first:], width(before))
    margin = f"{span.line:>5} | "
    cut = "..." if shift else ""
    return [
        f"{margin}{cut}{shown}".rstrip(),
        " " * (len(margin) - 2) + "| " + " " * (len(cut) + width(before)) + carets,
    ]


def _cut(line: str, first: int) -> int:
    """How many characters to drop at the left so that the place stays in view."""
    if len(line) <= limits.NOTE_LINE_COLUMNS or first < limits.NOTE_LINE_COLUMNS // 2:
        return 0
    return first - limits.NOTE_LINE_COLUMNS // 2


def _shown(text: str, column: int) -> str:
    """``text`` as a terminal may print it when it begins at ``column`` (from 0)."""
    out = []
    for character in text:
        piece = _printable(character, column)
        out.append(piece)
        column += width(piece)
    return "".join(out)


def _printable(character: str, column: int) -> str:
    if character == "\t":
        return " " * (TAB_COLUMNS - column % TAB_COLUMNS)
    return "?" if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") else character


def width(text: str) -> int:
    """Terminal columns of a text without control characters."""
    return sum(_character_width(c) for c in text)


def _character_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
