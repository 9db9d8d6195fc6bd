"""Owns the stored tables of the parser: what Lark computes from ``grammar.lark``, so that no process computes it again.

``grammar_tables.json`` carries the digest of the grammar and of Lark's version. Tables of another grammar are not used:
the parser is then made from the grammar itself, which takes a fifth of a second. After a change of the grammar:
``python -m tilewright.compiler.language.tables``; a test asserts that the stored tables are current.
"""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from lark import Lark, __version__
from lark.grammar import Rule
from lark.lexer import TerminalDef

NAME = "grammar_tables.json"
NOT_STORED = ("postlex", "_plugins")
"""The options that are objects."""
PAIRS = "pairs"
"""The only key of what stands for a dict whose keys are no names."""


def digest(grammar: str) -> str:
    """What tables must have been made for."""
    return hashlib.sha256(f"{__version__}\n{grammar}".encode()).hexdigest()


def tables_of(made: Lark, grammar: str) -> str:
    """The tables of a parser as JSON."""
    data, memo = made.memo_serialize([TerminalDef, Rule])
    for name in NOT_STORED:
        data["options"].pop(name, None)
    return json.dumps({"digest": digest(grammar), "data": _plain(data), "memo": _plain(memo)}, separators=(",", ":"))


def stored_parser(grammar: str, options: dict[str, Any]) -> Lark | None:
    """The parser from the stored tables, or None when they belong to another grammar or are missing.

    ``options`` are those that the tables were made with; what is not stored is taken from them.
    """
    file = files("tilewright.compiler.language").joinpath(NAME)
    if not file.is_file():
        return None
    stored = json.loads(file.read_text(encoding="utf-8"), object_hook=_rich)
    if stored["digest"] != digest(grammar):
        return None
    objects = {name: options[name] for name in NOT_STORED}
    loaded = Lark._load_from_dict(stored["data"], stored["memo"], **objects)  # type: ignore[no-untyped-call]
    assert isinstance(loaded, Lark)
    return loaded


def _plain(value: Any) -> Any:
    """Dicts whose keys are no names as lists of pairs; tuples and sets as lists."""
    if isinstance(value, dict):
        names = all(isinstance(key, str) for key in value)
        return {key: _plain(one) for key, one in value.items()} if names else {PAIRS: [*map(_plain, value.items())]}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    return value


def _rich(value: dict[str, Any]) -> dict[Any, Any]:
    """The dict that ``_plain`` made this one of, but for tuples; called from the inside out."""
    return dict(value[PAIRS]) if PAIRS in value else value


def write() -> None:
    """Compute the tables of the current grammar and store them."""
    from tilewright.compiler.language.grammar import grammar_text, new_parser

    grammar = grammar_text()
    Path(__file__).with_name(NAME).write_text(tables_of(new_parser(), grammar) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
