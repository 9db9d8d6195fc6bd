"""Owns the evaluation of typed expressions over an index space, all points at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tilewright.compiler.language import typed
from tilewright.compiler.reference import arithmetic, casts, functions, selection
from tilewright.compiler.reference.numerics import is_float, round_to, working_type
from tilewright.compiler.reference.reductions import Domain, reduce
from tilewright.compiler.reference.rounding import Rules
from tilewright.compiler.reference.space import MAX_POINTS, Axis, Space, SpaceTooLarge
from tilewright.compiler.reference.storage import Stored
from tilewright.compiler.reference.values import Array, FaultLog, ReferenceCheckError, Value, either, some, worst
from tilewright.compiler.reference.walk import children, mentions

_LARGEST_RANGE = 2**31


class Expressions:
    """Evaluates expressions against the names of one call.

    ``names`` maps tensors, tables and locals to what they hold; ``dims`` and ``scalars`` are numbers.
    """

    def __init__(self, rules: Rules, dims: Mapping[str, int], scalars: Mapping[str, Value], faults: FaultLog) -> None:
        self.rules, self.dims, self.scalars, self.faults = rules, dims, scalars, faults
        self.names: dict[str, Stored] = {}
        self._indices: dict[int, frozenset[str]] = {}
        self._exponential: dict[int, bool] = {}
        self._guarded: list[set[int]] = []  # fault numbers that an enclosing guard answers for
        self._handlers: dict[type[typed.Expr], Callable[[Any, Space], Value]] = {
            typed.Literal: self._literal,
            typed.Dim: self._dim,
            typed.Scalar: self._scalar,
            typed.Index: self._index,
            typed.Read: self._read,
            typed.Guarded: self._guard,
            typed.Unary: self._unary,
            typed.Binary: self._binary,
            typed.Compare: self._compare,
            typed.Logical: self._logical,
            typed.Select: self._select,
            typed.Cast: self._cast,
            typed.Bitcast: self._bitcast,
            typed.Call: self._call,
            typed.Reduce: self._reduce,
        }

    def evaluate(self, expr: typed.Expr, space: Space) -> Value:
        """The value of ``expr`` at every point of ``space``; arrays broadcast to the space's shape."""
        return self._handlers[type(expr)](expr, space)

    # ------------------------------------------------------------ leaves

    def _literal(self, expr: typed.Literal, space: Space) -> Value:
        data: Array = np.asarray(expr.value, dtype=working_type(expr.dtype))
        return Value(expr.dtype, round_to(data, expr.dtype) if is_float(expr.dtype) else data)

    def _dim(self, expr: typed.Dim, space: Space) -> Value:
        return Value("index", np.asarray(self.dims[expr.name], dtype=np.int64))

    def _scalar(self, expr: typed.Scalar, space: Space) -> Value:
        return self.scalars[expr.name]

    def _index(self, expr: typed.Index, space: Space) -> Value:
        return Value("index", space.axes[expr.name].values())

    # ------------------------------------------------------------ reads

    def _read(self, expr: typed.Read, space: Space) -> Value:
        stored = self.names[expr.tensor]
        view = self._view(stored, expr, space)
        if view is not None:
            return view
        subscripts = [self.evaluate(s, space) for s in expr.subscripts]
        inside = [self._check(expr, axis, value, stored) for axis, value in enumerate(subscripts)]
        fault = worst(*(mark for _, mark in inside), *(value.fault for value in subscripts))
        unsure = either(*(value.unsure for value in subscripts), *(_inexact(value) for value in subscripts))
        if not all(stored.shape):
            shape = np.broadcast_shapes((), *(value.data.shape for value in subscripts))
            return Value(stored.dtype, np.zeros(shape, stored.data.dtype), None, None, fault)
        value = stored.at(tuple(data for data, _ in inside))
        return replace(value, unsure=either(value.unsure, unsure), fault=worst(value.fault, fault))

    def _view(self, stored: Stored, expr: typed.Read, space: Space) -> Value | None:
        """The read as a view, when its subscripts are different plain indices that stay inside."""
        names = [s.name for s in expr.subscripts if isinstance(s, typed.Index)]
        if len(names) != len(expr.subscripts) or len(set(names)) != len(names):
            return None
        axes = [space.axes[name] for name in names]
        if any(axis.lo < 0 or axis.hi > size for axis, size in zip(axes, stored.shape, strict=True)):
            return None
        value = stored.at(tuple(slice(axis.lo, max(axis.hi, axis.lo)) for axis in axes))
        kept = (value.error, value.unsure, value.fault, value.rescuable)
        parts = (None if p is None else _by_level(p, axes) for p in kept)
        return Value(value.dtype, _by_level(value.data, axes), *parts)

    def _check(self, expr: typed.Read, axis: int, subscript: Value, stored: Stored) -> tuple[Array, Array | None]:
        """The subscript moved inside, and the fault numbers of where it was not."""
        size, data = stored.shape[axis], subscript.data
        if not data.size or (data.min() >= 0 and data.max() < size):
            return data, None
        outside = (data < 0) | (data >= size)
        number = self._fault(f"subscript {axis} of {expr.tensor} is {_first(data, outside)}, outside 0 .. {size}", expr)
        return np.clip(data, 0, max(size - 1, 0)), np.where(outside, np.int32(number), np.int32(0))

    def _fault(self, message: str, expr: typed.Expr) -> int:
        number = self.faults.add(message, expr.span)
        if self._guarded:
            self._guarded[-1].add(number)
        return number

    def _guard(self, expr: typed.Guarded, space: Space) -> Value:
        self._guarded.append(set())
        read = self.evaluate(expr.read, space)
        answered = self._guarded.pop()
        if read.fault is None or not answered:
            return read
        outside = np.isin(read.fault, list(answered))
        otherwise = self._outside_guards(expr.otherwise, space)
        kept = Value(read.dtype, read.data, read.error, read.unsure, np.where(outside, 0, read.fault))
        return arithmetic.select(Value("bool", ~outside, None, self._open_guard(expr.read, space)), kept, otherwise)

    def _open_guard(self, read: typed.Expr, space: Space) -> Array | None:
        """Where a subscript is undecided, so that the read may be inside or outside."""
        while isinstance(read, typed.Cast):
            read = read.operand
        if not isinstance(read, typed.Read):
            return None
        self._guarded.append(set())
        marks = [self.evaluate(subscript, space) for subscript in read.subscripts]
        self._guarded.pop()
        return some(either(*(mark.unsure for mark in marks), *(_inexact(mark) for mark in marks)))

    def _outside_guards(self, expr: typed.Expr, space: Space) -> Value:
        """``otherwise`` is not part of the read: guards further out do not answer for it."""
        kept, self._guarded = self._guarded, []
        try:
            return self.evaluate(expr, space)
        finally:
            self._guarded = kept

    # ------------------------------------------------------------ operators

    def _unary(self, expr: typed.Unary, space: Space) -> Value:
        return arithmetic.unary(self.rules, expr.op, self.evaluate(expr.operand, space))

    def _binary(self, expr: typed.Binary, space: Space) -> Value:
        left, right = self.evaluate(expr.left, space), self.evaluate(expr.right, space)
        if expr.op == "**" and is_float(expr.dtype):
            return functions.power(self.rules, left, right, units=_power_units(expr.right))
        value = arithmetic.binary(self.rules, expr.op, left, right)
        if is_float(expr.dtype):
            return value
        return self._refuse_integer(expr, right, value)

    def _refuse_integer(self, expr: typed.Binary, right: Value, value: Value) -> Value:
        """Integer division by zero and negative integer powers have no value."""
        bad = right.data == 0 if expr.op in ("//", "%") else right.data < 0 if expr.op == "**" else None
        if bad is None or not np.any(bad):
            return value
        number = self._fault(f"integer {expr.op} by {_first(right.data, bad)}", expr)
        fault = worst(value.fault, np.where(bad, np.int32(number), np.int32(0)))
        return replace(value, fault=fault)

    def _compare(self, expr: typed.Compare, space: Space) -> Value:
        return arithmetic.compare(expr.op, self.evaluate(expr.left, space), self.evaluate(expr.right, space))

    def _logical(self, expr: typed.Logical, space: Space) -> Value:
        return arithmetic.logical(expr.op, self.evaluate(expr.left, space), self.evaluate(expr.right, space))

    def _select(self, expr: typed.Select, space: Space) -> Value:
        condition = self.evaluate(expr.condition, space)
        return arithmetic.select(condition, self.evaluate(expr.then, space), self.evaluate(expr.otherwise, space))

    def _cast(self, expr: typed.Cast, space: Space) -> Value:
        value = self.evaluate(expr.operand, space)
        rescaled = is_float(expr.dtype) and expr.dtype not in ("f32", "f64") and self._has_exponential(expr.operand)
        return casts.cast(self.rules, value, expr.dtype, rescaled)

    def _bitcast(self, expr: typed.Bitcast, space: Space) -> Value:
        return casts.bitcast(self.evaluate(expr.operand, space), expr.dtype)

    def _call(self, expr: typed.Call, space: Space) -> Value:
        operands = tuple(self.evaluate(operand, space) for operand in expr.operands)
        if expr.function == "segment":
            assert expr.tensor is not None
            return self._segment(self.names[expr.tensor], operands[-1])
        return functions.call(self.rules, expr.function, operands, expr.approximate)

    def _segment(self, offsets: Stored, point: Value) -> Value:
        """The ``g`` with ``off[g] <= t < off[g + 1]``, or -1."""
        found = np.searchsorted(offsets.data, point.data, side="right").astype(np.int64) - 1
        data = np.where(found >= max(offsets.data.size - 1, 0), np.int64(-1), found)
        inside = None if offsets.unsure is None else np.broadcast_to(offsets.unsure.any(), data.shape)
        fault = None if offsets.fault is None else np.broadcast_to(offsets.fault.max(initial=0), data.shape)
        return Value("index", data, None, either(point.unsure, _inexact(point), inside), worst(point.fault, fault))

    # ------------------------------------------------------------ reductions

    def _reduce(self, expr: typed.Reduce, space: Space) -> Value:
        inner, bounds, ends = self._bind(expr, space)
        needed = self._mentions(expr.body) | {binder.index for binder in expr.binders}
        if expr.where is not None:
            needed |= self._mentions(expr.where)
        if space.divisible and inner.points(frozenset(needed)) > MAX_POINTS:
            raise SpaceTooLarge
        condition = bounds if expr.where is None else _both(bounds, self.evaluate(expr.where, inner))
        body = self.evaluate(expr.body, inner)
        domain = self._domain(expr, inner, condition, ends)
        rank = None if expr.rank is None else self.evaluate(expr.rank, space)
        if expr.op in ("argmax", "argmin", "argtop", "top"):
            value = selection.select(expr.op, body, domain, rank)
        else:
            value = reduce(self.rules, expr.op, body, domain)
        fault = self._reduced_fault(domain, body, condition, rank)
        return replace(value, fault=fault)

    def _bind(self, expr: typed.Reduce, space: Space) -> tuple[Space, Value | None, list[Array]]:
        """The space with the bound indices, the condition that bounds of their own put on them, and where each ends."""
        inner, condition = space, None
        ends: list[Array] = []
        for binder in expr.binders:
            lo, hi = self.evaluate(binder.lo, inner), self.evaluate(binder.hi, inner)
            ends.append(hi.data.astype(np.int64))
            low, high = int(lo.data.min(initial=2**62)), int(hi.data.max(initial=-(2**62)))
            if high - low > _LARGEST_RANGE:
                raise ReferenceCheckError(f"{binder.index} runs over {high - low} points", expr.span)
            inner = inner.extended(binder.index, low if low < high else 0, high if low < high else 0)
            if lo.data.ndim == 0 and hi.data.ndim == 0 and not _troubled(lo) and not _troubled(hi):
                continue
            index = Value("index", inner.axes[binder.index].values())
            own = _both(arithmetic.compare("<=", lo, index), arithmetic.compare("<", index, hi))
            condition = own if condition is None else _both(condition, own)
        return inner, condition, ends

    def _domain(self, expr: typed.Reduce, inner: Space, condition: Value | None, ends: Sequence[Array]) -> Domain:
        """The points of a reduction. A position is the index itself, or the row-major number of several in the box
        from 0 to where they end at the element."""
        mask = None if condition is None or condition.data.all() else condition.data
        open_points = None if condition is None else condition.unsure
        positions: Array = np.zeros((), np.int64)
        for binder, end in zip(expr.binders, ends, strict=True):
            positions = positions * end + inner.axes[binder.index].values()
        return Domain(tuple(range(len(expr.binders))), inner.shape, mask, open_points, positions)

    def _reduced_fault(self, domain: Domain, body: Value, condition: Value | None, rank: Value | None) -> Array | None:
        """Faults of points that count, and of the conditions that say which do."""
        parts = [None if rank is None else rank.fault]
        if body.fault is not None:
            parts.append(domain.kept(body.fault, 0).max(axis=domain.axes, initial=0))
        if condition is not None and condition.fault is not None:
            parts.append(domain.spread(condition.fault).max(axis=domain.axes, initial=0))
        return worst(*parts)

    # ------------------------------------------------------------ what an expression mentions

    def _mentions(self, expr: typed.Expr) -> frozenset[str]:
        found = self._indices.get(id(expr))
        if found is None:
            found = self._indices[id(expr)] = mentions(expr)
        return found

    def _has_exponential(self, expr: typed.Expr) -> bool:
        found = self._exponential.get(id(expr))
        if found is None:
            own = isinstance(expr, typed.Call) and expr.function in ("exp", "exp2")
            found = self._exponential[id(expr)] = own or any(map(self._has_exponential, children(expr)))
        return found


def _by_level(array: Array, axes: list[Axis]) -> Array:
    """A tensor's axes moved to where their indices live."""
    if not axes:
        return array
    order = sorted(range(len(axes)), key=lambda axis: -axes[axis].level)
    shape = [1] * (axes[order[0]].level + 1)
    for axis in order:
        shape[-1 - axes[axis].level] = array.shape[axis]
    return array.transpose(order).reshape(shape)


def _first(data: Array, where: Array) -> int:
    return int(np.broadcast_to(data, np.shape(where))[where][0]) if np.ndim(where) else int(data)


def _inexact(value: Value) -> Array | None:
    return None if value.error is None else value.error > 0


def _troubled(value: Value) -> bool:
    return value.fault is not None or not value.exact


def _both(left: Value | None, right: Value) -> Value:
    return right if left is None else arithmetic.logical("and", left, right)


def _power_units(exponent: typed.Expr) -> float:
    """A small literal power is a chain of products, exact on small integers."""
    while isinstance(exponent, typed.Cast):
        exponent = exponent.operand
    if not isinstance(exponent, typed.Literal) or exponent.value != int(exponent.value):
        return 8.0
    return 1.0 if 0 <= exponent.value <= 2 else 8.0
