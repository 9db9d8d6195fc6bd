"""Owns proofs about index expressions: does ``goal >= 0`` follow from what is known at a place?

A proof is by refutation: the negated goal joins the facts, equalities are substituted, what defines the atoms (floor
division, minimum, a conditional) is added, products of facts give the nonlinear bounds that flattening needs
(``i * K + k``), and ``eliminate`` shows the rest to be unsatisfiable. Alternatives are tried one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement

from tilewright.compiler.language import typed
from tilewright.compiler.language.check.eliminate import infeasible
from tilewright.compiler.language.check.polynomial import Atom, Atoms, Monomial, Polynomial

SPLITS = 4
"""Alternatives inside each other that one proof may try."""
PRODUCTS = 80
"""Products of two facts that one proof may use."""


@dataclass(frozen=True)
class Fact:
    """``polynomial >= 0``, or ``== 0``."""

    polynomial: Polynomial
    equal: bool = False


@dataclass(frozen=True)
class Either:
    """At least one of the options holds, each a conjunction."""

    options: tuple[tuple[Known, ...], ...]


Known = Fact | Either

FALSE = Fact(Polynomial.constant(-1))


class Prover:
    """Proofs over the atoms of one kernel; ``positive`` says which divisors are known to be at least 1."""

    def __init__(self, atoms: Atoms) -> None:
        self.atoms = atoms
        self._positive: set[Polynomial] = set()

    def assume_positive(self, divisor: Polynomial) -> None:
        """From now on ``divisor`` is at least 1 wherever it divides (it was proved, or is checked at launch)."""
        self._positive.add(divisor)

    def is_assumed_positive(self, divisor: Polynomial) -> bool:
        return divisor in self._positive

    def proves(self, goal: Polynomial, facts: Iterable[Known], splits: int = SPLITS) -> bool:
        """Whether ``goal >= 0`` follows from ``facts``; ``splits`` bounds the alternatives that are tried."""
        value = goal.value()
        if value is not None and value >= 0:
            return True
        return self.refutes([*self._relevant(goal, facts), Fact(goal.scaled(-1).shifted(-1))], splits)

    def _relevant(self, goal: Polynomial, facts: Iterable[Known]) -> list[Known]:
        """The facts that share atoms with the goal, with each other's help: the rest cannot matter."""
        pending = [(fact, self._mentioned(_fact_atoms(fact))) for fact in facts]
        reached = self._mentioned(goal.atoms)
        kept: list[Known] = []
        while True:
            near = [one for one in pending if one[1] & reached or not one[1]]
            if not near:
                return kept
            pending = [one for one in pending if one[1] and not one[1] & reached]
            kept += [fact for fact, _ in near]
            reached = reached.union(*(atoms for _, atoms in near))

    def _mentioned(self, numbers: Iterable[int]) -> frozenset[int]:
        """The atoms and those inside them."""
        found: set[int] = set()
        pending = list(numbers)
        while pending:
            number = pending.pop()
            if number not in found:
                found.add(number)
                pending += [n for part in self.atoms[number].parts for n in part.atoms]
        return frozenset(found)

    def proves_equal(self, left: Polynomial, right: Polynomial, facts: Sequence[Known]) -> bool:
        if left == right:
            return True
        return self.proves(left - right, facts) and self.proves(right - left, facts)

    def refutes(self, facts: Sequence[Known], splits: int = SPLITS) -> bool:
        """Whether the facts cannot hold together."""
        simple, choices = self._closed(facts)
        if infeasible(_rows(_with_products(_substituted(simple)))):
            return True
        if not choices or not splits:
            return False
        first, rest = choices[0], choices[1:]
        return all(self.refutes([*simple, *option, *rest], splits - 1) for option in first.options)

    def _closed(self, facts: Sequence[Known]) -> tuple[list[Fact], list[Either]]:
        """Simple facts and alternatives, with what defines the atoms that occur."""
        simple = [f for f in facts if isinstance(f, Fact)]
        choices = [f for f in facts if isinstance(f, Either)]
        pending = {n for f in simple for n in f.polynomial.atoms} | {n for c in choices for n in _choice_atoms(c)}
        done: set[int] = set()
        while pending:
            number = pending.pop()
            done.add(number)
            for fact in self._definition(number):
                if isinstance(fact, Either):
                    choices += [] if fact in choices else [fact]
                    pending |= set(_choice_atoms(fact)) - done
                else:
                    simple += [] if fact in simple else [fact]
                    pending |= fact.polynomial.atoms - done
        return simple, choices

    def _definition(self, number: int) -> list[Known]:
        atom, this = self.atoms[number], Polynomial.atom(number)
        match atom.kind:
            case "dim":
                return [Fact(this)]
            case "div":
                return self._quotient(this, *atom.parts)
            case "min":
                return _extreme(this, atom.parts, -1)
            case "max":
                return _extreme(this, atom.parts, 1)
            case "select" if atom.expr is not None:
                return [self._selected(this, atom)]
            case "data" if atom.expr is not None:
                return _range(this, atom.expr)
        return []

    def _quotient(self, this: Polynomial, left: Polynomial, right: Polynomial) -> list[Known]:
        rest = left - right * this
        facts = [Fact(rest), Fact(right - rest.shifted(1)), Fact(right.shifted(-1))]
        facts += [Fact(this)] if self._is_natural(left) else []
        divisor = right.value()
        if divisor is not None and divisor > 0 or right in self._positive:
            return list(facts)
        return [Either((tuple(facts), (Fact(right.scaled(-1)),)))]

    def _is_natural(self, polynomial: Polynomial) -> bool:
        """Whether the form alone shows that the value is at least 0: dims times positive numbers."""
        return all(c > 0 and all(self.atoms[n].kind == "dim" for n in m) for m, c in polynomial.terms)

    def _selected(self, this: Polynomial, atom: Atom) -> Either:
        assert atom.expr is not None
        options = []
        for holds, part in zip((True, False), atom.parts, strict=True):
            options.append((Fact(this - part, equal=True), *conditions(self.atoms, atom.expr, holds)))
        return Either(tuple(options))


def _extreme(this: Polynomial, parts: tuple[Polynomial, ...], sign: int) -> list[Known]:
    bounds: list[Known] = [Fact((this - part).scaled(sign)) for part in parts]
    return [*bounds, Either(tuple((Fact(this - part, equal=True),) for part in parts))]


def _range(this: Polynomial, expr: typed.Expr) -> list[Known]:
    """What the dtype or the operation of a value says about it."""
    match expr:
        case typed.Cast(operand=operand):
            return _range(this, operand)
        case typed.Reduce(op="argmax" | "argmin" | "argtop") | typed.Call(function="segment"):
            return [Fact(this.shifted(1))]
    if expr.dtype in ("u8", "u16", "u32", "bool"):
        return [Fact(this)]
    return []


def conditions(atoms: Atoms, condition: typed.Expr, holds: bool = True) -> list[Known]:
    """What a condition says when it holds, or when it does not; what is not about integers says nothing."""
    match condition:
        case typed.Literal(value=value):
            return [] if bool(value) == holds else [FALSE]
        case typed.Unary(op="not", operand=operand):
            return conditions(atoms, operand, not holds)
        case typed.Logical(op=op, left=left, right=right):
            sides = [conditions(atoms, side, holds) for side in (left, right)]
            if (op == "and") == holds:
                return sides[0] + sides[1]
            return [Either(tuple(tuple(side) for side in sides))] if all(sides) else []
        case typed.Compare(op=op, left=left, right=right) if left.dtype in _INTEGERS:
            return _comparison(op if holds else _NEGATED[op], atoms.of(right) - atoms.of(left))
    return []


_INTEGERS = frozenset({typed.INDEX, "i32", "i64", "u32"})
_NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


def _comparison(op: str, difference: Polynomial) -> list[Known]:
    """The facts of ``left op right`` for ``difference = right - left``."""
    below, above = Fact(difference.shifted(-1)), Fact(difference.scaled(-1).shifted(-1))
    table: dict[str, list[Known]] = {
        "<": [below],
        "<=": [Fact(difference)],
        ">": [above],
        ">=": [Fact(difference.scaled(-1))],
        "==": [Fact(difference, equal=True)],
        "!=": [Either(((below,), (above,)))],
    }
    return table[op]


def _fact_atoms(fact: Known) -> Iterable[int]:
    return fact.polynomial.atoms if isinstance(fact, Fact) else _choice_atoms(fact)


def _choice_atoms(choice: Either) -> Iterable[int]:
    for option in choice.options:
        for fact in option:
            yield from _fact_atoms(fact)


def _substituted(facts: Sequence[Fact]) -> list[Polynomial]:
    """The facts as ``>= 0``, equalities solved for an atom of coefficient 1 and put into the others."""
    equalities = [f.polynomial for f in facts if f.equal]
    others = list(dict.fromkeys(f.polynomial for f in facts if not f.equal))
    result: list[Polynomial] = []
    while equalities:
        equality = equalities.pop()
        solved = _solved(equality)
        if solved is None:
            result += [equality, equality.scaled(-1)]
            continue
        number, value = solved
        equalities = [p.replaced(number, value) for p in equalities]
        others = list(dict.fromkeys(p.replaced(number, value) for p in others))
        result = [p.replaced(number, value) for p in result]
    return [*result, *others]


def _solved(equality: Polynomial) -> tuple[int, Polynomial] | None:
    """An atom of coefficient 1 or -1 that stands in one term alone, and what it equals."""
    for monomial, coefficient in reversed(equality.terms):
        if len(monomial) != 1 or abs(coefficient) != 1:
            continue
        rest = Polynomial(tuple(term for term in equality.terms if term[0] != monomial))
        if monomial[0] not in rest.atoms:
            return monomial[0], rest.scaled(-coefficient)
    return None


def _with_products(facts: list[Polynomial]) -> list[Polynomial]:
    """The facts and those products of two of them that speak about nonlinear monomials that occur."""
    wanted = {m for fact in facts for m, _ in fact.terms if len(m) > 1}
    if not wanted:
        return facts
    degree = max(len(m) for m in wanted)
    factors = [f for f in facts if f.atoms and max(len(m) for m, _ in f.terms) <= 2]
    result = facts + _natural_products(facts, wanted)
    found = 0
    for left, right in combinations_with_replacement(factors + result[len(facts) :], 2):
        product = left * right
        nonlinear = {m for m, _ in product.terms if len(m) > 1}
        if nonlinear & wanted and len(nonlinear - wanted) <= 1 and all(len(m) <= degree for m in nonlinear):
            result.append(product)
            found += 1
        if found > PRODUCTS:
            break
    return result


def _natural_products(facts: list[Polynomial], wanted: set[Monomial]) -> list[Polynomial]:
    """Parts of wanted monomials of degree 3 and more whose atoms are at least 0, so that they are too."""
    natural = {p.terms[0][0][0] for p in facts if len(p.terms) == 1 and len(p.terms[0][0]) == 1 and p.terms[0][1] > 0}
    parts = {part for m in wanted if len(m) > 2 for size in range(2, len(m)) for part in combinations(m, size)}
    return [Polynomial(((part, 1),)) for part in sorted(parts) if natural.issuperset(part)]


def _rows(facts: Iterable[Polynomial]) -> Iterable[tuple[dict[tuple[int, ...], int], int]]:
    for fact in facts:
        terms = dict(fact.terms)
        constant = terms.pop((), 0)
        yield terms, constant
