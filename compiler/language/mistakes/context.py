"""Owns what a rule about mistakes may look at: the tokens of the line and what the parser could have gone on with."""

from __future__ import annotations

from dataclasses import dataclass

from tilewright.compiler.language.errors import Diagnostic, Fix, Note
from tilewright.compiler.language.span import Source, Span
from tilewright.compiler.language.tokens import WORDS, Token

OPENERS = ("(", "[")
CLOSERS = (")", "]")


@dataclass(frozen=True)
class Context:
    """The parser stopped at ``tokens[index]`` (behind the last one if ``index == len(tokens)``).

    ``rule`` is what was being read (``item``, ``header``, ``body_line``, ``setting``), ``accepts`` the terminals that
    could have stood there.
    """

    source: Source
    tokens: tuple[Token, ...]
    index: int
    rule: str
    accepts: frozenset[str]

    def text(self, index: int) -> str:
        """The text of a token; empty before the first and behind the last."""
        if not 0 <= index < len(self.tokens):
            return ""
        return self.source.text[self.tokens[index].start : self.tokens[index].end]

    def kind(self, index: int) -> str:
        return self.tokens[index].kind if 0 <= index < len(self.tokens) else ""

    @property
    def found(self) -> str:
        return self.text(self.index)

    @property
    def before(self) -> str:
        return self.text(self.index - 1)

    @property
    def after(self) -> str:
        return self.text(self.index + 1)

    @property
    def first(self) -> str:
        return self.text(0)

    @property
    def at_end(self) -> bool:
        return self.index >= len(self.tokens)

    @property
    def wants_operand(self) -> bool:
        """An expression, or a part of one, should begin here."""
        return "NUMBER" in self.accepts and "LPAR" in self.accepts

    @property
    def wants_operator(self) -> bool:
        """An expression is complete here and could go on.

        The parser may have closed the expression before it stopped, so that what it accepts says too little.
        """
        return "PLUS" in self.accepts or self.in_expression and self.ends_operand(self.index - 1)

    @property
    def in_expression(self) -> bool:
        """The place lies behind what begins an expression in this kind of line."""
        if self.wants_operand or "ASSIGN" in self.accepts or self.rule == "header":
            return False
        return self.first == "require" or any(self.text(i) in ("=", "+=") for i in range(self.index))

    def ends_operand(self, index: int) -> bool:
        return self.is_name(index) or self.kind(index) == "number" or self.text(index) in CLOSERS

    @property
    def wants_name(self) -> bool:
        return "NAME" in self.accepts

    @property
    def starts_operand(self) -> bool:
        """The found token could begin an operand."""
        return self.is_name(self.index) or self.kind(self.index) == "number" or self.found in OPENERS

    def is_name(self, index: int) -> bool:
        return self.kind(index) == "name" and self.text(index) not in WORDS

    def touches(self, index: int) -> bool:
        """Nothing stands between a token and the one before it."""
        return 0 < index < len(self.tokens) and self.tokens[index - 1].end == self.tokens[index].start

    def bracket(self) -> int:
        """The index of the innermost bracket open at the place, -1 outside all."""
        depth = 0
        for index in range(min(self.index, len(self.tokens)) - 1, -1, -1):
            if self.text(index) in CLOSERS:
                depth += 1
            elif self.text(index) in OPENERS:
                if depth == 0:
                    return index
                depth -= 1
        return -1

    def level(self) -> list[str]:
        """The texts between the innermost open bracket and the place, without what inner brackets hold."""
        texts, depth = [], 0
        for index in range(self.bracket() + 1, min(self.index, len(self.tokens))):
            text = self.text(index)
            depth += (text in OPENERS) - (text in CLOSERS)
            if depth == 0 or (depth == 1 and text in OPENERS):
                texts.append(text)
        return texts

    def span(self, first: int | None = None, last: int | None = None) -> Span:
        """From token ``first`` to token ``last`` (both default to the place); empty behind the last token."""
        first = self.index if first is None else first
        last = first if last is None else last
        if first >= len(self.tokens):
            end = self.tokens[-1].end
            return self.source.span(end, end)
        return self.source.span(self.tokens[first].start, self.tokens[min(last, len(self.tokens) - 1)].end)

    def here(self) -> Span:
        """An empty span in front of the place, for what is missing there."""
        if self.at_end:
            return self.span()
        return self.source.span(self.tokens[self.index].start, self.tokens[self.index].start)

    def error(
        self,
        code: str,
        message: str,
        expected: str = "",
        note: str = "",
        fix: Fix | None = None,
        span: Span | None = None,
    ) -> Diagnostic:
        """An error at the place; ``found`` is filled in."""
        place = span or self.span()
        found = "" if span else "the end of the line" if self.at_end else f"`{self.found}`"
        notes = (Note(None, note),) if note else ()
        return Diagnostic(code, place, message, expected, found, notes, (fix,) if fix else ())

    def replace(self, replacement: str, message: str = "") -> Fix:
        """Put ``replacement`` for the found token."""
        return Fix(self.span(), replacement, message or f"write `{replacement}`")

    def insert(self, text: str, message: str = "") -> Fix:
        """Put ``text`` in front of the place."""
        return Fix(self.here(), text, message or f"write `{text.strip()}` here")
