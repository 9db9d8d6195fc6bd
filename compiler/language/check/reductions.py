"""Owns reductions, scans and selections: binders, bounds, the dtype of the result, and which reductions are scans."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tilewright.compiler.language import limits, tree, typed
from tilewright.compiler.language.check.context import Range, Scope
from tilewright.compiler.language.check.dtypes import ERROR, WEAK, convert, is_float, poison, strengthened
from tilewright.compiler.language.check.extents import elected
from tilewright.compiler.language.check.problems import note, replaced
from tilewright.compiler.language.check.vocabulary import CUMULATIVE, FUNCTIONS, INDEXED, SELECTIONS
from tilewright.compiler.language.check.walk import parts

if TYPE_CHECKING:
    from tilewright.compiler.language.check.lower import Lowering

POSITIONS = ("argmax", "argmin", "argtop")


def reduction(lowering: Lowering, expr: tree.Reduce, scope: Scope) -> typed.Expr:
    """``name[binders where condition](arguments)``."""
    name = expr.name.id
    if name == "extent":
        return _extent(lowering, expr, scope)
    if name not in INDEXED:
        return _no_reduction(lowering, expr)
    wanted = 2 if name in SELECTIONS else 1
    if len(expr.arguments) != wanted:
        form = f"`{name}[j](x, r)`" if wanted == 2 else f"`{name}[j](x)`"
        message, found = f"`{name}` takes {wanted} argument{'s'[: wanted - 1]}", str(len(expr.arguments))
        return lowering.arithmetic.refuse("TW0309", expr.span, message, expected=form, found=found)
    if name in CUMULATIVE:
        return _cumulative(lowering, expr, replace(scope, as_index=False))
    return _reduced(lowering, expr, replace(scope, as_index=False))


def _no_reduction(lowering: Lowering, expr: tree.Reduce) -> typed.Expr:
    name = expr.name.id
    if name in FUNCTIONS:
        message = f"`{name}` binds no index: write `{name}(…)`"
        return lowering.arithmetic.refuse("TW0210", expr.name.span, message)
    return lowering.unknown_function(expr, INDEXED | lowering.macros)


def _reduced(lowering: Lowering, expr: tree.Reduce, scope: Scope) -> typed.Expr:
    name = expr.name.id
    ranges = _ranges(lowering, expr, scope)
    if ranges is None:
        return poison(expr.span)
    inner = scope
    for binder, range_ in zip(expr.binders, ranges, strict=True):
        inner = lowering.context.renamed(inner, binder.name.id, range_)
    where, inner = bounded(lowering, expr.where, inner)
    body = lowering.value(expr.arguments[0], inner)
    rank = lowering.index(expr.arguments[1], scope) if name in SELECTIONS else None
    if ERROR in (body.dtype, where.dtype if where else "", rank.dtype if rank else ""):
        return poison(expr.span)
    body = _operand(lowering, name, body)
    if name in POSITIONS:  # nothing around the position decides the type of what is compared
        body = strengthened(body)
    dtype = typed.INDEX if name in POSITIONS else body.dtype
    if dtype == ERROR:
        return poison(expr.span)
    binders = tuple(typed.Binder(r.index, r.lo, r.hi) for r in ranges)
    result = typed.Reduce(expr.span, dtype, name, binders, where, body, rank)
    return replace(result, scan=_scanned(result, scope))


def bounded(lowering: Lowering, where: tree.Expr | None, scope: Scope) -> tuple[typed.Expr | None, Scope]:
    """The condition of a ``where`` (None if there is none, or if it always holds) and the scope under it."""
    if where is None:
        return None, scope
    condition = lowering.condition(where, scope)
    if isinstance(condition, typed.Literal) and condition.value is True:
        return None, scope
    return condition, lowering.context.under(scope, condition)


def _operand(lowering: Lowering, name: str, body: typed.Expr) -> typed.Expr:
    """The body in the dtype that the reduction works in."""
    if name in ("any", "all"):
        return lowering.arithmetic.condition(body)
    if name == "mean" and not is_float(body.dtype):
        return convert(body, WEAK if body.dtype == typed.INDEX else "f32")
    return convert(body, "i32") if body.dtype == "bool" else body


# ---------------------------------------------------------------- binders


def _ranges(lowering: Lowering, expr: tree.Reduce, scope: Scope) -> list[Range] | None:
    """The range of each binder; None after an error."""
    names = [b.name.id for b in expr.binders]
    if len(names) > limits.RANK:
        message = f"this reduction binds more than {limits.RANK} indices"
        lowering.arithmetic.refuse("TW0812", expr.span, message, found=str(len(names)))
        return None
    ranges: list[Range] = []
    for at, binder in enumerate(expr.binders):
        if binder.name.id in names[:at]:
            text = binder.name.id.split("@")[0]
            lowering.arithmetic.refuse("TW0415", binder.name.span, f"index `{text}` is bound twice here")
            return None
        if not lowering.may_be_index(binder.name):
            return None
        bounds = _bounds(lowering, expr, binder, scope)
        if bounds is None or ERROR in (bounds[0].dtype, bounds[1].dtype):
            return None
        ranges.append(Range(lowering.context.unique(binder.name.id), *bounds))
    return ranges


def _bounds(
    lowering: Lowering, expr: tree.Reduce, binder: tree.Binder, scope: Scope
) -> tuple[typed.Expr, typed.Expr] | None:
    zero = typed.Literal(binder.span, typed.INDEX, 0)
    if binder.lo is not None and binder.hi is not None:
        return lowering.index(binder.lo, scope), lowering.index(binder.hi, scope)
    if binder.extent is not None:
        return zero, lowering.index(binder.extent, scope)
    inside = [*expr.arguments[: 1 if expr.name.id in SELECTIONS else None], *([expr.where] if expr.where else [])]
    inside += [e for b in expr.binders for e in (b.extent, b.lo, b.hi) if e is not None]
    context = lowering.context
    extent = elected(context, binder.name, lowering.ballot.of(binder.name.id, inside), context.defining)
    if extent is not None:
        return zero, extent
    name = binder.name.id.split("@")[0]
    lowering.arithmetic.refuse(
        "TW0405",
        binder.name.span,
        f"nothing says how far index `{name}` runs",
        expected=f"a read in which `{name}` alone is a subscript, or a written extent",
        notes=note(None, "guarded reads and subscripts like `i + 1` do not determine an extent"),
        fix=replaced(binder.name.span, f"{name}: N"),
    )
    return None


def _extent(lowering: Lowering, expr: tree.Reduce, scope: Scope) -> typed.Expr:
    """``extent(j)`` in a macro: the product of the extents of the caller's binders."""
    ranges = _ranges(lowering, expr, scope)
    if ranges is None:
        return poison(expr.span)
    result: typed.Expr | None = None
    for range_ in ranges:
        zero = isinstance(range_.lo, typed.Literal) and range_.lo.value == 0
        one = range_.hi if zero else lowering.arithmetic.binary("-", range_.hi, range_.lo, expr.span)
        result = one if result is None else lowering.arithmetic.binary("*", result, one, expr.span)
    assert result is not None
    return result


# ---------------------------------------------------------------- scans


def _cumulative(lowering: Lowering, expr: tree.Reduce, scope: Scope) -> typed.Expr:
    """``cumsum[t](e)``: the sum of ``e`` over all places up to ``t``."""
    binder = expr.binders[0]
    if len(expr.binders) != 1 or expr.where is not None or binder.extent is not None or binder.lo is not None:
        message = f"`{expr.name.id}[t](x)` takes one index of this place, without bounds"
        return lowering.arithmetic.refuse("TW0417", expr.span, message)
    if binder.name.id not in scope.indices:
        return lowering.value(binder.name, scope)
    context, free = lowering.context, scope.indices[binder.name.id]
    range_ = replace(scope.ranges[free], index=context.unique(binder.name.id))
    inner = context.renamed(scope, binder.name.id, range_)
    running, limit = (typed.Index(binder.span, typed.INDEX, name) for name in (range_.index, free))
    where = typed.Compare(binder.span, "bool", "<=", running, limit)
    op = CUMULATIVE[expr.name.id]
    body = lowering.value(expr.arguments[0], context.under(inner, where))
    if body.dtype == ERROR:
        return body
    body = _operand(lowering, op, body)
    bound = (typed.Binder(range_.index, range_.lo, range_.hi),)
    result = typed.Reduce(expr.span, body.dtype, op, bound, where, body)
    return replace(result, scan=_scanned(result, scope))


def _scanned(result: typed.Reduce, scope: Scope) -> str | None:
    """The free index along which the reduction is a scan: it bounds the only binder, and the body mentions it
    only through reductions of the same kind."""
    where = result.where
    if len(result.binders) != 1 or result.op in SELECTIONS or not isinstance(where, typed.Compare):
        return None
    sides = [side.name for side in (where.left, where.right) if isinstance(side, typed.Index)]
    own = result.binders[0].index
    if where.op not in ("<", "<=", ">", ">=") or len(sides) != 2 or own not in sides:
        return None
    free = sides[1] if sides[0] == own else sides[0]
    return free if free in scope.ranges and not _mentions(result.body, free) else None


def _mentions(expr: typed.Expr, index: str) -> bool:
    """Whether ``expr`` uses ``index`` other than through scans along it."""
    if isinstance(expr, typed.Index):
        return expr.name == index
    if isinstance(expr, typed.Reduce) and expr.scan == index:
        return False
    return any(_mentions(part, index) for part in parts(expr))
