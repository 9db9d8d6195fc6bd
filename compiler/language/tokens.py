"""Owns what a source is cut into: tokens, comments, logical lines and items."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from tilewright.compiler.language.errors import Diagnostic

TOKEN = re.compile(
    r"""(?P<space>[ \t]+)
      | (?P<newline>\r?\n(?:[ \t\n]*\n)?)
      | (?P<comment>\#[^\n]*)
      | (?P<number>0[xX][0-9a-fA-F]+|(?:\d+(?:\.(?!\.)\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<open>[(\[])
      | (?P<close>[)\]])
      | (?P<operator>->|\.\.|\*\*|//|<<|>>|[=!<>:]=|[+*/%^|&-]=|=>|&&|\|\||[-+*/%<>=|^&~:;,.])
      | (?P<string>"[^"\n]*"?|'[^'\n]*'?)
      | (?P<junk>[^\x00-\x7f]+|.)""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)
"""Every token; ``junk`` takes what is left, so that the match never stops."""

ITEM_WORDS = ("kernel", "def", "schedule", "import", "from")
WORDS = frozenset(
    (*ITEM_WORDS, "and", "const", "else", "for", "if", "in", "inout", "not", "or", "require", "where"),
)
"""Words that no name may be (``grammar.lark`` excludes the same ones from its names)."""


class Token(NamedTuple):
    """A token that matters to a parser: its kind (a group of ``TOKEN``) and its characters."""

    kind: str
    start: int
    end: int


class Comment(NamedTuple):
    """A comment with its ``#``; ``alone`` when nothing else stands on its line."""

    start: int
    end: int
    alone: bool


@dataclass
class Line:
    """A logical line: tokens up to a line end outside brackets.

    ``broken`` when an error in it was reported already; ``stray`` is the error of a closing bracket, which an earlier
    error may explain.
    """

    indent: str
    tokens: list[Token] = field(default_factory=list)
    broken: bool = False
    stray: Diagnostic | None = None

    @property
    def start(self) -> int:
        return self.tokens[0].start

    @property
    def end(self) -> int:
        return self.tokens[-1].end


@dataclass
class Item:
    """The lines of one item: the first at the left margin, the rest indented."""

    lines: list[Line]
    doc: str
    misindented: bool = False

    @property
    def start(self) -> int:
        return self.lines[0].start

    @property
    def end(self) -> int:
        return self.lines[-1].end

    @property
    def broken(self) -> bool:
        return self.misindented or any(line.broken for line in self.lines)
