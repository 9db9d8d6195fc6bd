"""Owns the way from a text to a tree, and recovery: one broken line hides no error elsewhere.

A file is scanned and cut into items (``scan.py``); each is parsed by itself. An item that fails is read again line by
line, so that all its errors are reported together.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tilewright.compiler.language import limits, tree
from tilewright.compiler.language.errors import Diagnostic, SourceErrors
from tilewright.compiler.language.scan import Scan, scan
from tilewright.compiler.language.span import Source


class Parsed(NamedTuple):
    """The items that could be read, and what is wrong with the others."""

    file: tree.File
    errors: tuple[Diagnostic, ...]


def parse(source: Source) -> tree.File:
    """The tree of ``source``; raises ``SourceErrors`` with every syntax error of it."""
    parsed = parse_items(source)
    if parsed.errors:
        raise SourceErrors(parsed.errors)
    return parsed.file


def parse_items(source: Source) -> Parsed:
    """As much of ``source`` as can be read: later stages may look at the sound items before all is reported."""
    from tilewright.compiler.language.recover import parse_item

    found = scan(source)
    errors, nodes = list(found.errors), []
    for item in found.items:
        if len(errors) > limits.DIAGNOSTICS:
            break
        node = parse_item(source, item, errors)
        if node is not None:
            nodes.append(node)
    return Parsed(_file(found, nodes), tuple(errors))


def _file(found: Scan, nodes: list[Any]) -> tree.File:
    def only(kind: type) -> tuple[Any, ...]:
        return tuple(node for node in nodes if isinstance(node, kind))

    return tree.File(found.source, only(tree.Import), only(tree.Macro), only(tree.Kernel), only(tree.Schedule))
