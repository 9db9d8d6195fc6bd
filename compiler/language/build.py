"""Owns turning Lark's raw tree of one item or line into the nodes of ``tree.py``.

Iterative, so that no depth of input can exhaust the stack. What the grammar admits only because LALR(1) cannot tell
(a read and the brackets of a reduction look alike) is decided here, each with an error of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from lark import Token, Tree

from tilewright.compiler.language import limits, tree
from tilewright.compiler.language.declarations import check_params
from tilewright.compiler.language.errors import Diagnostic, Note
from tilewright.compiler.language.span import Source, Span


@dataclass(frozen=True)
class Bracketed(tree.Node):
    """One entry between brackets before it is known what they are: ``parts`` are one, two or three expressions."""

    kind: str  # "plain", "extent", "range"
    parts: tuple[tree.Expr, ...]


class Brackets(NamedTuple):
    entries: tuple[Bracketed, ...]
    where: tree.Expr | None


class Header(NamedTuple):
    """A kernel's first line."""

    span: Span
    name: tree.Name
    type_params: tuple[tree.TypeParam, ...]
    dims: tuple[tree.Name, ...]
    tensors: tuple[tree.Param, ...]
    scalars: tuple[tree.Param, ...]
    outputs: tuple[tree.Param, ...]


class ScheduleHeader(NamedTuple):
    span: Span
    kernel: tree.Name
    target: tree.Name


MEANT = frozenset(
    "NAME NUMBER QUALIFIER ASSIGN COMPARE SHIFT POWER TIMES PLUS MINUS PIPE CARET AMPERSAND TILDE OR AND NOT".split()
)
"""The tokens that carry meaning."""

LEVELS = frozenset("conditional binary unary compare call reduce guarded guarded_argument read table".split())
"""The rules that make a level of an expression's tree."""

Built = Any
"""A node, a tuple of nodes, or one of the intermediate records above."""


class Builder:
    """Builds nodes for texts that begin at ``offset`` of ``source``; what is wrong goes to ``errors``."""

    def __init__(self, source: Source, offset: int, doc: str, errors: list[Diagnostic]) -> None:
        self.source = source
        self.offset = offset
        self.doc = doc
        self.errors = errors

    def build(self, root: Tree[Any]) -> Built:
        """The node of ``root``, from the leaves up."""
        done: dict[int, Built] = {}
        depths: dict[int, int] = {}
        places: dict[int, tuple[int, int]] = {}
        for one in _leaves_first(root):
            places[id(one)] = place = _place(one, places)
            depths[id(one)] = depth = _depth(one, depths)
            if depth == limits.EXPRESSION_DEPTH + 1 and one.data in LEVELS:
                self.too_deep(self.span(*place))
            children = [done[id(c)] if isinstance(c, Tree) else self.leaf(c) for c in one.children if _matters(c)]
            handler: Callable[..., Built] = getattr(self, str(one.data))
            done[id(one)] = handler(self.span(*place), *children)
        return done[id(root)]

    def too_deep(self, span: Span) -> None:
        """Later stages recurse over expressions, so their depth is bounded."""
        note = Note(None, "give a part of it a name of its own")
        expected = f"at most {limits.EXPRESSION_DEPTH} levels"
        self.error("TW0807", span, "this expression is too deep", note, expected)

    def leaf(self, token: Token | None) -> Built:
        if token is None or token.type not in ("NAME", "NUMBER"):
            return token
        span = self.span(*_extent(token))
        return tree.Name(span, str(token)) if token.type == "NAME" else _number(span, str(token))

    def span(self, start: int, end: int) -> Span:
        return self.source.span(self.offset + start, self.offset + end)

    def error(self, code: str, span: Span, message: str, note: Note | None = None, expected: str = "") -> None:
        self.errors.append(Diagnostic(code, span, message, expected, notes=(note,) if note else ()))

    # ---------------------------------------------------------------- items

    def item(self, span: Span, first: Built, *rest: Built) -> Built:
        if isinstance(first, Header):
            return self.kernel(first, rest)
        if isinstance(first, ScheduleHeader):
            return tree.Schedule(first.span.to(rest[-1].span), first.kernel, first.target, rest)
        return first

    def kernel(self, header: Header, body: tuple[Built, ...]) -> tree.Kernel:
        requires = tuple(one for one in body if isinstance(one, tree.Require))
        statements = tuple(one for one in body if isinstance(one, tree.Statement))
        return tree.Kernel(
            header.span.to(statements[-1].span),
            header.name,
            header.type_params,
            header.dims,
            header.tensors,
            header.scalars,
            header.outputs,
            requires,
            statements,
            self.doc,
        )

    def inner(self, span: Span, one: Built) -> Built:
        """What stands between words or brackets."""
        return one

    header = body_line = setting = scalars = default = where = extent = inner

    def import_(self, span: Span, module: tuple[tree.Name, ...]) -> tree.Import:
        return tree.Import(span, module, ())

    def from_import(self, span: Span, module: tuple[tree.Name, ...], names: tuple[tree.Name, ...]) -> tree.Import:
        return tree.Import(span, module, names)

    def many(self, span: Span, *parts: Built) -> tuple[Built, ...]:
        return parts

    module = names = indices = shape = params = type_params = left = arguments = many

    def macro(self, span: Span, name: Built, indices: Built, params: Built, body: Built) -> tree.Macro:
        return tree.Macro(span, name, indices or (), params or (), body, self.doc)

    def kernel_header(
        self, span: Span, name: Built, types: Built, dims: Built, tensors: Built, scalars: Built, outputs: Built
    ) -> Header:
        self.errors += check_params(tensors or (), scalars or (), outputs)
        return Header(span, name, types or (), dims or (), tensors or (), scalars or (), outputs)

    def type_param(self, span: Span, name: tree.Name, *classes: Built) -> tree.TypeParam:
        return tree.TypeParam(span, name, tuple(one for one in classes if isinstance(one, tree.Name)))

    def param(
        self, span: Span, qualifier: Built, name: Built, type_: Built, shape: Built, layout: Built, default: Built
    ) -> tree.Param:
        return tree.Param(span, name, type_, str(qualifier) if qualifier else None, shape, layout, default)

    def order(self, span: Span, *axes: tree.Number) -> tree.Layout:
        for axis in axes:
            if not isinstance(axis.value, int):
                self.error("TW0118", axis.span, "an axis is a whole number")
        return tree.Layout(span, tuple(int(axis.value) for axis in axes))

    def strided(self, span: Span) -> tree.Layout:
        return tree.Layout(span, None)

    def schedule_header(self, span: Span, kernel: tree.Name, target: tree.Name) -> ScheduleHeader:
        return ScheduleHeader(span, kernel, target)

    def schedule_line(self, span: Span, name: tree.Name, *arguments: Built) -> tree.ScheduleLine:
        return tree.ScheduleLine(span, name, tuple(one for one in arguments if one is not None))

    def setting_argument(self, span: Span, *parts: Built) -> tree.ScheduleArgument:
        return tree.ScheduleArgument(span, parts[:-1], parts[-1])

    qualified_argument = setting_argument

    def bare_argument(self, span: Span, value: tree.Expr) -> tree.ScheduleArgument:
        return tree.ScheduleArgument(span, (), value)

    # ---------------------------------------------------------------- bodies

    def require(self, span: Span, condition: tree.Expr) -> tree.Require:
        return tree.Require(span, condition)

    def statement(self, span: Span, name: Built, left: Built, op: Built, value: Built, where: Built) -> tree.Statement:
        return tree.Statement(span, name, left, str(op), value, where)

    def table_statement(self, span: Span, name: Built, op: Built, value: Built) -> tree.Statement:
        if str(op) != "=":
            self.error("TW0130", span, "a constant tensor is defined with `=`")
        return tree.Statement(span, name, None, str(op), value, None)

    def subscript(self, span: Span, index: tree.Expr, extent: tree.Expr | None) -> tree.Subscript:
        return tree.Subscript(span, index, extent)

    def table(self, span: Span, *items: tree.Table | tree.Number) -> tree.Table:
        return tree.Table(span, items)

    def negative_cell(self, span: Span, minus: Token, number: tree.Number) -> tree.Number:
        return tree.Number(span, -number.value, "-" + number.text)

    # ---------------------------------------------------------------- expressions

    def conditional(self, span: Span, then: Built, condition: Built, otherwise: Built) -> tree.IfElse:
        return tree.IfElse(span, condition, then, otherwise)

    def binary(self, span: Span, left: Built, op: Token, right: Built) -> tree.Binary:
        return tree.Binary(span, str(op), left, right)

    def unary(self, span: Span, op: Token, operand: Built) -> tree.Unary:
        return tree.Unary(span, str(op), operand)

    def compare(self, span: Span, *parts: Built) -> tree.Compare:
        return tree.Compare(span, tuple(str(op) for op in parts[1::2]), tuple(parts[0::2]))

    number = name = parenthesised = cell = inner

    def call(self, span: Span, name: tree.Name, arguments: Built) -> tree.Call:
        return tree.Call(span, name, arguments or ())

    def guarded(self, span: Span, read: tree.Read, otherwise: tree.Expr) -> tree.Guarded:
        return tree.Guarded(span, read, otherwise)

    guarded_argument = guarded

    def read(self, span: Span, name: tree.Name, brackets: Brackets) -> tree.Read:
        for entry in brackets.entries:
            if entry.kind != "plain":
                self.error("TW0120", entry.span, f"a subscript of `{name.id}` is one integer expression: no slices")
        if brackets.where is not None:
            self.error("TW0124", brackets.where.span, "`where` stands in the brackets of a reduction, not of a read")
        return tree.Read(span, name, tuple(entry.parts[0] for entry in brackets.entries))

    def reduce(self, span: Span, name: tree.Name, brackets: Brackets, arguments: Built) -> tree.Reduce:
        binders = tuple(self.as_binder(name, entry) for entry in brackets.entries)
        return tree.Reduce(span, name, binders, brackets.where, arguments)

    def as_binder(self, reduction: tree.Name, entry: Bracketed) -> tree.Binder:
        index, *rest = entry.parts
        if not isinstance(index, tree.Name):
            message = f"`{reduction.id}[...](...)` binds new indices: each is a name"
            self.error("TW0119", index.span, message, expected="`j`, `j: E` or `j in lo .. hi`")
            index = tree.Name(index.span, "_")
        if entry.kind == "extent":
            return tree.Binder(entry.span, index, extent=rest[0])
        return tree.Binder(entry.span, index, None, *rest)

    def binders(self, span: Span, *parts: Built) -> Brackets:
        return Brackets(parts[:-1], parts[-1])

    def binder(self, span: Span, index: tree.Expr) -> Bracketed:
        return Bracketed(span, "plain", (index,))

    def extent_binder(self, span: Span, index: tree.Expr, extent: tree.Expr) -> Bracketed:
        return Bracketed(span, "extent", (index, extent))

    def range_binder(self, span: Span, index: tree.Expr, lo: tree.Expr, hi: tree.Expr) -> Bracketed:
        return Bracketed(span, "range", (index, lo, hi))


def _matters(child: Tree[Any] | Token | None) -> bool:
    """Whether a handler sees ``child``: brackets, commas and words only mark places."""
    return not isinstance(child, Token) or child.type in MEANT


def _extent(token: Token) -> tuple[int, int]:
    assert token.start_pos is not None and token.end_pos is not None
    return token.start_pos, token.end_pos


def _place(one: Tree[Any], places: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Where ``one`` starts and ends, from its first and last child."""
    present = [child for child in one.children if child is not None]
    first, last = (places[id(c)] if isinstance(c, Tree) else _extent(c) for c in (present[0], present[-1]))
    return first[0], last[1]


def _depth(one: Tree[Any], depths: dict[int, int]) -> int:
    """How many levels of an expression ``one`` has."""
    below = max((depths[id(child)] for child in one.children if isinstance(child, Tree)), default=0)
    return below + (one.data in LEVELS)


def _leaves_first(root: Tree[Any]) -> list[Tree[Any]]:
    order, stack = [], [root]
    while stack:
        one = stack.pop()
        order.append(one)
        stack += [child for child in one.children if isinstance(child, Tree)]
    return order[::-1]


def _number(span: Span, text: str) -> tree.Number:
    if text[:2].lower() == "0x":
        return tree.Number(span, int(text, 16), text)
    return tree.Number(span, int(text) if text.isdigit() else float(text), text)
