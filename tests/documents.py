"""Owns reading the Markdown pages: their code blocks, and whether an excerpt stands in the text it is taken from.

In an excerpt ``…`` stands for anything, lines may be left out, and the names of values (``%x``), maps (``#map``) and
type aliases (``!t0``) may be replaced by more telling ones: each stands for one real name, different ones of a line
for different ones. (Two may stand for one elsewhere: regions use names again.) Locations are left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXCERPTS = frozenset({"text", "mlir", "llvm", "asm", "ptx", "json", "output"})

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"[%#!](?:\w|\.(?=\w))+")
_LOCATION = re.compile(r' loc\((?:#loc\d*|"[^"]*"\(#loc\d*\))\)')


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    language: str
    text: str
    line: int

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(page, m[1], m[2], text.count("\n", 0, m.start()) + 1) for m in _BLOCK.finditer(text)]


@dataclass(frozen=True)
class Command:
    """A line of a shell block, and what is shown of its output: below it, or in the blocks that follow."""

    line: str
    shown: tuple[str, ...]


def commands_of(page: Path) -> list[Command]:
    """The commands of a page, in order. Where no line of a block starts with ``$``, each line is a command."""
    found: list[Command] = []
    for block in blocks_of(page):
        lines = block.text.splitlines()
        if block.language in ("console", "sh"):
            found += _commands(lines)
        elif block.language in EXCERPTS and found:
            found[-1] = Command(found[-1].line, (*found[-1].shown, block.text))
    return found


def _commands(lines: Sequence[str]) -> list[Command]:
    if not any(line.startswith("$ ") for line in lines):
        return [Command(line, ()) for line in lines if line.strip()]
    found: list[Command] = []
    for line in lines:
        if line.startswith("$ "):
            found.append(Command(line[2:], ()))
        elif line.strip():
            last = found[-1]
            found[-1] = Command(last.line, ("".join(last.shown) + line + "\n",))
    return found


# ---------------------------------------------------------------- excerpts


def missing(shown: str, real: str) -> str | None:
    """The first line of an excerpt that does not stand in ``real`` behind the lines before it; None if all do."""
    wanted = [line.strip() for line in shown.splitlines() if line.strip() not in ("", "…", "...")]
    lines = [_LOCATION.sub("", line).strip() for line in real.splitlines()]
    furthest = 0
    # how many lines are found, where to look on, and the names so far
    pending: list[tuple[int, int, tuple[tuple[str, str], ...]]] = [(0, 0, ())]
    while pending:
        count, start, names = pending.pop()
        if count == len(wanted):
            return None
        furthest = max(furthest, count)
        for number in range(len(lines) - 1, start - 1, -1):
            known = _matched(wanted[count], lines[number], dict(names))
            if known is not None:
                pending.append((count + 1, number + 1, tuple(known.items())))
    return wanted[furthest]


def _matched(shown: str, real: str, names: dict[str, str]) -> dict[str, str] | None:
    """``names`` with what this line adds; None where the line does not fit. A name stands for one real name."""
    parts: list[str] = []
    order: list[str] = []
    position = 0
    for match in re.finditer(rf"{_NAME.pattern}|…", shown):
        parts.append(re.escape(shown[position : match.start()]))
        position = match.end()
        if match[0] == "…":
            parts.append(".*?")
        elif match[0] in names:
            parts.append(re.escape(names[match[0]]))
        elif match[0] in order:
            parts.append(f"(?P=n{order.index(match[0])})")
        else:
            parts.append(f"(?P<n{len(order)}>{re.escape(match[0][0])}[\\w.]+)")
            order.append(match[0])
    found = re.fullmatch("".join(parts) + re.escape(shown[position:]), real)
    if found is None:
        return None
    new = {name: found[f"n{number}"] for number, name in enumerate(order)}
    here = {
        name: real_name for name, real_name in {**names, **new}.items() if re.search(rf"{re.escape(name)}\b", shown)
    }
    return {**names, **new} if len(set(here.values())) == len(here) else None
