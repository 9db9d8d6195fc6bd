"""Owns structural identity: digests of expressions and comprehensions that ignore names, places and operand order.

Two expressions with the same digest compute the same value; digests do not depend on the process, so that everything
sorted by them is deterministic.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from tilewright.dialect.faults import InternalFault
from tilewright.dialect.mlir import arith
from tilewright.passes.tensor.program import (
    Apply,
    Argument,
    Comprehension,
    Constant,
    Node,
    Parameter,
    Position,
    Read,
    Source,
    Symbol,
    Table,
    postorder,
)

Digest = bytes
DIGEST_BYTES = 16

_COMMUTATIVE = frozenset(
    f"arith.{name}"
    for name in (
        "addf", "mulf", "addi", "muli", "andi", "ori", "xori",
        "maximumf", "minimumf", "maxsi", "minsi", "maxui", "minui",
    )
)  # fmt: skip
_SYMMETRIC_INTEGER = frozenset({arith.CmpIPredicate.eq.value, arith.CmpIPredicate.ne.value})
_SYMMETRIC_FLOAT = frozenset(
    getattr(arith.CmpFPredicate, name).value for name in ("OEQ", "UNE", "ONE", "UEQ", "ORD", "UNO")
)


def is_commutative(node: Apply) -> bool:
    """Whether the two operands of ``node`` may be exchanged without any change of the result."""
    if node.name in _COMMUTATIVE:
        return True
    if node.name == "arith.cmpi":
        return predicate(node) in _SYMMETRIC_INTEGER
    return node.name == "arith.cmpf" and predicate(node) in _SYMMETRIC_FLOAT


def predicate(node: Apply) -> int:
    """The predicate of a comparison, as ``arith`` numbers it."""
    number: int = dict(node.attributes)["predicate"].value
    return number


def digest_of(*parts: Any) -> Digest:
    """A digest of bytes, strings and numbers, kept apart from each other."""
    stream = bytearray()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        stream += len(data).to_bytes(4, "little")
        stream += data
    return blake2b(stream, digest_size=DIGEST_BYTES).digest()


class Structure:
    """Digests of one program, remembered per node and source."""

    def __init__(self) -> None:
        self._texts: dict[Any, str] = {}
        self._nodes: dict[Node, Digest] = {}
        self._sources: dict[Source, Digest] = {}

    def text(self, attribute: Any) -> str:
        """The printed form of an MLIR attribute or type, remembered."""
        known = self._texts.get(attribute)
        if known is None:
            known = self._texts[attribute] = str(attribute)
        return known

    # ------------------------------------------------------------ nodes

    def node(self, root: Node) -> Digest:
        """The digest of an expression with its indices told apart by number."""
        known = self._nodes
        if root not in known:
            below = all(operand in known for operand in root.operands)
            for node in (root,) if below else postorder((root,), known):
                known[node] = self._one(node, known)
        return known[root]

    def _one(self, node: Node, known: Mapping[Node, Digest]) -> Digest:
        match node:
            case Position():
                return digest_of("position", node.number)
            case Symbol() | Parameter():
                return digest_of(type(node).__name__, node.number)
            case Constant():
                return digest_of("constant", self.text(node.attribute))
            case Apply():
                return self._apply(node, known)
            case Read():
                operands = [known[operand] for operand in node.operands]
                shape = (len(node.subscripts), node.active is not None, node.otherwise is not None)
                modes = ",".join(str(int(mode)) for mode in node.modes)
                return digest_of("read", self.source(node.source), node.result, *shape, modes, *operands)
        raise InternalFault(f"no digest for {type(node).__name__}")

    def _apply(self, node: Apply, known: Mapping[Node, Digest]) -> Digest:
        operands = [known[operand] for operand in node.arguments]
        if is_commutative(node):
            operands.sort()
        attributes = [f"{name}={self.text(value)}" for name, value in node.attributes]
        return digest_of(node.name, self.text(node.type), *attributes, "of", *operands)

    # ------------------------------------------------------------ sources

    def source(self, source: Source) -> Digest:
        """The digest of what a source holds: what it reads is digested first, without recursion."""
        stack = [source]
        while stack:
            current = stack[-1]
            inputs = current.inputs if isinstance(current, Comprehension) else []
            unknown = [s for s in inputs if s not in self._sources]
            if unknown and current not in self._sources:
                stack += unknown
                continue
            stack.pop()
            if current not in self._sources:
                self._sources[current] = self._source(current)
        return self._sources[source]

    def _source(self, source: Source) -> Digest:
        match source:
            case Argument():
                return digest_of("argument", source.number)
            case Table():
                return digest_of("table", self.text(source.values))
            case Comprehension():
                return self._comprehension(source)
        raise InternalFault(f"no digest for {type(source).__name__}")

    def _comprehension(self, source: Comprehension) -> Digest:
        kinds = "+".join(kind.value for kind in source.kinds)
        body = [self.node(root) for root in source.body]
        return digest_of("comprehension", kinds, source.unsigned, *body, self.domain(source))

    def domain(self, source: Comprehension) -> Digest:
        """The digest of a domain: where the body is evaluated and which indices are reduced."""
        domain = source.domain
        constraints = sorted(self.node(root) for root in domain.constraints)
        ends = [self.node(root) for root in domain.bounds]
        where = [] if domain.where is None else [self.node(domain.where)]
        extents = [self.node(root) for root in domain.extents]
        return digest_of("domain", domain.parallel, *extents, "|", *constraints, "|", *ends, "|", *where)
