"""Owns source texts and places in them: every diagnostic and every IR location starts here."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate


@dataclass(frozen=True)
class Source:
    """One text with the name it is reported under (a path, or ``<string>``)."""

    name: str
    text: str

    @cached_property
    def line_starts(self) -> tuple[int, ...]:
        """The offset at which each line begins."""
        lengths = [len(line) + 1 for line in self.text.split("\n")]
        return tuple(accumulate(lengths[:-1], initial=0))

    def line(self, number: int) -> str:
        """The text of line ``number`` (from 1), without its line end."""
        if not 0 < number <= len(self.line_starts):
            return ""
        start = self.line_starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : end if end >= 0 else None].removesuffix("\r")

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column (both from 1) of a character offset."""
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def offset(self, line: int, column: int) -> int:
        """The character offset of a line and a column: the inverse of ``position``."""
        return self.line_starts[line - 1] + column - 1

    def span(self, start: int, end: int) -> Span:
        """The place of the characters ``text[start:end]``."""
        return Span(self, *self.position(start), *self.position(end))


@dataclass(frozen=True)
class Span:
    """A half-open range of a source: lines and columns count from 1, ``end_column`` is exclusive.

    ``call_site`` is the place a macro was used at, when the span lies in the macro's body.
    """

    source: Source
    line: int
    column: int
    end_line: int
    end_column: int
    call_site: Span | None = None

    def to(self, other: Span) -> Span:
        """The range from the start of this span to the end of ``other``."""
        return Span(self.source, self.line, self.column, other.end_line, other.end_column, self.call_site)

    def used_at(self, site: Span) -> Span:
        """This place, reached through a macro used at ``site`` (outermost use last)."""
        outer = self.call_site.used_at(site) if self.call_site else site
        return Span(self.source, self.line, self.column, self.end_line, self.end_column, outer)

    @property
    def start(self) -> int:
        """The character offset of the first character."""
        return self.source.offset(self.line, self.column)

    @property
    def end(self) -> int:
        """The character offset behind the last character."""
        return self.source.offset(self.end_line, self.end_column)

    @property
    def text(self) -> str:
        """The first line of the text the span covers."""
        line = self.source.line(self.line)
        end = self.end_column - 1 if self.end_line == self.line else len(line)
        return line[self.column - 1 : end]

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"
