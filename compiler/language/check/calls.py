"""Owns calls: built-in functions and casts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from tilewright.compiler.language import tree, typed
from tilewright.compiler.language.check.context import Scope
from tilewright.compiler.language.check.dtypes import (
    ERROR,
    WEAK,
    bits,
    common,
    compute,
    convert,
    integer_range,
    is_float,
    is_integer,
    named,
    narrow_part,
    poison,
    strengthened,
    widened,
)
from tilewright.compiler.language.check.problems import note
from tilewright.compiler.language.check.vocabulary import FUNCTIONS, INDEXED, INTEGERS

if TYPE_CHECKING:
    from tilewright.compiler.language.check.lower import Lowering


def call(lowering: Lowering, expr: tree.Call, scope: Scope) -> typed.Expr:
    """``name(arguments)``."""
    name = expr.name.id
    dtype = lowering.context.types.get(name, name if name in typed.DTYPES else None)
    if dtype is not None:
        return _in_scope(_cast(lowering, expr, dtype, scope), scope)
    if name not in FUNCTIONS:
        return _no_function(lowering, expr)
    if not _count_fits(lowering, expr):
        return poison(expr.span)
    special = _SPECIAL.get(name)
    if special is not None:
        return _in_scope(special(lowering, expr, scope), scope)
    if name in ("min", "max") and scope.as_index:
        return _folded(lowering, expr, [lowering.value(a, scope) for a in expr.arguments])
    operands = [lowering.value(a, replace(scope, as_index=False)) for a in expr.arguments]
    return _in_scope(_plain(lowering, expr, operands, scope), scope)


def _in_scope(result: typed.Expr, scope: Scope) -> typed.Expr:
    if scope.as_index and is_integer(result.dtype):
        return convert(result, typed.INDEX)
    return result


def _no_function(lowering: Lowering, expr: tree.Call) -> typed.Expr:
    name, context = expr.name.id, lowering.context
    if name in INDEXED:
        message = f"`{name}` needs the index it runs over: `{name}[k](…)`"
        return lowering.arithmetic.refuse("TW0210", expr.name.span, message, expected=f"`{name}[k](…)`")
    if name in context.shaped:
        subscripts = ", ".join(a.span.text for a in expr.arguments)
        message = f"`{name}` is a tensor: subscripts stand in brackets, `{name}[{subscripts}]`"
        return lowering.arithmetic.refuse("TW0210", expr.name.span, message)
    return lowering.unknown_function(expr, frozenset(FUNCTIONS) | frozenset(typed.DTYPES) | lowering.macros)


def _count_fits(lowering: Lowering, expr: tree.Call) -> bool:
    function, given = FUNCTIONS[expr.name.id], len(expr.arguments)
    if given >= function.least and (function.most is None or given <= function.most):
        return True
    wanted = f"{function.least}" if function.most == function.least else f"at least {function.least}"
    lowering.arithmetic.refuse(
        "TW0309",
        expr.span,
        f"`{expr.name.id}` takes {wanted} argument{'s' if function.least != 1 else ''}",
        expected=f"{wanted} argument{'s' if function.least != 1 else ''}",
        found=str(given),
    )
    return False


# ---------------------------------------------------------------- casts


def _cast(lowering: Lowering, expr: tree.Call, dtype: str, scope: Scope) -> typed.Expr:
    if len(expr.arguments) != 1:
        message = f"a cast takes one value: `{expr.name.id}(x)`"
        found = str(len(expr.arguments))
        return lowering.arithmetic.refuse("TW0309", expr.span, message, expected="1 argument", found=found)
    operand = lowering.value(expr.arguments[0], replace(scope, as_index=False))
    return cast(operand, dtype, expr)


def cast(operand: typed.Expr, dtype: str, expr: tree.Expr) -> typed.Expr:
    """``operand`` rounded to ``dtype`` as written, in the compute dtype that follows from it."""
    if operand.dtype in (ERROR, dtype) or narrow_part(operand).dtype == dtype:
        return operand
    if operand.dtype == WEAK and dtype not in ("f32", "f64"):
        operand = strengthened(operand)
    literal = isinstance(operand, typed.Literal) and not isinstance(operand.value, float)
    if literal and isinstance(operand, typed.Literal) and dtype in INTEGERS:
        low, high = integer_range(dtype)
        operand = replace(operand, value=max(low, min(high, int(operand.value))))
    rounded = convert(operand, dtype)
    if isinstance(rounded, typed.Cast):
        rounded = replace(rounded, span=expr.span)
    return widened(rounded)


# ---------------------------------------------------------------- plain functions


def _plain(lowering: Lowering, expr: tree.Call, operands: list[typed.Expr], scope: Scope) -> typed.Expr:
    name = expr.name.id
    if any(o.dtype == ERROR for o in operands):
        return poison(expr.span)
    if name in ("min", "max"):
        return _folded(lowering, expr, operands)
    if name == "pow":
        return lowering.arithmetic.binary("**", operands[0], operands[1], expr.span)
    dtype = operands[0].dtype
    for operand in operands:
        dtype = common(dtype, operand.dtype)
    if FUNCTIONS[name].domain == "float" and not is_float(dtype):
        dtype = WEAK if dtype == typed.INDEX else "f32"
    converted = tuple(convert(o, dtype) for o in operands)
    return typed.Call(expr.span, dtype, name, converted, scope.approximate)


def _folded(lowering: Lowering, expr: tree.Call, operands: list[typed.Expr]) -> typed.Expr:
    result = operands[0]
    for operand in operands[1:]:
        result = lowering.arithmetic.binary(expr.name.id, result, operand, expr.span)
    return result


# ---------------------------------------------------------------- special functions


def _extent(lowering: Lowering, expr: tree.Call, scope: Scope) -> typed.Expr:
    argument = expr.arguments[0]
    if not isinstance(argument, tree.Name) or argument.id not in scope.indices:
        message = "`extent` takes an index that is in scope here"
        found = f"`{argument.span.text}`"
        return lowering.arithmetic.refuse("TW0416", argument.span, message, expected="an index", found=found)
    range_ = scope.ranges[scope.indices[argument.id]]
    return lowering.arithmetic.binary("-", range_.hi, range_.lo, expr.span) if _shifted(range_.lo) else range_.hi


def _shifted(lo: typed.Expr) -> bool:
    return not (isinstance(lo, typed.Literal) and lo.value == 0)


def _segment(lowering: Lowering, expr: tree.Call, scope: Scope) -> typed.Expr:
    offsets, place = expr.arguments
    shaped = lowering.context.shaped.get(offsets.id) if isinstance(offsets, tree.Name) else None
    if shaped is None or len(shaped.shape) != 1 or shaped.dtype not in INTEGERS:
        message = "`segment(off, t)` needs the name of an integer tensor of rank 1 as its first argument"
        found = f"`{offsets.span.text}`"
        return lowering.arithmetic.refuse("TW0318", offsets.span, message, expected="its name", found=found)
    operand = lowering.index(place, scope)
    if operand.dtype == ERROR:
        return poison(expr.span)
    return typed.Call(expr.span, typed.INDEX, "segment", (operand,), False, shaped.name)


def _bitcast(lowering: Lowering, expr: tree.Call, scope: Scope) -> typed.Expr:
    target, value = expr.arguments
    name = target.id if isinstance(target, tree.Name) else ""
    dtype = lowering.context.types.get(name, name)
    if dtype not in typed.DTYPES:
        message = "`bitcast(T, x)` needs a type as its first argument"
        return lowering.arithmetic.refuse("TW0301", target.span, message, expected="a type")
    operand = narrow_part(strengthened(lowering.value(value, replace(scope, as_index=False))))
    if operand.dtype == ERROR:
        return poison(expr.span)
    if operand.dtype == typed.INDEX or bits(operand.dtype) != bits(dtype):
        return lowering.arithmetic.refuse(
            "TW0308",
            expr.span,
            "`bitcast` keeps the number of bits",
            expected=f"a value of {bits(dtype)} bits for {dtype}",
            found=named(operand.dtype),
            notes=note(None, "cast the value to the type whose bits you mean first"),
        )
    return widened(typed.Bitcast(expr.span, dtype, operand))


def _approx(lowering: Lowering, expr: tree.Call, scope: Scope) -> typed.Expr:
    return lowering.value(expr.arguments[0], replace(scope, approximate=True))


def _marked(lowering: Lowering, expr: tree.Call, scope: Scope) -> typed.Expr:
    """``detach`` and ``tf32``: the value itself, with a mark that later passes read."""
    operand = lowering.value(expr.arguments[0], replace(scope, as_index=False))
    if operand.dtype == ERROR:
        return operand
    if expr.name.id == "detach":
        return typed.Call(expr.span, operand.dtype, "detach", (operand,))
    if compute(operand.dtype) not in ("f32", WEAK):
        message = "`tf32` takes an f32 factor"
        found = named(operand.dtype)
        return lowering.arithmetic.refuse("TW0319", expr.span, message, expected="f32", found=found)
    return typed.Call(expr.span, "f32", "tf32", (convert(operand, "f32"),))


def _rand(lowering: Lowering, expr: tree.Call, scope: Scope) -> typed.Expr:
    operands = tuple(lowering.index(a, scope) for a in expr.arguments)
    if any(o.dtype == ERROR for o in operands):
        return poison(expr.span)
    return typed.Call(expr.span, "f32", "rand", operands)


_SPECIAL: dict[str, Callable[[Lowering, tree.Call, Scope], typed.Expr]] = {
    "extent": _extent,
    "segment": _segment,
    "bitcast": _bitcast,
    "approx": _approx,
    "detach": _marked,
    "tf32": _marked,
    "rand": _rand,
}
