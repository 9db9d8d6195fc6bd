"""Owns checking macros where they are defined, used or not: what their bodies see, and that none uses itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tilewright.compiler.language import tree
from tilewright.compiler.language.check.problems import Problems, note, replaced
from tilewright.compiler.language.check.vocabulary import (
    CONSTANTS,
    CUMULATIVE,
    FUNCTIONS,
    INDEXED,
    NOT_IN_THE_LANGUAGE,
    suggestion,
)
from tilewright.compiler.language.expand import Definition, children
from tilewright.compiler.language.typed import DTYPES

BUILT_IN = frozenset(CONSTANTS) | frozenset(DTYPES)


def check_definitions(macros: Mapping[str, Definition], problems: Problems) -> frozenset[str]:
    """Reports what is wrong in the bodies of a file's macros; returns the names of those that use themselves."""
    for definition in macros.values():
        _Body(definition, problems).check()
    calls = {name: {n.id: n for n in _called(d.macro.body) if n.id in macros} for name, d in macros.items()}
    return frozenset(name for name in macros if _reaches_itself(name, calls, problems))


def _called(expr: tree.Expr) -> Iterator[tree.Name]:
    if isinstance(expr, tree.Call | tree.Reduce):
        yield expr.name
    for child in children(expr):
        yield from _called(child)


def _reaches_itself(name: str, calls: Mapping[str, Mapping[str, tree.Name]], problems: Problems) -> bool:
    seen: set[str] = set()
    pending = [name]
    while pending:
        current = pending.pop()
        if name in calls[current]:
            message = f"macro `{name}` uses itself: macros cannot be recursive"
            through = () if current == name else note(None, f"through `{current}`")
            problems.add("TW0703", calls[current][name].span, message, notes=through)
            return True
        seen.add(current)
        pending += [other for other in calls[current] if other not in seen]
    return False


class _Body:
    """Checks the names in one macro's body."""

    def __init__(self, definition: Definition, problems: Problems) -> None:
        self.macro = definition.macro
        self.visible = definition.visible
        self.problems = problems
        self.known = {n.id for n in (*self.macro.params, *self.macro.indices)}

    def check(self) -> None:
        self._expr(self.macro.body, frozenset(self.known))

    def _expr(self, expr: tree.Expr, known: frozenset[str]) -> None:
        match expr:
            case tree.Name() if expr.id not in known and expr.id not in BUILT_IN:
                self._unseen(expr)
            case tree.Read() if expr.name.id not in known:
                self._unseen(expr.name)
            case tree.Call():
                self._function(expr.name, FUNCTIONS.keys() | INDEXED | BUILT_IN)
            case tree.Reduce():
                self._function(expr.name, INDEXED | FUNCTIONS.keys())
                return self._reduce(expr, known)
        for child in children(expr):
            self._expr(child, known)

    def _reduce(self, expr: tree.Reduce, known: frozenset[str]) -> None:
        cumulative = expr.name.id in CUMULATIVE
        inside = known if cumulative else known | {b.name.id for b in expr.binders}
        for binder in expr.binders:
            if cumulative:
                self._expr(binder.name, known)
            for bound in (binder.extent, binder.lo, binder.hi):
                if bound is not None:
                    self._expr(bound, known)
        for argument in (*expr.arguments, *((expr.where,) if expr.where is not None else ())):
            self._expr(argument, inside)

    def _function(self, name: tree.Name, known: frozenset[str] | set[str]) -> None:
        if name.id in known or name.id in self.visible or name.id in self.known:
            return
        if name.id in NOT_IN_THE_LANGUAGE:
            self.problems.add("TW0903", name.span, f"{NOT_IN_THE_LANGUAGE[name.id]} are not in the language")
            return
        meant = suggestion(name.id, known | self.visible.keys())
        fix = replaced(name.span, meant) if meant else None
        self.problems.add("TW0209", name.span, f"there is no function `{name.id}` here", fix=fix)

    def _unseen(self, name: tree.Name) -> None:
        meant = suggestion(name.id, self.known)
        self.problems.add(
            "TW0706",
            name.span,
            f"`{name.id}` is not a parameter of the macro `{self.macro.name.id}`",
            expected="a parameter, an index that the macro binds, or a built-in",
            notes=note(self.macro.name.span, "a macro sees only what it is given: add a parameter"),
            fix=replaced(name.span, meant) if meant else None,
        )
