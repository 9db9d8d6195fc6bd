"""The one seam to the MLIR bindings: no other file imports them.

The bindings are those inside the pinned wheel ``numba-cuda-mlir``, taken without its heavy parent package.
``TILEWRIGHT_MLIR=mlir`` opts in to the official wheel; it is never picked up by chance, because output must not depend
on what else is installed. Contexts are single-threaded: Python verifiers deadlock otherwise.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import types
from typing import Any

SWITCH = "TILEWRIGHT_MLIR"
PINNED = "numba_cuda_mlir._mlir"
PREFIX = os.environ.get(SWITCH) or PINNED


class BindingsMissing(ImportError):
    """The MLIR bindings are not installed."""


def _bypass_parent(package: str) -> None:
    """Put an empty package in place of ``package`` so that importing a part of it does not run its ``__init__``."""
    if package in sys.modules:
        return
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise BindingsMissing(f"the MLIR bindings need the package {package!r}: pip install numba-cuda-mlir==0.6.0")
    module = types.ModuleType(package)
    module.__path__ = list(spec.submodule_search_locations)
    module.__spec__ = spec
    sys.modules[package] = module


if "." in PREFIX:
    _bypass_parent(PREFIX.split(".")[0])


def _bindings(name: str) -> Any:
    return importlib.import_module(f"{PREFIX}.{name}")


ir: Any = _bindings("ir")
passmanager: Any = _bindings("passmanager")
ext: Any = _bindings("dialects.ext")


def dialect(name: str) -> Any:
    """The upstream dialect module ``name`` (``"arith"``, ``"nvvm"`` …), imported on first use."""
    return _bindings(f"dialects.{name}")


arith: Any = dialect("arith")
math: Any = dialect("math")
scf: Any = dialect("scf")
func: Any = dialect("func")


DIALECTS = ("arith", "cf", "func", "gpu", "index", "irdl", "llvm", "math", "memref", "nvvm", "scf", "tensor",
            "transform", "ub", "vector")  # fmt: skip
"""The upstream dialects that ops are made of. The bindings would load all forty, which then take part in every
conversion to LLVM; a text that names another one loads it."""


def new_context() -> Any:
    """A context without worker threads and without our dialects."""
    context = ir.Context(load_on_create_dialects=[])
    context.enable_multithreading(False)
    for name in DIALECTS:
        context.get_dialect_descriptor(name)
    return context


def stub_dialect_module(namespace: str) -> None:
    """Tell the bindings that ``namespace`` has no Python module: they retry the import on every op view otherwise."""
    name = f"{PREFIX}.dialects.{namespace}"
    sys.modules.setdefault(name, types.ModuleType(name))
