"""Random programs that a C++ compiler runs natively and the emulator runs as PTX must agree bit for bit.

    python tests/emulator/differential_ptx.py --programs 1000 --seed 0

Each program is a ``__host__ __device__`` function without undefined behaviour over 32- and 64-bit integers, floats and
doubles; many go into one translation unit because the compiler is the slow part. Needs nvcc.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.runtime.emulator import Module, launch

LANES = 64
STATEMENTS = 14
PRELUDE = r"""
#include <cstdint>
#include <cstdio>
#include <cmath>
#define BOTH __host__ __device__ static inline
typedef uint32_t u32; typedef uint64_t u64; typedef int32_t s32; typedef int64_t s64;
BOTH u32 bits_of(float x) { union { float f; u32 u; } v; v.f = x; return x != x ? 0x7fffffffu : v.u; }
BOTH u64 bits_of(double x) { union { double f; u64 u; } v; v.f = x; return x != x ? 0x7fffffffffffffffull : v.u; }
BOTH u32 count(u32 x) {
#ifdef __CUDA_ARCH__
  return __popc(x);
#else
  return __builtin_popcount(x);
#endif
}
BOTH u32 leading(u32 x) {
#ifdef __CUDA_ARCH__
  return __clz(x);
#else
  return x ? __builtin_clz(x) : 32;
#endif
}
BOTH u64 mix(u64 h, u64 v) { h ^= v + 0x9e3779b97f4a7c15ull + (h << 6) + (h >> 2); return h; }
BOTH float tame(float x) { return x == x && fabsf(x) < 1e30f ? x : 1.25f; }
BOTH double tame(double x) { return x == x && fabs(x) < 1e200 ? x : 1.25; }
"""
TEMPLATES: dict[str, tuple[str, ...]] = {
    "u32": (
        "{u}+{u}",
        "{u}-{u}",
        "{u}*{u}",
        "{u}/({u}|1u)",
        "{u}%({u}|1u)",
        "{u}<<({u}&31)",
        "{u}>>({u}&31)",
        "{u}&{u}",
        "{u}^~{u}",
        "count({u})",
        "leading({u})",
        "({u}<{u}?{u}:{u})",
        "(u32)({l}>>32)",
        "(u32)({m}*{u}>>32)",
        "bits_of({f})",
        "(u32)(s32)({s}>>3)",
        "(u32)(unsigned short)({u})",
        "(u32)(signed char)({u})",
        "({u}<<7|{u}>>25)",
    ),
    "s32": (
        "(s32)({u})",
        "(s32)({u}+{u})",
        "({s}>>({u}&31))",
        "({s}/(({s}&1023)+1))",
        "({s}%(({s}&1023)+1))",
        "({s}<{s}?{s}:{s})",
        "(s32)(fminf(fmaxf({f},-1e6f),1e6f))",
        "(s32)(short)({s})",
        "-(({s})>>1)",
        "({f}<{f}?{s}:{s})",
    ),
    "u64": (
        "{l}+{l}",
        "{l}*{l}",
        "{l}^{u}",
        "{l}>>({u}&63)",
        "{l}<<({u}&63)",
        "{l}/({u}|1ull)",
        "{l}%({l}|1ull)",
        "(u64)(s64){s}",
        "bits_of({d})",
        "({l}<{l}?{l}:{l})",
        "(u64){u}*{u}",
        "(u64)((s64){s}*{s})",
    ),
    "float": (
        "{f}+{f}",
        "{f}-{f}",
        "tame({f}*{f})",
        "tame({f}/({f}*{f}+1.5f))",
        "fmaf({f},{f},{f})",
        "(float){s}",
        "(float){u}",
        "sqrtf(fabsf({f}))",
        "({s}<{s}?{f}:{f})",
        "(float){d}",
        "floorf({f})",
        "-{f}",
        "rintf({f})",
        "truncf({f})",
        "(float){l}",
    ),
    "double": (
        "{d}+{d}",
        "tame({d}*{d})",
        "tame({d}/({d}*{d}+1.5))",
        "fma({d},{d},{d})",
        "(double){f}",
        "(double){s}",
        "(double){l}",
        "sqrt(fabs({d}))",
        "({d}<{d}?{d}:{d})",
        "-{d}",
        "ceil({d})",
    ),
}
LETTERS = {"u": "u32", "s": "s32", "l": "u64", "m": "u64", "f": "float", "d": "double"}


class Program:
    """One random function; variables of each type grow as statements are added."""

    def __init__(self, name: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.name = name
        self.pools: dict[str, list[str]] = {"u32": ["a"], "s32": ["b"], "u64": ["c"], "float": ["x"], "double": ["y"]}
        self.lines: list[str] = []
        for index in range(STATEMENTS):
            self._statement(index)

    def _expression(self, kind: str) -> str:
        text = self.random.choice(TEMPLATES[kind])
        for letter, type_name in LETTERS.items():
            while "{" + letter + "}" in text:
                name = self.random.choice(self.pools[type_name][-4:])
                cast = f"(u64){name}" if letter == "m" else name
                text = text.replace("{" + letter + "}", cast, 1)
        return text

    def _statement(self, index: int) -> None:
        kind = self.random.choice(list(TEMPLATES))
        value = self._expression(kind)
        value = f"tame((({kind})({value})))" if kind in ("float", "double") else value
        name = f"v{index}"
        self.lines.append(f"  {kind} {name} = {value};")
        if self.random.random() < 0.2:
            test = self._expression("u32")
            self.lines.append(f"  if (({test}) & 1u) {name} = {self.random.choice(self.pools[kind])};")
        self.pools[kind].append(name)

    def source(self) -> str:
        values = [
            f"mix(h, bits_of({v}))" if kind in ("float", "double") else f"mix(h, (u64)({v}))"
            for kind, pool in self.pools.items()
            for v in pool[1:]
        ]
        mixing = "\n".join(f"  h = {value};" for value in values)
        return (
            f"BOTH u64 {self.name}(u32 a, s32 b, u64 c, float x, double y) {{\n"
            + "\n".join(self.lines)
            + f"\n  u64 h = 7;\n{mixing}\n  return h;\n}}\n"
        )


def inputs(seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 2**32, LANES, dtype=np.uint32)
    b = rng.integers(-(2**31), 2**31, LANES, dtype=np.int32)
    c = rng.integers(0, 2**64, LANES, dtype=np.uint64)
    x = (rng.normal(size=LANES) * 2.0 ** rng.integers(-20, 20, LANES)).astype(np.float32)
    y = rng.normal(size=LANES) * 2.0 ** rng.integers(-40, 40, LANES)
    a[:4], b[:4], c[:4], x[:3], y[:3] = (
        [0, 1, 2**31, 2**32 - 1],
        [0, -1, -(2**31), 2**31 - 1],
        [0, 1, 2**63, 2**64 - 1],
        [0, -0.0, 1],
        0,
    )
    return [a, b, c, x, y]


def unit(programs: list[Program]) -> str:
    """A translation unit: the functions, one kernel over all of them, and a main that does the same natively."""
    calls = "\n".join(
        f"  out[{i} * {LANES} + t] = {p.name}(a[t], b[t], c[t], x[t], y[t]);" for i, p in enumerate(programs)
    )
    pointers = "const u32 *a, const s32 *b, const u64 *c, const float *x, const double *y, u64 *out"
    return (
        PRELUDE
        + "".join(p.source() for p in programs)
        + f'extern "C" __global__ void device_side({pointers}) {{\n  int t = threadIdx.x;\n{calls}\n}}\n'
        + f"static void host_side({pointers}, int t) {{\n{calls}\n}}\n"
        + f"""int main(int, char **argv) {{
  const int n = {LANES}; static u32 a[n]; static s32 b[n]; static u64 c[n]; static float x[n]; static double y[n];
  static u64 out[n * {len(programs)}];
  FILE *in = fopen(argv[1], "rb");
  if (!in || fread(a, 4, n, in) != n || fread(b, 4, n, in) != n ||
      fread(c, 8, n, in) != n || fread(x, 4, n, in) != n || fread(y, 8, n, in) != n) return 1;
  for (int t = 0; t < n; t++) host_side(a, b, c, x, y, out, t);
  FILE *to = fopen(argv[2], "wb");
  return fwrite(out, 8, n * {len(programs)}, to) != n * {len(programs)};
}}
"""
    )


def compare(count: int, seed: int) -> tuple[int, list[str]]:
    """Build and run ``count`` programs both ways; returns the values compared and the names that disagree."""
    programs = [Program(f"f{seed}_{i}", seed * 100_003 + i) for i in range(count)]
    data = inputs(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "unit.cu").write_text(unit(programs))
        flags = ["-std=c++17", "-fmad=false", "-w"]
        subprocess.run(["nvcc", *flags, "-arch=sm_80", "-ptx", "-o", path / "unit.ptx", path / "unit.cu"], check=True)
        subprocess.run(
            [
                "nvcc",
                *flags,
                "-arch=sm_80",
                "-cudart=none",
                "-O1",
                "-Xcompiler",
                "-ffp-contract=off,-fwrapv",
                "-o",
                path / "unit",
                path / "unit.cu",
            ],
            check=False,
            capture_output=True,
        )
        if not (path / "unit").exists():
            _native(path)
        (path / "in").write_bytes(b"".join(array.tobytes() for array in data))
        subprocess.run([path / "unit", path / "in", path / "out"], check=True)
        native = np.fromfile(path / "out", np.uint64).reshape(count, LANES)
        text = (path / "unit.ptx").read_text()
    emulated = np.zeros((count, LANES), np.uint64)
    report = launch(Module.parse(text), "device_side", (1,), (LANES,), args=[*data, emulated], check=("memory",))
    assert report.findings == [], [str(finding) for finding in report.findings]
    bad = (native != emulated).any(axis=1)
    return native.size, [programs[i].name for i in np.flatnonzero(bad)]


def _native(path: Path) -> None:
    """Compile the host half alone with the C++ compiler."""
    source = (path / "unit.cu").read_text()
    start = source.index('extern "C" __global__')
    source = source[:start] + source[source.index("static void host_side") :]
    source = source.replace("__host__ __device__ ", "")
    (path / "unit.cpp").write_text(source)
    subprocess.run(
        ["g++", "-std=c++17", "-O1", "-ffp-contract=off", "-fwrapv", "-w", "-o", path / "unit", path / "unit.cpp"],
        check=True,
    )


def available() -> bool:
    return shutil.which("nvcc") is not None and shutil.which("g++") is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    total, wrong = 0, []
    for batch in range(0, options.programs, 50):
        values, bad = compare(min(50, options.programs - batch), options.seed + batch)
        total, wrong = total + values, wrong + bad
        print(f"{batch + 50} programs, {total} values, {len(wrong)} programs disagree {wrong[:5]}", flush=True)
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
