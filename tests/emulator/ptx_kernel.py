"""Small PTX kernels written in tests: their frame, and whether ptxas accepts them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

HEADER = ".version 8.7\n.target sm_90a\n.address_size 64\n"
REGISTERS = (
    ".reg .b16 %h<40>; .reg .b32 %r<300>; .reg .b64 %d<100>; .reg .b128 %w<9>; .reg .pred %p<9>;\n"
    ".reg .f32 %f<100>; .reg .f64 %e<60>; .reg .b32 %t; .reg .b64 %q<12>;\nmov.u32 %t, %tid.x;\n"
)


def kernel(
    body: str, pointers: int = 0, maps: int = 0, shared: int = 4096, directives: str = "", outside: str = ""
) -> str:
    """A module with one entry ``k``: tensor maps first, then pointers.

    The body finds the address of map i in %q<i>, pointer i in %q<maps + i>, the thread number in %t and shared memory
    at ``memory``.
    """
    names = [f".param .align 64 .b8 m{i}[128]" for i in range(maps)] + [f".param .u64 a{i}" for i in range(pointers)]
    loads = "".join(f"mov.b64 %q{i}, m{i}; cvta.param.u64 %q{i}, %q{i};\n" for i in range(maps))
    loads += "".join(f"ld.param.u64 %q{maps + i}, [a{i}];\n" for i in range(pointers))
    return (
        f"{HEADER}{outside}.visible .entry k({', '.join(names)})\n{directives}\n{{\n{REGISTERS}"
        f".shared .align 1024 .b8 memory[{shared}];\n.shared .align 8 .b8 full[16];\n{loads}{body}\nret;\n}}\n"
    )


def registers(prefix: str, start: int, count: int) -> str:
    """``{%r4, %r5}`` and the like."""
    return "{" + ", ".join(f"%{prefix}{start + i}" for i in range(count)) + "}"


def assembler_error(text: str) -> str | None:
    """What ptxas says against a module; skips the test where there is no ptxas."""
    ptxas = shutil.which("ptxas")
    if ptxas is None:
        pytest.skip("needs ptxas")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "k.ptx"
        path.write_text(text)
        command = [ptxas, "-arch=sm_90a", "-O0", "-o", str(Path(folder) / "k.cubin"), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else None
