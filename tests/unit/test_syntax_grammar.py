"""The grammar is LALR(1) without conflicts, and the first look at a source agrees with it."""

from __future__ import annotations

import logging
import re

import pytest
from lark import Lark, Token, logger
from tests.unit.sources import SOURCES, items

from tilewright.compiler.language.grammar import STARTS, grammar_text, new_parser, parse_text, parser, parser_options
from tilewright.compiler.language.scan import scan
from tilewright.compiler.language.span import Source
from tilewright.compiler.language.tables import stored_parser
from tilewright.compiler.language.tokens import WORDS


def conflicts(grammar: str, caplog: pytest.LogCaptureFixture, **options: object) -> list[str]:
    """The conflicts Lark meets, those that it resolves silently among them."""
    previous, propagate = logger.level, logger.propagate
    logger.setLevel(logging.DEBUG)
    logger.propagate = True
    try:
        with caplog.at_level(logging.DEBUG, logger="lark"):
            Lark(grammar, debug=True, **options)  # type: ignore[arg-type]
    finally:
        logger.setLevel(previous)
        logger.propagate = propagate
    return [record.getMessage() for record in caplog.records if "onflict" in record.getMessage()]


def test_the_search_for_conflicts_finds_one(caplog: pytest.LogCaptureFixture) -> None:
    dangling = 'start: "if" start | "if" start "else" start | "x"'
    assert conflicts(dangling, caplog, parser="lalr")


def test_grammar_has_no_conflict(caplog: pytest.LogCaptureFixture) -> None:
    options = parser_options()
    assert options["parser"] == "lalr" and options["lexer"] == "contextual"
    assert conflicts(grammar_text(), caplog, **options) == []


def test_parser_is_made_once() -> None:
    assert parser() is parser()


def test_stored_tables_are_current() -> None:
    """After a change of the grammar: ``python -m tilewright.compiler.language.tables``."""
    stored = stored_parser(grammar_text(), parser_options())
    assert stored is not None
    made = new_parser()
    for text in items():
        assert stored.parse(text, start="item") == made.parse(text, start="item")


def test_our_lexer_finds_what_larks_own_finds() -> None:
    """Token by token, in every item."""
    options = {name: value for name, value in parser_options().items() if name != "_plugins"}
    own = Lark(grammar_text(), **options)
    for text in items():
        tree, expected = parser().parse(text, start="item"), own.parse(text, start="item")
        tokens, wanted = (list(t.scan_values(lambda value: isinstance(value, Token))) for t in (tree, expected))
        assert [(t.type, t.start_pos, t.end_pos) for t in tokens] == [(t.type, t.start_pos, t.end_pos) for t in wanted]


def test_tables_of_another_grammar_are_not_used() -> None:
    assert stored_parser(grammar_text() + "\n", parser_options()) is None


@pytest.mark.parametrize("word", sorted(WORDS))
def test_words_are_no_names(word: str) -> None:
    with pytest.raises(Exception, match="Unexpected|No terminal"):
        parse_text(f"{word} = 1\n", "body_line")
    parse_text(f"{word}_ = 1\n", "body_line")


@pytest.mark.parametrize("name", ["order", "strided", "max", "true", "_", "e1", "x"])
def test_other_words_are_names(name: str) -> None:
    parse_text(f"{name}[{name}] max= {name}\n", "body_line")


@pytest.mark.parametrize("text", SOURCES.values(), ids=SOURCES.keys())
def test_scan_cuts_the_tokens_that_the_parser_sees(text: str) -> None:
    """Lark's tokens, where it parses, are those of the first look (which splits ``max=`` into two)."""
    found = scan(Source("a.tw", text))
    for item in found.items:
        mine = [token.start - item.start for line in item.lines for token in line.tokens]
        tree = parse_text(text[item.start : item.end] + "\n", "item")
        theirs = [token.start_pos for token in tree.scan_values(_visible)]
        joined = len(re.findall(r"(?:max|min)=", text[item.start : item.end]))
        assert theirs == sorted(set(theirs) & set(mine)) and len(theirs) == len(mine) - joined


def _visible(value: object) -> bool:
    return isinstance(value, Token) and bool(value.strip()) and value.type != "_NL"


def test_starts_are_rules() -> None:
    assert all(f"\n{start}:" in grammar_text() for start in STARTS)
