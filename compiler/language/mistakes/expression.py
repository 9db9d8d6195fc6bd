"""Owns mistakes inside expressions: conditionals, guards, brackets, missing operators and operands."""

from __future__ import annotations

from tilewright.compiler.language.errors import Diagnostic, Fix
from tilewright.compiler.language.mistakes.context import CLOSERS, Context

REDUCTIONS = frozenset(
    "sum prod max min mean any all argmax argmin argtop top cumsum cumprod cummax softmax logsumexp".split()
)
SUFFIXES = frozenset("e E f F h H l L u U ul UL f32 f64 i32 i64".split())
INFIX = frozenset("* / // % ** << >> & | ^ == != <= >= < > and or + where else if in ..".split())


def conditional(context: Context) -> Diagnostic | None:
    """``a if c`` without its ``else``, ``if c then a``."""
    if context.found == "if" and context.wants_operand:
        return context.error("TW0112", "the value stands before its condition", "`a if c else b`")
    if "_ELSE" in context.accepts and "if" in context.level() and not _adjacent_operands(context):
        place = context.here() if context.at_end or context.found in (*CLOSERS, ",") else context.span()
        return context.error("TW0112", "a conditional needs its `else`", "`a if c else b`", span=place)
    return None


def guard(context: Context) -> Diagnostic | None:
    """An ``else`` that guards nothing."""
    if context.found != "else" or not context.wants_operator:
        return None
    opener = context.bracket()
    if context.before == "]" and context.text(opener) != "(":
        return context.error("TW0113", "a guarded read stands in parentheses", "`(x[i - 1] else 0)`")
    note = "with a condition it is `a if c else b`"
    return context.error(
        "TW0113", "an `else` guards one read, and stands directly behind it", "`(x[i - 1] else 0)`", note
    )


def slices(context: Context) -> Diagnostic | None:
    """``x[:, j]``, ``x[...]``, ``x[]``, ``x[i][j]`` and ``f(x)[i]``."""
    inside = context.text(context.bracket()) == "["
    if inside and context.found in (":", "..") and context.wants_operand and context.before != "in":
        return context.error("TW0120", "there are no slices: an index names each place", "one expression per dimension")
    if inside and context.found == "]" and context.before == "[":
        note = "a value of rank 0 is written without brackets"
        return context.error(
            "TW0120",
            "there is nothing between the brackets",
            note=note,
            span=context.span(context.index - 1, context.index),
        )
    if context.found == "[" and context.before == "]":
        fix = Fix(context.span(context.index - 1, context.index), ", ", "write `x[i, j]`")
        return context.error("TW0120", "all subscripts stand in one pair of brackets", "`x[i, j]`", fix=fix)
    if context.found == "[" and context.before == ")":
        return context.error("TW0120", "only a name has subscripts", note="give the value a statement of its own first")
    return None


def binder(context: Context) -> Diagnostic | None:
    """A binder whose range is not ``lo .. hi``."""
    if "RANGE" not in context.accepts or context.found == "..":
        return None
    if "in" in context.level():
        return context.error("TW0119", "a range is written `lo .. hi` (`hi` excluded)", "`j in lo .. hi` or `j: E`")
    return None


def where(context: Context) -> Diagnostic | None:
    """A ``where`` that is not last, stands twice, or stands among values."""
    if context.found == "," and "where" in context.level() and context.text(context.bracket()) == "[":
        return context.error("TW0124", "`where` stands last: it sees all indices before it", "`sum[i, j where c](...)`")
    if context.found != "where" or not context.wants_operator:
        return None
    if "where" in context.level():
        return context.error("TW0124", "there is one `where`", "conditions joined by `and`", fix=context.replace("and"))
    return context.error("TW0124", "`where` stands in the brackets of a reduction or behind a statement")


def reduction(context: Context) -> Diagnostic | None:
    """``sum[k] x`` without parentheses, ``sum[k]()`` without a value."""
    if context.before != "]" or not context.wants_operator:
        return None
    opener = _opener(context, context.index - 1)
    name = context.text(opener - 1)
    if name not in REDUCTIONS or not (context.is_name(context.index) or context.kind(context.index) == "number"):
        return None
    message = f"what `{name}` reduces stands in parentheses"
    return context.error("TW0122", message, f"`{name}[...](...)`", fix=context.insert("("))


def _opener(context: Context, closer: int) -> int:
    """The index of the bracket that ``closer`` closes."""
    depth = 0
    for index in range(closer, -1, -1):
        depth += (context.text(index) in CLOSERS) - (context.text(index) in ("(", "["))
        if depth == 0:
            return index
    return -1


def number(context: Context) -> Diagnostic | None:
    """``1_000``, ``1.2.3``, ``10u``, ``0b11``."""
    if context.kind(context.index - 1) != "number" or not context.touches(context.index):
        return None
    if context.kind(context.index) not in ("name", "number"):
        return None
    span = context.span(context.index - 1, context.index)
    suffix = context.found[0] == "_" or context.found in SUFFIXES
    if context.is_name(context.index) and not suffix and span.text[0] != "0":
        return None  # `2x`: an operator is missing
    return context.error("TW0127", f"`{span.text}` is no number", "`12`, `0x1f`, `1.5` or `2.5e-3`", span=span)


def statement_shape(context: Context) -> Diagnostic | None:
    """A left side that is none."""
    if context.rule != "body_line" or "=" in [context.text(i) for i in range(context.index)]:
        return None
    if context.found == "(" and context.index == 1:
        return context.error("TW0120", "subscripts stand in brackets", f"`{context.before}[i]`")
    if context.found == "," and context.bracket() < 0:
        return context.error("TW0102", "a statement defines one name", "`=`")
    if context.found == "," or "ASSIGN" not in context.accepts:
        return None
    if context.found in ("max", "min", "+") and context.after == "=":
        span = context.span(context.index, context.index + 1)
        return context.error("TW0131", f"`{context.found}=` is written without a space", span=span)
    if context.at_end:
        return context.error("TW0102", "a statement gives a value", "`=` and an expression")
    return (
        context.error("TW0102", "`=` is missing", "`=`", fix=context.insert("= ")) if context.starts_operand else None
    )


def missing_operator(context: Context) -> Diagnostic | None:
    """Two values side by side."""
    if not _adjacent_operands(context):
        return None
    implicit = context.kind(context.index - 1) == "number" or context.found == "("
    fix = context.insert("* ") if implicit and context.bracket() < 0 else None
    what = "an operator" if "COMMA" not in context.accepts else "an operator or a comma"
    return context.error("TW0114", f"{what} is missing before `{context.found}`", what, fix=fix)


def _adjacent_operands(context: Context) -> bool:
    return context.wants_operator and context.starts_operand and context.before not in ("", "=")


def missing_operand(context: Context) -> Diagnostic | None:
    """An operator with nothing to work on."""
    if not context.wants_operand:
        return None
    if context.found == "not":
        return context.error("TW0114", "`not` here needs parentheses", "`(not ...)`")
    after = f" after `{context.before}`" if context.before else ""
    if context.at_end:
        return context.error("TW0102", f"an expression is missing{after}", "an expression")
    if context.found in INFIX or context.found in (*CLOSERS, ",", ";", ":", "="):
        return context.error("TW0102", f"an expression is missing{after}", "an expression")
    return None


RULES = (
    number, binder, where, conditional, guard, slices, reduction, statement_shape, missing_operator,
)  # fmt: skip
LAST_RULES = (missing_operand,)
