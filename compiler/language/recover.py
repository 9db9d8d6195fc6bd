"""Owns parsing one item, and reading it again line by line when that fails."""

from __future__ import annotations

from typing import Any

from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from tilewright.compiler.language import mistakes
from tilewright.compiler.language.build import Builder
from tilewright.compiler.language.errors import Diagnostic
from tilewright.compiler.language.grammar import parse_text
from tilewright.compiler.language.span import Source
from tilewright.compiler.language.tokens import Item, Line

LINE_STARTS = {"kernel": "body_line", "schedule": "setting"}
HEADER_WORDS = tuple(LINE_STARTS)


def parse_item(source: Source, item: Item, errors: list[Diagnostic]) -> Any | None:
    """The node of ``item``, or None with what is wrong added to ``errors``."""
    before = len(errors)
    node = None
    if not item.broken:
        node, unexpected = _attempt(source, item.start, item.end, "item", item.doc, errors)
        if unexpected is None:
            return node if len(errors) == before else None
    _recover(source, item, errors)
    if len(errors) == before and not item.broken:
        errors.append(unexpected)
    return None


def _attempt(
    source: Source, start: int, end: int, rule: str, doc: str, errors: list[Diagnostic]
) -> tuple[Any | None, Any]:
    """Parse ``start .. end`` as ``rule``: the node, or what was unexpected."""
    text = source.text[start:end]
    try:
        raw = parse_text(text + "\n", rule)
    except UnexpectedInput as unexpected:
        return None, _explained(source, start, end, unexpected)
    return Builder(source, start, doc, errors).build(raw), None


def _explained(source: Source, start: int, end: int, unexpected: UnexpectedInput) -> Diagnostic:
    place = start + (unexpected.pos_in_stream or 0)
    length = 1
    if isinstance(unexpected, UnexpectedToken):
        length = len(unexpected.token)
    assert isinstance(unexpected, UnexpectedToken | UnexpectedCharacters)
    return mistakes.explain(source, min(place, end), min(place + length, end))


def _recover(source: Source, item: Item, errors: list[Diagnostic]) -> None:
    """Read every line of ``item`` by itself."""
    first = item.lines[0]
    word = source.text[first.tokens[0].start : first.tokens[0].end]
    _line(source, first, "header" if word in LINE_STARTS else "item", errors)
    for line in item.lines[1:]:
        _line(source, line, LINE_STARTS.get(word, "body_line"), errors)


def _line(source: Source, line: Line, rule: str, errors: list[Diagnostic]) -> None:
    if line.broken:
        return
    _, unexpected = _attempt(source, line.start, line.end, rule, "", errors)
    if unexpected is not None:
        errors.append(unexpected)
