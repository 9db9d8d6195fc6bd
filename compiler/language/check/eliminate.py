"""Owns the decision whether a system of linear inequalities over integers has a solution.

Fourier-Motzkin elimination with the integer tightening of the Omega test (Pugh, 1991): a row whose coefficients share a
divisor has its constant rounded down, and a pair of opposite rows is an equality, which is substituted. "Infeasible" is
a proof; "not shown" says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import gcd

ROW_LIMIT = 400
"""Rows after which a system is given up: proofs that help users need a few dozen."""

Variable = tuple[int, ...]
Coefficients = dict[Variable, int]
Row = tuple[Coefficients, int]
"""Coefficients by variable, and the constant: ``sum + constant >= 0``."""
System = dict[tuple[tuple[Variable, int], ...], int]
"""The tightest constant for each row of coefficients."""


class Contradiction(Exception):
    """A row says that a negative number is at least 0."""


def infeasible(rows: Iterable[Row]) -> bool:
    """Whether no integers satisfy all rows ``sum(coefficient * variable) + constant >= 0``."""
    try:
        system = _tightened(rows)
        while system and len(system) <= ROW_LIMIT:
            system = _step(system)
    except Contradiction:
        return True
    return False


def _step(system: System) -> System:
    """The system with one variable less: by an equality where there is one, else by elimination."""
    equality = _equality(system)
    if equality is not None:
        return _substituted(system, *equality)
    return _without(system, _cheapest(system))


def _tightened(rows: Iterable[Row]) -> System:
    system: System = {}
    for coefficients, constant in rows:
        kept = [(v, c) for v, c in coefficients.items() if c]
        if not kept:
            if constant < 0:
                raise Contradiction
            continue
        divisor = gcd(*(c for _, c in kept))
        key = tuple(sorted((v, c // divisor) for v, c in kept))
        tight = constant // divisor
        system[key] = min(system.get(key, tight), tight)
    return system


def _equality(system: System) -> tuple[Variable, Row] | None:
    """A variable with coefficient 1 or -1 in a pair of opposite rows, and what it equals."""
    for key, constant in system.items():
        opposite = system.get(tuple((v, -c) for v, c in key))
        if opposite is None:
            continue
        if constant + opposite < 0:
            raise Contradiction
        if constant + opposite == 0:
            for variable, coefficient in key:
                if abs(coefficient) == 1:
                    rest = {v: -coefficient * c for v, c in key if v != variable}
                    return variable, (rest, -coefficient * constant)
    return None


def _substituted(system: System, variable: Variable, value: Row) -> System:
    rows = []
    for key, constant in system.items():
        coefficients = dict(key)
        factor = coefficients.pop(variable, 0)
        rows.append(_sum((coefficients, constant), 1, value, factor))
    return _tightened(rows)


def _cheapest(system: System) -> Variable:
    """The variable to eliminate: first those where that loses no integrality (a coefficient of 1 in every pair),
    among them the one that makes the fewest new rows."""
    counts: dict[Variable, list[int]] = {}
    largest: dict[Variable, list[int]] = {}
    for key in system:
        for variable, coefficient in key:
            side = coefficient > 0
            counts.setdefault(variable, [0, 0])[side] += 1
            sizes = largest.setdefault(variable, [0, 0])
            sizes[side] = max(sizes[side], abs(coefficient))

    def cost(variable: Variable) -> tuple[bool, int]:
        below, above = counts[variable]
        return min(largest[variable]) > 1, below * above - below - above

    return min(counts, key=cost)


def _without(system: System, variable: Variable) -> System:
    """The shadow of the system on the other variables."""
    lower: list[Row] = []
    upper: list[Row] = []
    rows: list[Row] = []
    for key, constant in system.items():
        coefficients = dict(key)
        factor = coefficients.get(variable, 0)
        (lower if factor > 0 else upper if factor else rows).append((coefficients, constant))
    for low in lower:
        rows += [_sum(low, -high[0][variable], high, low[0][variable]) for high in upper]
        if len(rows) > 4 * ROW_LIMIT:
            return {}
    return _tightened(rows)


def _sum(left: Row, a: int, right: Row, b: int) -> Row:
    """``a * left + b * right``."""
    coefficients = {v: a * c for v, c in left[0].items()}
    for variable, coefficient in right[0].items():
        coefficients[variable] = coefficients.get(variable, 0) + b * coefficient
    return coefficients, a * left[1] + b * right[1]
