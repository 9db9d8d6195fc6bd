"""Owns fitting a typed kernel to what is known of its calls: the layouts of tensors, the values of dims."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from tilewright.compiler.language import typed
from tilewright.compiler.language.span import Span


def with_layouts(kernel: typed.TypedKernel, layouts: Mapping[str, str]) -> typed.TypedKernel:
    """The kernel for tensors that lie as ``layouts`` say (``row``, ``order(…)``, ``strided``), by argument name."""
    if not layouts:
        return kernel

    def fitted(tensor: typed.Tensor) -> typed.Tensor:
        if tensor.name not in layouts:
            return tensor
        return dataclasses.replace(tensor, layout=parse_layout(layouts[tensor.name], len(tensor.shape)))

    tensors, outputs = (tuple(map(fitted, group)) for group in (kernel.tensors, kernel.outputs))
    return dataclasses.replace(kernel, tensors=tensors, outputs=outputs)


def parse_layout(text: str, rank: int) -> typed.Layout:
    if text == "strided":
        return typed.Layout(None, strided=True)
    if text == "row":
        return typed.Layout(tuple(range(rank)))
    return typed.Layout(tuple(int(axis) for axis in text.removeprefix("order(").removesuffix(")").split(",")))


def with_dims(kernel: typed.TypedKernel, dims: Mapping[str, int]) -> typed.TypedKernel:
    """The kernel with these dims as literals in shapes and statements; they stay dims of the kernel's arguments."""
    if not dims:
        return kernel
    tensors, outputs, statements = (
        _with_literals(group, dims) for group in (kernel.tensors, kernel.outputs, kernel.statements)
    )
    return dataclasses.replace(kernel, tensors=tensors, outputs=outputs, statements=statements)


def _with_literals(value: Any, dims: Mapping[str, int]) -> Any:
    if isinstance(value, typed.Dim):
        return typed.Literal(value.span, value.dtype, dims[value.name]) if value.name in dims else value
    if isinstance(value, tuple):
        return tuple(_with_literals(item, dims) for item in value)
    if not isinstance(value, typed.TypedNode | typed.Binder | typed.IndexExtent):
        return value
    parts = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    changed = {name: _with_literals(part, dims) for name, part in parts.items() if name != "span"}
    return dataclasses.replace(value, **changed)


def digest(kernel: typed.TypedKernel) -> str:
    """SHA-256 of all that a kernel says, and where: two kernels with one digest compile to the same bytes."""
    result = hashlib.sha256(repr(kernel).encode())
    for span in _spans(kernel):
        result.update(f"{span}-{span.end_line}:{span.end_column}".encode())
    return result.hexdigest()


def _spans(root: Any) -> Iterator[Span]:
    """Every place in a typed kernel, without recursion."""
    stack = [root]
    while stack:
        value = stack.pop()
        if isinstance(value, Span):
            yield value
        elif isinstance(value, tuple):
            stack.extend(value)
        elif dataclasses.is_dataclass(value):
            stack.extend(getattr(value, item.name) for item in dataclasses.fields(value))
