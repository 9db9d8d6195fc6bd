"""Owns what a syntax error probably meant."""

from __future__ import annotations

from tilewright.compiler.language.errors import Diagnostic
from tilewright.compiler.language.span import Source


def explain(source: Source, start: int, end: int) -> Diagnostic:
    """The error for the unexpected characters ``start .. end``."""
    span = source.span(start, end)
    return Diagnostic("TW0101", span, f"unexpected `{span.text}`" if start < end else "the line ends too early")
