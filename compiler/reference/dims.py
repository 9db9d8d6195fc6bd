"""Owns what holds before a kernel runs: dims from shapes and requires, launch checks, shapes of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tilewright.compiler.language import typed
from tilewright.compiler.reference.values import ReferenceCheckError

Number = int | float | bool

_BINARY: dict[str, Callable[[Any, Any], Number]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": lambda a, b: a**b,
    "<<": lambda a, b: a << b,
    ">>": lambda a, b: a >> b,
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "min": min,
    "max": max,
}


def number(expr: typed.Expr, dims: Mapping[str, int]) -> Number:
    """An expression over dims and literals, in unbounded integers."""
    match expr:
        case typed.Literal():
            return expr.value
        case typed.Dim():
            return dims[expr.name]
        case typed.Cast():
            return number(expr.operand, dims)
        case typed.Unary():
            return _unary(expr.op, number(expr.operand, dims))
        case typed.Logical():
            left = bool(number(expr.left, dims))
            return left if left == (expr.op == "or") else bool(number(expr.right, dims))
        case typed.Select():
            return number(expr.then if number(expr.condition, dims) else expr.otherwise, dims)
        case typed.Binary() | typed.Compare():
            return _operate(expr, dims)
        case typed.Call() if expr.function in _CALLS:
            result: Number = _CALLS[expr.function](*(number(operand, dims) for operand in expr.operands))
            return result
    raise ReferenceCheckError(f"{type(expr).__name__} does not belong in an expression over dims", expr.span)


_CALLS: dict[str, Callable[..., Any]] = {"min": min, "max": max, "abs": abs}


def _unary(op: str, value: Any) -> Number:
    return not value if op == "not" else -value if op == "-" else ~value


def _operate(expr: typed.Binary | typed.Compare, dims: Mapping[str, int]) -> Number:
    left, right = number(expr.left, dims), number(expr.right, dims)
    if expr.op in ("//", "%", "/") and right == 0:
        raise ReferenceCheckError(f"division by zero in an expression over dims ({left} {expr.op} 0)", expr.span)
    return _BINARY[expr.op](left, right)


def solve(
    kernel: typed.TypedKernel, shapes: Mapping[str, tuple[int, ...]], given: Mapping[str, int] | None = None
) -> dict[str, int]:
    """The value of every dim, from ``shapes`` of the arguments, ``given`` and the kernel's solutions.

    Errors: a shape that no dim explains, two different values of a dim, an unknown dim, a failed launch check.
    """
    dims: dict[str, int] = {}
    for binding in kernel.bindings:
        _settle(dims, binding.dim, _bound(binding, shapes), kernel)
    for name, size in (given or {}).items():
        _settle(dims, name, size, kernel)
    for solution in kernel.solutions:
        _settle(dims, solution.dim, int(number(solution.value, dims)), kernel)
    for name in kernel.dims:
        if name not in dims:
            raise ReferenceCheckError(f"dim {name} is bound by no argument", kernel.span)
        if dims[name] < 0:
            raise ReferenceCheckError(f"dim {name} would be {dims[name]}", kernel.span)
    _check(kernel, shapes, dims)
    return dims


def _bound(binding: typed.DimBinding, shapes: Mapping[str, tuple[int, ...]]) -> int:
    if binding.axis >= len(shapes[binding.tensor]):
        raise ReferenceCheckError(f"{binding.tensor} has rank {len(shapes[binding.tensor])}")
    extent = shapes[binding.tensor][binding.axis]
    size, rest = divmod(extent - binding.offset, binding.scale)
    if rest:
        form = f"{binding.scale} * {binding.dim} + {binding.offset}"
        raise ReferenceCheckError(f"axis {binding.axis} of {binding.tensor} has extent {extent}, which is no {form}")
    return size


def _settle(dims: dict[str, int], name: str, size: int, kernel: typed.TypedKernel) -> None:
    if dims.setdefault(name, size) != size:
        raise ReferenceCheckError(f"dim {name} is {dims[name]} and {size}", kernel.span)


def _check(kernel: typed.TypedKernel, shapes: Mapping[str, tuple[int, ...]], dims: Mapping[str, int]) -> None:
    for tensor in kernel.tensors:
        expected = shape(tensor.shape, dims)
        if shapes[tensor.name] != expected:
            raise ReferenceCheckError(f"{tensor.name} has shape {shapes[tensor.name]}, not {expected}", tensor.span)
    for check in kernel.checks:
        if not number(check.condition, dims):
            raise ReferenceCheckError(f"{check.text} does not hold", check.span, check.code)


def shape(extents: tuple[typed.Expr, ...], dims: Mapping[str, int]) -> tuple[int, ...]:
    """The extents of a tensor; negative ones are refused."""
    sizes = tuple(int(number(extent, dims)) for extent in extents)
    for size, extent in zip(sizes, extents, strict=True):
        if size < 0:
            raise ReferenceCheckError(f"an extent would be {size}", extent.span)
    return sizes
