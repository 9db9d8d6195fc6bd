"""Owns how messages write typed expressions: as a user would, with no more brackets than needed."""

from __future__ import annotations

from tilewright.compiler.language import typed

_LEVELS = {
    "or": 1, "and": 2, "|": 5, "^": 6, "&": 7, "<<": 8, ">>": 8, "+": 9, "-": 9, "*": 10, "/": 10, "//": 10, "%": 10,
}  # fmt: skip
"""Precedence of the operators; unary ones and powers bind closer."""


def printed(expr: typed.Expr, level: int = 0) -> str:
    """``expr`` as text; ``level`` is the precedence of what stands around it."""
    match expr:
        case typed.Literal(value=value):
            return str(value).lower() if isinstance(value, bool) else repr(value)
        case typed.Dim(name=name) | typed.Scalar(name=name):
            return name
        case typed.Index(name=name):
            return name.split(".")[0]
        case typed.Cast(operand=operand):
            return printed(operand, level)
        case typed.Binary(op=op, left=left, right=right) if op in ("min", "max"):
            return f"{op}({printed(left)}, {printed(right)})"
        case typed.Binary(op=op, left=left, right=right) | typed.Logical(op=op, left=left, right=right):
            own = _LEVELS.get(op, 11)
            return _bracketed(f"{printed(left, own)} {op} {printed(right, own + 1)}", own < level)
        case typed.Compare(op=op, left=left, right=right):
            return _bracketed(f"{printed(left, 5)} {op} {printed(right, 5)}", level > 4)
        case typed.Unary(op=op, operand=operand):
            return f"{op}{' ' if op == 'not' else ''}{printed(operand, 12)}"
        case typed.Read(tensor=tensor, subscripts=subscripts):
            return f"{tensor}[{', '.join(map(printed, subscripts))}]"
        case typed.Select(condition=condition, then=then, otherwise=otherwise):
            return _bracketed(f"{printed(then, 1)} if {printed(condition, 1)} else {printed(otherwise)}", level > 0)
    return expr.span.text


def _bracketed(text: str, needed: bool) -> str:
    return f"({text})" if needed else text
