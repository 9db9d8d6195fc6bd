"""Owns the front door of the reference: the meaning of a typed kernel for given arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.compiler.language import typed
from tilewright.compiler.reference import dims as sizes
from tilewright.compiler.reference.expressions import Expressions
from tilewright.compiler.reference.numerics import is_float, narrow, round_to, widen
from tilewright.compiler.reference.rounding import Rules
from tilewright.compiler.reference.statements import Statements
from tilewright.compiler.reference.storage import Stored
from tilewright.compiler.reference.values import Array, FaultLog, ReferenceCheckError, Value
from tilewright.compiler.reference.writes import Target


@dataclass(frozen=True)
class Evaluation:
    """What a kernel computes, per output (new values of inouts included).

    ``outputs`` is rounded to the declared dtype, ``exact`` is float64 before that rounding. A compiled kernel may
    return anything in ``[low, high]`` (float64 or int64), which is at most ``bound`` from ``exact``; where
    ``undecided`` is set a comparison, a rounding or an overflow could fall either way, and anything is right.
    """

    outputs: dict[str, Array]
    exact: dict[str, Array]
    bound: dict[str, Array]
    low: dict[str, Array]
    high: dict[str, Array]
    undecided: dict[str, Array]
    dims: dict[str, int]
    dtypes: dict[str, str]


def evaluate(
    kernel: typed.TypedKernel,
    arguments: Mapping[str, Any],
    *,
    dims: Mapping[str, int] | None = None,
    bound: bool = True,
) -> Evaluation:
    """Evaluate ``kernel``.

    ``arguments``: an array per input and inout (left unchanged), a number per scalar without a default. ``dims``:
    dims that no argument binds. ``bound=False`` skips error bounds (they are then those of the final rounding alone).
    Errors: ``ReferenceCheckError`` for shapes, requires and checks that fail; ``KeyError`` for a missing argument.
    """
    rules = Rules(bound)
    arrays = {tensor.name: np.asarray(arguments[tensor.name]) for tensor in kernel.tensors}
    known = sizes.solve(kernel, {name: array.shape for name, array in arrays.items()}, dims)
    expressions = Expressions(rules, known, _scalars(kernel, arguments), FaultLog())
    for table in kernel.tables:
        expressions.names[table.name] = Stored(
            table.dtype, widen(np.asarray(table.values), table.dtype).reshape(table.shape)
        )
    targets: dict[str, Target] = {}
    for tensor in kernel.tensors:
        stored = Stored(tensor.dtype, widen(arrays[tensor.name], tensor.dtype))
        expressions.names[tensor.name] = stored
        if tensor.role == "inout":
            targets[tensor.name] = _inout(expressions, tensor, stored)
    for tensor in kernel.outputs:
        targets[tensor.name] = _output(expressions, tensor)
    with np.errstate(all="ignore"):
        Statements(expressions, targets).run(kernel.statements)
        return _evaluation(targets, known)


def _scalars(kernel: typed.TypedKernel, arguments: Mapping[str, Any]) -> dict[str, Value]:
    values = {}
    for scalar in kernel.scalars:
        given = arguments.get(scalar.name, scalar.default)
        if given is None:
            raise KeyError(scalar.name)
        values[scalar.name] = Value(scalar.dtype, widen(np.asarray(given), scalar.dtype))
    return values


def compute_type(dtype: str) -> str:
    """The type that arithmetic on elements of ``dtype`` is done in."""
    if is_float(dtype):
        return "f64" if dtype == "f64" else "f32"
    return "i32" if dtype in ("i8", "i16", "u8", "u16") else dtype


def _inout(expressions: Expressions, tensor: typed.Tensor, stored: Stored) -> Target:
    own = expressions.names[tensor.name] = Stored(tensor.dtype, stored.data.copy())
    return Target(own, Stored(compute_type(tensor.dtype), stored.data.copy()), started=True)


def _output(expressions: Expressions, tensor: typed.Tensor) -> Target:
    shape = sizes.shape(tensor.shape, expressions.dims)
    stored = expressions.names[tensor.name] = Stored.filled(tensor.dtype, shape)
    return Target(stored, Stored.filled(compute_type(tensor.dtype), shape), started=False)


def _evaluation(targets: Mapping[str, Target], dims: dict[str, int]) -> Evaluation:
    result = Evaluation({}, {}, {}, {}, {}, {}, dims, {})
    for name, target in targets.items():
        _report(result, name, target)
    return result


def _report(result: Evaluation, name: str, target: Target) -> None:
    dtype = target.stored.dtype
    floating = is_float(dtype)
    source = target.exact if floating else target.stored
    exact = source.data if floating else source.data.astype(np.int64)
    error = np.zeros_like(exact) if source.error is None else source.error
    low, high = (
        (round_to(exact - error, dtype), round_to(exact + error, dtype)) if floating else (exact - error, exact + error)
    )
    low, high = _whole_range(low, exact, dtype), _whole_range(high, exact, dtype)
    result.dtypes[name] = dtype
    result.outputs[name] = narrow(target.stored.data, dtype)
    result.exact[name] = exact.astype(np.float64)
    result.low[name], result.high[name] = low, high
    result.bound[name] = _distance(exact, low, high)
    none = np.zeros(exact.shape, np.bool_)
    result.undecided[name] = none if target.stored.unsure is None else target.stored.unsure.copy()


def _whole_range(end: Array, exact: Array, dtype: str) -> Array:
    """Ends where the value is infinite or not a number are the value itself."""
    return np.where(np.isfinite(exact), end, exact) if is_float(dtype) else end


def _distance(exact: Array, low: Array, high: Array) -> Array:
    distance = np.maximum(np.abs(high - exact), np.abs(exact - low)).astype(np.float64)
    return np.where((low == exact) & (high == exact), 0.0, np.where(np.isnan(distance), 0.0, distance))


__all__ = ["Evaluation", "ReferenceCheckError", "evaluate"]
