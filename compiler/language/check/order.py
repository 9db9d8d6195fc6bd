"""Owns the order of statements: what each reads, and which statements define each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tilewright.compiler.language import tree
from tilewright.compiler.language.check.context import Context
from tilewright.compiler.language.check.problems import note
from tilewright.compiler.language.expand import children
from tilewright.compiler.language.span import Span


@dataclass(frozen=True)
class Plan:
    """``reads``: per statement, the names it reads that statements define, with the first place of each.
    ``cycles``: per statement, the names defined together with it (empty for plain statements)."""

    reads: tuple[Mapping[str, Span], ...]
    cycles: tuple[frozenset[str], ...]


def plan(statements: Sequence[tree.Statement], inouts: frozenset[str]) -> Plan:
    """Which statements form recurrences; an ``inout`` name has a value from the start and forms none."""
    defined = {s.name.id for s in statements}
    reads = tuple({n: at for n, at in _reads(s).items() if n in defined} for s in statements)
    needs: dict[str, set[str]] = {name: set() for name in defined}
    for statement, names in zip(statements, reads, strict=True):
        if statement.name.id not in inouts:
            needs[statement.name.id] |= set(names) - inouts
    together = _components(needs)
    cycles = tuple(together.get(s.name.id, frozenset()) for s in statements)
    return Plan(reads, cycles)


def _reads(statement: tree.Statement) -> dict[str, Span]:
    found: dict[str, Span] = {}
    roots = [s.index for s in statement.subscripts or ()]
    roots += [s.extent for s in statement.subscripts or () if s.extent is not None]
    roots += [e for e in (statement.where, statement.value) if isinstance(e, tree.Expr)]
    for root in roots:
        for name in names_read(root):
            found.setdefault(name.id, name.span)
    return found


def names_read(expr: tree.Expr) -> Iterator[tree.Name]:
    """Every name that ``expr`` reads, tensors with subscripts and names of rank 0."""
    pending = [expr]
    while pending:
        one = pending.pop()
        if isinstance(one, tree.Name):
            yield one
        elif isinstance(one, tree.Read):
            yield one.name
        pending += reversed(children(one))


def _components(needs: Mapping[str, set[str]]) -> dict[str, frozenset[str]]:
    """The names of each cycle, by each of its names: those that reach each other."""
    reach = {name: _reachable(name, needs) for name in needs}
    return {
        name: frozenset(other for other in reach[name] if name in reach[other]) for name in needs if name in reach[name]
    }


def _reachable(start: str, needs: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    pending = list(needs[start])
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            pending += needs.get(name, ())
    return seen


def check_order(context: Context, statements: Sequence[tree.Statement], found: Plan, inouts: frozenset[str]) -> None:
    """A name is read only after its (last) statement, except within a recurrence."""
    last = {s.name.id: at for at, s in enumerate(statements)}
    for at, statement in enumerate(statements):
        for name, span in found.reads[at].items():
            own = name == statement.name.id
            if name in inouts or name in found.cycles[at] or last[name] < at:
                _check_inout(context, statements, at, name, span, inouts)
                continue
            other = statements[last[name]]
            if own:
                message = f"`{name}` is read by one of several statements that make it up"
            else:
                message = f"`{name}` is read before its statement"
            notes = note(other.name.span, f"`{name}` is defined here: move that statement up")
            context.problems.add("TW0601", span, message, notes=notes)


def _check_inout(
    context: Context, statements: Sequence[tree.Statement], at: int, name: str, span: Span, inouts: frozenset[str]
) -> None:
    """An inout that several statements change is read before the first or after the last of them."""
    if name not in inouts or statements[at].name.id == name:
        return
    own = [k for k, s in enumerate(statements) if s.name.id == name]
    if own and own[0] < at < own[-1]:
        message = f"`{name}` is read between the statements that change it"
        notes = note(statements[own[-1]].name.span, f"`{name}` is changed again here")
        context.problems.add("TW0601", span, message, notes=notes)
