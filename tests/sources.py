"""From sources to typed kernels, for tests: each file is read once."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tilewright.compiler.language import frontend, typed
from tilewright.compiler.language.span import Source

Const = bool | int | float


@cache
def module_of(path: Path) -> frontend.Module:
    return frontend.load_module(Source(path.name, path.read_text(encoding="utf-8")), path.parent)


def typed_kernel(
    path: Path, name: str, types: Mapping[str, str] | None = None, consts: Mapping[str, Const] | None = None
) -> typed.TypedKernel:
    """Kernel ``name`` of a file; types that the kernel does not have are left out."""
    return _instance(module_of(path).kernels[name], types or {}, consts or {})


def typed_text(
    text: str,
    name: str | None = None,
    types: Mapping[str, str] | None = None,
    consts: Mapping[str, Const] | None = None,
) -> typed.TypedKernel:
    """The only kernel of a text, or the named one; indentation of the whole text does not matter."""
    module = frontend.load_module(Source("test.tw", textwrap.dedent(text).strip() + "\n"))
    return _instance(module.kernels[name or next(iter(module.kernels))], types or {}, consts or {})


def _instance(
    checked: frontend.CheckedKernel, types: Mapping[str, str], consts: Mapping[str, Const]
) -> typed.TypedKernel:
    wanted = {key: dtype for key, dtype in types.items() if key in checked.type_params}
    return frontend.instantiate(checked, frontend.infer_instance(checked, {}, consts, wanted))
