"""Owns what comes from other languages: their statements, operators and expressions."""

from __future__ import annotations

from tilewright.compiler.language.errors import Diagnostic
from tilewright.compiler.language.mistakes.context import Context

STATEMENTS = {
    "for": "an index runs over its extent by itself; a fixed count is an index: `c[n: 20, i] = ... c[n-1, i]`",
    "while": "a fixed count is an index: `c[n: 20, i] = ... c[n-1, i]`",
    "if": "a condition stands in the value, `y[i] = a if c else b`, or behind it, `y[i] = a where c`",
    "elif": "write `a if c else b if d else e`",
    "else": "write `a if c else b`",
    "return": "an output is defined by its name: `y[i] = ...`",
    "let": "a name is defined by `name = ...` alone",
    "var": "a name is defined by `name = ...` alone",
    "auto": "a name is defined by `name = ...` alone",
    "assert": "a condition on dims and consts is a `require`",
    "print": "a kernel has no effects but its outputs",
    "pass": "a kernel defines each of its outputs",
    "break": "bound the index instead: `sum[j where j < n](...)`",
    "continue": "guard the statement instead: `y[i] = ... where c`",
}
OPERATORS = {
    "=>": "->", "&&": "and", "||": "or", ":=": "=", "^=": "=", "|=": "=", "&=": "=", "%=": "=", "~=": "!=", "<>": "!=",
    "===": "==",
}  # fmt: skip
WORDS_AS_OPERATORS = {
    "mod": "%", "div": "//", "xor": "^", "is": "==", "then": "if", "AND": "and", "OR": "or", "NOT": "not", "eq": "==",
}  # fmt: skip
UPDATES = {"-=": "+= -(...)", "*=": "y[i] = y[i] * ...", "/=": "y[i] = y[i] / ..."}


def statement(context: Context) -> Diagnostic | None:
    """A line that begins as a statement of another language does."""
    word = context.first
    if context.rule != "body_line" or context.index > 1 or word not in STATEMENTS:
        return None
    if context.index == 1 and (context.found in ("=", "[") or context.at_end and not context.wants_name):
        return None
    return context.error("TW0110", f"there is no `{word}` statement", note=STATEMENTS[word], span=context.span(0))


def update(context: Context) -> Diagnostic | None:
    """``-=`` and its kin."""
    if context.found not in UPDATES or "ASSIGN" not in context.accepts:
        return None
    message = f"there is no `{context.found}`: outputs accumulate with `+=`, `max=` and `min=`"
    return context.error("TW0131", message, "`=`, `+=`, `max=` or `min=`")


def operator(context: Context) -> Diagnostic | None:
    """An operator of another language."""
    spelled = OPERATORS.get(context.found)
    if spelled is None:
        return None
    if context.found == "=>" and "ARROW" not in context.accepts:
        spelled = "=" if context.wants_operand else ">="
    return context.error("TW0111", f"`{context.found}` is written `{spelled}` here", fix=context.replace(spelled))


def word_operator(context: Context) -> Diagnostic | None:
    """``mod``, ``then`` and other words where an operator is due."""
    spelled = WORDS_AS_OPERATORS.get(context.found)
    if spelled is None or not context.wants_operator:
        return None
    if context.found == "then":
        return context.error("TW0111", "there is no `then`: a conditional is `a if c else b`")
    return context.error("TW0111", f"`{context.found}` is written `{spelled}` here", fix=context.replace(spelled))


def doubled(context: Context) -> Diagnostic | None:
    """``==`` where a name is defined, ``=`` where values are compared."""
    if context.found == "==" and ("ASSIGN" in context.accepts or "EQUAL" in context.accepts):
        return context.error("TW0111", "`==` compares; a definition has one `=`", fix=context.replace("="))
    if context.found == "=" and context.wants_operator and not _keyword(context):
        return context.error("TW0111", "`=` defines; values are compared with `==`", fix=context.replace("=="))
    return None


def _keyword(context: Context) -> bool:
    """Whether ``=`` follows the name that starts an argument."""
    return context.is_name(context.index - 1) and context.text(context.index - 2) in ("(", ",", "[")


def keyword(context: Context) -> Diagnostic | None:
    """``f(x=1)`` and ``sum[k=0..9](...)``."""
    if context.found != "=" or context.bracket() < 0 or context.rule != "body_line" or not _keyword(context):
        return None
    if context.text(context.bracket()) == "[":
        expected = f"`{context.before}: E` or `{context.before} in lo .. hi`"
        return context.error("TW0119", "an index is bound with `in` or `:`, not with `=`", expected)
    return context.error("TW0132", "arguments are given by their order: there are no named ones")


def attribute(context: Context) -> Diagnostic | None:
    """``x.shape`` and ``x.T``."""
    if context.found != "." or not context.wants_operator:
        return None
    note = "an extent is a dim, by its name; a transposed read swaps its subscripts"
    return context.error("TW0136", "values have no attributes", note=note)


def separator(context: Context) -> Diagnostic | None:
    """Two statements on one line."""
    if context.found != ";" or context.bracket() >= 0:
        return None
    return context.error("TW0137", "one statement stands on each line: there is no `;` between them")


def no_value(context: Context) -> Diagnostic | None:
    """``(a, b)``, ``[a, b]`` and ``lambda`` as values."""
    if context.before == "lambda" and context.wants_operator:
        span = context.span(context.index - 1)
        return context.error("TW0136", "there are no functions as values: a macro is a `def` of its own", span=span)
    opener = context.bracket()
    applied = context.is_name(opener - 1) or context.text(opener - 1) == "]"
    if context.found == "," and context.text(opener) == "(" and context.wants_operator and not applied:
        return context.error("TW0136", "there are no tuples: a value is one number")
    if context.accepts == {"LSQB", "MINUS", "NUMBER"}:
        return context.error("TW0130", "a constant tensor holds numbers only", "a number")
    if context.found == "[" and context.wants_operand:
        return context.error("TW0130", "a constant tensor is a statement of its own: `t = [1.0, -0.5]`")
    return None


RULES = (
    statement, update, operator, word_operator, keyword, doubled, attribute, separator, no_value,
)  # fmt: skip
