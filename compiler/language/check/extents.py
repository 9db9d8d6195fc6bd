"""Owns where an index takes its extent from, when none is written: the dims that it alone subscripts in reads.

Guarded reads, reads of the name that is being defined, and subscripts like ``i + 1`` never vote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tilewright.compiler.language import tree, typed
from tilewright.compiler.language.check.context import Context
from tilewright.compiler.language.check.printed import printed
from tilewright.compiler.language.check.problems import note
from tilewright.compiler.language.check.vocabulary import CUMULATIVE
from tilewright.compiler.language.expand import children
from tilewright.compiler.language.span import Span


@dataclass(frozen=True)
class Vote:
    """An index alone subscripts ``axis`` of ``tensor`` at ``span``."""

    tensor: str
    axis: int
    span: Span


Votes = Mapping[str, tuple[Vote, ...]]


class Ballot:
    """Collects the votes of expressions, each expression once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[tree.Expr, Votes]] = {}

    def votes(self, expr: tree.Expr) -> Votes:
        """The votes in ``expr`` for names that it does not bind itself."""
        known = self._known.get(id(expr))
        if known is None:
            known = self._known[id(expr)] = (expr, self._collected(expr))
        return known[1]

    def of(self, index: str, expressions: Iterable[tree.Expr]) -> list[Vote]:
        return [vote for expr in expressions for vote in self.votes(expr).get(index, ())]

    def _collected(self, expr: tree.Expr) -> Votes:
        if isinstance(expr, tree.Guarded):
            return self.votes(expr.otherwise)
        if isinstance(expr, tree.Reduce):
            return self._reduced(expr)
        own = _alone(expr) if isinstance(expr, tree.Read) else {}
        return _merged([own, *map(self.votes, children(expr))])

    def _reduced(self, expr: tree.Reduce) -> Votes:
        if expr.name.id in CUMULATIVE:
            return _merged([self.votes(a) for a in expr.arguments])
        bound = {b.name.id for b in expr.binders}
        inside = [*([expr.where] if expr.where else []), *expr.arguments]
        outside = [e for b in expr.binders for e in (b.extent, b.lo, b.hi) if e is not None]
        if expr.name.id in ("argtop", "top"):
            outside += inside[1:]
            inside = inside[:1]
        free = {name: votes for name, votes in _merged(map(self.votes, inside)).items() if name not in bound}
        return _merged([free, *map(self.votes, outside)])


def _alone(read: tree.Read) -> Votes:
    votes: dict[str, tuple[Vote, ...]] = {}
    for axis, subscript in enumerate(read.subscripts):
        if isinstance(subscript, tree.Name):
            vote = Vote(read.name.id, axis, subscript.span)
            votes[subscript.id] = (*votes.get(subscript.id, ()), vote)
    return votes


def _merged(many: Iterable[Votes]) -> Votes:
    merged: dict[str, tuple[Vote, ...]] = {}
    for votes in many:
        for name, given in votes.items():
            merged[name] = merged.get(name, ()) + given
    return merged


def elected(context: Context, index: tree.Name, votes: list[Vote], skip: frozenset[str]) -> typed.Expr | None:
    """The extent that the votes agree on; None if nothing votes. Names in ``skip`` have no voice."""
    found: list[tuple[Vote, typed.Expr]] = []
    for vote in votes:
        shaped = context.shaped.get(vote.tensor)
        if shaped is not None and vote.tensor not in skip and vote.axis < len(shaped.shape):
            found.append((vote, shaped.shape[vote.axis]))
    if not found:
        return None
    first = found[0]
    for other in found[1:]:
        _agree(context, index, first, other)
    return first[1]


def _agree(context: Context, index: tree.Name, first: tuple[Vote, typed.Expr], other: tuple[Vote, typed.Expr]) -> None:
    """Two extents of one index must be equal: by proof, else at launch."""
    left, right = context.atoms.of(first[1]), context.atoms.of(other[1])
    if context.prover.proves_equal(left, right, context.facts):
        return
    name, span = index.id.split("@")[0], other[0].span
    if (left - right).value() is not None:
        context.problems.add(
            "TW0406",
            span,
            f"index `{name}` runs over two different extents",
            expected=printed(first[1]),
            found=printed(other[1]),
            notes=note(first[0].span, f"`{name}` runs over {printed(first[1])} here"),
        )
        return
    extents = f"{_described(*first)} and {_described(*other)}"
    condition = context.arithmetic.compare("==", first[1], other[1], span)
    context.check_at_launch(condition, f"index `{name}` runs over {extents}, which must agree", "TW0506", span)


def _described(vote: Vote, extent: typed.Expr) -> str:
    return f"{printed(extent)} (axis {vote.axis} of `{vote.tensor}`)"
