"""Owns the error pages of the docs: one Markdown page per code, made from the catalogue.

``python -m tilewright.compiler.language.catalogue.pages docs/errors`` writes them; a test asserts that they are
current.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tilewright.compiler.language.catalogue.entry import Entry
from tilewright.compiler.language.catalogue.index import all_entries

SOURCE_STAGES = ("parse", "check", "compile", "import")
LONGEST_SHOWN = 160


def pages() -> dict[str, str]:
    """Every page by its file name, the index among them."""
    made = {f"{entry.code}.md": page(entry) for entry in all_entries()}
    return {"README.md": _index(), **made}


def page(entry: Entry) -> str:
    """The page of one code."""
    parts = [f"# {entry.code}: {entry.title}", entry.explanation]
    if entry.bad:
        parts += ["Wrong:", _block(entry, entry.bad)]
    if entry.good:
        parts += ["Right:", _block(entry, entry.good)]
    return "\n\n".join(parts) + "\n"


def _block(entry: Entry, text: str) -> str:
    language = "tw" if entry.stage in SOURCE_STAGES else "python" if entry.stage == "call" else "console"
    lines = (line if len(line) <= LONGEST_SHOWN else line[:LONGEST_SHOWN] + "..." for line in text.rstrip().split("\n"))
    return "\n".join([f"```{language}", *lines, "```"])


def _index() -> str:
    rows = [f"| [{entry.code}]({entry.code}.md) | {entry.title} |" for entry in all_entries()]
    return "\n".join(["# Error codes", "", "| code | meaning |", "| --- | --- |", *rows]) + "\n"


def write(folder: Path) -> None:
    """Write all pages into ``folder`` and remove those of codes that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    current = pages()
    for old in folder.glob("TW*.md"):
        if old.name not in current:
            old.unlink()
    for name, text in current.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
