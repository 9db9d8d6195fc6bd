"""The tensor level run by NumPy: what every pass at that level must preserve.

A map or fold evaluates its body once, on arrays over the whole index space. A read that is out of bounds without being
guarded, gathered or inactive is an `InterpreterFault` at the op's location; points of a map that do not count are
poison (NaN). Calls of launches are followed, so the level before and after `partition` runs alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tilewright.dialect import ods, tensor
from tilewright.dialect.affine import evaluate_map
from tilewright.dialect.functions import Argument, arguments_of, dims_of, functions_of, name_of, results_of
from tilewright.dialect.interpret.faults import CheckFailed, InterpreterFault
from tilewright.dialect.interpret.folding import fold_all
from tilewright.dialect.interpret.numbers import Array, Numbers, Precision
from tilewright.dialect.interpret.operations import apply
from tilewright.dialect.mlir import ir

Environment = dict[Any, Array]


def run_tensor(
    module: Any,
    kernel: str,
    arguments: Mapping[str, Any],
    dims: Mapping[str, int],
    *,
    precision: Precision = "exact",
    outside: float | None = None,
) -> dict[str, Array]:
    """Run kernel `kernel` of a module at the tensor level.

    `arguments` maps ``tw.name`` to an array or a scalar, `dims` the dim symbols to sizes. Returns the outputs by name,
    in their language dtype. A gather that is outside raises `CheckFailed`, or reads `outside` where that is given.
    """
    run = _Run(module, dict(dims), Numbers(precision), outside)
    function = run.function(kernel)
    described = zip(function.regions[0].blocks[0].arguments, arguments_of(function, "tw"), strict=True)
    values = [_bind(run, function, value, argument, arguments) for value, argument in described]
    results = zip(results_of(function, "tw"), run.call(function, values), strict=True)
    return {result.name: run.numbers.given(value, result.dtype) for result, value in results}


def _bind(run: _Run, function: Any, value: Any, argument: Argument, given: Mapping[str, Any]) -> Array:
    if argument.name not in given:
        raise InterpreterFault(function, f"no value for argument {argument.name!r}")
    array = run.numbers.taken(given[argument.name], value.type)
    expected = () if argument.shape is None else tuple(evaluate_map(argument.shape, (), run.symbols(function)))
    if array.shape != expected:
        raise InterpreterFault(function, f"argument {argument.name!r} has shape {array.shape}, expected {expected}")
    return array


@dataclass
class _Space:
    """The points at which a region is being evaluated: which of them count (a mask over the index space)."""

    counts: Array


@dataclass
class _Run:
    module: Any
    dims: dict[str, int]
    numbers: Numbers
    outside: float | None
    functions: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.functions.update((name_of(function), function) for function in functions_of(self.module))

    def function(self, name: str) -> Any:
        if name not in self.functions:
            raise InterpreterFault(self.module.operation, f"no function @{name}")
        return self.functions[name]

    def symbols(self, function: Any) -> list[int]:
        return [self.dims[name] for name in dims_of(function, "tw")]

    def call(self, function: Any, arguments: Sequence[Array]) -> list[Array]:
        """Run a function on values; the values it returns."""
        block = function.regions[0].blocks[0]
        environment: Environment = dict(zip(block.arguments, arguments, strict=True))
        frame = _Frame(self, self.symbols(function), environment)
        for op in ods.ops_of(block):
            if op.name == "func.return":
                return [environment[value] for value in op.operands]
            frame.execute(op, None)
        raise InterpreterFault(function, "has no return")


@dataclass
class _Frame:
    """One call: its symbols and the values so far."""

    run: _Run
    symbols: list[int]
    environment: Environment

    def execute(self, op: Any, space: _Space | None) -> None:
        results = self._results(op, space)
        for value, result in zip(op.results, results, strict=True):
            self.environment[value] = result

    def _results(self, op: Any, space: _Space | None) -> list[Array]:
        match op.name:
            case "tw.dim":
                return [np.asarray(self.run.dims[ir.StringAttr(op.attributes["symbol"]).value], np.int64)]
            case "tw.table":
                return [self.run.numbers.constant(op.attributes["values"], op.results[0].type)]
            case "tw.read":
                return [self._read(op, space)]
            case "tw.map" | "tw.fold" if space is None:
                return self._domain_op(op)
            case "func.call" if space is None:
                callee = self.run.function(ir.FlatSymbolRefAttr(op.attributes["callee"]).value)
                return self.run.call(callee, [self.environment[value] for value in op.operands])
            case _:
                return apply(self.run.numbers, op, [self.environment[value] for value in op.operands])

    # ------------------------------------------------------------ maps and folds

    def _domain_op(self, op: Any) -> list[Array]:
        domain = tensor.domain_of(op)
        extents = self._extents(op, domain)
        indices = [_along(axis, size, len(extents)) for axis, size in enumerate(extents)]
        counts = self._counts(op, domain, indices, extents)
        values = self._region(tensor.body_of(op), indices, _Space(counts), extents)
        types = [result.type for result in op.results]
        if op.name == "tw.map":
            return [self._masked(v, counts, t) for v, t in zip(values, types, strict=True)]
        axes = tuple(range(domain.parallel, len(extents)))
        kinds = tensor.fold_kinds(op)
        return fold_all(kinds, values, types, axes, counts, tensor.is_unsigned(op), self.run.numbers)

    def _extents(self, op: Any, domain: Any) -> tuple[int, ...]:
        """The box, negative extents being empty, cut where the bounds end for every point (values may end an index)."""
        extents = [max(int(e), 0) for e in evaluate_map(domain.extents, (), self.symbols)]
        bounds = tensor.block_of(op, tensor.BOUNDS)
        if bounds is not None:
            limits = self._limits(bounds, extents[: domain.parallel])
            for number in range(domain.parallel, len(extents)):
                highest = limits[2 * (number - domain.parallel) + 1]
                extents[number] = min(extents[number], max(int(highest.max(initial=0)), 0))
        return tuple(extents)

    def _limits(self, bounds: Any, outer: Sequence[int]) -> list[Array]:
        """What a bounds region yields at every point of the parallel indices."""
        points = [_along(axis, size, len(outer)) for axis, size in enumerate(outer)]
        return self._region(bounds, points, _Space(np.ones(tuple(outer), np.bool_)), tuple(outer))

    def _masked(self, value: Array, counts: Array, type_: Any) -> Array:
        return np.where(counts, value, self.run.numbers.poison((), type_)).astype(value.dtype)

    def _counts(self, op: Any, domain: Any, indices: list[Array], extents: tuple[int, ...]) -> Array:
        """The mask of the points of a domain: in the set, in the bounds, and where ``where`` holds."""
        counts = np.ones(extents, np.bool_)
        for value in evaluate_map(domain.constraints, indices, self.symbols):
            counts &= np.asarray(value >= 0)
        bounds = tensor.block_of(op, tensor.BOUNDS)
        if bounds is not None:
            counts &= self._within_bounds(bounds, domain.parallel, indices, extents)
        where = tensor.block_of(op, tensor.WHERE)
        if where is not None:
            counts &= self._region(where, indices, _Space(counts.copy()), extents)[0]
        return counts

    def _within_bounds(self, block: Any, parallel: int, indices: list[Array], extents: tuple[int, ...]) -> Array:
        outer = extents[:parallel]
        limits = self._limits(block, outer)
        inside = np.ones(extents, np.bool_)
        for number, index in enumerate(indices[parallel:]):
            spread = (*outer, *[1] * (len(extents) - parallel))
            lowest, highest = (limits[2 * number + end].reshape(spread) for end in (0, 1))
            inside &= (index >= lowest) & (index < highest)
        return inside

    def _region(self, block: Any, indices: list[Array], space: _Space, shape: tuple[int, ...]) -> list[Array]:
        """Evaluate a region at all points; what it yields, over the whole index space."""
        self.environment.update(zip(block.arguments, indices, strict=True))
        operations = ods.ops_of(block)
        for op in operations[:-1]:
            self.execute(op, space)
        return [np.broadcast_to(self.environment[value], shape) for value in operations[-1].operands]

    # ------------------------------------------------------------ reads

    def _read(self, op: Any, space: _Space | None) -> Array:
        view = tensor.read_view(op)
        values = self.environment[view.tensor]
        subscripts = [self.environment[subscript] for subscript in view.subscripts]
        counts: Array = np.ones((), np.bool_) if space is None else space.counts
        active = counts if view.active is None else counts & self.environment[view.active]
        inside: Array = np.ones((), np.bool_)
        refused: Array = np.zeros((), np.bool_)
        for axis, (subscript, mode) in enumerate(zip(subscripts, view.modes, strict=True)):
            here = (subscript >= 0) & (subscript < values.shape[axis])
            if mode is tensor.ReadMode.GUARDED:
                inside = inside & here
        for axis, (subscript, mode) in enumerate(zip(subscripts, view.modes, strict=True)):
            outside = active & inside & ~((subscript >= 0) & (subscript < values.shape[axis]))
            if np.any(outside):
                self._refuse(op, axis, mode, subscript, outside, values.shape)
                refused = refused | outside
        taken = self._replaced(_take(values, subscripts), refused)
        protected = view.active is not None or tensor.ReadMode.GUARDED in view.modes
        if not protected:
            return taken
        touched = inside if view.active is None else inside & self.environment[view.active]
        otherwise = np.zeros((), values.dtype) if view.otherwise is None else self.environment[view.otherwise]
        return np.where(touched, taken, otherwise).astype(values.dtype)

    def _refuse(self, op: Any, axis: int, mode: Any, subscript: Array, outside: Array, shape: tuple[int, ...]) -> None:
        bad = np.broadcast_to(subscript, outside.shape)[outside].flat[0]
        message = f"subscript {axis} is {bad}, outside of a tensor of shape {shape}"
        if mode is tensor.ReadMode.PROVED:
            raise InterpreterFault(op, message)
        if self.run.outside is None:
            raise CheckFailed(op, message)

    def _replaced(self, taken: Array, refused: Array) -> Array:
        """What was read, with the stand-in where a check refuses the element."""
        if self.run.outside is None or not refused.any():
            return taken
        return np.where(refused, self.run.numbers.stand_in(self.run.outside, taken), taken)


def _along(axis: int, size: int, rank: int) -> Array:
    """``0 .. size`` along one axis of an index space of this rank."""
    return np.arange(size, dtype=np.int64).reshape([size if a == axis else 1 for a in range(rank)])


def _take(values: Array, subscripts: Sequence[Array]) -> Array:
    """Elements at subscripts, each moved to the nearest that exists; poison-free zeros from an empty tensor."""
    if not subscripts:
        return values
    if 0 in values.shape:
        return np.zeros(np.broadcast_shapes(*(s.shape for s in subscripts)), values.dtype)
    inside = tuple(np.clip(s, 0, size - 1) for s, size in zip(subscripts, values.shape, strict=True))
    return np.asarray(values[inside])
