"""Owns the choice of an explanation: the first rule that recognises the mistake, or what the parser expected."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from tilewright.compiler.language.errors import Diagnostic
from tilewright.compiler.language.mistakes import expression, first_line, foreign, punctuation
from tilewright.compiler.language.mistakes.context import Context
from tilewright.compiler.language.span import Source
from tilewright.compiler.language.tokens import Token

Rule = Callable[[Context], Diagnostic | None]

RULES: tuple[Rule, ...] = (
    *foreign.RULES,
    *punctuation.RULES,
    *expression.RULES,
    *first_line.RULES,
    *expression.LAST_RULES,
)

SHOWN_TERMINALS = {
    "ARROW": "`->`", "ASSIGN": "`=`", "COLON": "`:`", "COMMA": "`,`", "DOT": "`.`", "EQUAL": "`=`", "LPAR": "`(`",
    "LSQB": "`[`", "NAME": "a name", "NUMBER": "a number", "RPAR": "`)`", "RSQB": "`]`", "SEMICOLON": "`;`",
    "RANGE": "`..`", "LESSTHAN": "`<`", "MORETHAN": "`>`", "_ELSE": "`else`", "_FOR": "`for`", "_IMPORT": "`import`",
    "_IN": "`in`", "_WHERE": "`where`", "_NL": "the end of the line", "PIPE": "`|`",
}  # fmt: skip
MOST_SHOWN = 4


def explain(source: Source, tokens: list[Token], offset: int, rule: str, accepts: frozenset[str]) -> Diagnostic:
    """The error for a parser that stopped at ``offset`` of a line of ``tokens`` while it read ``rule``."""
    context = Context(source, tuple(tokens), _index(tokens, offset), rule, accepts)
    for explanation in RULES:
        diagnostic = explanation(context)
        if diagnostic is not None:
            return diagnostic
    return _generic(context)


def _index(tokens: list[Token], offset: int) -> int:
    """The token that holds ``offset``, or the next one."""
    index = bisect_right(tokens, offset, key=lambda token: token.start) - 1
    return index if index >= 0 and offset < tokens[index].end else index + 1


def _generic(context: Context) -> Diagnostic:
    expected = _expected(context)
    if context.at_end:
        return context.error("TW0102", "the line ends too early", expected)
    return context.error("TW0101", f"`{context.found}` cannot stand here", expected)


def _expected(context: Context) -> str:
    if context.wants_operand:
        return "an expression"
    shown = sorted({SHOWN_TERMINALS[name] for name in context.accepts if name in SHOWN_TERMINALS})
    if context.wants_operator:
        shown = ["an operator", *(one for one in shown if one not in ("`|`", "`(`", "`[`"))]
    return " or ".join(shown) if len(shown) <= MOST_SHOWN else ""
