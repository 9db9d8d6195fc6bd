"""Owns what a call passes: puts values to names, and refuses a bad call before anything runs, naming the argument.

``collect`` runs on every call. ``check_call`` runs once for each new combination of dtypes, shapes, strides, alignment
and writability (see ``launch.py``); the checks that depend on addresses, ``check_overlap``, run on every call that
writes into memory of the caller.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tilewright.runtime.errors import CallError
from tilewright.runtime.facts import holds
from tilewright.runtime.plan import Argument, DimBinding, Plan
from tilewright.runtime.views import TensorView, as_numpy, axis_order, order_of

_OVERLAP_WORK = 100_000  # steps of the exact test on two strided tensors before they count as overlapping


def collect(kernel: str, names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Name to value for what was passed; ``names`` are the arguments that may stand by position, in order.

    Raises:
        CallError: TW1001 for too many positional arguments or a name given twice.
    """
    if len(args) > len(names):
        raise CallError("TW1001", f"{kernel} takes {len(names)} arguments by position", found=str(len(args)),
                        expected=", ".join(names))  # fmt: skip
    values = dict(zip(names, args, strict=False))
    if not kwargs:
        return values
    for name in values.keys() & kwargs.keys():
        raise CallError("TW1001", f"argument {name} is given by position and by name", argument=name)
    values.update(kwargs)
    return values


def check_names(kernel: str, arguments: Sequence[Argument], values: Mapping[str, Any]) -> None:
    """Every argument without a default is there (TW1001), and nothing else is."""
    known = [argument.name for argument in arguments]
    for name in values:
        if name not in known:
            raise CallError("TW1001", f"{kernel} has no argument {name}", argument=name, expected=", ".join(known))
    for argument in arguments:
        if argument.name not in values and (argument.shape is not None or argument.default is None):
            raise CallError("TW1001", f"argument {argument.name} is missing", argument=argument.name,
                            expected=", ".join(known), found=", ".join(values) or "no arguments")  # fmt: skip


def split_outputs(kernel: str, names: Sequence[str], out: Any) -> dict[str, Any]:
    """What ``out=`` gives, by output name: a tensor for one output, a tuple or a mapping for several (TW1011)."""
    if out is None:
        return {}
    if isinstance(out, Mapping):
        unknown = [name for name in out if name not in names]
        if unknown:
            raise _bad_out(kernel, names, f"{unknown[0]!r} is no output")
        return dict(out)
    if isinstance(out, tuple | list):
        if len(out) != len(names):
            raise _bad_out(kernel, names, f"{len(out)} tensors")
        return dict(zip(names, out, strict=True))
    if len(names) != 1:
        raise _bad_out(kernel, names, type(out).__name__)
    return {names[0]: out}


def _bad_out(kernel: str, names: Sequence[str], found: str) -> CallError:
    return CallError("TW1011", f"out= does not match the outputs of {kernel}", argument="out",
                     expected=f"({', '.join(names)})", found=found)  # fmt: skip


def check_call(plan: Plan, views: Mapping[str, TensorView], device: str) -> dict[str, int]:
    """The dims of a call whose tensors are ``views`` (outputs only where the caller gave them).

    Raises:
        CallError: TW1012 device, TW1004 dtype, TW1003 rank, TW1008 strides, TW1009 read-only, TW1005 shapes that
            clash, TW1006 (or the check's own code) an unmet ``require``, TW1017 a fact the code was built on.
    """
    tensors = [argument for argument in plan.arguments if argument.name in views]
    for argument in tensors:
        _check_tensor(argument, views[argument.name], device)
    dims = bind_dims(plan, views)
    _check_requires(plan, dims)
    for argument in tensors:
        _check_shape(plan, argument, views[argument.name], dims)
    _check_facts(plan, dims, views)
    return dims


def _check_tensor(argument: Argument, view: TensorView, device: str) -> None:
    name = argument.name
    if view.device.partition(":")[0] != device:
        raise CallError("TW1012", f"argument {name} lies on another device", argument=name, expected=device,
                        found=view.device, remedy=f"move {name} to {device}, or choose device=")  # fmt: skip
    if view.dtype != argument.dtype:
        raise CallError("TW1004", f"argument {name} has the wrong dtype", argument=name, expected=argument.dtype,
                        found=view.dtype)  # fmt: skip
    if len(view.shape) != len(argument.shape or ()):
        raise CallError("TW1003", f"argument {name} has the wrong rank", argument=name,
                        expected=_declared(argument), found=f"shape {view.shape}")  # fmt: skip
    _check_strides(argument, view)
    if argument.role != "in":
        _check_writable(name, view)


def _check_strides(argument: Argument, view: TensorView) -> None:
    if any(stride < 0 and extent > 1 for stride, extent in zip(view.strides, view.shape, strict=True)):
        raise _bad_strides(argument, view, "strides that are not negative")
    if argument.layout == "strided":
        return
    if layout_of(view) != argument.layout and not _is_dense_as(view, argument.layout):
        raise _bad_strides(argument, view, "row-major" if argument.layout == "row" else argument.layout)


def _bad_strides(argument: Argument, view: TensorView, expected: str) -> CallError:
    name = argument.name
    return CallError(
        "TW1008",
        f"argument {name} has strides that this kernel does not take",
        argument=name,
        expected=expected,
        found=f"strides {view.strides} of shape {view.shape}",
        remedy=f"pass a row-major copy of {name}, or declare the tensor `strided`",
    )


def layout_of(view: TensorView) -> str:
    """The narrowest layout that describes the tensor: ``row``, ``order(…)`` or ``strided``."""
    order = order_of(view)
    if order is None:
        return "strided"
    return "row" if order == tuple(range(len(order))) else f"order({', '.join(map(str, order))})"


def _is_dense_as(view: TensorView, layout: str) -> bool:
    """Whether axes of extent 1 or none make the tensor fit ``layout`` although another one describes it as well."""
    step = 1
    for axis in reversed(axis_order(layout, len(view.shape))):
        if view.shape[axis] > 1 and view.strides[axis] != step and 0 not in view.shape:
            return False
        step *= view.shape[axis]
    return True


def _check_writable(name: str, view: TensorView) -> None:
    if not view.writable:
        raise CallError("TW1009", f"argument {name} is written but read-only", argument=name,
                        remedy=f"pass a writable copy of {name}")  # fmt: skip
    if any(stride == 0 and extent > 1 for stride, extent in zip(view.strides, view.shape, strict=True)):
        raise CallError("TW1008", f"argument {name} is written but its elements overlap", argument=name,
                        found=f"strides {view.strides} of shape {view.shape}", remedy="pass a copy")  # fmt: skip


def bind_dims(plan: Plan, views: Mapping[str, TensorView]) -> dict[str, int]:
    """The value of every dim of the plan, from the shapes of ``views``."""
    dims: dict[str, int] = {}
    for binding in plan.bindings:
        value = _bound(binding, views[binding.tensor])
        dims.setdefault(binding.dim, value)
    for solution in plan.solutions:
        dims[solution.dim] = solution.value.evaluate(dims)
    return dims


def _bound(binding: DimBinding, view: TensorView) -> int:
    value, rest = divmod(view.shape[binding.axis] - binding.offset, binding.scale)
    if rest or value < 0:
        form = " + ".join(filter(None, (f"{binding.scale} * {binding.dim}", str(binding.offset or ""))))
        raise CallError("TW1005", f"argument {binding.tensor}: axis {binding.axis} cannot be {form}",
                        argument=binding.tensor, found=str(view.shape[binding.axis]))  # fmt: skip
    return value


def _check_shape(plan: Plan, argument: Argument, view: TensorView, dims: Mapping[str, int]) -> None:
    for axis, size in enumerate(argument.shape or ()):
        expected, found = size.evaluate(dims), view.shape[axis]
        if expected == found:
            continue
        origins = {binding.dim: f"{binding.dim} = {dims[binding.dim]} from {binding.tensor}" for binding in
                   reversed(plan.bindings)}  # fmt: skip
        reasons = [origins.get(symbol, f"{symbol} = {dims[symbol]}") for symbol in dict.fromkeys(size.symbols())]
        raise CallError(
            "TW1005",
            f"argument {argument.name}: axis {axis} does not fit the other shapes",
            argument=argument.name,
            expected=f"{size} = {expected}" + (f" ({', '.join(reasons)})" if reasons else ""),
            found=f"{found} in shape {view.shape}",
        )


def _check_requires(plan: Plan, dims: Mapping[str, int]) -> None:
    for check in plan.checks:
        if check.condition.evaluate(dims):
            continue
        found = ", ".join(f"{name} = {dims[name]}" for name in dict.fromkeys(check.condition.symbols()))
        raise CallError(check.code, f"{plan.kernel} requires {check.text}", expected=check.text, found=found)
    for name, value in dims.items():
        if value < 0:
            raise CallError("TW1005", f"dim {name} of {plan.kernel} would be negative", found=f"{name} = {value}")


def _check_facts(plan: Plan, dims: Mapping[str, int], views: Mapping[str, TensorView]) -> None:
    made = made_elements(plan, dims, views)
    for fact in dict.fromkeys(fact for launch in plan.launches for fact in launch.facts):
        if not holds(fact, dims, views, made):
            raise CallError("TW1017", f"this code of {plan.kernel} was compiled for calls with {fact}", expected=fact,
                            found=", ".join(f"{name} = {value}" for name, value in dims.items()))  # fmt: skip


def made_elements(plan: Plan, dims: Mapping[str, int], views: Mapping[str, TensorView]) -> list[int]:
    """The elements of each tensor that the call makes itself: outputs without a view, and workspaces."""
    shapes = [argument.shape for argument in plan.outputs if argument.name not in views]
    shapes += [space.shape for space in plan.workspaces]
    return [math.prod(size.evaluate(dims) for size in shape or ()) for shape in shapes]


def check_overlap(written: Sequence[tuple[str, TensorView]], read: Sequence[tuple[str, TensorView]]) -> None:
    """No written tensor shares memory with another argument (TW1007)."""
    for position, (name, view) in enumerate(written):
        for other_name, other in (*written[position + 1 :], *read):
            if _overlap(view, other):
                raise CallError("TW1007", f"argument {name} is written and overlaps argument {other_name}",
                                argument=name, remedy=f"pass memory of its own for {name}")  # fmt: skip


def _overlap(first: TensorView, second: TensorView) -> bool:
    """Exact for dense tensors and on the CPU; strided ones elsewhere count when their byte ranges meet."""
    (first_low, first_high), (second_low, second_high) = first.span, second.span
    if first_low >= second_high or second_low >= first_high or first_low == first_high or second_low == second_high:
        return False
    if first.device != "cpu" or (order_of(first) is not None and order_of(second) is not None):
        return True
    try:
        return np.shares_memory(as_numpy(first), as_numpy(second), max_work=_OVERLAP_WORK)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def _declared(argument: Argument) -> str:
    shape = ", ".join(map(str, argument.shape or ()))
    return f"{argument.dtype}[{shape}]"
