"""Owns reads of tensors: rank, subscripts, guards, and what is recorded for the checks of order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tilewright.compiler.language import tree, typed
from tilewright.compiler.language.check.bounds import Place, access
from tilewright.compiler.language.check.context import RecordedRead, Scope, Shaped
from tilewright.compiler.language.check.dtypes import ERROR, common, convert, is_float, poison, widened
from tilewright.compiler.language.check.printed import printed
from tilewright.compiler.language.check.problems import note

if TYPE_CHECKING:
    from tilewright.compiler.language.check.lower import Lowering


def read(lowering: Lowering, expr: tree.Read, scope: Scope) -> typed.Expr:
    """``name[subscripts]``, widened to its compute dtype (to an index in index arithmetic)."""
    shaped = _shaped(lowering, expr.name)
    if shaped is None or not _rank_fits(lowering, expr, shaped):
        for subscript in expr.subscripts:
            lowering.index(subscript, scope)
        return poison(expr.span)
    subscripts = tuple(lowering.index(s, scope) for s in expr.subscripts)
    if shaped.dtype == ERROR or any(s.dtype == ERROR for s in subscripts):
        return poison(expr.span)
    places = [
        Place(shaped.name, axis, subscript, extent, expr.span)
        for axis, (subscript, extent) in enumerate(zip(subscripts, shaped.shape, strict=True))
    ]
    ways = tuple(access(lowering.context, place, scope) for place in places)
    return _finished(lowering, typed.Read(expr.span, shaped.dtype, shaped.name, subscripts, ways), scope)


def whole(lowering: Lowering, expr: tree.Name, scope: Scope) -> typed.Expr:
    """A name without subscripts: the value of a name of rank 0."""
    shaped = lowering.context.shaped[expr.id]
    if shaped.dtype == ERROR:
        return poison(expr.span)
    if shaped.shape:
        subscripts = ", ".join("ijklmnpq"[: len(shaped.shape)])
        return lowering.arithmetic.refuse(
            "TW0402",
            expr.span,
            f"`{expr.id}` has rank {len(shaped.shape)} and is read with subscripts",
            expected=f"`{expr.id}[{subscripts}]`",
            found=f"`{expr.id}`",
            notes=note(shaped.span, f"`{expr.id}` is declared here"),
        )
    return _finished(lowering, typed.Read(expr.span, shaped.dtype, shaped.name, (), ()), scope)


def _finished(lowering: Lowering, result: typed.Read, scope: Scope) -> typed.Expr:
    context = lowering.context
    context.reads.append(RecordedRead(context.statement, result, (*context.facts, *scope.domain, *scope.path)))
    value = widened(result)
    if scope.as_index and not is_float(value.dtype) and value.dtype != "bool":
        return convert(result, typed.INDEX)
    return value


def _shaped(lowering: Lowering, name: tree.Name) -> Shaped | None:
    context = lowering.context
    if name.id in context.shaped:
        return context.shaped[name.id]
    if name.id in context.dims or name.id in context.consts or name.id in context.scalars or name.id in context.aliases:
        message = f"`{name.id}` is a single number and has no subscripts"
        lowering.arithmetic.refuse("TW0410", name.span, message, expected=f"`{name.id}`")
        return None
    lowering.unknown_tensor(name)
    return None


def _rank_fits(lowering: Lowering, expr: tree.Read, shaped: Shaped) -> bool:
    if len(expr.subscripts) == len(shaped.shape):
        return True
    shape = ", ".join(map(printed, shaped.shape))
    lowering.arithmetic.refuse(
        "TW0401",
        expr.span,
        f"`{shaped.name}` has rank {len(shaped.shape)}",
        expected=f"{len(shaped.shape)} subscripts, `{shaped.name}[{shape}]`" if shape else "no subscripts",
        found=f"{len(expr.subscripts)} subscript{'s' if len(expr.subscripts) != 1 else ''}",
        notes=note(shaped.span, f"`{shaped.name}` is declared here"),
    )
    return False


def guarded(lowering: Lowering, expr: tree.Guarded, scope: Scope) -> typed.Expr:
    """``(name[subscripts] else otherwise)``: both in one dtype."""
    inside = lowering.value(expr.read, replace(scope, guarded=True))
    otherwise = lowering.value(expr.otherwise, scope)
    if ERROR in (inside.dtype, otherwise.dtype):
        return poison(expr.span)
    dtype = inside.dtype if inside.dtype == otherwise.dtype else common(inside.dtype, otherwise.dtype)
    otherwise = lowering.arithmetic.fit(otherwise, dtype)
    if otherwise.dtype == ERROR:
        return poison(expr.span)
    return typed.Guarded(expr.span, dtype, convert(inside, dtype), otherwise)
