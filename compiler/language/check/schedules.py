"""Owns checking ``schedule`` blocks: every setting names an option, and an index that the kernel has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tilewright.compiler.language import tree, typed
from tilewright.compiler.language.check.problems import Problems, replaced
from tilewright.compiler.language.check.vocabulary import suggestion
from tilewright.compiler.language.expand import children

CODE = "TW0611"
LARGEST = 1 << 20
TILED = ("tile", "split")
NUMBERED = ("warps", "stages", "cluster")
OPTIONS = (*TILED, *NUMBERED)


def check_schedules(
    schedules: Sequence[tree.Schedule], statements: Sequence[tree.Statement], problems: Problems
) -> tuple[tuple[str, tuple[typed.ScheduleSetting, ...]], ...]:
    """The settings of each block, by target; what means nothing goes to ``problems``."""
    found = []
    for schedule in schedules:
        settings = [s for line in schedule.lines for s in _line(line, statements, problems)]
        found.append((schedule.target.id, tuple(settings)))
    return tuple(found)


def _line(
    line: tree.ScheduleLine, statements: Sequence[tree.Statement], problems: Problems
) -> Iterable[typed.ScheduleSetting]:
    option = line.name.id
    if option not in OPTIONS:
        _unknown(line.name, "setting", frozenset(OPTIONS), problems)
        return []
    settings = []
    for argument in line.arguments:
        value = _value(argument.value)
        if value is None:
            message = f"`{option}` takes a number"
            problems.add(
                CODE, argument.value.span, message, expected=f"1 … {LARGEST:,}", found=argument.value.span.text
            )
        elif _names_are_known(option, argument, statements, problems):
            key = (option, *(part.id for part in argument.key))
            settings.append(typed.ScheduleSetting(key, value, argument.span))
    return settings


def _names_are_known(
    option: str, argument: tree.ScheduleArgument, statements: Sequence[tree.Statement], problems: Problems
) -> bool:
    """``i`` or ``s.i`` for what blocks an index, nothing for what concerns the whole launch."""
    parts = len(argument.key)
    if (option in TILED) != (1 <= parts <= 2):
        expected = f"{option} i=8" if option in TILED else f"{option} 4"
        problems.add(CODE, argument.span, f"`{option}` is not set like this", expected=expected)
        return False
    if not parts:
        return True
    *statement, index = argument.key
    named = {s.name.id for s in statements}
    if statement and statement[0].id not in named:
        _unknown(statement[0], "statement", named, problems)
        return False
    within = [s for s in statements if not statement or s.name.id == statement[0].id]
    indices = {name for s in within for name in _indices(s)}
    if index.id not in indices:
        _unknown(index, "index", indices, problems)
        return False
    return True


def _unknown(name: tree.Name, what: str, known: frozenset[str] | set[str], problems: Problems) -> None:
    meant = suggestion(name.id, known)
    fix = replaced(name.span, meant) if meant else None
    shown = ", ".join(sorted(one for one in known if one.isidentifier()))
    problems.add(CODE, name.span, f"no {what} `{name.id}` for a schedule", expected=shown, found=name.id, fix=fix)


def _indices(statement: tree.Statement) -> set[str]:
    """The free indices of a statement and those that its reductions bind."""
    found = {s.index.id for s in statement.subscripts or () if isinstance(s.index, tree.Name)}
    pending = [statement.value] if isinstance(statement.value, tree.Expr) else []
    while pending:
        expr = pending.pop()
        if isinstance(expr, tree.Reduce):
            found |= {b.name.id for b in expr.binders}
        pending += children(expr)
    return found


def _value(expr: tree.Expr) -> int | None:
    if isinstance(expr, tree.Number) and isinstance(expr.value, int) and 1 <= expr.value <= LARGEST:
        return expr.value
    return None
