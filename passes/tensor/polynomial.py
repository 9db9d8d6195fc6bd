"""Owns integer sums of products in normal form: what makes ``j + 1 - 1 + i`` and ``i + j`` the same expression.

Index and integer arithmetic is a ring (integers modulo the width of the type), so terms may be collected, ordered and
cancelled exactly. Anything that is not ``+ - *`` is an atom. Floor division is understood for ``index`` alone, which
does not wrap for sizes that exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tilewright.dialect.mlir import ir
from tilewright.passes.tensor.decode import MODULO
from tilewright.passes.tensor.nodes import binary, integer
from tilewright.passes.tensor.program import Apply, Constant, Node, Position, Symbol
from tilewright.passes.tensor.structure import Structure

Monomial = tuple[Node, ...]
MAX_PRODUCT_TERMS = 16
"""Products are multiplied out up to this many terms; larger ones stay products."""
MAX_DEGREE = 8
"""Products of more factors stay products: squaring again and again would double the factors each time."""
_LINEAR = frozenset({"arith.addi", "arith.subi", "arith.muli"})


@dataclass(frozen=True)
class Polynomial:
    """Coefficients by monomial (atoms in structural order), and a constant. ``bits`` is 0 for ``index``."""

    terms: Mapping[Monomial, int]
    constant: int
    bits: int

    @property
    def is_constant(self) -> bool:
        return not self.terms

    @property
    def degree(self) -> int:
        """The most factors of a term."""
        return max((len(monomial) for monomial in self.terms), default=0)


class Polynomials:
    """Normal forms of the integer expressions of one program, remembered per node."""

    def __init__(self, structure: Structure) -> None:
        self.structure = structure
        self._forms: dict[Node, Polynomial] = {}
        self._atoms: dict[bytes, Node] = {}

    def form(self, node: Node) -> Polynomial:
        """The normal form of an integer expression whose operands have one already (or are small)."""
        if node not in self._forms:
            self._forms[node] = self._form(node)
        return self._forms[node]

    def _form(self, node: Node) -> Polynomial:
        bits = width_of(node.type)
        if isinstance(node, Constant):
            return Polynomial({}, _wrapped(int(node.value), bits), bits)
        if isinstance(node, Apply) and node.name in _LINEAR:
            left, right = self.form(node.arguments[0]), self.form(node.arguments[1])
            if node.name == "arith.muli":
                return self._product(node, left, right)
            return _sum(left, right, 1 if node.name == "arith.addi" else -1)
        if isinstance(node, Apply) and node.name == MODULO:
            return self._modulo(node)
        return self._atom(node)

    def _atom(self, node: Node) -> Polynomial:
        shared = self._atoms.setdefault(self.structure.node(node), node)
        return Polynomial({(shared,): 1}, 0, width_of(node.type))

    def _product(self, node: Node, left: Polynomial, right: Polynomial) -> Polynomial:
        terms_if_multiplied = (len(left.terms) + 1) * (len(right.terms) + 1)
        if terms_if_multiplied > MAX_PRODUCT_TERMS or left.degree + right.degree > MAX_DEGREE:
            return self._atom(node)
        terms: dict[Monomial, int] = {}
        for a, x in (*left.terms.items(), ((), left.constant)):
            for b, y in (*right.terms.items(), ((), right.constant)):
                key = tuple(sorted((*a, *b), key=self.key))
                terms[key] = terms.get(key, 0) + x * y
        constant = terms.pop((), 0)
        return _normal(terms, constant, left.bits)

    def _modulo(self, node: Apply) -> Polynomial:
        left, right = node.arguments
        quotient = binary("arith.floordivsi", left, right)
        return _sum(self.form(left), self._product(node, self.form(right), self.form(self.divided(quotient))), -1)

    # ------------------------------------------------------------ division

    def divided(self, node: Apply) -> Node:
        """``arith.floordivsi`` on ``index`` by a positive constant, what divides exactly taken out of it."""
        left, right = node.arguments
        if not isinstance(right, Constant) or width_of(node.type) or int(right.value) <= 0:
            return node
        divisor, form = int(right.value), self.form(left)
        whole = {m: c // divisor for m, c in form.terms.items() if c % divisor == 0}
        rest = {m: c for m, c in form.terms.items() if c % divisor}
        quotient, remainder = divmod(form.constant, divisor)
        if rest and not whole and quotient == 0:
            return node if divisor != 1 else left
        outside = Polynomial(whole, quotient, 0)
        if not rest:
            return self.node(outside, node)
        inner = self.node(Polynomial(rest, remainder, 0), node)
        part = binary("arith.floordivsi", inner, right)
        return self.node(_sum(outside, self._atom(part), 1), node)

    # ------------------------------------------------------------ back to nodes

    def key(self, node: Node) -> tuple[int, int, bytes]:
        """The order of atoms: indices, dims, then the rest."""
        if isinstance(node, Position):
            return 0, node.number, b""
        if isinstance(node, Symbol):
            return 1, node.number, b""
        return 2, 0, self.structure.node(node)

    def normal(self, node: Node) -> Node:
        """The expression that stands for all with the same normal form."""
        return self.node(self.form(node), node)

    def node(self, form: Polynomial, like: Node) -> Node:
        """A normal form as an expression: added terms in order, then subtracted ones, then the constant."""
        ordered = sorted(form.terms.items(), key=lambda term: [self.key(atom) for atom in term[0]])
        result: Node | None = None
        for monomial, coefficient in ordered:
            if coefficient > 0:
                term = self._term(monomial, coefficient, like)
                result = term if result is None else binary("arith.addi", result, term)
        if result is None or form.constant > 0:
            constant = integer(like.type, form.constant, like.location)
            if result is None:
                result = constant
            else:
                result = binary("arith.addi", result, constant)
        for monomial, coefficient in ordered:
            if coefficient < 0:
                result = binary("arith.subi", result, self._term(monomial, -coefficient, like))
        if form.constant < 0 and any(c > 0 for c in form.terms.values()):
            result = binary("arith.subi", result, integer(like.type, -form.constant, like.location))
        self._forms[result] = form
        return result

    def _term(self, monomial: Monomial, coefficient: int, like: Node) -> Node:
        result: Node = monomial[0]
        for atom in monomial[1:]:
            result = binary("arith.muli", result, atom)
        if coefficient == 1:
            return result
        return binary("arith.muli", result, integer(like.type, coefficient, like.location))

    # ------------------------------------------------------------ what is known of the sign

    def least(self, node: Node) -> int | None:
        """A lower bound of an ``index`` expression: dims and indices are not negative."""
        if width_of(node.type):
            return None
        return self._least_of(self.form(node))

    def _least_of(self, form: Polynomial) -> int | None:
        for monomial, coefficient in form.terms.items():
            if coefficient < 0 or not all(self._is_natural(atom) for atom in monomial):
                return None
        return form.constant

    def _is_natural(self, atom: Node) -> bool:
        if isinstance(atom, Position | Symbol):
            return True
        if isinstance(atom, Apply) and atom.name == "arith.floordivsi":
            left, right = atom.arguments
            low = self.least(left)
            return low is not None and low >= 0 and isinstance(right, Constant) and int(right.value) > 0
        return False

    def difference(self, left: Node, right: Node) -> Polynomial:
        return _sum(self.form(left), self.form(right), -1)

    def least_difference(self, left: Node, right: Node) -> int | None:
        """A lower bound of ``left - right``, for ``index``."""
        return None if width_of(left.type) else self._least_of(self.difference(left, right))


def width_of(type_: Any) -> int:
    """The bits of an integer type, 0 for ``index``."""
    return 0 if isinstance(type_, ir.IndexType) else int(ir.IntegerType(type_).width)


def is_integer(type_: Any) -> bool:
    """Whether sums of products of the type have normal forms (truth values do not)."""
    return isinstance(type_, ir.IndexType) or isinstance(type_, ir.IntegerType) and type_.width > 1


def _wrapped(value: int, bits: int) -> int:
    if bits == 0:
        return value
    half = 1 << (bits - 1)
    return ((value + half) & ((1 << bits) - 1)) - half


def _normal(terms: Mapping[Monomial, int], constant: int, bits: int) -> Polynomial:
    wrapped = {m: _wrapped(c, bits) for m, c in terms.items()}
    return Polynomial({m: c for m, c in wrapped.items() if c}, _wrapped(constant, bits), bits)


def _sum(left: Polynomial, right: Polynomial, sign: int) -> Polynomial:
    terms = dict(left.terms)
    for monomial, coefficient in right.terms.items():
        terms[monomial] = terms.get(monomial, 0) + sign * coefficient
    return _normal(terms, left.constant + sign * right.constant, left.bits)
