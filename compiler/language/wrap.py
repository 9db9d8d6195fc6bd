"""Owns breaking a long logical line: inside brackets, where the line reads best."""

from __future__ import annotations

from collections.abc import Sequence

from tilewright.compiler.language.spacing import NEVER, Piece

WIDTH = 120
STEP = 4


def flat(pieces: Sequence[Piece]) -> str:
    """The pieces on one line, without their comments."""
    return "".join((" " if piece.spaced and index else "") + piece.text for index, piece in enumerate(pieces))


def has_comments(pieces: Sequence[Piece]) -> bool:
    """Whether a comment stands inside the line (one behind its end does not count)."""
    return any(piece.comments for piece in pieces) or any(piece.remark for piece in pieces[:-1])


def wrap(pieces: Sequence[Piece], indent: int) -> list[str]:
    """The lines for ``pieces``, the first indented by ``indent``; continued ones deeper, by their brackets."""
    lines: list[str] = []
    start = 0
    while start < len(pieces):
        margin = indent if start == 0 else indent + STEP * max(1, pieces[start].depth)
        lines += [" " * margin + comment for comment in pieces[start].comments]
        end = _line_end(pieces, start, margin)
        remark = pieces[end - 1].remark
        lines.append(" " * margin + flat(pieces[start:end]) + (f"  {remark}" if remark else ""))
        start = end
    return lines


def _line_end(pieces: Sequence[Piece], start: int, margin: int) -> int:
    """Where the line that begins with ``start`` ends."""
    column = margin
    for index in range(start, len(pieces)):
        if index > start and (pieces[index].comments or pieces[index - 1].remark):
            return index
        column += len(pieces[index].text) + (pieces[index].spaced and index > start)
        if column > WIDTH:
            return _best_break(pieces, start, index)
    return len(pieces)


def _best_break(pieces: Sequence[Piece], start: int, over: int) -> int:
    """The best place to break before ``over``, the first piece that does not fit; at worst the first one behind it."""
    possible = [index for index in range(start + 1, over + 1) if pieces[index].looseness < NEVER]
    open_groups = _open_groups(pieces, over)
    for bracket in ("(", "["):
        for group in open_groups:
            inside = [i for i in possible if pieces[i].group == group and pieces[i].bracket == bracket]
            if inside:
                return _loosest(pieces, inside)
    if possible:
        return _loosest(pieces, [i for i in possible if pieces[i].depth == min(pieces[k].depth for k in possible)])
    behind = (index for index in range(over + 1, len(pieces)) if _ends_line(pieces, index))
    return next(behind, len(pieces))


def _ends_line(pieces: Sequence[Piece], index: int) -> bool:
    return pieces[index].looseness < NEVER or bool(pieces[index].comments) or bool(pieces[index - 1].remark)


def _loosest(pieces: Sequence[Piece], indices: Sequence[int]) -> int:
    return min(indices, key=lambda index: (pieces[index].looseness, -index))


def _open_groups(pieces: Sequence[Piece], place: int) -> list[int]:
    """The brackets open at ``place``, outermost first."""
    groups: list[int] = []
    for piece in pieces[: place + 1]:
        while len(groups) > piece.depth:
            groups.pop()
        if piece.depth > len(groups):
            groups.append(piece.group)
        elif groups:
            groups[-1] = piece.group
    return groups
