"""Owns what is said about characters that the language does not use, above all those that look like ones it does."""

from __future__ import annotations

import unicodedata

from tilewright.compiler.language.errors import Diagnostic, Fix, Note
from tilewright.compiler.language.span import Span

ASCII_SPELLING = {
    "×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "−": "-", "–": "-", "—": "-", "≤": "<=", "≥": ">=", "≠": "!=",
    "→": "->", "∧": "and", "∨": "or", "¬": "not", "∞": "inf", "π": "pi", "²": "**2", "³": "**3", "∑": "sum[k](…)",
    "Σ": "sum[k](…)", "∏": "prod[k](…)", "√": "sqrt(…)", "，": ",", "；": ";", "：": ":", "（": "(", "）": ")",
    "［": "[", "］": "]", "＝": "=", "\u00a0": " ", "\u2003": " ", "\u3000": " ",
    "“": "", "”": "", "‘": "", "’": "", "\u200b": "",
    "\ufeff": "",
}  # fmt: skip
"""What to write for characters that come from papers, word processors and other keyboards."""

REMARKS = {
    "!": "negation is `not`, inequality `!=`",
    "?": "a conditional is `a if c else b`",
    "{": "blocks are indented, values are grouped by `(` and `)`",
    "}": "blocks are indented, values are grouped by `(` and `)`",
    "@": "a matrix product is `sum[k](a[i, k] * b[k, j])`",
    "\\": "inside brackets lines go on by themselves",
}
"""What to write for characters that come from other languages."""


def junk(span: Span, text: str) -> Diagnostic:
    """The error for characters that no token starts with."""
    spelling = ASCII_SPELLING.get(text[0]) if len(text) == 1 else None
    if spelling is not None:
        return _spelling(span, spelling)
    if text[0] < "\x80":
        return _ascii(span, text)
    return Diagnostic(
        "TW0103",
        span,
        f"{_named(text)} outside a comment" if len(text) == 1 else "characters that are not ASCII, outside a comment",
        expected="names of the letters a-z, A-Z, digits and `_`",
        found=_named(text[0]),
    )


def _spelling(span: Span, spelling: str) -> Diagnostic:
    message = f"{_named(span.text)} is not a character of the language"
    written = f"write `{spelling}`" if spelling.strip() else "write a plain space" if spelling else "remove it"
    return Diagnostic("TW0103", span, message, fixes=(Fix(span, spelling, written),))


def _ascii(span: Span, text: str) -> Diagnostic:
    if not text.isprintable():
        return Diagnostic("TW0103", span, f"{_named(text)} outside a comment", notes=_binary(text))
    notes = (Note(None, REMARKS[text]),) if text in REMARKS else ()
    return Diagnostic("TW0111" if notes else "TW0103", span, f"there is no `{text}` in the language", notes=notes)


def _binary(text: str) -> tuple[Note, ...]:
    return (Note(None, "the file does not look like text"),) if text == "\0" else ()


def _named(character: str) -> str:
    code = f"U+{ord(character[0]):04X}"
    name = unicodedata.name(character[0], "")
    shown = f"`{character}` " if character.isprintable() else ""
    return f"{shown}({code} {name.lower()})" if name else f"the character {code}"
