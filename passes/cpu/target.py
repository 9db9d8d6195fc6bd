"""Owns what code generation must know about a CPU: its name, its feature flags, and the vector width they give."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from tilewright.passes.machine.target import Arithmetic


@dataclass(frozen=True)
class CpuTarget(Arithmetic):
    """One CPU to generate code for, as LLVM names it; ``effort``, 0 to 3, is how hard LLVM tries to choose well."""

    name: str
    features: str
    triple: str
    effort: int = 2

    @property
    def registers(self) -> int:
        """Vector registers: AVX-512 and 64-bit Arm have 32, older x86 has 16."""
        return 32 if self.lanes == 16 or self.triple.startswith(("aarch64", "arm64")) else 16


def from_features(name: str, triple: str, features: dict[str, bool]) -> CpuTarget:
    """The target with these LLVM feature flags."""
    text = ",".join(("+" if on else "-") + flag for flag, on in sorted(features.items()))
    arm = triple.startswith(("aarch64", "arm64"))
    return CpuTarget(
        name=name,
        features=text,
        triple=triple,
        lanes=_lanes(features),
        fma=arm or features.get("fma", False),
        half=arm or features.get("f16c", False),
    )


def _lanes(features: dict[str, bool]) -> int:
    if features.get("avx512f", False) and features.get("avx512vl", False):
        return 16
    if features.get("avx2", False):
        return 8
    return 4


@functools.cache
def host() -> CpuTarget:
    """The CPU this process runs on."""
    import llvmlite.binding as llvm

    return from_features(
        llvm.get_host_cpu_name(), llvm.get_process_triple(), dict(llvm.get_host_cpu_features())
    )
