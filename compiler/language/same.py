"""Owns comparing trees by what was written, without the places where it stands."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from tilewright.compiler.language import tree
from tilewright.compiler.language.span import Source, Span


def structure(node: Any) -> Any:
    """Nested tuples with the class and all fields of every node but its span: equal for trees that say the same."""
    if isinstance(node, tuple):
        return tuple(structure(one) for one in node)
    if not isinstance(node, tree.Node | tree.File):
        return node
    values = (getattr(node, field.name) for field in fields(node))
    return type(node).__name__, *(structure(value) for value in values if not isinstance(value, Span | Source))


def same_tree(left: tree.File, right: tree.File) -> bool:
    """Whether two files have the same items."""
    return bool(structure(left) == structure(right))
