"""Owns collecting the errors of one source while checking goes on."""

from __future__ import annotations

from collections.abc import Iterable

from tilewright.compiler.language.errors import Diagnostic, Fix, Note, SourceErrors
from tilewright.compiler.language.span import Span


class Problems:
    """The errors found so far, each once."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []

    def add(
        self,
        code: str,
        span: Span,
        message: str,
        *,
        expected: str = "",
        found: str = "",
        notes: Iterable[Note] = (),
        fix: Fix | None = None,
    ) -> None:
        diagnostic = Diagnostic(code, span, message, expected, found, tuple(notes), (fix,) if fix else ())
        if diagnostic not in self.found:
            self.found.append(diagnostic)

    def stop_if_any(self) -> None:
        """Raises ``SourceErrors`` if anything was found."""
        if self.found:
            raise SourceErrors(self.found)


def note(span: Span | None, message: str) -> tuple[Note, ...]:
    return (Note(span, message),)


def replaced(span: Span, replacement: str) -> Fix:
    """The fix that writes ``replacement`` over ``span``."""
    return Fix(span, replacement, f"write `{replacement}`")
