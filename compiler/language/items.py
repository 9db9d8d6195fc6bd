"""Owns how logical lines form items: what stands at the left margin starts one, what is indented belongs to it."""

from __future__ import annotations

from tilewright.compiler.language import limits
from tilewright.compiler.language.errors import Diagnostic, Note
from tilewright.compiler.language.span import Source, Span
from tilewright.compiler.language.tokens import Comment, Item, Line


def cut_items(source: Source, lines: list[Line], comments: list[Comment], errors: list[Diagnostic]) -> list[Item]:
    """Group ``lines`` into items with their documentation; indentation that does not fit goes to ``errors``."""
    documents = _Documents(source, comments)
    items: list[Item] = []
    for line in lines:
        if line.indent == "":
            items.append(Item([line], documents.above(line)))
        elif not items:
            errors.append(Diagnostic("TW0106", _indent_span(source, line), "the first line of a file is not indented"))
            items.append(Item([line], "", misindented=True))
        else:
            items[-1].lines.append(line)
    for item in items:
        _check_indentation(source, item, errors)
    return items


def _check_indentation(source: Source, item: Item, errors: list[Diagnostic]) -> None:
    """All lines of a body are indented by the same characters (unless a bracket error has cut its lines apart)."""
    body = [] if item.broken else item.lines[1:]
    for line in body:
        if line.indent == body[0].indent:
            continue
        if len(errors) > limits.DIAGNOSTICS:
            return
        item.misindented = True
        errors.append(_indentation(source, body[0], line))


def _indentation(source: Source, first: Line, line: Line) -> Diagnostic:
    note = Note(_indent_span(source, first), "the first line of the block")
    place = _indent_span(source, line)
    if set(first.indent) != set(line.indent):
        return Diagnostic("TW0107", place, "tabs and spaces are mixed in the indentation of a block", notes=(note,))
    expected, found = f"{len(first.indent)} columns", f"{len(line.indent)}"
    return Diagnostic("TW0106", place, "all lines of a block are indented alike", expected, found, (note,))


def _indent_span(source: Source, line: Line) -> Span:
    return source.span(line.start - len(line.indent), line.start)


class _Documents:
    """Finds the comment lines directly above an item, at the left margin as the item is."""

    def __init__(self, source: Source, comments: list[Comment]) -> None:
        self.source = source
        self.by_line = {
            line: c for c in comments if c.alone for line, column in [source.position(c.start)] if column == 1
        }

    def above(self, line: Line) -> str:
        number = self.source.position(line.start)[0] - 1
        texts: list[str] = []
        while number in self.by_line:
            comment = self.by_line[number]
            texts.append(_comment_text(self.source.text[comment.start : comment.end]))
            number -= 1
        return "\n".join(reversed(texts)).strip("\n")


def _comment_text(written: str) -> str:
    text = written.rstrip().lstrip("#")
    return text[1:] if text.startswith(" ") else text
