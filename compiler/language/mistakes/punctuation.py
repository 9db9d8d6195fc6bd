"""Owns mistakes with commas, and words of the language used as names."""

from __future__ import annotations

from tilewright.compiler.language.errors import Diagnostic, Fix
from tilewright.compiler.language.mistakes.context import CLOSERS, Context
from tilewright.compiler.language.tokens import WORDS


def reserved(context: Context) -> Diagnostic | None:
    """A word of the language where a name is due."""
    if context.found not in WORDS or not context.wants_name:
        return None
    if context.wants_operand and context.found in ("and", "or", "if", "else", "where", "not"):
        return None
    message = f"`{context.found}` is a word of the language and cannot be a name"
    return context.error("TW0115", message, "a name", fix=context.replace(context.found + "_"))


def extra_comma(context: Context) -> Diagnostic | None:
    """``f(a,, b)`` and ``f(a, b,)``."""
    if context.before == "," and context.found in (*CLOSERS, ",", ";", ">"):
        comma = context.span(context.index - 1)
        message = f"nothing stands between `,` and `{context.found}`"
        span = context.span(context.index - 1, context.index)
        return context.error("TW0123", message, span=span, fix=Fix(comma, "", "remove the comma"))
    if context.found == "," and context.before in ("(", "[", "<", ";"):
        return context.error("TW0123", "nothing stands before this comma", fix=context.replace("", "remove the comma"))
    return None


def missing_comma(context: Context) -> Diagnostic | None:
    """Two parameters, names or classes side by side."""
    if "COMMA" not in context.accepts or not (context.is_name(context.index) or context.found in ("const", "inout")):
        return None
    if (
        context.rule == "body_line"
        or context.first in ("import", "from")
        or context.wants_operator
        and context.rule != "header"
    ):
        return None
    fix = Fix(context.span(context.index - 1).source.span(_end(context), _end(context)), ",", "write `,` here")
    return context.error("TW0123", f"a comma is missing before `{context.found}`", "`,`", fix=fix)


def _end(context: Context) -> int:
    return context.tokens[context.index - 1].end


RULES = (extra_comma, reserved, missing_comma)
