"""Tilewright: a compiler for deep-learning primitives written in index notation.

``jit`` and ``load`` make kernels that compile on their first call, ``compile`` compiles without data. The names are
loaded when they are first used: importing the package costs next to nothing and loads no MLIR.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tilewright.compiler.driver import Compiled as Compiled
    from tilewright.compiler.driver import compile as compile
    from tilewright.compiler.jit import jit as jit
    from tilewright.compiler.jit import load as load
    from tilewright.compiler.language.errors import SourceErrors as SourceErrors
    from tilewright.runtime.errors import CallError as CallError
    from tilewright.runtime.errors import TilewrightError as TilewrightError

__version__ = "0.1.0"

_HOMES = {
    "jit": "tilewright.compiler.jit",
    "load": "tilewright.compiler.jit",
    "compile": "tilewright.compiler.driver",
    "Compiled": "tilewright.compiler.driver",
    "SourceErrors": "tilewright.compiler.language.errors",
    "CallError": "tilewright.runtime.errors",
    "TilewrightError": "tilewright.runtime.errors",
}

__all__ = ["CallError", "Compiled", "SourceErrors", "TilewrightError", "compile", "jit", "load"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
