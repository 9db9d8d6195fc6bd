"""Owns parsing one item, and reading it again line by line when that fails."""

from __future__ import annotations

from typing import Any, NamedTuple

from lark.exceptions import UnexpectedInput

from tilewright.compiler.language import limits
from tilewright.compiler.language.build import Builder
from tilewright.compiler.language.errors import Diagnostic, Note
from tilewright.compiler.language.grammar import parse_text
from tilewright.compiler.language.mistakes.explain import explain
from tilewright.compiler.language.span import Source
from tilewright.compiler.language.tokens import WORDS, Item, Line

BODY_RULES = {"kernel": "body_line", "schedule": "setting"}
"""The items that have a body, and how a line of it is read."""


class Stopped(NamedTuple):
    """Where a parser stopped and what it could have gone on with."""

    offset: int
    accepts: frozenset[str]


def parse_item(source: Source, item: Item, errors: list[Diagnostic]) -> Any | None:
    """The node of ``item``, or None with what is wrong added to ``errors``."""
    before = len(errors)
    result: Any = None if item.broken else _attempt(source, item.start, item.end, "item", item.doc, errors)
    if len(errors) > before or not isinstance(result, Stopped | None):
        return result if len(errors) == before else None
    _read_lines(source, item, errors)
    if len(errors) == before:
        errors += _structure(source, item)
    if len(errors) == before and isinstance(result, Stopped):
        tokens = [token for line in item.lines for token in line.tokens]
        errors.append(explain(source, tokens, result.offset, "item", result.accepts))
    return None


def _attempt(source: Source, start: int, end: int, rule: str, doc: str, errors: list[Diagnostic]) -> Any:
    """Parse ``start .. end`` as ``rule``: its node, or ``Stopped``."""
    try:
        raw = parse_text(source.text[start:end] + "\n", rule)
    except UnexpectedInput as unexpected:
        accepts = frozenset(unexpected.interactive_parser.accepts())  # type: ignore[no-untyped-call]
        return Stopped(start + (unexpected.pos_in_stream or 0), accepts)
    return Builder(source, start, doc, errors).build(raw)


def _read_lines(source: Source, item: Item, errors: list[Diagnostic]) -> None:
    """Read every line of ``item`` by itself, except those with an error that is reported already."""
    word = _text(source, item.lines[0], 0)
    header = item.lines[0]
    _read(source, header, "header" if word in BODY_RULES else "item", errors)
    for line in item.lines[1:]:
        if len(errors) > limits.DIAGNOSTICS:
            return
        if not header.broken or _defines(source, line):  # else it may be the rest of a first line that was cut apart
            _read(source, line, BODY_RULES.get(word, "body_line"), errors)


def _defines(source: Source, line: Line) -> bool:
    texts = [source.text[token.start : token.end] for token in line.tokens]
    return texts[0] not in WORDS and ("=" in texts or "+=" in texts)


def _read(source: Source, line: Line, rule: str, errors: list[Diagnostic]) -> None:
    if line.stray is not None:
        _look_before(source, line, rule, line.stray, errors)
    elif not line.broken:
        _read_line(source, line, rule, errors)


def _read_line(source: Source, line: Line, rule: str, errors: list[Diagnostic]) -> None:
    result = _attempt(source, line.start, line.end, rule, "", errors)
    if isinstance(result, Stopped):
        errors.append(explain(source, line.tokens, result.offset, rule, result.accepts))


def _look_before(source: Source, line: Line, rule: str, stray: Diagnostic, errors: list[Diagnostic]) -> None:
    """A mistake in front of a stray bracket is the better explanation (``f x)`` lacks a ``(``)."""
    result = _attempt(source, line.start, line.end, rule, "", [])
    if isinstance(result, Stopped) and result.offset < stray.span.start:
        errors.remove(stray)
        errors.append(explain(source, line.tokens, result.offset, rule, result.accepts))


def _structure(source: Source, item: Item) -> list[Diagnostic]:
    """What is wrong with an item all of whose lines are right."""
    word = _text(source, item.lines[0], 0)
    header, body = item.lines[0], item.lines[1:]
    if word not in BODY_RULES:
        place = source.span(body[0].start, body[0].end) if body else source.span(header.start, header.end)
        return [Diagnostic("TW0106", place, f"a `{word}` has no body: nothing indented follows it")] if body else []
    defined = [line for line in body if _text(source, line, 0) != "require"]
    if not defined:
        place = source.span(header.start, header.end)
        what = "statement" if word == "kernel" else "setting"
        return [Diagnostic("TW0109", place, f"this {word} has no {what}", f"an indented {what} on the next line")]
    late = [line for line in body if line.start > defined[0].start and line not in defined]
    note = Note(source.span(defined[0].start, defined[0].end), "the first statement")
    return [
        Diagnostic("TW0121", _place(source, line), "`require` stands first in the body", notes=(note,)) for line in late
    ]


def _place(source: Source, line: Line) -> Any:
    return source.span(line.start, line.end)


def _text(source: Source, line: Line, index: int) -> str:
    return source.text[line.tokens[index].start : line.tokens[index].end]
