"""Owns how the tokens of a logical line are spaced, and between which of them it may be broken."""

from __future__ import annotations

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
AFTER_OPENER = 9
NEVER = 99


@dataclass
class Piece:
    """A token with how it joins what precedes it.

    ``group`` is the number of the innermost bracket around it (-1 outside all), ``depth`` how many are open,
    ``looseness`` how gladly a line breaks before it. ``comments`` stand on lines of their own before it, ``remark``
    behind it on its line; both force a break.
    """

    text: str
    spaced: bool
    group: int
    depth: int
    looseness: int
    comments: list[str] = field(default_factory=list)
    remark: str = ""


class Spacer:
    """Turns the tokens of one logical line into pieces."""

    def __init__(self, text: str, tokens: Sequence[Token]) -> None:
        self.texts = _joined([text[token.start : token.end] for token in tokens], tokens)
        self.first = self.texts[0]
        self.groups: list[int] = []
        self.opened = 0

    def pieces(self) -> list[Piece]:
        return [self.piece(index) for index in range(len(self.texts))]

    def piece(self, index: int) -> Piece:
        text = self.texts[index]
        if text in (")", "]"):
            self.groups.pop()
        group = self.groups[-1] if self.groups else -1
        made = Piece(text, self.spaced(index), group, len(self.groups), self.looseness(index))
        if text in ("(", "["):
            self.groups.append(self.opened)
            self.opened += 1
        return made

    def spaced(self, index: int) -> bool:
        if index == 0:
            return False
        before, text = self.texts[index - 1], self.texts[index]
        if text in UNSPACED_BEFORE or before in UNSPACED_AFTER:
            return False
        if text in ("(", "["):
            return before in WORDS or not self.is_value(index - 1)
        if self.is_unary(index - 1):
            return False
        return not self.is_tight(index)

    def is_tight(self, index: int) -> bool:
        """``<T: float>`` of a first line, ``i=128`` of a schedule."""
        before, text = self.texts[index - 1], self.texts[index]
        if self.first == "kernel" and not self.groups:
            return text in ("<", ">") or before == "<"
        return "=" in (before, text) and self.is_setting()

    def is_setting(self) -> bool:
        """The line has several words before its first sign, or a comma outside brackets: a setting of a schedule."""
        return self.first not in ("def", "kernel") and _is_word(self.texts[1] if len(self.texts) > 1 else "")

    def is_value(self, index: int) -> bool:
        """The token ends a value: a name, a number, a closing bracket (or ``>`` of type parameters)."""
        text = self.texts[index]
        if text == ">" and self.first == "kernel" and not self.groups:
            return True
        return text in (")", "]") or text not in WORDS and (_is_word(text) or text[0].isdigit() or text[0] == "." != text)

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
        if self.first == "kernel" or text in (",", ";") or not self.is_value(index - 1):
            return NEVER
        return LOOSENESS.get(text, NEVER)


def _is_word(text: str) -> bool:
    return text[:1].isalpha() or text[:1] == "_"


def _joined(texts: list[str], tokens: Sequence[Token]) -> list[str]:
    """``max=`` and ``min=`` are one sign; the ``=`` becomes empty there."""
    depth = 0
    for index, text in enumerate(texts):
        depth += (text in ("(", "[")) - (text in (")", "]"))
        if text != "=" or depth:
            continue
        if index > 1 and texts[index - 1] in ("max", "min") and tokens[index - 1].end == tokens[index].start:
            texts[index - 1 : index + 1] = [texts[index - 1] + "=", ""]
        break
    return texts
