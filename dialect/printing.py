"""Dumps that people can read and the compiler can read back: ``parse_module(dump(module))`` is the same module.

Values are named after the source (``%acc``), and long types stand once, at the top, behind an alias (``!t0``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tilewright.dialect import ods
from tilewright.dialect.mlir import ir

LONG_TYPE = 32
"""Types whose text is longer than this get an alias."""


class UnreadableText(ValueError):
    """Text that is not a module of ours: what the parser or the verifier said, with line and column."""


def dump(module: Any, *, locations: bool = False) -> str:
    """The text of a module; with `locations` it also carries where in the source every op comes from."""
    text = module.operation.get_asm(
        enable_debug_info=locations, use_name_loc_as_prefix=True, large_elements_limit=None, assume_verified=True
    )
    return _with_aliases(text, sorted({str(t) for t in _types(module.operation)}, key=lambda t: (-len(t), t)))


def parse_module(text: str) -> Any:
    """The module of a dump; inside a `session`. Raises `UnreadableText`."""
    try:
        module = ir.Module.parse(text)
    except ir.MLIRError as error:
        raise UnreadableText(_told(error)) from error
    try:
        module.operation.verify()
    except ir.MLIRError as error:
        raise UnreadableText(_told(error)) from error
    return module


def _told(error: Any) -> str:
    return "; ".join(f"{d.location}: {d.message}" for d in error.error_diagnostics) or str(error)


def same_text(left: Any, right: Any) -> bool:
    """Whether two modules are equal down to the locations."""
    return dump(left, locations=True) == dump(right, locations=True)


def _types(operation: Any) -> Iterator[Any]:
    """Types of all values under an op."""
    for region in operation.regions:
        for block in region.blocks:
            yield from (argument.type for argument in block.arguments)
            for op in ods.ops_of(block):
                yield from (result.type for result in op.results)
                yield from _types(op)


_STRING = re.compile(r'("(?:[^"\\]|\\.)*")')


def _with_aliases(text: str, types: list[str]) -> str:
    """Give long types a name. Longer ones come first: they may hold shorter ones."""
    header = ""
    for number, type_ in enumerate(t for t in types if len(t) > LONG_TYPE):
        replaced = _replaced(text, type_, f"!t{number}")
        if replaced != text:
            text, header = replaced, f"{header}!t{number} = {type_}\n"
    return header + text


def _replaced(text: str, type_: str, alias: str) -> str:
    """Replace a type outside of string literals. (Inside of one, a type that holds a string would be escaped.)"""
    if '"' in type_:
        return text.replace(type_, alias)
    pieces = _STRING.split(text)
    pieces[::2] = [piece.replace(type_, alias) for piece in pieces[::2]]
    return "".join(pieces)
