"""Owns running a plan: checks once per kind of call, then binds pointers and runs the launches in order.

A ``Program`` is a plan with its code loaded on an engine (CPU, emulator or CUDA). Calls of a kind that was seen before
skip all shape work: their ``Prepared`` holds dims, output shapes and launch functions. A *frame* is the flat list of
what a launch may need: addresses of argument tensors, of workspaces and of constant tables, then the scalars' bits.
"""

from __future__ import annotations

import math
import sys
from collections import namedtuple
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tilewright.runtime.arguments import check_call, check_names, check_overlap, collect, split_outputs
from tilewright.runtime.dtypes import DTYPES
from tilewright.runtime.errors import RunError, RuntimeFault
from tilewright.runtime.plan import Launch, Operand, Plan, chosen
from tilewright.runtime.scalars import encoder
from tilewright.runtime.views import (
    TensorView,
    address_of,
    allocator_like,
    axis_order,
    handed_back,
    is_torch,
    row_major,
    view_of,
)

Frame = list[int]
PREPARED_LIMIT = 4096  # kinds of calls that one program remembers


@dataclass(frozen=True)
class Placed:
    """A tensor of a step: its entry in the frame, and what does not change between calls of one kind."""

    source: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    layout: str
    written: bool


@dataclass(frozen=True)
class Value:
    """A scalar (``source`` is its entry in the frame) or a dim (``constant``)."""

    dtype: str
    source: int | None = None
    constant: int = 0


@dataclass(frozen=True)
class Step:
    """One launch of one kind of call: operands in the order of the launch's parameters."""

    launch: Launch
    cells: tuple[int, ...]
    operands: tuple[Placed | Value, ...]


class Borrowed(Protocol):
    """Workspace memory of one call."""

    @property
    def pointer(self) -> int: ...


class Engine(Protocol):
    """Code that is loaded on a device."""

    @property
    def device(self) -> str:
        """Where tensors must lie: ``cpu`` or ``cuda``."""
        ...

    def bind(self, step: Step) -> Callable[[Frame], None]:
        """A function that runs the step's cells; called from several threads."""
        ...

    def take(self, size: int) -> Borrowed:
        """Workspace of ``size`` bytes."""
        ...

    def keep(self, content: bytes) -> Borrowed:
        """Memory that holds ``content`` as long as the result lives."""
        ...

    def give(self, workspace: Any) -> None:
        """The call is over (on its stream, where the device has streams)."""


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """The marks and the addresses of a call's tensors, in declared order (see ``fingerprint``)."""

    marks: tuple[Any, ...]
    pointers: list[int]


@dataclass(frozen=True)
class Prepared:
    """What all calls of one kind share; ``reach`` and ``written`` are per tensor argument (reach in bytes)."""

    dims: Mapping[str, int]
    reach: tuple[int, ...]
    written: tuple[bool, ...]
    output_shapes: tuple[tuple[int, ...], ...]
    workspace_bytes: tuple[int, ...]
    launches: tuple[Callable[[Frame], None], ...]


class Program:
    """A callable kernel: ``program(x, a=2.0)`` gives its output, or a named tuple of several.

    Raises:
        CallError: for whatever is wrong with a call, before anything runs.
        RunError: for a gather that left its tensor.
    """

    def __init__(self, plan: Plan, engine: Engine) -> None:
        self.plan = plan
        self.engine = engine
        self._names = tuple(argument.name for argument in plan.inputs)
        self._tensors = tuple(argument for argument in plan.arguments if argument.shape is not None)
        self._inputs = tuple(argument.name for argument in self._tensors if argument.role != "out")
        self._outputs_named = tuple(argument.name for argument in self.plan.outputs)
        self._scalars = tuple(
            (argument.name, argument.default, encoder(argument.name, argument.dtype))
            for argument in plan.arguments
            if argument.shape is None
        )
        self._kept = [engine.keep(table.content) for table in plan.tables]  # they live as long as the program
        self._tables = [memory.pointer for memory in self._kept]
        self._has_inout = any(argument.role == "inout" for argument in self._tensors)
        self._results = result_type(plan)
        self._prepared: dict[tuple[Any, ...], Prepared] = {}
        self.__name__ = plan.kernel
        self.__doc__ = plan.doc

    def __call__(self, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        return self.run(collect(self.plan.kernel, self._names, args, kwargs), out)

    def run(self, values: Mapping[str, Any], out: Any = None, seen: Fingerprints | None = None) -> Any:
        """The call with its inputs by name; ``seen`` are the inputs' fingerprints where the caller took them."""
        given = split_outputs(self.plan.kernel, self._outputs_named, out) if out is not None else {}
        marks, pointers = self._with_outputs(seen or self._fingerprints(values), given)
        prepared = self._prepared.get(marks)
        if prepared is None or len(values) != len(self._names):
            prepared = self._prepare(marks, values, given)
        if (given or self._has_inout) and self._ranges_meet(prepared, pointers):
            self._check_overlap(values, given)
        return self._launch(prepared, values, given, pointers)

    def _fingerprints(self, values: Mapping[str, Any]) -> Fingerprints:
        marks: list[Any] = []
        pointers: list[int] = []
        for name in self._inputs:
            if name not in values:
                check_names(self.plan.kernel, self.plan.inputs, values)
            mark, pointer = fingerprint(values[name], name)
            marks.append(mark)
            pointers.append(pointer)
        return Fingerprints(tuple(marks), pointers)

    def _with_outputs(self, seen: Fingerprints, given: Mapping[str, Any]) -> tuple[tuple[Any, ...], list[int]]:
        """Marks and addresses of all tensors; an output to be allocated is None and 0."""
        if not given:
            missing = len(self.plan.outputs)
            return seen.marks, [*seen.pointers, *[0] * missing]
        marks, pointers = list(seen.marks), list(seen.pointers)
        for argument in self.plan.outputs:
            value = given.get(argument.name)
            mark, pointer = (None, 0) if value is None else fingerprint(value, argument.name)
            marks.append(mark)
            pointers.append(pointer)
        return tuple(marks), pointers

    def _prepare(self, marks: tuple[Any, ...], values: Mapping[str, Any], given: Mapping[str, Any]) -> Prepared:
        """The slow road: every check, then what calls of this kind share; a known kind only has its names checked."""
        check_names(self.plan.kernel, self.plan.inputs, values)
        if marks in self._prepared:
            return self._prepared[marks]
        views = self._views(values, given)
        dims = check_call(self.plan, views, self.engine.device)
        prepared = prepare(self.plan, self.engine, dims, views)
        if len(self._prepared) >= PREPARED_LIMIT:
            self._prepared.clear()
        self._prepared[marks] = prepared
        return prepared

    def _views(self, values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, TensorView]:
        both = {**values, **given}
        return {item.name: view_of(both[item.name], item.name) for item in self._tensors if item.name in both}

    def _ranges_meet(self, prepared: Prepared, pointers: list[int]) -> bool:
        """Whether the bytes of a written tensor of the caller lie between those of another; mostly they do not."""
        spans = [(pointer, pointer + reach) for pointer, reach in zip(pointers, prepared.reach, strict=True)]
        return any(
            low < other_high and other_low < high
            for written, (low, high) in enumerate(spans)
            if prepared.written[written] and low
            for other, (other_low, other_high) in enumerate(spans)
            if other != written
        )

    def _check_overlap(self, values: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        views = self._views(values, given)
        written = [(item.name, views[item.name]) for item in self._tensors if item.role != "in" and item.name in views]
        read = [(item.name, views[item.name]) for item in self._tensors if item.role == "in"]
        check_overlap(written, read)

    def _launch(
        self, prepared: Prepared, values: Mapping[str, Any], given: Mapping[str, Any], pointers: list[int]
    ) -> Any:
        model = values[self._inputs[0]] if self._inputs else None
        outputs = self._outputs(prepared, model, given, pointers)
        borrowed = [self.engine.take(size) for size in prepared.workspace_bytes]
        frame = [*pointers, *(space.pointer for space in borrowed), *self._tables]
        for name, default, encode in self._scalars:
            frame.append(encode(values.get(name, default)))
        try:
            for launch in prepared.launches:
                launch(frame)
        finally:
            for space in borrowed:
                self.engine.give(space)
        return self._handed_back(outputs, model, given)

    def _outputs(self, prepared: Prepared, model: Any, given: Mapping[str, Any], pointers: list[int]) -> list[Any]:
        """The output tensors; what the caller did not give is made in the framework of ``model``, the first tensor.

        Addresses of new ones go into ``pointers``.
        """
        outputs: list[Any] = []
        allocate = allocator_like(model)
        for position, shape in enumerate(prepared.output_shapes, start=len(self._inputs)):
            argument = self._tensors[position]
            if argument.name in given:
                outputs.append(given[argument.name])
                continue
            result = allocate(shape, argument.dtype, argument.layout)
            pointers[position] = address_of(result) if type(result) is np.ndarray else result.data_ptr()
            outputs.append(result)
        return outputs

    def _handed_back(self, outputs: list[Any], model: Any, given: Mapping[str, Any]) -> Any:
        """The outputs in the framework of ``model``; one alone, several as a named tuple, none as None."""
        if model is not None and type(model) is not np.ndarray:
            outputs = [
                output if argument.name in given else handed_back(output, model)
                for argument, output in zip(self.plan.outputs, outputs, strict=True)
            ]
        if len(outputs) == 1:
            return outputs[0]
        return self._results(*outputs) if outputs else None


def result_type(plan: Plan) -> Callable[..., Any]:
    """The named tuple of the kernel's outputs."""
    return namedtuple(plan.kernel, [output.name for output in plan.outputs], rename=True)


def fingerprint(value: Any, name: str) -> tuple[Any, int]:
    """A hashable mark that equals another's only if both tensors may share a ``Prepared``, and the address.

    Alignment counts to 16 bytes, which is all that a fact may ask of an argument.
    """
    if type(value) is np.ndarray:
        pointer = address_of(value)
        return (value.dtype, value.shape, value.strides, value.flags.writeable, pointer & 15), pointer
    if is_torch(value):
        pointer = value.data_ptr()
        mark = (value.dtype, value.shape, value.stride(), value.device, _records_gradient(value), pointer & 15)
        return mark, pointer
    view = view_of(value, name)
    return (view.dtype, view.shape, view.strides, view.device, view.writable, view.pointer & 15), view.pointer


def _records_gradient(tensor: Any) -> bool:
    return bool(tensor.requires_grad) and bool(sys.modules["torch"].is_grad_enabled())


def prepare(plan: Plan, engine: Engine, dims: Mapping[str, int], views: Mapping[str, TensorView]) -> Prepared:
    """Shapes, workspaces and launch functions of calls with these dims and views."""
    placed = _place_tensors(plan, dims, views)
    workspace_bytes = tuple(
        math.prod(placed[space.name].shape) * DTYPES[space.dtype].itemsize for space in plan.workspaces
    )
    tensors = [placed[argument.name] for argument in plan.arguments if argument.shape is not None]
    steps = [_step(plan, launch, dims, placed) for launch in chosen(plan.launches, dims)]
    return Prepared(
        dims=dims,
        reach=tuple(_reach(tensor) for tensor in tensors),
        written=tuple(tensor.written for tensor in tensors),
        output_shapes=tuple(placed[output.name].shape for output in plan.outputs),
        workspace_bytes=workspace_bytes,
        launches=tuple(engine.bind(step) for step in steps if 0 not in step.cells),
    )


def _reach(tensor: Placed) -> int:
    """Bytes from a tensor's first element to one past its last."""
    if 0 in tensor.shape:
        return 0
    steps = sum((extent - 1) * stride for extent, stride in zip(tensor.shape, tensor.strides, strict=True))
    return (steps + 1) * DTYPES[tensor.dtype].itemsize


def _place_tensors(plan: Plan, dims: Mapping[str, int], views: Mapping[str, TensorView]) -> dict[str, Placed]:
    """Every argument tensor, workspace and table with its entry in the frame."""
    placed: dict[str, Placed] = {}
    tensors = [argument for argument in plan.arguments if argument.shape is not None]
    for source, argument in enumerate(tensors):
        shape = tuple(size.evaluate(dims) for size in argument.shape or ())
        view = views.get(argument.name)
        strides = dense_strides(shape, argument.layout) if view is None else view.strides
        placed[argument.name] = Placed(
            source, shape, strides, argument.dtype, argument.layout, written=argument.role != "in"
        )
    for source, space in enumerate(plan.workspaces, start=len(tensors)):
        shape = tuple(size.evaluate(dims) for size in space.shape)
        placed[space.name] = Placed(source, shape, row_major(shape), space.dtype, "row", written=True)
    for source, table in enumerate(plan.tables, start=len(placed)):
        placed[table.name] = Placed(source, table.shape, row_major(table.shape), table.dtype, "row", written=False)
    return placed


def dense_strides(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """Element strides of a tensor that we allocate: dense in the axis order of ``layout``."""
    order = axis_order(layout, len(shape))
    dense = row_major(tuple(shape[axis] for axis in order))
    return tuple(dense[order.index(axis)] for axis in range(len(shape)))


def _step(plan: Plan, launch: Launch, dims: Mapping[str, int], placed: Mapping[str, Placed]) -> Step:
    first_scalar = len(placed)
    scalars = {
        argument.name: Value(argument.dtype, source=first_scalar + position)
        for position, argument in enumerate(argument for argument in plan.arguments if argument.shape is None)
    }

    def operand(item: Operand) -> Placed | Value:
        if item.role == "tensor":
            return placed[item.name]
        if item.role == "scalar":
            return scalars[item.name]
        if item.role == "dim":
            return Value("i64", constant=dims[item.name])
        raise RuntimeFault(f"launch {launch.name} has an operand of role {item.role!r}")

    cells = tuple(size.evaluate(dims) for size in launch.cells)
    return Step(launch, cells, tuple(operand(item) for item in launch.operands))


def check_failed(step: Step, site: int) -> RunError:
    """The error of run-time check ``site`` (from 1) of a launch."""
    sites = step.launch.sites
    place = sites[site - 1] if 0 < site <= len(sites) else f"site {site}"
    return RunError(
        "TW1015", f"a gather left its tensor at {place}", site=place,
        remedy="guard the read with `else`, or pass subscripts that are inside",
    )  # fmt: skip
