"""Owns mistakes in the lines that begin items: kernels, macros, imports, schedules."""

from __future__ import annotations

from difflib import get_close_matches

from tilewright.compiler.language.errors import Diagnostic
from tilewright.compiler.language.mistakes.context import Context
from tilewright.compiler.language.tokens import ITEM_WORDS
from tilewright.compiler.language.typed import DTYPES

OTHER_WORDS = {
    "fn": "kernel", "func": "kernel", "function": "kernel", "void": "kernel", "class": "kernel", "proc": "kernel",
    "let": "def", "macro": "def", "lambda": "def", "define": "def", "include": "import", "using": "import",
    "use": "import", "require": "import",
}  # fmt: skip


def unknown_item(context: Context) -> Diagnostic | None:
    """Something at the left margin that begins no item."""
    if context.rule != "item" or context.index > 0:
        return None
    if _is_statement(context):
        note = "indent it by four spaces if it belongs to the kernel above"
        return context.error("TW0133", "a statement stands in the body of a kernel", note=note)
    word = OTHER_WORDS.get(context.found) or next(iter(get_close_matches(context.found.lower(), ITEM_WORDS, 1)), None)
    expected = "`kernel`, `def`, `schedule`, `import` or `from`"
    fix = context.replace(word) if word else None
    return context.error("TW0116", f"`{context.found}` begins no item", expected, fix=fix)


def _is_statement(context: Context) -> bool:
    texts = [context.text(index) for index in range(len(context.tokens))]
    if texts[0] == "require" and len(texts) > 1 and texts[1] != "(":
        return True
    return context.is_name(0) and len(texts) > 1 and (texts[1] in ("=", "+=") or texts[1] == "[" and "=" in texts)


def missing_colon(context: Context) -> Diagnostic | None:
    """The end of a header without its ``:``."""
    if context.rule != "header" or not context.at_end or context.accepts != {"COLON"}:
        return None
    return context.error("TW0108", f"the first line of a {context.first} ends with `:`", "`:`", fix=context.insert(":"))


def body_on_header(context: Context) -> Diagnostic | None:
    """Something behind the ``:`` of a header."""
    if context.rule != "header" or context.before != ":" or context.accepts != {"_NL"}:
        return None
    span = context.span(context.index, len(context.tokens) - 1)
    return context.error("TW0125", f"the body of a {context.first} starts on the next line, indented", span=span)


def outputs(context: Context) -> Diagnostic | None:
    """The part behind the parameters of a kernel."""
    if context.rule != "header" or context.first != "kernel":
        return None
    form = "`-> (y: T[M])`"
    if context.accepts == {"ARROW"}:
        return context.error("TW0117", "a kernel names its outputs behind its parameters", form)
    if context.before == "(" and context.text(context.index - 2) == "->" and context.found == ")":
        return context.error(
            "TW0117", "a kernel has at least one output", form, span=context.span(context.index - 1, context.index)
        )
    if context.before == "->" and context.accepts == {"LPAR"}:
        return context.error("TW0117", "outputs stand in parentheses, each with a name", form)
    return None


def typeless(context: Context) -> Diagnostic | None:
    """A parameter, or a type parameter, without its type."""
    if context.rule == "header" and context.before == ":" and context.accepts == {"NAME"}:
        return context.error("TW0118", f"`{context.text(context.index - 2)}` has no type", "a type: `f32`, `T`, ...")
    if (
        context.rule != "header"
        or context.accepts != {"COLON"}
        or context.at_end
        or not context.is_name(context.index - 1)
    ):
        return None
    name = context.before
    if context.is_name(context.index) and name in DTYPES:
        return context.error("TW0118", "a parameter is `name: type`", f"`{context.found}: {name}`")
    if "<" in context.level() or context.found == ">":
        return context.error("TW0129", f"`{name}` has no class", f"`{name}: float` or a list, `{name}: f16 | bf16`")
    return context.error("TW0118", f"`{name}` has no type", f"`{name}: T[M, N]`, or `{name}: f32` for a scalar")


def macro_form(context: Context) -> Diagnostic | None:
    """``def f(x): return e`` and other bodies that are no expression."""
    if context.first != "def" or context.rule != "item":
        return None
    if "EQUAL" in context.accepts and context.before == ")":
        fix = context.replace("=") if context.found in (":", "->", ":=", "==") else context.insert("= ")
        return context.error("TW0134", "a macro is `def name(values) = expression`", "`=`", fix=fix)
    if context.accepts == {"COMMA", "RPAR"}:
        return context.error("TW0134", "the values of a macro are names: no types, no defaults", "`,` or `)`")
    if context.accepts == {"LPAR"} or context.accepts == {"LPAR", "LSQB"}:
        return context.error("TW0134", "a macro names its values in parentheses", "`def name[indices](values) = ...`")
    return None


def import_form(context: Context) -> Diagnostic | None:
    """``import a as b``, ``from a import *``, paths and relative imports."""
    if context.rule != "item" or context.first not in ("import", "from") or context.index == 0:
        return None
    forms = "`import a.b` or `from a.b import x, y`"
    if context.found == "as":
        return context.error("TW0135", "an imported name keeps its name: there is no `as`", forms)
    if context.found == "*":
        return context.error("TW0135", "imported names are written out: there is no `*`", forms)
    if context.found in (".", "..", "/"):
        note = "modules are looked for in the library and below the folder of this file"
        return context.error("TW0135", "a module is names with dots between them", forms, note)
    return context.error("TW0135", "this is no import", forms)


def schedule_form(context: Context) -> Diagnostic | None:
    """The first line of a schedule, and its settings."""
    if context.rule == "header" and context.first == "schedule" and not context.wants_name:
        return context.error(
            "TW0138", "a schedule begins with the kernel and the target", "`schedule softmax for sm_80:`"
        )
    if context.rule == "setting":
        return context.error("TW0138", "this is no setting of a schedule", "`tile i=128, s.j=64`, `stages 4`")
    return None


RULES = (
    unknown_item, missing_colon, body_on_header, outputs, typeless, macro_form, import_form, schedule_form,
)  # fmt: skip
