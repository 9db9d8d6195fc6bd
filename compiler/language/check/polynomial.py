"""Owns integer polynomials over atoms: the normal form in which index expressions are compared and proved.

An atom is a dim, an index, or a subterm that is no polynomial (a floor division, a minimum, a value read from a
tensor). Coefficients are unbounded Python integers, so nothing here can overflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import count

from tilewright.compiler.language import typed
from tilewright.compiler.language.check.walk import reads_values

Monomial = tuple[int, ...]
"""Atom numbers in rising order, repeated for powers; the empty one is the constant."""


@dataclass(frozen=True)
class Polynomial:
    """A sum of monomials with non-zero coefficients, in rising order of monomials."""

    terms: tuple[tuple[Monomial, int], ...]

    @staticmethod
    def of(terms: Mapping[Monomial, int]) -> Polynomial:
        return Polynomial(tuple(sorted((m, c) for m, c in terms.items() if c)))

    @staticmethod
    def constant(value: int) -> Polynomial:
        return Polynomial((((), value),) if value else ())

    @staticmethod
    def atom(number: int) -> Polynomial:
        return Polynomial((((number,), 1),))

    def __add__(self, other: Polynomial) -> Polynomial:
        return self.plus(other, 1)

    def __sub__(self, other: Polynomial) -> Polynomial:
        return self.plus(other, -1)

    def plus(self, other: Polynomial, factor: int) -> Polynomial:
        """``self + factor * other``."""
        terms = dict(self.terms)
        for monomial, coefficient in other.terms:
            terms[monomial] = terms.get(monomial, 0) + factor * coefficient
        return Polynomial.of(terms)

    def shifted(self, amount: int) -> Polynomial:
        return self + Polynomial.constant(amount)

    def scaled(self, factor: int) -> Polynomial:
        return Polynomial.of({m: c * factor for m, c in self.terms})

    def __mul__(self, other: Polynomial) -> Polynomial:
        terms: dict[Monomial, int] = {}
        for left, a in self.terms:
            for right, b in other.terms:
                monomial = tuple(sorted(left + right))
                terms[monomial] = terms.get(monomial, 0) + a * b
        return Polynomial.of(terms)

    def value(self) -> int | None:
        """The integer this polynomial is, or None when it has atoms."""
        if not self.terms:
            return 0
        return self.terms[0][1] if len(self.terms) == 1 and not self.terms[0][0] else None

    @cached_property
    def atoms(self) -> frozenset[int]:
        return frozenset(number for monomial, _ in self.terms for number in monomial)

    def replaced(self, number: int, by: Polynomial) -> Polynomial:
        """This polynomial with ``by`` for the atom ``number`` (not inside other atoms)."""
        if number not in self.atoms:
            return self
        result = Polynomial.constant(0)
        for monomial, coefficient in self.terms:
            power = monomial.count(number)
            part = Polynomial(((tuple(n for n in monomial if n != number), coefficient),))
            for _ in range(power):
                part = part * by
            result = result + part
        return result


@dataclass(frozen=True)
class Atom:
    """``kind``: dim, index, div (floor, of two ``parts``), min, max, select (``condition``), data, or other."""

    kind: str
    name: str = ""
    parts: tuple[Polynomial, ...] = ()
    expr: typed.Expr | None = None


class Atoms:
    """The atoms of one kernel and the polynomials of its index expressions."""

    def __init__(self) -> None:
        self._numbers: dict[Atom, int] = {}
        self._atoms: dict[int, Atom] = {}
        self._next = count()

    def __getitem__(self, number: int) -> Atom:
        return self._atoms[number]

    def number(self, atom: Atom) -> int:
        if atom not in self._numbers:
            number = next(self._next)
            self._numbers[atom], self._atoms[number] = number, atom
        return self._numbers[atom]

    def single(self, atom: Atom) -> Polynomial:
        return Polynomial.atom(self.number(atom))

    def uses(self, polynomial: Polynomial, kinds: Iterable[str]) -> bool:
        """Whether an atom of one of ``kinds`` stands in the polynomial, inside other atoms too."""
        wanted = frozenset(kinds)
        return any(self._atom_uses(number, wanted) for number in polynomial.atoms)

    def names(self, polynomial: Polynomial, kind: str) -> frozenset[str]:
        """The names of all atoms of one kind in the polynomial, inside other atoms too."""
        found: set[str] = set()
        for number in polynomial.atoms:
            atom = self._atoms[number]
            found |= {atom.name} if atom.kind == kind else set()
            for part in atom.parts:
                found |= self.names(part, kind)
        return frozenset(found)

    def _atom_uses(self, number: int, wanted: frozenset[str]) -> bool:
        atom = self._atoms[number]
        return atom.kind in wanted or any(self.uses(part, wanted) for part in atom.parts)

    def of(self, expr: typed.Expr) -> Polynomial:
        """The polynomial of an integer expression; what is none becomes an atom."""
        match expr:
            case typed.Literal(value=value) if isinstance(value, int):
                return Polynomial.constant(int(value))
            case typed.Dim(name=name):
                return self.single(Atom("dim", name))
            case typed.Index(name=name):
                return self.single(Atom("index", name))
            case typed.Cast(operand=operand) if expr.dtype in _EXACT and operand.dtype in _INTEGERS:
                return self.of(operand)
            case typed.Unary(op="-", operand=operand) if expr.dtype == typed.INDEX:
                return self.of(operand).scaled(-1)
            case typed.Binary(op=op, left=left, right=right) if expr.dtype == typed.INDEX:
                return self._binary(op, self.of(left), self.of(right), expr)
            case typed.Select(condition=condition, then=then, otherwise=otherwise) if expr.dtype == typed.INDEX:
                return self.single(Atom("select", "", (self.of(then), self.of(otherwise)), condition))
        return self.single(Atom("data" if reads_values(expr) else "other", "", (), expr))

    def _binary(self, op: str, left: Polynomial, right: Polynomial, expr: typed.Expr) -> Polynomial:
        match op:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "//":
                return self.quotient(left, right)
            case "%":
                return left - right * self.quotient(left, right)
            case "min" | "max":
                return left if left == right else self.single(Atom(op, "", (left, right)))
        return self.single(Atom("other", op, (left, right), expr))

    def quotient(self, left: Polynomial, right: Polynomial) -> Polynomial:
        """The floor of ``left / right``."""
        divisor = right.value()
        if divisor and all(c % divisor == 0 for _, c in left.terms):
            return Polynomial(tuple((m, c // divisor) for m, c in left.terms))
        number = left.value()
        if divisor and number is not None:
            return Polynomial.constant(number // divisor)
        return self.single(Atom("div", "", (left, right)))


_INTEGERS = frozenset({typed.INDEX, "i8", "i16", "i32", "i64", "u8", "u16", "u32"})
_EXACT = frozenset({typed.INDEX, "i64"})
