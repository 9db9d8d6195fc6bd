"""Owns the parser that Lark makes from ``grammar.lark``: made once, when something is first parsed."""

# pyright: reportIncompatibleMethodOverride=false, reportAssignmentType=false
# Lark declares the indenter's settings as properties and reads plain attributes.

from __future__ import annotations

import threading
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lark import Lark, Tree

STARTS = ("item", "header", "body_line", "setting")

_one_at_a_time = threading.Lock()
"""Lark's indenter keeps its state in the parser, so that one text is parsed at a time."""


@cache
def parser() -> Lark:
    """The LALR parser of the language: from its stored tables, or from the grammar when they are out of date."""
    from tilewright.compiler.language.tables import stored_parser

    stored = stored_parser(grammar_text(), parser_options())
    return new_parser() if stored is None else stored


def new_parser() -> Lark:
    """The parser made from the grammar: a fifth of a second of work."""
    from lark import Lark

    return Lark(grammar_text(), **parser_options())


def parser_options() -> dict[str, Any]:
    """What the parser is made with (shared with the test that looks for conflicts)."""
    from lark.indenter import Indenter

    from tilewright.compiler.language.lexer import ContextualLexer

    class Indentation(Indenter):
        NL_type = "_NL"
        OPEN_PAREN_types = ["LPAR", "LSQB"]
        CLOSE_PAREN_types = ["RPAR", "RSQB"]
        INDENT_type = "_INDENT"
        DEDENT_type = "_DEDENT"
        tab_len = 8

    return {
        "parser": "lalr",
        "lexer": "contextual",
        "start": list(STARTS),
        "postlex": Indentation(),
        "keep_all_tokens": True,
        "maybe_placeholders": True,
        "_plugins": {"ContextualLexer": ContextualLexer},
    }


def grammar_text() -> str:
    return files("tilewright.compiler.language").joinpath("grammar.lark").read_text(encoding="utf-8")


def parse_text(text: str, start: str) -> Tree[Any]:
    """The raw tree of ``text`` from one of ``STARTS``; raises Lark's ``UnexpectedInput``."""
    made = parser()
    with _one_at_a_time:
        return made.parse(text, start=start)
