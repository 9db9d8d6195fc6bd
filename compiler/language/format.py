"""Owns the one form in which sources are written: ``tilewright fmt``.

The tokens are kept as they are (but for parentheses around a value too long for its line), so that the tree cannot
change; spaces, line breaks, indentation and the alignment of
neighbouring definitions are set anew. Comments keep their places; formatting twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.language.parse import parse_items
from tilewright.compiler.language.scan import Scan, scan
from tilewright.compiler.language.source_lines import Block, blocks
from tilewright.compiler.language.spacing import Piece
from tilewright.compiler.language.span import Source
from tilewright.compiler.language.wrap import WIDTH, flat, has_comments, wrap

MOST_PADDING = 16
"""Definitions whose left sides differ by more columns than this are not aligned."""


@dataclass(frozen=True)
class Printed:
    """The lines of one block and the number of blank lines before it."""

    blank: int
    lines: tuple[str, ...]


def format_source(text: str, name: str = "<string>") -> str:
    """``text`` in the one form; raises ``SourceErrors`` when it does not parse."""
    source = Source(name, text)
    errors = parse_items(source).errors
    if errors:
        raise SourceErrors(errors)
    return format_scan(scan(source))


def format_scan(found: Scan) -> str:
    """The text for a source without errors."""
    lines: list[str] = []
    for printed in _printed(blocks(found)):
        lines += [""] * (printed.blank if lines else 0)
        lines += printed.lines
    return "\n".join(lines) + "\n" if lines else ""


def _printed(all_blocks: Sequence[Block]) -> Iterator[Printed]:
    """Print every block, aligning runs of neighbouring definitions."""
    start = 0
    while start < len(all_blocks):
        end = _run_end(all_blocks, start)
        run = all_blocks[start:end]
        column = _column(run)
        for block in run:
            yield Printed(block.blank, tuple(_lines(block, column)))
        start = end


def _run_end(all_blocks: Sequence[Block], start: int) -> int:
    """The end of the neighbouring definitions of one kind that begin at ``start``."""
    end = start + 1
    while end < len(all_blocks) and _continues(all_blocks[end], all_blocks[start]):
        end += 1
    return end


def _continues(block: Block, first: Block) -> bool:
    same = block.kind == first.kind and block.kind in ("statement", "macro")
    return same and block.blank == 0 and _fits(block) and _fits(first)


def _fits(block: Block) -> bool:
    return block.sign > 0 and not has_comments(block.pieces) and block.indent + len(flat(block.pieces)) <= WIDTH


def _column(run: Sequence[Block]) -> int:
    """The width of the left sides of a run; 0 when they are not aligned."""
    widths = [len(flat(block.pieces[: block.sign])) for block in run]
    widest = max(widths)
    longest = max(
        block.indent + len(flat(block.pieces)) + widest - width for block, width in zip(run, widths, strict=True)
    )
    if len(run) == 1 or widest - min(widths) > MOST_PADDING or longest > WIDTH:
        return 0
    return widest


def _lines(block: Block, column: int) -> list[str]:
    if block.kind == "comment":
        return [" " * block.indent + block.comment]
    if block.kind == "header":
        return _header(block.pieces)
    if column == 0:
        return wrap(block.pieces, block.indent)
    left = flat(block.pieces[: block.sign]).ljust(column)
    remark = block.pieces[-1].remark
    return [f"{' ' * block.indent}{left} {flat(block.pieces[block.sign :])}" + (f"  {remark}" if remark else "")]


def _header(pieces: Sequence[Piece]) -> list[str]:
    """A kernel's first line: whole if it fits, else its parameters indented by eight on lines of their own."""
    if len(flat(pieces)) <= WIDTH and not has_comments(pieces):
        return wrap(pieces, 0)
    start = next(index for index, piece in enumerate(pieces) if piece.text == "(" and piece.depth == 0) + 1
    close = next(index for index in range(start, len(pieces)) if pieces[index].text == ")" and pieces[index].depth == 0)
    split = next((i + 1 for i in range(start, close) if pieces[i].text == ";" and pieces[i].depth == 1), start)
    sections = [part for part in (pieces[start:split], pieces[split:close]) if part]
    lines = wrap(pieces[:start], 0)
    for section in sections:
        lines += wrap(section, 8)
    return lines + wrap(pieces[close:], 4)
