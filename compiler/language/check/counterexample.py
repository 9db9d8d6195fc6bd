"""Owns the search for a shape and a point at which a subscript leaves its tensor: what makes an error convincing."""

from __future__ import annotations

import random

from tilewright.compiler.language import typed
from tilewright.compiler.language.check.context import Context, Scope
from tilewright.compiler.language.check.polynomial import Atom, Polynomial
from tilewright.compiler.language.check.prove import Either, Known
from tilewright.compiler.language.check.values import Unknown, value_of
from tilewright.compiler.language.check.walk import parts

ATTEMPTS = 400
SMALL = (1, 2, 3, 4, 5, 0, 6, 8)


def counterexample(context: Context, scope: Scope, goals: list[Polynomial]) -> dict[str, int] | None:
    """Values of dims and indices that satisfy everything known, at which one of ``goals`` is negative."""
    chance = random.Random(0)
    constants = _constants(context, scope)
    for attempt in range(ATTEMPTS):
        values = _dims(context, chance, constants, attempt)
        if values is None or not _point(scope, chance, values):
            continue
        if _violates(context, values, scope, goals):
            return _shown(context, scope, goals, values)
    return None


def _constants(context: Context, scope: Scope) -> list[int]:
    """Sizes worth trying: those that the program writes, and their neighbours."""
    written = {abs(int(v)) for v in context.consts.values() if isinstance(v, int)}
    for check in context.checks:
        written |= _literals(check.condition)
    for range_ in scope.ranges.values():
        written |= _literals(range_.hi)
    return sorted({n + d for n in written if n < 100_000 for d in (-1, 0, 1) if n + d > 0})


def _literals(expr: typed.Expr) -> set[int]:
    if isinstance(expr, typed.Literal):
        return {abs(int(expr.value))} if isinstance(expr.value, int) else set()
    return {n for part in parts(expr) for n in _literals(part)}


def _dims(context: Context, chance: random.Random, constants: list[int], attempt: int) -> dict[str, int] | None:
    """Values for all dims that pass every launch check, or None."""
    solved = {s.dim for s in context.solutions}
    values: dict[str, int] = {}
    for dim in context.dims:
        if dim not in solved:
            pool = constants if constants and chance.random() < 0.3 else SMALL[: 2 + attempt // 8]
            values[dim] = chance.choice(pool)
    try:
        for solution in context.solutions:
            values[solution.dim] = int(value_of(solution.value, values))
        if any(v < 0 for v in values.values()):
            return None
        return values if all(value_of(check.condition, values) for check in context.checks) else None
    except Unknown:
        return None


def _point(scope: Scope, chance: random.Random, values: dict[str, int]) -> bool:
    """Puts a value for each index in scope into ``values``; False if some range is empty."""
    for range_ in scope.ranges.values():
        try:
            low, high = int(value_of(range_.lo, values)), int(value_of(range_.hi, values))
        except Unknown:
            continue  # a range that depends on values: a goal that needs this index stays undecided
        if low >= high:
            return False
        values[range_.index] = chance.choice((low, high - 1, chance.randrange(low, high)))
    return True


def _violates(context: Context, values: dict[str, int], scope: Scope, goals: list[Polynomial]) -> bool:
    try:
        if not all(_holds(context, fact, values) for fact in (*context.facts, *scope.path)):
            return False
        return any(_evaluated(context, goal, values) < 0 for goal in goals)
    except Unknown:
        return False


def _holds(context: Context, fact: Known, values: dict[str, int]) -> bool:
    if isinstance(fact, Either):
        return any(all(_holds(context, one, values) for one in option) for option in fact.options)
    value = _evaluated(context, fact.polynomial, values)
    return value == 0 if fact.equal else value >= 0


def _evaluated(context: Context, polynomial: Polynomial, values: dict[str, int]) -> int:
    total = 0
    for monomial, coefficient in polynomial.terms:
        for number in monomial:
            coefficient *= _atom(context, context.atoms[number], values)
        total += coefficient
    return total


def _atom(context: Context, atom: Atom, values: dict[str, int]) -> int:
    inner = [_evaluated(context, part, values) for part in atom.parts]
    match atom.kind:
        case "dim" | "index" if atom.name in values:
            return values[atom.name]
        case "div" if inner[1] != 0:
            return inner[0] // inner[1]
        case "min":
            return min(inner)
        case "max":
            return max(inner)
        case "select" if atom.expr is not None:
            return inner[0] if value_of(atom.expr, values) else inner[1]
        case "other" if atom.expr is not None:
            return int(value_of(atom.expr, values))
    raise Unknown


def _shown(context: Context, scope: Scope, goals: list[Polynomial], values: dict[str, int]) -> dict[str, int]:
    """The values that matter: those of names in the goals, and of the dims that bound their indices."""
    names = {context.atoms[n].name for goal in goals for n in _all_atoms(context, goal)}
    for range_ in scope.ranges.values():
        if range_.index in names:
            names |= {context.atoms[n].name for n in _all_atoms(context, context.atoms.of(range_.hi))}
    return {name: value for name, value in values.items() if name in names}


def _all_atoms(context: Context, polynomial: Polynomial) -> set[int]:
    found = set(polynomial.atoms)
    for number in polynomial.atoms:
        for part in context.atoms[number].parts:
            found |= _all_atoms(context, part)
    return found
