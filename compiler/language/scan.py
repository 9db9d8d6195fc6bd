"""Owns the first look at a source: its tokens, its brackets, its lines and the items they form.

One pass of one regular expression, linear in the text, before any parser sees it. It refuses what would cost too much
(``limits``), reports characters and brackets that cannot be, and cuts the file at the left margin, so that each item is
parsed, and fails, by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tilewright.compiler.language import characters, limits
from tilewright.compiler.language.errors import Diagnostic, Fix, Note
from tilewright.compiler.language.items import cut_items
from tilewright.compiler.language.span import Source, Span
from tilewright.compiler.language.tokens import ITEM_WORDS, TOKEN, Comment, Item, Line, Token

CLOSER = {"(": ")", "[": "]"}
ITEM_START = re.compile(rf"(?:{'|'.join(ITEM_WORDS)})\b")
STATEMENT_START = re.compile(r"[ \t]+(?:require\b|[A-Za-z_]\w*[ \t]*(?:\[[^\]\n]*\])?[ \t]*(?:\+|max|min)?=(?!=))")


@dataclass
class Scan:
    """What the first look found."""

    source: Source
    lines: list[Line]
    items: list[Item]
    comments: list[Comment]
    errors: list[Diagnostic]


def scan(source: Source) -> Scan:
    """Cut ``source`` into items; never raises. With a limit exceeded there are no items."""
    if len(source.text) > limits.SOURCE_CHARACTERS:
        return Scan(source, [], [], [], [_too_long(source)])
    scanner = _Scanner(source)
    scanner.run()
    if scanner.stopped:
        return Scan(source, [], [], scanner.comments, scanner.errors)
    items = cut_items(source, scanner.lines, scanner.comments, scanner.errors)
    return Scan(source, scanner.lines, items, scanner.comments, scanner.errors)


def _too_long(source: Source) -> Diagnostic:
    place = Source(source.name, "").span(0, 0)  # of an empty text: the long one is not looked at
    found, most = f"{len(source.text):,} characters", f"at most {limits.SOURCE_CHARACTERS:,}"
    return Diagnostic("TW0801", place, "the file is too long", most, found)


class _Scanner:
    """The state of one pass over the text."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.lines: list[Line] = []
        self.comments: list[Comment] = []
        self.errors: list[Diagnostic] = []
        self.open: list[Token] = []
        self.line: Line | None = None
        self.count = 0
        self.stopped = False
        self.handlers: dict[str, Callable[[Token], None]] = {
            "open": self.see_open,
            "close": self.see_close,
            "number": self.see_number,
            "name": self.see_name,
            "string": self.see_string,
            "junk": self.see_junk,
        }

    def run(self) -> None:
        start = 1 if self.text.startswith("\ufeff") else 0
        self.start_of_line(start)
        for match in TOKEN.finditer(self.text, start):
            kind = match.lastgroup
            if kind == "space":
                continue
            if kind == "newline":
                self.newline(match.end())
            elif kind == "comment":
                self.comment(match.start(), match.end())
            else:
                self.token(Token(str(kind), match.start(), match.end()))
            if self.stopped:
                return
        self.unclosed(len(self.text))

    def newline(self, end: int) -> None:
        if not self.open:
            self.line = None
        self.start_of_line(end)

    def start_of_line(self, start: int) -> None:
        """Inside brackets, a line that can only begin an item or a statement shows that one was left open."""
        if not self.open:
            return
        if ITEM_START.match(self.text, start) or STATEMENT_START.match(self.text, start):
            self.unclosed(start)

    def unclosed(self, end: int) -> None:
        if not self.open:
            return
        opener = self.open[-1]
        self.open.clear()
        stop = self.trimmed(opener.start, min(_line_end(self.text, opener.start), end))
        bracket = self.text[opener.start]
        span = self.source.span(opener.start, stop)
        if self.line is None or not self.line.broken:  # one error about brackets is enough for a line
            self.error("TW0104", span, f"this `{bracket}` is never closed", f"`{CLOSER[bracket]}`")
        self.line = None

    def trimmed(self, start: int, stop: int) -> int:
        return start + len(self.text[start:stop].rstrip())

    def comment(self, start: int, end: int) -> None:
        begin = self.text.rfind("\n", 0, start) + 1
        self.comments.append(Comment(start, end, not self.text[begin:start].strip(" \t\ufeff")))
        self.tally(start, end)

    def tally(self, start: int, end: int) -> None:
        self.count += 1
        if self.count > limits.TOKENS:
            self.stop("TW0802", Token("", start, end), "the file has too many tokens", f"at most {limits.TOKENS:,}")

    def token(self, token: Token) -> None:
        self.tally(token.start, token.end)
        if self.stopped:
            return
        if self.line is None:
            self.line = Line(self.indent(token.start))
            self.lines.append(self.line)
        self.line.tokens.append(token)
        if len(self.line.tokens) > limits.LINE_TOKENS:
            first = self.line.tokens[0]
            self.stop("TW0808", first, "this line has too many tokens", f"at most {limits.LINE_TOKENS:,}")
        handler = self.handlers.get(token.kind)
        if handler is not None:
            handler(token)

    def indent(self, start: int) -> str:
        return self.text[self.text.rfind("\n", 0, start) + 1 : start].lstrip("\ufeff")

    def see_open(self, token: Token) -> None:
        self.open.append(token)
        if len(self.open) > limits.NESTING:
            self.stop("TW0803", token, "brackets are nested too deeply", f"at most {limits.NESTING}")

    def see_close(self, token: Token) -> None:
        closer = self.text[token.start]
        if self.open and CLOSER[self.text[self.open[-1].start]] == closer:
            self.open.pop()
            return
        self.mismatch(token, closer)

    def mismatch(self, token: Token, closer: str) -> None:
        span = self.source.span(token.start, token.end)
        if not self.open:
            fix = Fix(span, "", f"remove the `{closer}`")
            self.stray(Diagnostic("TW0105", span, f"this `{closer}` closes nothing", fixes=(fix,)))
            return
        opener = self.open.pop()
        bracket = self.text[opener.start]
        whole = self.source.span(opener.start, token.end)
        message = f"`{closer}` cannot close a `{bracket}`"
        self.stray(
            Diagnostic("TW0105", whole, message, f"`{CLOSER[bracket]}`", f"`{closer}`", (Note(span, "it stands here"),))
        )
        if self.open and CLOSER[self.text[self.open[-1].start]] == closer:
            self.open.pop()  # the closer of the inner bracket was forgotten

    def stray(self, diagnostic: Diagnostic) -> None:
        if self.line is None or self.line.broken:
            return
        self.line.stray = diagnostic
        self.report(diagnostic)

    def see_number(self, token: Token) -> None:
        length = token.end - token.start
        if length > limits.LITERAL_CHARACTERS:
            self.long_token("TW0804", token, "this number is too long", limits.LITERAL_CHARACTERS)
        elif self.value(token) == float("inf"):
            self.error("TW0805", self.source.span(token.start, token.end), "this number is larger than any f64")

    def value(self, token: Token) -> float:
        text = self.text[token.start : token.end]
        return float(int(text, 16)) if text[:2].lower() == "0x" else float(text)

    def see_name(self, token: Token) -> None:
        if token.end - token.start > limits.NAME_CHARACTERS:
            self.long_token("TW0806", token, "this name is too long", limits.NAME_CHARACTERS)

    def long_token(self, code: str, token: Token, message: str, most: int) -> None:
        found = f"{token.end - token.start:,} characters"
        self.error(code, self.source.span(token.start, token.end), message, f"at most {most}", found)

    def see_string(self, token: Token) -> None:
        span = self.source.span(token.start, token.end)
        self.error("TW0126", span, "there are no strings in the language")

    def see_junk(self, token: Token) -> None:
        span = self.source.span(token.start, token.end)
        self.report(characters.junk(span, self.text[token.start : token.end]))

    def error(self, code: str, span: Span, message: str, expected: str = "", found: str = "") -> None:
        self.report(Diagnostic(code, span, message, expected, found))

    def report(self, diagnostic: Diagnostic) -> None:
        self.errors.append(diagnostic)
        if self.line is not None:
            self.line.broken = True
        self.stopped = len(self.errors) > limits.DIAGNOSTICS

    def stop(self, code: str, token: Token, message: str, expected: str) -> None:
        self.error(code, self.source.span(token.start, token.end), message, expected)
        self.stopped = True


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return end if end >= 0 else len(text)
