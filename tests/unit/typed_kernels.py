"""Owns the short ways from a text to a typed kernel that the checker's tests share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tilewright.compiler.language import typed
from tilewright.compiler.language.check.walk import parts
from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.language.frontend import CheckedKernel, instantiate, load_module
from tilewright.compiler.language.span import Source


def checked(text: str) -> CheckedKernel:
    """The first kernel of a text."""
    return next(iter(load_module(Source("<test>", text)).kernels.values()))


def kernel(text: str, types: Mapping[str, str] | None = None, **consts: bool | float) -> typed.TypedKernel:
    """The first kernel of a text, with defaults for consts that are not given and the first dtype of each class."""
    found = checked(text)
    chosen = {name: (types or {}).get(name, allowed[0]) for name, allowed in found.type_params.items()}
    values = {name: consts.get(name, default) for name, default in found.consts.items()}
    given = tuple((name, value) for name, value in values.items() if value is not None)
    return instantiate(found, typed.Instance(tuple(chosen.items()), given))


def codes(text: str) -> list[str]:
    """The codes of the errors that loading a text reports."""
    try:
        load_module(Source("<test>", text))
    except SourceErrors as errors:
        return [one.code for one in errors.diagnostics]
    return []


def walk(expr: typed.Expr) -> Iterator[typed.Expr]:
    """``expr`` and everything in it."""
    yield expr
    for part in parts(expr):
        yield from walk(part)


def expressions(found: typed.TypedKernel) -> Iterator[typed.Expr]:
    """Every expression of a kernel's statements."""
    for statement in found.statements:
        for root in (statement.value, statement.where, *statement.subscripts):
            if root is not None:
                yield from walk(root)


def reads(found: typed.TypedKernel, tensor: str) -> list[typed.Read]:
    return [e for e in expressions(found) if isinstance(e, typed.Read) and e.tensor == tensor]


def reductions(found: typed.TypedKernel) -> list[typed.Reduce]:
    return [e for e in expressions(found) if isinstance(e, typed.Reduce)]
