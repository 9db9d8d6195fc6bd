"""Owns which form of declaration may stand where in a kernel's first line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tilewright.compiler.language import tree
from tilewright.compiler.language.errors import Diagnostic

CODE = "TW0118"


def check_params(
    tensors: Sequence[tree.Param], scalars: Sequence[tree.Param], outputs: Sequence[tree.Param]
) -> list[Diagnostic]:
    """What is wrong with the forms of a kernel's parameters: tensors, then scalars behind the ``;``, then outputs."""
    found = [error for param in tensors for error in _tensor(param)]
    found += [error for param in scalars for error in _scalar(param)]
    found += [error for param in outputs for error in _output(param)]
    return found


def _tensor(param: tree.Param) -> Iterator[Diagnostic]:
    name = param.name.id
    if param.shape is None:
        yield Diagnostic(CODE, param.span, f"`{name}` has no shape: scalars and consts stand behind a `;`")
        return
    if param.qualifier == "const":
        yield Diagnostic(CODE, param.span, f"`{name}` is a tensor: only scalars are `const`")
    if param.default is not None:
        yield Diagnostic(CODE, param.default.span, f"`{name}` is a tensor: only scalars have a default")


def _scalar(param: tree.Param) -> Iterator[Diagnostic]:
    name = param.name.id
    if param.shape is not None:
        yield Diagnostic(CODE, param.span, f"`{name}` has a shape: tensors stand before the `;`")
        return
    if param.layout is not None:
        yield Diagnostic(CODE, param.layout.span, f"`{name}` is a scalar: only tensors have a layout")
    if param.qualifier == "inout":
        yield Diagnostic(CODE, param.span, f"`{name}` is a scalar: only tensors are `inout`")


def _output(param: tree.Param) -> Iterator[Diagnostic]:
    name = param.name.id
    if param.qualifier is not None:
        where = "among the tensors" if param.qualifier == "inout" else "behind the `;`"
        message = f"`{name}` is an output: `{param.qualifier}` parameters stand {where}"
        yield Diagnostic(CODE, param.span, message)
    if param.default is not None:
        yield Diagnostic(CODE, param.default.span, f"`{name}` is an output: only scalars have a default")
    if param.layout is not None and param.shape is None:
        yield Diagnostic(CODE, param.layout.span, f"`{name}` has no shape, so it has no layout")
