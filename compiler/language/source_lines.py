"""Owns the lines of a source as the formatter sees them: logical lines and comments in order, with blank lines."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from tilewright.compiler.language.scan import Scan
from tilewright.compiler.language.spacing import LOOSENESS, Piece, Spacer, joined
from tilewright.compiler.language.tokens import Comment, Item, Line
from tilewright.compiler.language.wrap import WIDTH, flat

BODY_INDENT = 4
SIGNS = ("=", "+=", "max=", "min=")


@dataclass
class Block:
    """One logical line or one comment line.

    ``kind``: comment, header, schedule, setting, macro, import, require, statement. ``sign`` is the piece that defines
    (0 where there is none), ``blank`` the number of blank lines to keep before it.
    """

    kind: str
    indent: int
    start: int
    end: int
    blank: int = 0
    pieces: tuple[Piece, ...] = ()
    sign: int = 0
    comment: str = ""


def blocks(found: Scan) -> list[Block]:
    """All lines of a source without errors, in order."""
    inside = _Inside(found)
    made = [_line_block(found, item, line, inside) for item in found.items for line in item.lines]
    made += [_comment_block(found, comment) for comment in inside.loose]
    made.sort(key=lambda block: block.start)
    _set_blank_lines(found, made)
    return made


class _Inside:
    """Sorts comments into those inside or behind a logical line, and the loose ones."""

    def __init__(self, found: Scan) -> None:
        self.loose: list[Comment] = []
        self.by_line: dict[int, list[Comment]] = {}
        starts = [line.start for line in found.lines]
        for comment in found.comments:
            index = bisect_right(starts, comment.start) - 1
            belongs = index >= 0 and (not comment.alone or comment.start < found.lines[index].end)
            if belongs:
                self.by_line.setdefault(starts[index], []).append(comment)
            else:
                self.loose.append(comment)


def _line_block(found: Scan, item: Item, line: Line, inside: _Inside) -> Block:
    text = found.source.text
    tokens = joined(text, line.tokens)
    kind = _kind(text, item, line)
    indent = 0 if line is item.lines[0] else BODY_INDENT
    texts, starts = [text[token.start : token.end] for token in tokens], [token.start for token in tokens]
    pieces = Spacer(texts, kind).pieces()
    if kind in ("statement", "macro", "require") and indent + len(flat(pieces)) > WIDTH:
        _parenthesise(pieces, texts, starts, line.end)
        pieces = Spacer(texts, kind).pieces()
    comments = inside.by_line.get(line.start, [])
    _attach(text, starts, pieces, comments)
    end = max([line.end, *(comment.end for comment in comments)])
    return Block(kind, indent, line.start, end, 0, tuple(pieces), _sign(pieces))


def _kind(text: str, item: Item, line: Line) -> str:
    def first(one: Line) -> str:
        return text[one.tokens[0].start : one.tokens[0].end]

    if line is item.lines[0]:
        return {"kernel": "header", "def": "macro", "schedule": "schedule"}.get(first(line), "import")
    if first(item.lines[0]) == "schedule":
        return "setting"
    return "require" if first(line) == "require" else "statement"


def _sign(pieces: list[Piece]) -> int:
    places = (index for index, piece in enumerate(pieces) if piece.depth == 0 and piece.text in SIGNS)
    return next(places, 0)


def _parenthesise(pieces: list[Piece], texts: list[str], starts: list[int], end: int) -> None:
    """Put a long value with an operator outside all brackets into parentheses, so that its lines can be broken."""
    first = _sign(pieces) + 1
    wheres = (index for index, piece in enumerate(pieces) if piece.depth == 0 and piece.text == "where")
    last = next(wheres, len(pieces))
    if not any(piece.depth == 0 and piece.text in LOOSENESS for piece in pieces[first:last]):
        return
    texts.insert(last, ")")
    starts.insert(last, starts[last] if last < len(starts) else end)
    texts.insert(first, "(")
    starts.insert(first, starts[first])


def _attach(text: str, starts: list[int], pieces: list[Piece], comments: list[Comment]) -> None:
    """Put each comment to the piece before or behind which it stands."""
    for comment in comments:
        written = text[comment.start : comment.end].rstrip()
        index = bisect_right(starts, comment.start)
        if comment.alone:
            pieces[index].comments.append(written)
        else:
            pieces[index - 1].remark = written


def _comment_block(found: Scan, comment: Comment) -> Block:
    """A comment line stays at the margin, or in the body where it stands."""
    text = found.source.text
    begin = text.rfind("\n", 0, comment.start) + 1
    margin = text[begin : comment.start].lstrip("\ufeff") == "" and not _in_body(found, comment)
    written = text[comment.start : comment.end].rstrip()
    return Block("comment", 0 if margin else BODY_INDENT, comment.start, comment.end, comment=written)


def _in_body(found: Scan, comment: Comment) -> bool:
    starts = [item.start for item in found.items]
    index = bisect_right(starts, comment.start) - 1
    return index >= 0 and comment.start < found.items[index].end


def _set_blank_lines(found: Scan, made: list[Block]) -> None:
    """Keep at most one blank line, and have one around items with a body."""
    for before, block in zip(made, made[1:], strict=False):
        between = found.source.text[before.end : block.start]
        block.blank = min(1, max(0, between.count("\n") - 1))
    for index, block in enumerate(made):
        if block.kind in ("header", "schedule") or index > 0 and _leaves_body(made, index):
            made[_first_of_comments(made, index)].blank = 1


def _leaves_body(made: list[Block], index: int) -> bool:
    """The block is the first at the margin behind a body."""
    return made[index].indent == 0 and made[index - 1].indent > 0


def _first_of_comments(made: list[Block], index: int) -> int:
    """The first of the comment lines at the margin directly above a block."""
    while index > 0 and made[index].blank == 0 and made[index - 1].kind == "comment" and made[index - 1].indent == 0:
        index -= 1
    return index
