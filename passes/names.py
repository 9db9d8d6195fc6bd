"""Pipelines by name: what is written on a command line becomes a list of passes, or is refused with near names.

Text form: ``fuse{limit=4}, canonicalize``: names of our passes with their fields as options, or of MLIR's passes.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing
from collections.abc import Mapping, Sequence

from tilewright.dialect.faults import InternalFault
from tilewright.passes.base import NativePass, Pass

NATIVE = ("canonicalize", "cse", "loop-invariant-code-motion", "sccp", "symbol-dce", "symbol-privatize")
"""Passes of MLIR that may be written by name at our levels."""


class UnknownPass(ValueError):
    """A pass or an option that does not exist; the message suggests near names."""


def near(name: str, known: Sequence[str]) -> str:
    """`` (did you mean …?)`` for a name that is not known."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else f"; known: {', '.join(sorted(known))}"


def build_pipeline(text: str, known: Mapping[str, type[Pass]]) -> list[Pass]:
    """The passes of a textual pipeline. Raises `UnknownPass` before anything runs."""
    return [_build(name, options, known) for name, options in _entries(text)]


def require_known(name: str, passes: Sequence[Pass]) -> None:
    """Refuse a ``stop_after`` that names no pass of a pipeline."""
    titles = [step.title for step in passes]
    if name not in titles:
        raise UnknownPass(f"no pass {name!r} in this pipeline{near(name, titles)}")


_ENTRY = re.compile(r"\s*([a-z][a-z0-9-]*)\s*(?:\{([^{}]*)\})?\s*(?:,|$)")


def _entries(text: str) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    position = 0
    while position < len(text.rstrip()):
        match = _ENTRY.match(text, position)
        if match is None:
            raise UnknownPass(f"a pipeline is written 'name{{option=value}}, name', not {text[position:]!r}")
        found.append((match[1], match[2]))
        position = match.end()
    return found


def _build(name: str, options: str | None, known: Mapping[str, type[Pass]]) -> Pass:
    if name in known:
        return _with_options(known[name], options or "")
    if name not in NATIVE:
        raise UnknownPass(f"no pass {name!r}{near(name, [*known, *NATIVE])}")
    return NativePass(name if options is None else f"{name}{{{options}}}")


def _with_options(kind: type[Pass], text: str) -> Pass:
    types = typing.get_type_hints(kind)
    fields = [f.name for f in dataclasses.fields(kind)]
    values = {}
    for word in text.split():
        option, equals, value = word.partition("=")
        option = option.replace("-", "_")
        if option not in fields or not equals:
            raise UnknownPass(f"pass {kind.name!r} has no option {word!r}{near(option, fields)}")
        values[option] = _value(kind, option, types[option], value)
    return kind(**values)


def _value(kind: type[Pass], option: str, type_: object, text: str) -> object:
    if type_ is bool and text in ("true", "false"):
        return text == "true"
    if type_ is int and re.fullmatch(r"-?\d+", text):
        return int(text)
    if type_ is float:
        return float(text)
    if type_ is str:
        return text
    raise InternalFault(f"option {option} of pass {kind.name!r} cannot be read from {text!r} as {type_}")
