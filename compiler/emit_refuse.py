"""Owns the refusal of what the language means but the compiler does not take yet: one code, one remedy."""

from __future__ import annotations

from tilewright.compiler.language.errors import Diagnostic, SourceErrors
from tilewright.compiler.language.span import Span

NOT_COMPILED = "TW0901"


def refuse(span: Span, what: str, remedy: str = "") -> SourceErrors:
    """The error to raise for ``what`` (a noun phrase) at ``span``."""
    note = remedy or "`tilewright run --device reference` evaluates it"
    return SourceErrors([Diagnostic(NOT_COMPILED, span, f"{what} is not compiled yet: {note}")])
