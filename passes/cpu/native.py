"""Owns the way from machine-level functions to object code: MLIR's conversions, a legality check, code generation.

LLVM's IR passes are left out: the code is written as it should run, and they would be the most of the compile time.
Whatever is not of the ``llvm`` dialect would crash the translation, so it is refused before; names the object needs
from outside must be known to the loader.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from tilewright.dialect.faults import InternalFault
from tilewright.dialect.legality import check_level
from tilewright.dialect.mlir import dialect
from tilewright.dialect.upstream import run_upstream
from tilewright.passes.cpu import lower as lowering
from tilewright.passes.cpu.target import CpuTarget

CONVERSIONS = ("convert-scf-to-cf", "convert-to-llvm", "reconcile-unrealized-casts")
# What object code may call: the C library's math (f64, and f32 where there is no vector form) and memory functions.
MATH_SYMBOLS = (
    "exp", "exp2", "log", "log2", "log1p", "expm1", "sin", "cos", "tanh", "erf", "pow", "fmod", "fma",
    "floor", "ceil", "trunc", "round", "roundeven",
    "sinf", "cosf", "fmodf", "fmaf", "floorf", "ceilf", "truncf", "roundf", "roundevenf",
)  # fmt: skip
EXTERNAL_SYMBOLS = frozenset([*MATH_SYMBOLS, "memset", "memcpy", "memmove"])


@dataclass(frozen=True)
class NativeCode:
    """Object code of some launches, what it was made from, and for each launch the places of its run-time checks."""

    object_bytes: bytes
    llvm_ir: str
    launches: tuple[str, ...]
    sites: dict[str, tuple[str, ...]]
    target: CpuTarget

    @functools.cached_property
    def asm(self) -> str:
        """The assembly text (generated when it is asked for)."""
        machine = _target_machine(self.target)
        return str(machine.emit_assembly(_parse(self.llvm_ir, self.target, machine)))


def compile_native(module: Any, host: CpuTarget) -> NativeCode:
    """Object code for a tile-level ``module``, which is not changed. Needs an MLIR session."""
    lowered = lowering.lower(module, host)
    text = to_llvm_ir(lowered.module)
    return NativeCode(object_code(text, host), text, lowered.launches, lowered.sites, host)


def object_code(llvm_ir: str, target: CpuTarget) -> bytes:
    """The object file of LLVM IR that ``to_llvm_ir`` wrote."""
    machine = _target_machine(target)
    parsed = _parse(llvm_ir, target, machine)
    check_externals(parsed)
    return bytes(machine.emit_object(parsed))


def to_llvm_ir(module: Any) -> str:
    """LLVM IR text of a machine-level module; converts it in place."""
    run_upstream(",".join(CONVERSIONS), module)
    check_level(module, "llvm")
    return str(dialect("llvm").translate_module_to_llvmir(module.operation))


def _target_machine(target: CpuTarget) -> Any:
    llvm = _llvm()
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.name,
        features=target.features,
        opt=target.effort,
        reloc="pic",
        codemodel="small" if target.triple.startswith("x86_64") else "default",
    )


@functools.cache
def _llvm() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


def _parse(text: str, target: CpuTarget, machine: Any) -> Any:
    module = _llvm().parse_assembly(text)
    module.triple = target.triple
    module.data_layout = str(machine.target_data)
    return module


def check_externals(module: Any) -> None:
    """Refuse calls to functions that nobody provides: unresolved they would jump to address zero."""
    for function in module.functions:
        known = function.name in EXTERNAL_SYMBOLS or function.name.startswith("llvm.")
        if function.is_declaration and not known:
            raise InternalFault(f"the code calls {function.name!r}, which no library of ours has")
