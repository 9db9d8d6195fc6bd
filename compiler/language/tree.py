"""Owns the syntax tree: what was written, with its place, and nothing that was inferred.

Every node is a frozen dataclass with a ``span``. Expressions keep the written form (chained comparisons, unexpanded
macros, parentheses dropped); ``check`` turns them into the typed kernel of ``typed.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tilewright.compiler.language.span import Source, Span


@dataclass(frozen=True)
class Node:
    span: Span = field(repr=False)  # each span holds the whole text: a printed tree leaves them out


# ---------------------------------------------------------------- expressions


@dataclass(frozen=True)
class Expr(Node):
    pass


@dataclass(frozen=True)
class Number(Expr):
    """A literal: ``int`` for integers (decimal or hex), ``float`` otherwise; ``text`` as written."""

    value: int | float
    text: str


@dataclass(frozen=True)
class Name(Expr):
    """An index, dim, const, scalar, type, rank-0 name, or one of ``inf nan pi true false``."""

    id: str


@dataclass(frozen=True)
class Read(Expr):
    """``name[subscripts]``."""

    name: Name
    subscripts: tuple[Expr, ...]


@dataclass(frozen=True)
class Guarded(Expr):
    """``(name[subscripts] else otherwise)``."""

    read: Read
    otherwise: Expr


@dataclass(frozen=True)
class Unary(Expr):
    """``-x``, ``~x``, ``not x``."""

    op: str
    operand: Expr


@dataclass(frozen=True)
class Binary(Expr):
    """One of ``+ - * / // % ** << >> & | ^ and or``."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Compare(Expr):
    """A chain ``a < b <= c``: ``ops`` has one entry less than ``operands``."""

    ops: tuple[str, ...]
    operands: tuple[Expr, ...]


@dataclass(frozen=True)
class IfElse(Expr):
    """``then if condition else otherwise``."""

    condition: Expr
    then: Expr
    otherwise: Expr


@dataclass(frozen=True)
class Call(Expr):
    """``name(arguments)``: a built-in, a cast, or a macro without indices."""

    name: Name
    arguments: tuple[Expr, ...]


@dataclass(frozen=True)
class Binder(Node):
    """``j``, ``j: extent`` or ``j in lo .. hi``; exactly one of the two forms may be present."""

    name: Name
    extent: Expr | None = None
    lo: Expr | None = None
    hi: Expr | None = None


@dataclass(frozen=True)
class Reduce(Expr):
    """``name[binders where condition](arguments)``: a reduction, a scan, a selection or an index macro."""

    name: Name
    binders: tuple[Binder, ...]
    where: Expr | None
    arguments: tuple[Expr, ...]


@dataclass(frozen=True)
class Table(Node):
    """``[1.0, -0.5]``, nested for more ranks; rows keep what was written, ragged ones are refused by ``check``."""

    items: tuple[Table | Number, ...]


# ---------------------------------------------------------------- declarations


@dataclass(frozen=True)
class TypeParam(Node):
    """``T: float`` or ``T: f16 | bf16``."""

    name: Name
    classes: tuple[Name, ...]


@dataclass(frozen=True)
class Layout(Node):
    """``order(1, 0)`` (``order`` is set) or ``strided`` (``order`` is None)."""

    order: tuple[int, ...] | None


@dataclass(frozen=True)
class Param(Node):
    """A tensor (``shape`` is a tuple), a scalar (``shape`` None), or an output of rank 0 (``shape`` None)."""

    name: Name
    type: Name
    qualifier: str | None  # "const", "inout"
    shape: tuple[Expr, ...] | None
    layout: Layout | None
    default: Expr | None


@dataclass(frozen=True)
class Require(Node):
    condition: Expr


@dataclass(frozen=True)
class Subscript(Node):
    """One left subscript: an expression, with the written extent of ``i: E``."""

    index: Expr
    extent: Expr | None


@dataclass(frozen=True)
class Statement(Node):
    """``name[subscripts] op value where condition``; ``subscripts`` is None for ``name = value``."""

    name: Name
    subscripts: tuple[Subscript, ...] | None
    op: str  # "=", "+=", "max=", "min="
    value: Expr | Table
    where: Expr | None


@dataclass(frozen=True)
class Kernel(Node):
    name: Name
    type_params: tuple[TypeParam, ...]
    dims: tuple[Name, ...]
    tensors: tuple[Param, ...]
    scalars: tuple[Param, ...]  # after the ";": run-time scalars and consts
    outputs: tuple[Param, ...]
    requires: tuple[Require, ...]
    statements: tuple[Statement, ...]
    doc: str


@dataclass(frozen=True)
class Macro(Node):
    name: Name
    indices: tuple[Name, ...]
    params: tuple[Name, ...]
    body: Expr
    doc: str


@dataclass(frozen=True)
class Import(Node):
    """``import a.b`` (``names`` empty) or ``from a.b import x, y``."""

    module: tuple[Name, ...]
    names: tuple[Name, ...]


@dataclass(frozen=True)
class ScheduleArgument(Node):
    """``i=128`` or ``s.j=64`` (``key`` is ``("s", "j")``), or a bare number or word (``key`` empty)."""

    key: tuple[Name, ...]
    value: Expr


@dataclass(frozen=True)
class ScheduleLine(Node):
    name: Name
    arguments: tuple[ScheduleArgument, ...]


@dataclass(frozen=True)
class Schedule(Node):
    kernel: Name
    target: Name
    lines: tuple[ScheduleLine, ...]


@dataclass(frozen=True)
class File:
    """One parsed file: its items by kind, in the order of the text (comments stay in the text, see ``format``)."""

    source: Source
    imports: tuple[Import, ...]
    macros: tuple[Macro, ...]
    kernels: tuple[Kernel, ...]
    schedules: tuple[Schedule, ...]
