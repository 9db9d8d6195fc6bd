"""Owns the typed kernel: what a program means once macros are gone and types, consts and extents are known.

The checker makes it, the reference interpreter gives it meaning, ``emit`` turns it into the tensor level. One typed
kernel belongs to one choice of types and consts (``Instance``); dims stay symbols. Invariants, kept by the checker:

* no macros; type names are dtypes; consts are literals; every index of the kernel has a name of its own (shadowed
  ones are renamed ``j.1``);
* every expression carries its compute ``dtype``: one of the language's dtypes, or ``"index"`` for integers that are
  not read from tensors or scalars (literals, dims, extents, indices; 64-bit, compared and combined among themselves);
  conversions are explicit ``Cast`` nodes, so both operands of a ``Binary``, ``Compare`` or ``Select`` agree;
* a ``Read`` of a float narrower than f32 is wrapped in ``Cast("f32", ...)``, a narrow integer in ``Cast("i32", ...)``;
* a value that is stored is wrapped in the ``Cast`` that rounds it to the stored dtype;
* chained comparisons, ``and``/``or`` are ``Logical`` nodes; ``mean`` stays a ``Reduce``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from tilewright.compiler.language.span import Span

INDEX = "index"
DTYPES = (
    "bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "f8e4m3", "f8e5m2", "f16", "bf16", "f32", "f64",
)  # fmt: skip


@dataclass(frozen=True)
class TypedNode:
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True)
class Expr(TypedNode):
    dtype: str


@dataclass(frozen=True)
class Literal(Expr):
    """A constant; ``value`` is a bool, an int (index or integer dtype) or a float (inf and nan too)."""

    value: bool | int | float


@dataclass(frozen=True)
class Dim(Expr):
    """A dim symbol, dtype ``index``."""

    name: str


@dataclass(frozen=True)
class Scalar(Expr):
    """A run-time scalar argument in its declared dtype."""

    name: str


@dataclass(frozen=True)
class Index(Expr):
    """A free or bound index, dtype ``index``."""

    name: str


class Access(Enum):
    """How a read was shown to stay inside its tensor."""

    PROVED = "proved"  # for every shape that the requires admit
    LAUNCH = "launch"  # if the kernel's launch checks hold
    GATHER = "gather"  # depends on values: checked at run time where checks are on
    GUARDED = "guarded"  # inside a Guarded node, or protected by a condition on its path


@dataclass(frozen=True)
class Read(Expr):
    """An element of a tensor argument, of an earlier statement's name, or of a constant table.

    Subscripts have dtype ``index`` (data-dependent ones contain ``Cast("index", ...)``). ``access`` is per subscript.
    """

    tensor: str
    subscripts: tuple[Expr, ...]
    access: tuple[Access, ...]


@dataclass(frozen=True)
class Guarded(Expr):
    """``read`` (perhaps under the widening Cast) where all of its subscripts, nested gathers' too, are inside, else
    ``otherwise``; both have this node's dtype."""

    read: Expr
    otherwise: Expr


@dataclass(frozen=True)
class Unary(Expr):
    """``-`` (arithmetic), ``~`` (bitwise), ``not`` (bool)."""

    op: str
    operand: Expr


@dataclass(frozen=True)
class Binary(Expr):
    """``+ - * / // % ** << >> & | ^``; operands share this node's dtype. ``/`` only on floats; ``//`` and ``%`` round
    to minus infinity; ``min``/``max`` propagate NaN and are Binary too (op ``min``, ``max``)."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Compare(Expr):
    """``< <= > >= == !=`` on operands of one dtype; dtype ``bool``."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Logical(Expr):
    """``and`` / ``or`` on bools, left to right, the right side protected by the left one."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Select(Expr):
    """``then if condition else otherwise``: only the chosen side is evaluated."""

    condition: Expr
    then: Expr
    otherwise: Expr


@dataclass(frozen=True)
class Cast(Expr):
    """Conversion to ``dtype`` as the language has it: round to nearest even, truncate and saturate to integers."""

    operand: Expr


@dataclass(frozen=True)
class Bitcast(Expr):
    operand: Expr


@dataclass(frozen=True)
class Call(Expr):
    """A scalar built-in (``exp``, ``tanh``, ``fma``, ``rand``, ``segment`` …) on operands of the dtypes it takes.

    ``approximate`` is set inside ``approx(...)``. ``segment(off, t)`` has ``tensor`` set and one operand.
    """

    function: str
    operands: tuple[Expr, ...]
    approximate: bool = False
    tensor: str | None = None


@dataclass(frozen=True)
class Binder:
    """A bound index over ``lo <= index < hi`` (``lo`` is literal 0 for a plain extent), both of dtype ``index``.

    Bounds may read tensors and mention free indices and earlier binders of outer reductions, not of this one.
    """

    index: str
    lo: Expr
    hi: Expr


@dataclass(frozen=True)
class Reduce(Expr):
    """``op`` over all points of ``binders`` that satisfy ``where``.

    ``op``: sum prod max min mean any all argmax argmin argtop top. ``rank`` is the ``r`` of argtop and top.
    ``scan`` names the free index ``t`` when the reduction is a scan along it (``sum[u where u <= t](…)``); its meaning
    is that of the reduction all the same. argmax and its kin give the row-major position among the binders as
    ``index`` (-1 over no points).
    """

    op: str
    binders: tuple[Binder, ...]
    where: Expr | None
    body: Expr
    rank: Expr | None = None
    scan: str | None = None


# ---------------------------------------------------------------- declarations


@dataclass(frozen=True)
class Layout:
    """Axis order from slowest to fastest (identity is row-major), or strides known at run time only."""

    order: tuple[int, ...] | None
    strided: bool = False


@dataclass(frozen=True)
class Tensor(TypedNode):
    """A tensor argument or output; ``shape`` are expressions over dims. ``role``: "in", "inout" or "out"."""

    name: str
    dtype: str
    shape: tuple[Expr, ...]
    layout: Layout
    role: str


@dataclass(frozen=True)
class ScalarParam(TypedNode):
    name: str
    dtype: str
    default: bool | int | float | None


@dataclass(frozen=True)
class DimBinding:
    """``dim`` is ``(extent of axis ``axis`` of ``tensor`` - offset) / scale``, which must divide exactly."""

    dim: str
    tensor: str
    axis: int
    scale: int
    offset: int


@dataclass(frozen=True)
class DimSolution:
    """``dim`` equals ``value``, an expression over dims known before it (from a ``require``)."""

    dim: str
    value: Expr


@dataclass(frozen=True)
class LaunchCheck(TypedNode):
    """A condition over dims that must hold at launch; ``text`` is how a message names it, ``code`` its error code."""

    condition: Expr
    text: str
    code: str


@dataclass(frozen=True)
class Table(TypedNode):
    """A constant tensor of f32 or i32 (``index`` is not stored), rows flattened in row-major order."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: tuple[float | int, ...]


@dataclass(frozen=True)
class IndexExtent:
    """A free index of a statement runs over ``0 <= index < extent``."""

    index: str
    extent: Expr


@dataclass(frozen=True)
class Statement(TypedNode):
    """``target[subscripts] op value where where`` for all points of ``indices``.

    ``target`` is an output, an inout or a local name. ``dtype`` is what is stored (locals: the compute dtype).
    ``scatter`` is False when the subscripts are the indices themselves, each once, in order. ``local_shape`` is the
    shape of a local name (expressions over dims), and None for outputs and inouts. ``step`` is set for recurrences:
    the index they step and +1 or -1; ``cycle`` lists the names that are defined together.
    """

    target: str
    indices: tuple[IndexExtent, ...]
    subscripts: tuple[Expr, ...]
    op: str
    value: Expr
    where: Expr | None
    dtype: str
    scatter: bool
    local_shape: tuple[Expr, ...] | None = None
    step: tuple[str, int] | None = None
    cycle: tuple[str, ...] = ()


@dataclass(frozen=True)
class Instance:
    """One choice of types and consts: what a typed kernel is specialised on."""

    types: tuple[tuple[str, str], ...] = ()
    consts: tuple[tuple[str, bool | int | float], ...] = ()


@dataclass(frozen=True)
class ScheduleSetting:
    """One setting of a ``schedule`` block: ``key`` as written, e.g. ``("tile", "s", "j")``, with its value."""

    key: tuple[str, ...]
    value: int
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True)
class TypedKernel(TypedNode):
    name: str
    doc: str
    instance: Instance
    dims: tuple[str, ...]
    bindings: tuple[DimBinding, ...]
    solutions: tuple[DimSolution, ...]
    checks: tuple[LaunchCheck, ...]
    tensors: tuple[Tensor, ...]  # inputs and inouts in declared order
    scalars: tuple[ScalarParam, ...]
    outputs: tuple[Tensor, ...]
    tables: tuple[Table, ...]
    statements: tuple[Statement, ...]
    schedules: tuple[tuple[str, tuple[ScheduleSetting, ...]], ...] = ()  # per target
