"""Owns what an error of a source text is: one structured record, never a bare string.

Every stage of the language makes ``Diagnostic`` values and raises them together as ``SourceErrors``; ``render`` turns
them into text with the line underlined, or into JSON for editors. The codes are explained in ``catalogue``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tilewright.compiler.language import limits
from tilewright.compiler.language.excerpt import excerpt
from tilewright.compiler.language.span import Span

Format = Literal["text", "json"]


@dataclass(frozen=True)
class Note:
    """A further remark, with the other place involved where there is one."""

    span: Span | None
    message: str


@dataclass(frozen=True)
class Fix:
    """A likely repair: ``replacement`` for the text of ``span`` (empty spans insert, empty replacements delete)."""

    span: Span
    replacement: str
    message: str


@dataclass(frozen=True)
class Diagnostic:
    """One error: its code, its place, one line in the user's words, and what helps to repair it.

    ``expected`` and ``found`` are short phrases (shapes, types, words), empty where they say nothing.
    """

    code: str
    span: Span
    message: str
    expected: str = ""
    found: str = ""
    notes: tuple[Note, ...] = ()
    fixes: tuple[Fix, ...] = ()

    def order(self) -> tuple[str, int, int, str]:
        """Sorting key: by place in the text the user wrote, then by code."""
        place = outermost(self.span)
        return place.source.name, place.line, place.column, self.code


class SourceErrors(Exception):
    """All errors of a source, sorted by place; ``omitted`` counts those above ``limits.DIAGNOSTICS``."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        ordered = sorted(dict.fromkeys(diagnostics), key=Diagnostic.order)
        self.diagnostics = tuple(ordered[: limits.DIAGNOSTICS])
        self.omitted = len(ordered) - len(self.diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        more = f"\n{self.omitted} more errors are not shown\n" if self.omitted else ""
        return render(self.diagnostics) + more


def outermost(span: Span) -> Span:
    """The place in the user's text: where the outermost macro was used, or the span itself."""
    while span.call_site is not None:
        span = span.call_site
    return span


def render(diagnostics: Sequence[Diagnostic], format: Format = "text") -> str:
    """Text for a terminal, or one JSON document ``{"errors": [...]}``; both end with a line end."""
    if format == "json":
        return json.dumps({"errors": [_record(d) for d in diagnostics]}, indent=2) + "\n"
    return "\n".join(_text(d) for d in diagnostics)


def _text(diagnostic: Diagnostic) -> str:
    lines = [f"{diagnostic.span}: error {diagnostic.code}: {diagnostic.message}", *excerpt(diagnostic.span)]
    if diagnostic.expected:
        lines.append(f"    expected: {diagnostic.expected}")
    if diagnostic.found:
        lines.append(f"    found:    {diagnostic.found}")
    for site in call_sites(diagnostic.span):
        lines += [f"    in macro `{macro_name(site)}` used here: {site}", *excerpt(site)]
    for note in diagnostic.notes:
        lines += _note_lines(note)
    lines += [f"    fix: {fix.message}" for fix in diagnostic.fixes]
    return "\n".join(lines) + "\n"


def _note_lines(note: Note) -> list[str]:
    if note.span is None:
        return [f"    note: {note.message}"]
    return [f"    note: {note.message}: {note.span}", *excerpt(note.span)]


def call_sites(span: Span) -> list[Span]:
    """The uses of macros that led to ``span``, innermost first."""
    sites = []
    while span.call_site is not None:
        span = span.call_site
        sites.append(span)
    return sites


def macro_name(site: Span) -> str:
    """The macro that a call site names: the site begins with it."""
    match = re.match(r"\w+", site.text)
    return match.group() if match else "?"


def _record(diagnostic: Diagnostic) -> dict[str, Any]:
    return {
        "severity": "error",
        "code": diagnostic.code,
        "message": diagnostic.message,
        "place": _place(diagnostic.span),
        "expected": diagnostic.expected,
        "found": diagnostic.found,
        "macros": [{"name": macro_name(s), "place": _place(s)} for s in call_sites(diagnostic.span)],
        "notes": [{"message": n.message, "place": _place(n.span) if n.span else None} for n in diagnostic.notes],
        "fixes": [
            {"message": f.message, "place": _place(f.span), "replacement": f.replacement} for f in diagnostic.fixes
        ],
    }


def _place(span: Span) -> dict[str, Any]:
    return {
        "file": span.source.name,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
    }
