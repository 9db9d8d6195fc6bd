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
    """The names of each cycle, by each of its names (Tarjan, 1972, without recursion)."""
    search = _Components(needs)
    for name in needs:
        if name not in search.number:
            search.visit(name)
    return search.cycles


class _Components:
    """Tarjan's search: ``low`` is the earliest open name that a name reaches."""

    def __init__(self, needs: Mapping[str, set[str]]) -> None:
        self.needs = needs
        self.number: dict[str, int] = {}
        self.low: dict[str, int] = {}
        self.open: dict[str, None] = {}
        self.cycles: dict[str, frozenset[str]] = {}

    def visit(self, start: str) -> None:
        path = [(self._enter(start), iter(self.needs[start]))]
        while path:
            name, following = path[-1]
            other = next((n for n in following if n in self.needs), None)
            if other is None:
                path.pop()
                self._leave(name, path[-1][0] if path else None)
            elif other not in self.number:
                path.append((self._enter(other), iter(self.needs[other])))
            elif other in self.open:
                self.low[name] = min(self.low[name], self.number[other])

    def _enter(self, name: str) -> str:
        self.number[name] = self.low[name] = len(self.number)
        self.open[name] = None
        return name

    def _leave(self, name: str, parent: str | None) -> None:
        if parent is not None:
            self.low[parent] = min(self.low[parent], self.low[name])
        if self.low[name] != self.number[name]:
            return
        members: list[str] = []
        while not members or members[-1] != name:
            members.append(self.open.popitem()[0])
        if len(members) > 1 or name in self.needs[name]:
            self.cycles.update(dict.fromkeys(members, frozenset(members)))


def live(
    statements: Sequence[tree.Statement], reads: Sequence[Mapping[str, Span]], results: frozenset[str]
) -> set[int]:
    """The statements that some result needs."""
    by_name: dict[str, list[int]] = {}
    for number, statement in enumerate(statements):
        by_name.setdefault(statement.name.id, []).append(number)
    found: set[int] = set()
    pending = [number for name in results for number in by_name.get(name, ())]
    while pending:
        number = pending.pop()
        if number not in found:
            found.add(number)
            pending += [other for name in reads[number] for other in by_name.get(name, ())]
    return found


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
