"""Owns what the compiler does not compile yet: the reference interpreter runs all of the language.

Each feature is refused with one code, so that nothing falls back silently to something slow or wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

from tilewright.compiler.language import typed
from tilewright.compiler.language.check.walk import parts
from tilewright.compiler.language.errors import Diagnostic, Note
from tilewright.compiler.language.span import Span

CODE = "TW0901"
_F8 = ("f8e4m3", "f8e5m2")


def uncompiled_features(kernel: typed.TypedKernel) -> tuple[Diagnostic, ...]:
    """One diagnostic for each use of a feature that no target compiles yet; empty when the kernel compiles."""
    found = [*_declarations(kernel), *_statements(kernel)]
    return tuple(dict.fromkeys(_diagnostic(feature, span) for feature, span in found))


def _diagnostic(feature: str, span: Span) -> Diagnostic:
    note = Note(None, "the reference interpreter evaluates it")
    return Diagnostic(CODE, span, f"{feature} cannot be compiled yet", notes=(note,))


Feature = tuple[str, Span]


def _declarations(kernel: typed.TypedKernel) -> Iterator[Feature]:
    for tensor in (*kernel.tensors, *kernel.outputs):
        if tensor.role == "inout":
            yield "an `inout` tensor", tensor.span
        if tensor.dtype in _F8:
            yield f"{tensor.dtype}", tensor.span
    for scalar in kernel.scalars:
        if scalar.dtype in _F8:
            yield f"{scalar.dtype}", scalar.span


def _statements(kernel: typed.TypedKernel) -> Iterator[Feature]:
    written: set[str] = set()
    for statement in kernel.statements:
        if statement.scatter:
            yield "a scatter", statement.span
        elif statement.where is not None:
            yield "a guarded write", statement.span
        elif statement.op != "=" or statement.target in written:
            yield "an accumulating statement", statement.span
        if statement.step is not None:
            yield "a recurrence", statement.span
        written.add(statement.target)
        for expr in (statement.value, statement.where, *statement.subscripts):
            if expr is not None:
                yield from _expressions(expr)


def _expressions(root: typed.Expr) -> Iterator[Feature]:
    pending = [root]
    while pending:
        expr = pending.pop()
        feature = _feature(expr)
        if feature is not None:
            yield feature, expr.span
        pending += reversed(parts(expr))


def _feature(expr: typed.Expr) -> str | None:
    match expr:
        case typed.Reduce(op="argtop" | "top"):
            return "a selection"
        case typed.Reduce(scan=str()):
            return "a scan"
        case typed.Call(function="segment" | "rand" as function):
            return f"`{function}`"
        case typed.Cast() | typed.Bitcast() if expr.dtype in _F8:
            return expr.dtype
    return None
