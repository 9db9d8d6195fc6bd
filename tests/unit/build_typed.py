"""Builds small typed kernels by hand, so that tests of the typed level need no parser."""

from __future__ import annotations

from collections.abc import Sequence

from tilewright.compiler.language import typed
from tilewright.compiler.language.span import Source, Span

SPAN = Span(Source("built.tw", ""), 1, 1, 1, 1)
Number = bool | int | float
FLOATS = ("f8e4m3", "f8e5m2", "f16", "bf16", "f32", "f64")
NARROW = {
    "f16": "f32",
    "bf16": "f32",
    "f8e4m3": "f32",
    "f8e5m2": "f32",
    "i8": "i32",
    "i16": "i32",
    "u8": "i32",
    "u16": "i32",
}


def num(value: Number, dtype: str = "index") -> typed.Literal:
    return typed.Literal(SPAN, dtype, value)


def dim(name: str) -> typed.Dim:
    return typed.Dim(SPAN, "index", name)


def idx(name: str) -> typed.Index:
    return typed.Index(SPAN, "index", name)


def expr(value: typed.Expr | str | int) -> typed.Expr:
    """Indices and dims by name (dims are upper case), integers as index literals."""
    if isinstance(value, str):
        return dim(value) if value[0].isupper() else idx(value)
    return num(value) if isinstance(value, int) else value


def read(tensor: str, dtype: str, *subscripts: typed.Expr | str | int) -> typed.Expr:
    """A read, widened as the checker does."""
    wrapped = tuple(expr(subscript) for subscript in subscripts)
    plain = typed.Read(SPAN, dtype, tensor, wrapped, (typed.Access.PROVED,) * len(wrapped))
    return cast(NARROW[dtype], plain) if dtype in NARROW else plain


def cast(dtype: str, operand: typed.Expr) -> typed.Expr:
    return operand if operand.dtype == dtype else typed.Cast(SPAN, dtype, operand)


def binary(op: str, left: typed.Expr | str | int, right: typed.Expr | str | int) -> typed.Expr:
    a, b = expr(left), expr(right)
    return typed.Binary(SPAN, a.dtype, op, a, b)


def add(left: typed.Expr | str | int, right: typed.Expr | str | int) -> typed.Expr:
    return binary("+", left, right)


def sub(left: typed.Expr | str | int, right: typed.Expr | str | int) -> typed.Expr:
    return binary("-", left, right)


def mul(left: typed.Expr | str | int, right: typed.Expr | str | int) -> typed.Expr:
    return binary("*", left, right)


def compare(op: str, left: typed.Expr | str | int, right: typed.Expr | str | int) -> typed.Expr:
    return typed.Compare(SPAN, "bool", op, expr(left), expr(right))


def both(left: typed.Expr, right: typed.Expr) -> typed.Expr:
    return typed.Logical(SPAN, "bool", "and", left, right)


def either(left: typed.Expr, right: typed.Expr) -> typed.Expr:
    return typed.Logical(SPAN, "bool", "or", left, right)


def select(condition: typed.Expr, then: typed.Expr, otherwise: typed.Expr) -> typed.Expr:
    return typed.Select(SPAN, then.dtype, condition, then, otherwise)


def call(function: str, *operands: typed.Expr, dtype: str | None = None, tensor: str | None = None) -> typed.Expr:
    return typed.Call(SPAN, dtype or operands[0].dtype, function, operands, False, tensor)


def guarded(inner: typed.Expr, otherwise: typed.Expr) -> typed.Expr:
    return typed.Guarded(SPAN, inner.dtype, inner, otherwise)


Bound = tuple[str, typed.Expr | str | int] | tuple[str, typed.Expr | str | int, typed.Expr | str | int]


def reduce(
    op: str,
    bounds: Sequence[Bound],
    body: typed.Expr,
    where: typed.Expr | None = None,
    rank: typed.Expr | None = None,
    dtype: str | None = None,
) -> typed.Expr:
    """``bounds``: ``(index, extent)`` or ``(index, lo, hi)``."""
    binders = tuple(
        typed.Binder(b[0], expr(0 if len(b) == 2 else b[1]), expr(b[1] if len(b) == 2 else b[2])) for b in bounds
    )
    if dtype is None:
        dtype = "index" if op in ("argmax", "argmin", "argtop") else body.dtype
    return typed.Reduce(SPAN, dtype, op, binders, where, body, rank, None)


def tensor(name: str, dtype: str, *shape: typed.Expr | str | int, role: str = "in") -> typed.Tensor:
    sizes = tuple(expr(size) for size in shape)
    return typed.Tensor(SPAN, name, dtype, sizes, typed.Layout(tuple(range(len(sizes)))), role)


def let(
    target: str,
    dtype: str,
    indices: Sequence[tuple[str, typed.Expr | str | int]],
    value: typed.Expr,
    *,
    op: str = "=",
    subscripts: Sequence[typed.Expr | str | int] | None = None,
    where: typed.Expr | None = None,
    local: bool = False,
    step: tuple[str, int] | None = None,
    cycle: tuple[str, ...] = (),
) -> typed.Statement:
    """A statement; ``subscripts`` given means scatter, ``local`` a name that is no output."""
    plain = subscripts is None
    left = tuple(expr(name) for name, _ in indices) if subscripts is None else tuple(expr(s) for s in subscripts)
    extents = tuple(typed.IndexExtent(name, expr(extent)) for name, extent in indices)
    return typed.Statement(
        SPAN, target, extents, left, op, cast(dtype, value), where, dtype, not plain,
        tuple(e.extent for e in extents) if local else None, step, cycle,
    )  # fmt: skip


def kernel(
    tensors: Sequence[typed.Tensor],
    outputs: Sequence[typed.Tensor],
    statements: Sequence[typed.Statement],
    *,
    scalars: Sequence[tuple[str, str]] = (),
    solutions: Sequence[tuple[str, typed.Expr]] = (),
    checks: Sequence[typed.Expr] = (),
    tables: Sequence[typed.Table] = (),
    dims: Sequence[str] = (),
) -> typed.TypedKernel:
    """Dims are bound by the plain dims of the inputs' shapes, then by ``solutions``; ``dims`` by the caller."""
    bindings = []
    for argument in tensors:
        for axis, size in enumerate(argument.shape):
            if isinstance(size, typed.Dim):
                bindings.append(typed.DimBinding(size.name, argument.name, axis, 1, 0))
    names = dict.fromkeys([b.dim for b in bindings] + [name for name, _ in solutions] + list(dims))
    return typed.TypedKernel(
        SPAN, "built", "", typed.Instance(), tuple(names), tuple(bindings),
        tuple(typed.DimSolution(name, value) for name, value in solutions),
        tuple(typed.LaunchCheck(SPAN, check, "the requirement", "TW0000") for check in checks),
        tuple(tensors), tuple(typed.ScalarParam(SPAN, name, dtype, None) for name, dtype in scalars),
        tuple(outputs), tuple(tables), tuple(statements),
    )  # fmt: skip
