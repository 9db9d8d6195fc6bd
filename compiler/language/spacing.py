"""Owns how the tokens of a logical line are spaced, and between which of them it may be broken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tilewright.compiler.language.tokens import WORDS, Token

UNSPACED_BEFORE = frozenset(") ] , ; : .".split())
UNSPACED_AFTER = frozenset("( [ .".split())
LOOSENESS = {
    **dict.fromkeys((",", ";"), 0),
    **dict.fromkeys(("if", "else", "where"), 1),
    "or": 2,
    "and": 3,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), 4),
    **dict.fromkeys("|^&", 5),
    **dict.fromkeys(("<<", ">>"), 6),
    **dict.fromkeys("+-", 7),
    **dict.fromkeys(("*", "/", "//", "%"), 8),
}
"""Where a long line is broken first: behind a comma, before the loosest operator, at last behind an opening bracket."""
VALUE = re.compile(r"[A-Za-z_0-9]|\.[0-9]")
AFTER_OPENER = 9
NEVER = 99


@dataclass
class Piece:
    """A token with how it joins what precedes it.

    ``group`` is the number of the innermost bracket around it (-1 outside all), ``bracket`` its sign, ``depth`` how
    many are open, ``looseness`` how gladly a line breaks before it. ``comments`` stand on lines of their own before it,
    ``remark`` behind it on its line; both force a break.
    """

    text: str
    spaced: bool
    group: int
    bracket: str
    depth: int
    looseness: int
    comments: list[str] = field(default_factory=list)
    remark: str = ""


class Spacer:
    """Turns the texts of one logical line into pieces; ``kind`` is ``header``, ``setting`` or empty."""

    def __init__(self, texts: Sequence[str], kind: str = "") -> None:
        self.texts = texts
        self.kind = kind
        self.groups: list[tuple[int, str]] = []
        self.opened = 0

    def pieces(self) -> list[Piece]:
        return [self.piece(index) for index in range(len(self.texts))]

    def piece(self, index: int) -> Piece:
        text = self.texts[index]
        if text in (")", "]"):
            self.groups.pop()
        group, bracket = self.groups[-1] if self.groups else (-1, "")
        made = Piece(text, self.spaced(index), group, bracket, len(self.groups), self.looseness(index))
        if text in ("(", "["):
            self.groups.append((self.opened, text))
            self.opened += 1
        return made

    def spaced(self, index: int) -> bool:
        if index == 0:
            return False
        before, text = self.texts[index - 1], self.texts[index]
        if text in UNSPACED_BEFORE or before in UNSPACED_AFTER:
            return False
        if self.is_unary(index - 1) or self.is_tight(index):
            return False
        return text not in ("(", "[") or not self.is_value(index - 1)

    def is_tight(self, index: int) -> bool:
        """``<T: float>`` of a first line, ``i=128`` of a schedule."""
        before, text = self.texts[index - 1], self.texts[index]
        if self.kind == "header" and not self.groups:
            return text in ("<", ">") or before == "<"
        return self.kind == "setting" and "=" in (before, text) and not self.groups

    def is_value(self, index: int) -> bool:
        """The token ends a value: a name, a number, a closing bracket (or ``>`` of type parameters)."""
        text = self.texts[index]
        if text == ">" and self.kind == "header" and not self.groups:
            return True
        return text in (")", "]") or VALUE.match(text) is not None and text not in WORDS and text[-1] != "="

    def is_unary(self, index: int) -> bool:
        if self.texts[index] == "~":
            return True
        return self.texts[index] == "-" and not (index > 0 and self.is_value(index - 1))

    def looseness(self, index: int) -> int:
        if not self.groups or index == 0 or self.texts[index] in (")", "]"):
            return NEVER
        before, text = self.texts[index - 1], self.texts[index]
        if before in (",", ";"):
            return LOOSENESS[before]
        if before in ("(", "["):
            return AFTER_OPENER
        if self.kind == "header" or text in (",", ";") or not self.is_value(index - 1):
            return NEVER
        return LOOSENESS.get(text, NEVER)


def joined(text: str, tokens: Sequence[Token]) -> list[Token]:
    """The tokens of a line with ``max=`` and ``min=`` as one."""
    depth = 0
    for index, token in enumerate(tokens):
        sign = text[token.start : token.end]
        depth += (sign in ("(", "[")) - (sign in (")", "]"))
        if sign != "=" or depth:
            continue
        before = tokens[index - 1]
        if index > 1 and before.end == token.start and text[before.start : before.end] in ("max", "min"):
            return [*tokens[: index - 1], Token("operator", before.start, token.end), *tokens[index + 1 :]]
        break
    return list(tokens)
