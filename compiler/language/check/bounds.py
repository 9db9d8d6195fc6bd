"""Owns the question whether a subscript stays inside its tensor, and what is done when that is not proved."""

from __future__ import annotations

from dataclasses import dataclass

from tilewright.compiler.language import typed
from tilewright.compiler.language.check.context import Context, Scope
from tilewright.compiler.language.check.counterexample import counterexample
from tilewright.compiler.language.check.extremes import upper_bound
from tilewright.compiler.language.check.polynomial import Polynomial
from tilewright.compiler.language.check.printed import printed
from tilewright.compiler.language.check.problems import note
from tilewright.compiler.language.check.prove import SPLITS, Known
from tilewright.compiler.language.check.walk import indices_of, reads_values
from tilewright.compiler.language.errors import Fix
from tilewright.compiler.language.span import Span


@dataclass(frozen=True)
class Place:
    """One subscript: of which tensor, at which axis, with which extent; ``writes`` for left subscripts."""

    tensor: str
    axis: int
    subscript: typed.Expr
    extent: typed.Expr
    span: Span  # of the whole read, or of the left subscript with its extent
    writes: bool = False


def access(context: Context, place: Place, scope: Scope) -> typed.Access:
    """How ``place`` is known to be inside; errors and launch checks go to the context."""
    if _runs_over(place, scope):
        return typed.Access.PROVED
    goals = _goals(context, place)
    certain: list[Known] = [*context.facts, *scope.domain]
    splits = 0 if scope.guarded else SPLITS  # a guarded read needs no proof: only a cheap one is tried
    goals = [goal for goal in goals if not context.prover.proves(goal.polynomial, certain, splits)]
    if not goals:
        return typed.Access.PROVED
    if scope.guarded:
        return typed.Access.GUARDED
    if scope.path and all(context.prover.proves(goal.polynomial, [*certain, *scope.path]) for goal in goals):
        return typed.Access.GUARDED
    if scope.uncertain or any(_depends_on_values(context, goal.polynomial, scope) for goal in goals):
        return typed.Access.GATHER
    return _unproved(context, place, scope, goals)


@dataclass(frozen=True)
class Goal:
    """What must be at least 0: the subscript itself (``low``), or what is left to the end of the axis."""

    low: bool
    polynomial: Polynomial


def _goals(context: Context, place: Place) -> list[Goal]:
    subscript, extent = context.atoms.of(place.subscript), context.atoms.of(place.extent)
    return [Goal(True, subscript), Goal(False, extent - subscript.shifted(1))]


def _depends_on_values(context: Context, polynomial: Polynomial, scope: Scope) -> bool:
    """Whether the polynomial, or the range of an index in it, depends on what tensors hold."""
    if context.depends_on_values(polynomial):
        return True
    indices = context.atoms.names(polynomial, "index")
    ranges = [scope.ranges[name] for name in indices if name in scope.ranges]
    return any(reads_values(bound) for range_ in ranges for bound in (range_.lo, range_.hi))


def _runs_over(place: Place, scope: Scope) -> bool:
    """Whether the subscript is an index that runs over exactly this axis."""
    if not isinstance(place.subscript, typed.Index):
        return False
    range_ = scope.ranges.get(place.subscript.name)
    if range_ is None or range_.hi != place.extent:
        return False
    return isinstance(range_.lo, typed.Literal) and range_.lo.value >= 0


def _unproved(context: Context, place: Place, scope: Scope, goals: list[Goal]) -> typed.Access:
    known: list[Known] = [*context.facts, *scope.domain, *scope.path]
    if context.prover.refutes(known):
        # No point ever comes here; where that rests on a condition, the read must stay under it.
        return typed.Access.GUARDED if scope.path else typed.Access.PROVED
    if any(context.prover.proves(goal.polynomial.scaled(-1).shifted(-1), known) for goal in goals):
        return _refuse(context, place, scope, {}, always=True)
    if indices_of(place.subscript):
        found = counterexample(context, scope, [goal.polynomial for goal in goals])
        if found is not None:
            return _refuse(context, place, scope, found, always=False)
    return _checked(context, place, scope, goals)


def _checked(context: Context, place: Place, scope: Scope, goals: list[Goal]) -> typed.Access:
    """A launch check that the subscript is inside wherever a point exists."""
    for goal in goals:
        condition = _condition(context, place, scope, low=goal.low)
        if condition is None:
            return _refuse(context, place, scope, {}, always=False)
        side = "not be negative" if goal.low else f"be less than {printed(place.extent)}"
        text = f"subscript `{printed(place.subscript)}` of `{place.tensor}` must {side}"
        context.check_at_launch(condition, text, "TW0503", place.span, certain=False)
    return typed.Access.LAUNCH


def _condition(context: Context, place: Place, scope: Scope, *, low: bool) -> typed.Expr | None:
    """``no point exists, or the subscript is inside on one side``, over dims alone."""
    span, arithmetic = place.subscript.span, context.arithmetic
    zero = typed.Literal(span, typed.INDEX, 0)
    negative = arithmetic.unary("-", place.subscript, span)
    extreme = upper_bound(context, negative if low else place.subscript, scope)
    if extreme is None:
        return None
    if low:
        inside = arithmetic.compare("<=", extreme, zero, span)
    else:
        inside = arithmetic.compare("<", extreme, place.extent, span)
    for range_ in scope.ranges.values():
        if indices_of(range_.hi) or reads_values(range_.hi):
            continue
        inside = arithmetic.logical("or", arithmetic.compare("<=", range_.hi, zero, span), inside, span)
    return inside


def _refuse(context: Context, place: Place, scope: Scope, found: dict[str, int], always: bool) -> typed.Access:
    what = "write to" if place.writes else "read of"
    leaves = "leaves it for every shape" if always else "can leave it"
    example = ", ".join(f"{name.split('.')[0]} = {value}" for name, value in found.items())
    context.problems.add(
        "TW0504" if place.writes else "TW0502" if always else "TW0501",
        place.span if place.writes else place.subscript.span,
        f"this {what} `{place.tensor}` {leaves}",
        expected=f"`{printed(place.subscript)}` from 0 to {printed(place.extent, 9)} - 1 (axis {place.axis})",
        found=f"for example {example}" if example else "",
        notes=note(None, _remedy(place)),
        fix=_guard(place),
    )
    return typed.Access.GATHER


def _remedy(place: Place) -> str:
    if place.writes:
        return "add `where 0 <= … < …` to the statement, or a `require` that excludes such shapes"
    return "say what stands outside, `(x[…] else 0)`, or add a `require` that excludes such shapes"


def _guard(place: Place) -> Fix | None:
    if place.writes or place.span.call_site is not None or place.span.line != place.span.end_line:
        return None
    text = f"({place.span.text} else 0)"
    return Fix(place.span, text, f"write `{text}` with the value that stands outside")
