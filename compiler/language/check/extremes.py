"""Owns upper bounds of index expressions over all points of a scope, as expressions over dims."""

from __future__ import annotations

from tilewright.compiler.language import typed
from tilewright.compiler.language.check.context import Context, Scope
from tilewright.compiler.language.check.polynomial import Polynomial
from tilewright.compiler.language.check.walk import indices_of, reads_values


def upper_bound(context: Context, expr: typed.Expr, scope: Scope) -> typed.Expr | None:
    """An expression over dims that ``expr`` never exceeds where a point exists; None if none is found."""
    polynomial = context.atoms.of(expr)
    for range_ in reversed(list(scope.ranges.values())):
        number = next(iter(context.atoms.of(typed.Index(expr.span, typed.INDEX, range_.index)).atoms))
        extreme = _extreme(context, polynomial, number, range_.lo, range_.hi)
        if extreme is None:
            return None
        polynomial = extreme
    result = expression(context, polynomial, expr)
    return None if result is None or indices_of(result) or reads_values(result) else result


def _extreme(
    context: Context, polynomial: Polynomial, number: int, lo: typed.Expr, hi: typed.Expr
) -> Polynomial | None:
    """The largest value over ``lo <= index < hi`` of a polynomial linear in the index, with dims as factors."""
    factor = Polynomial.constant(0)
    rest = Polynomial.constant(0)
    for monomial, coefficient in polynomial.terms:
        term = Polynomial(((tuple(n for n in monomial if n != number), coefficient),))
        if monomial.count(number) > 1:
            return None
        if number in monomial:
            factor = factor + term
        else:
            rest = rest + term
    if not factor.terms:
        return rest
    if context.prover.proves(factor, context.facts):
        return rest + factor * context.atoms.of(hi).shifted(-1)
    if context.prover.proves(factor.scaled(-1), context.facts):
        return rest + factor * context.atoms.of(lo)
    return None


def expression(context: Context, polynomial: Polynomial, like: typed.Expr) -> typed.Expr | None:
    """A typed expression with the value of ``polynomial``; None where an atom has no written form."""
    span, arithmetic = like.span, context.arithmetic
    total: typed.Expr = typed.Literal(span, typed.INDEX, 0)
    for monomial, coefficient in polynomial.terms:
        term: typed.Expr = typed.Literal(span, typed.INDEX, coefficient)
        for number in monomial:
            atom = _atom(context, number, like)
            if atom is None:
                return None
            one = isinstance(term, typed.Literal) and term.value == 1
            term = atom if one else arithmetic.binary("*", term, atom, span)
        zero = isinstance(total, typed.Literal) and total.value == 0
        total = term if zero else arithmetic.binary("+", total, term, span)
    return total


def _atom(context: Context, number: int, like: typed.Expr) -> typed.Expr | None:
    atom = context.atoms[number]
    inner = [expression(context, part, like) for part in atom.parts]
    if any(part is None for part in inner):
        return None
    known = [part for part in inner if part is not None]
    match atom.kind:
        case "dim":
            return typed.Dim(like.span, typed.INDEX, atom.name)
        case "index":
            return typed.Index(like.span, typed.INDEX, atom.name)
        case "div":
            return context.arithmetic.binary("//", known[0], known[1], like.span)
        case "min" | "max":
            return context.arithmetic.binary(atom.kind, known[0], known[1], like.span)
        case "select" if atom.expr is not None:
            return context.arithmetic.select(atom.expr, known[0], known[1], like.span)
    return atom.expr
