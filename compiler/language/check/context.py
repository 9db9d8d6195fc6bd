"""Owns what is known while one kernel is checked for one instance: its names, their shapes, and the place in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tilewright.compiler.language import typed
from tilewright.compiler.language.check.arithmetic import Arithmetic
from tilewright.compiler.language.check.polynomial import Atom, Atoms, Polynomial
from tilewright.compiler.language.check.printed import printed
from tilewright.compiler.language.check.problems import Problems
from tilewright.compiler.language.check.prove import Fact, Known, Prover, conditions
from tilewright.compiler.language.check.walk import indices_of, reads_values
from tilewright.compiler.language.span import Span


@dataclass(frozen=True)
class Shaped:
    """A name that is read with subscripts. ``role``: in, inout, out, local or table."""

    name: str
    dtype: str
    shape: tuple[typed.Expr, ...]
    role: str
    span: Span


@dataclass(frozen=True)
class Range:
    """An index runs over ``lo <= index < hi``."""

    index: str
    lo: typed.Expr
    hi: typed.Expr


@dataclass(frozen=True)
class Scope:
    """A place in an expression.

    ``domain`` are facts from the ranges of the indices in scope, ``path`` those from the conditions around the place.
    ``uncertain`` says that such a condition depends on values. ``as_index`` says that integers read from tensors
    become indices (inside subscripts and bounds, where arithmetic is exact).
    """

    indices: Mapping[str, str] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    domain: tuple[Known, ...] = ()
    path: tuple[Known, ...] = ()
    uncertain: bool = False
    guarded: bool = False
    approximate: bool = False
    as_index: bool = False


@dataclass(frozen=True)
class RecordedRead:
    """A read of a name that a statement defines, with what is known at its place."""

    statement: int
    read: typed.Read
    facts: tuple[Known, ...]


class Context:
    """The state of checking one kernel for one instance."""

    def __init__(self, problems: Problems, instance: typed.Instance) -> None:
        self.problems = problems
        self.arithmetic = Arithmetic(problems)
        self.atoms = Atoms()
        self.prover = Prover(self.atoms)
        self.types = dict(instance.types)
        self.consts = dict(instance.consts)
        self.dims: dict[str, Span] = {}
        self.scalars: dict[str, str] = {}
        self.shaped: dict[str, Shaped] = {}
        self.aliases: dict[str, typed.Expr] = {}
        self.facts: list[Known] = []
        self.bindings: list[typed.DimBinding] = []
        self.solutions: list[typed.DimSolution] = []
        self.checks: list[typed.LaunchCheck] = []
        self.checked_for: dict[int, int] = {}  # statement of a check that only matters if that is computed, by position
        self.reads: list[RecordedRead] = []
        self.statement = -1
        self.taken: dict[str, tuple[str, Span]] = {}
        self.defining: frozenset[str] = frozenset()
        self._names: dict[str, int] = {}

    # ------------------------------------------------------------ indices

    def unique(self, index: str) -> str:
        """A name for an index that no other index of the kernel has."""
        base = index.split("@")[0]
        number = self._names.get(base, 0)
        self._names[base] = number + 1
        return f"{base}.{number}" if number else base

    def bind(self, scope: Scope, index: str, lo: typed.Expr, hi: typed.Expr) -> tuple[Scope, str]:
        """The scope inside a binder, and the unique name of its index."""
        name = self.unique(index)
        return self.renamed(scope, index, Range(name, lo, hi)), name

    def renamed(self, scope: Scope, index: str, range_: Range) -> Scope:
        this = self.atoms.single(Atom("index", range_.index))
        low, high = self.atoms.of(range_.lo), self.atoms.of(range_.hi)
        facts = (Fact(this - low), Fact(high - this.shifted(1)))
        return replace(
            scope,
            indices={**scope.indices, index: range_.index},
            ranges={**scope.ranges, range_.index: range_},
            domain=scope.domain + facts,
        )

    def under(self, scope: Scope, condition: typed.Expr, holds: bool = True) -> Scope:
        """The scope where ``condition`` holds (or does not)."""
        facts = tuple(conditions(self.atoms, condition, holds))
        return replace(scope, path=scope.path + facts, uncertain=scope.uncertain or reads_values(condition))

    def depends_on_values(self, polynomial: Polynomial) -> bool:
        return self.atoms.uses(polynomial, ("data",)) or any(
            reads_values(atom.expr) for atom in map(self.atoms.__getitem__, polynomial.atoms) if atom.expr is not None
        )

    # ------------------------------------------------------------ launch checks

    def check_divisor(self, divisor: typed.Expr, scope: Scope) -> None:
        """Makes sure that an index expression that divides is not 0: by proof, else at launch."""
        polynomial = self.atoms.of(divisor)
        if self.prover.is_assumed_positive(polynomial):
            return
        if self.prover.proves(polynomial.shifted(-1), self.facts):
            self.prover.assume_positive(polynomial)
            return
        known = [*self.facts, *scope.domain, *scope.path]
        if self.prover.proves(polynomial.shifted(-1), known):
            return
        if indices_of(divisor) or reads_values(divisor):
            return
        zero = typed.Literal(divisor.span, typed.INDEX, 0)
        natural = self.prover.proves(polynomial, known)
        condition = self.arithmetic.compare(">" if natural else "!=", divisor, zero, divisor.span)
        self.check_at_launch(condition, f"`{printed(divisor)}` divides, so it must not be 0", "TW0505", divisor.span)
        if natural:
            self.prover.assume_positive(polynomial)

    def check_at_launch(self, condition: typed.Expr, text: str, code: str, span: Span, certain: bool = True) -> None:
        """Adds a launch check, unless it is there; ``certain`` checks become facts for later proofs."""
        check = typed.LaunchCheck(span, condition, text, code)
        if certain or self.statement < 0:
            self.facts += conditions(self.atoms, condition) if certain else []
            if all(other.condition != condition for other in self.checks):
                self.checks.append(check)
            return
        self.checked_for[len(self.checks)] = self.statement
        self.checks.append(check)
