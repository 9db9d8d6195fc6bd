"""Owns the tensor level as immutable values: what the passes of this folder read and write.

A function is decoded into a graph of comprehensions (maps and folds) whose bodies are expression graphs, rewritten,
and encoded again; there is no editing in place. Nodes are equal by identity: sharing is explicit, and ``common`` is the
pass that makes it. Indices are numbered by position, so names never matter.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from tilewright.dialect.folds import FoldKind
from tilewright.dialect.tensor import ReadMode

# ---------------------------------------------------------------- expressions


@dataclass(frozen=True, eq=False, repr=False)
class Node:
    """A scalar expression. ``type`` is its MLIR type."""

    type: Any
    location: Any

    @property
    def operands(self) -> tuple[Node, ...]:
        return ()


@dataclass(frozen=True, eq=False, repr=False)
class Position(Node):
    """Index ``number`` of the domain around it."""

    number: int


@dataclass(frozen=True, eq=False, repr=False)
class Symbol(Node):
    """A dim, by its place among the dims of the function."""

    number: int


@dataclass(frozen=True, eq=False, repr=False)
class Parameter(Node):
    """A run-time scalar, by its place among the arguments of the function."""

    number: int


@dataclass(frozen=True, eq=False, repr=False)
class Constant(Node):
    """A literal; ``attribute`` is the MLIR attribute, typed."""

    attribute: Any

    @property
    def value(self) -> int | float:
        number: int | float = self.attribute.value
        return number


@dataclass(frozen=True, eq=False, repr=False)
class Apply(Node):
    """An operation of ``arith`` or ``math``; ``attributes`` are its named attributes, sorted by name."""

    name: str
    arguments: tuple[Node, ...]
    attributes: tuple[tuple[str, Any], ...] = ()

    @property
    def operands(self) -> tuple[Node, ...]:
        return self.arguments


@dataclass(frozen=True, eq=False, repr=False)
class Read(Node):
    """``tw.read`` of result ``result`` of ``source``."""

    source: Source
    result: int
    subscripts: tuple[Node, ...]
    modes: tuple[ReadMode, ...]
    active: Node | None = None
    otherwise: Node | None = None

    @property
    def operands(self) -> tuple[Node, ...]:
        if self.active is None and self.otherwise is None:
            return self.subscripts
        return (*self.subscripts, *(n for n in (self.active, self.otherwise) if n is not None))

    @property
    def is_plain(self) -> bool:
        """Whether it reads an element at distinct indices, all proved, with nothing to protect it."""
        numbers = [s.number for s in self.subscripts if isinstance(s, Position)]
        distinct = len(set(numbers)) == len(self.subscripts)
        return distinct and self.active is None and self.is_proved

    @property
    def is_proved(self) -> bool:
        """Whether every subscript is known to be inside."""
        return all(mode is ReadMode.PROVED for mode in self.modes)

    @property
    def positions(self) -> tuple[int, ...]:
        """The index numbers of a plain read."""
        return tuple(s.number for s in self.subscripts if isinstance(s, Position))


def with_operands(node: Node, operands: Sequence[Node]) -> Node:
    """The node over other operands; the node itself when they are its own."""
    given = tuple(operands)
    if given == node.operands:  # nodes are equal to themselves alone
        return node
    if isinstance(node, Apply):
        return Apply(node.type, node.location, node.name, given, node.attributes)
    assert isinstance(node, Read)
    rank = len(node.subscripts)
    rest = list(given[rank:])
    active = rest.pop(0) if node.active is not None else None
    otherwise = rest.pop(0) if node.otherwise is not None else None
    return Read(node.type, node.location, node.source, node.result, given[:rank], node.modes, active, otherwise)


def postorder(roots: Iterable[Node], known: Container[Node] = ()) -> list[Node]:
    """Every node below ``roots`` once, operands first, without recursion; not ``known`` ones and what only they use."""
    done: dict[Node, None] = {}
    stack = list(roots)[::-1]
    while stack:
        node = stack[-1]
        if node in done or node in known:
            stack.pop()
            continue
        below = [operand for operand in node.operands if operand not in done and operand not in known]
        if below:
            stack += reversed(below)
            continue
        done[node] = None
        stack.pop()
    return list(done)


Transform = Callable[[Node], Node]


def rebuild(roots: Sequence[Node], transform: Transform, done: dict[Node, Node] | None = None) -> tuple[Node, ...]:
    """Apply ``transform`` to every node, operands first; it is given the node over the transformed operands."""
    done = {} if done is None else done
    for node in postorder(roots, done):
        done[node] = transform(with_operands(node, [done[operand] for operand in node.operands]))
    return tuple(done[root] for root in roots)


def substitute(roots: Sequence[Node], positions: Sequence[Node]) -> tuple[Node, ...]:
    """The expressions with index ``k`` replaced by ``positions[k]``."""
    return rebuild(roots, lambda n: positions[n.number] if isinstance(n, Position) else n)


def positions_of(roots: Iterable[Node]) -> frozenset[int]:
    """The numbers of the indices that the expressions use."""
    return frozenset(n.number for n in postorder(roots) if isinstance(n, Position))


def reads_of(roots: Iterable[Node]) -> list[Read]:
    return [n for n in postorder(roots) if isinstance(n, Read)]


# ---------------------------------------------------------------- tensors


@dataclass(frozen=True, eq=False, repr=False)
class Source:
    """What can be read: an argument, a table, a comprehension."""

    location: Any


@dataclass(frozen=True, eq=False, repr=False)
class Argument(Source):
    """A tensor argument, by its place among the arguments of the function."""

    number: int
    type: Any


@dataclass(frozen=True, eq=False, repr=False)
class Table(Source):
    """A constant tensor."""

    values: Any
    type: Any


@dataclass(frozen=True, eq=False, repr=False)
class Domain:
    """Where a body is evaluated. ``names`` are only for people.

    ``extents``: one index expression of dims per index. ``constraints``: index expressions that must be >= 0.
    ``bounds``: lo, hi per reduced index over the parallel indices, or empty. ``where``: a further condition.
    """

    names: tuple[str, ...]
    parallel: int
    extents: tuple[Node, ...]
    constraints: tuple[Node, ...] = ()
    bounds: tuple[Node, ...] = ()
    where: Node | None = None

    @property
    def rank(self) -> int:
        return len(self.names)

    @property
    def reduced(self) -> range:
        return range(self.parallel, self.rank)

    @property
    def roots(self) -> tuple[Node, ...]:
        """All expressions of the domain, in a fixed order."""
        where = () if self.where is None else (self.where,)
        return (*self.extents, *self.constraints, *self.bounds, *where)

    @property
    def is_box(self) -> bool:
        return not self.constraints and not self.bounds and self.where is None

    def with_roots(self, roots: Sequence[Node]) -> Domain:
        """The domain over other expressions, in the order of ``roots``."""
        values = list(roots)
        extents = tuple(values[: len(self.extents)])
        rest = values[len(self.extents) :]
        constraints = tuple(rest[: len(self.constraints)])
        rest = rest[len(self.constraints) :]
        bounds = tuple(rest[: len(self.bounds)])
        where = rest[-1] if self.where is not None else None
        return replace(self, extents=extents, constraints=constraints, bounds=bounds, where=where)


@dataclass(frozen=True, eq=False, repr=False)
class Comprehension(Source):
    """A ``tw.map`` (no kinds, every index parallel) or a ``tw.fold``."""

    domain: Domain
    body: tuple[Node, ...]
    kinds: tuple[FoldKind, ...] = ()
    unsigned: bool = False

    @property
    def is_fold(self) -> bool:
        return bool(self.kinds)

    @cached_property
    def roots(self) -> tuple[Node, ...]:
        return (*self.body, *self.domain.roots)

    @cached_property
    def reads(self) -> list[Read]:
        return reads_of(self.roots)

    @cached_property
    def inputs(self) -> list[Source]:
        """What it reads, each once, in the order of the body."""
        return list(dict.fromkeys(read.source for read in self.reads))

    def with_roots(self, roots: Sequence[Node]) -> Comprehension:
        """The comprehension over other expressions; itself when they are its own."""
        if all(a is b for a, b in zip(self.roots, roots, strict=True)):
            return self
        count = len(self.body)
        return replace(self, body=tuple(roots[:count]), domain=self.domain.with_roots(roots[count:]))


Value = tuple[Source, int]
"""One result of a source."""


@dataclass(frozen=True)
class Program:
    """One kernel. ``function`` are the attributes of its ``func.func`` that say nothing about its body."""

    name: str
    location: Any
    attributes: tuple[tuple[str, Any], ...]
    argument_types: tuple[Any, ...]
    argument_attributes: tuple[Any, ...]
    result_attributes: tuple[Any, ...]
    dims: tuple[str, ...]
    outputs: tuple[Value, ...]

    @cached_property
    def comprehensions(self) -> list[Comprehension]:
        """Everything the outputs need, producers first."""
        return [source for source in self.sources if isinstance(source, Comprehension)]

    @cached_property
    def sources(self) -> list[Source]:
        done: dict[Source, None] = {}
        stack: list[tuple[Source, bool]] = [(source, False) for source, _ in reversed(self.outputs)]
        while stack:
            source, expanded = stack.pop()
            if source in done:
                continue
            inputs = source.inputs if isinstance(source, Comprehension) else []
            if expanded or not inputs:
                done[source] = None
                continue
            stack.append((source, True))
            stack.extend((child, False) for child in reversed(inputs) if child not in done)
        return list(done)

    @cached_property
    def readers(self) -> dict[Source, list[Comprehension]]:
        """Who reads each source, in the order of ``comprehensions``."""
        found: dict[Source, list[Comprehension]] = {source: [] for source in self.sources}
        for comprehension in self.comprehensions:
            for source in comprehension.inputs:
                found[source].append(comprehension)
        return found
