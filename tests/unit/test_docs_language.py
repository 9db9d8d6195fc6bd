"""The code blocks of the language's page are sentences of the language, and its limits are those of the compiler."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tilewright.compiler.language import limits
from tilewright.compiler.language.frontend import load_module
from tilewright.compiler.language.span import Source
from tilewright.compiler.language.tokens import WORDS

PAGE = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```tw\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_blocks_check(block: str) -> None:
    load_module(Source("language.md", block))


def test_all_blocks_are_sources() -> None:
    assert len(BLOCKS) == PAGE.count("```") // 2 >= 8


def test_words_are_listed() -> None:
    listed = re.search(r"These words are no names: `([^`]*)`", PAGE)
    assert listed is not None and set(listed.group(1).split()) == WORDS


@pytest.mark.parametrize(
    "limit",
    [limits.TOKENS, limits.LINE_TOKENS, limits.NESTING, limits.EXPRESSION_DEPTH, limits.LITERAL_CHARACTERS,
     limits.NAME_CHARACTERS, limits.TABLE_ELEMENTS, limits.RANK, limits.EXPANDED_NODES, limits.EXPANSION_DEPTH],
)  # fmt: skip
def test_limits_are_stated(limit: int) -> None:
    assert re.search(rf"\b{limit:,}\b", PAGE.split("### Limits")[1])
