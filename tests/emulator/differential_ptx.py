"""Random programs that a C++ compiler runs natively and the emulator runs as PTX must agree bit for bit.

    python tests/emulator/differential_ptx.py --programs 1000 --seed 0

Each program is a function without undefined behaviour over integers of 8 to 64 bits, halves, floats and doubles, with
branches, loops and switches; ``differential_prelude.h`` has what it may call. Many go into one translation unit because
the compiler is the slow part. Needs nvcc and g++.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.runtime.emulator import Module, launch

LANES = 64
STATEMENTS = 14
BATCH = 50
PRELUDE = Path(__file__).with_name("differential_prelude.h")
MODES = ("rn", "rz", "rd", "ru")


def _each_mode(*templates: str) -> list[str]:
    return [template.replace("@", mode) for template in templates for mode in MODES]


TEMPLATES: dict[str, list[str]] = {
    "u32": [
        "{u}+{u}", "{u}-{u}", "{u}*{u}", "{u}/({u}|1u)", "{u}%({u}|1u)", "{u}<<({u}&31)", "{u}>>({u}&31)", "{u}&{u}",
        "{u}^~{u}", "({u}<{u}?{u}:{u})", "(u32)({l}>>32)", "(u32)((u64){u}*{u}>>32)", "bits_of({f})",
        "(u32)({s}>>3)", "(u32)(u16){u}", "(u32)(s8){u}", "({u}<<7|{u}>>25)", "count({u})", "count({l})",
        "leading({u})", "leading({l})", "first_set({u})", "reverse({u})", "permute({u},{u},{u}&0x7777u)",
        "funnel_left({u},{u},{u})", "funnel_right({u},{u},{u}&63)", "dot({u},{u},{u})", "high({u},{u})",
        "distance({s},{s},{u})", "distance({u},{u},{u})", "average_up({u},{u})", "shift_left({u},{u}&63)",
        "field({u},{u},{u})", "insert({u},{u},{u},{u})", "logic({u},{u},{u})", "({u}>{u}?{u}:{u})", "(u32){b}*{b}",
        "(u32)({h}<{h})", "(u32)({d}<={d})",
    ] + _each_mode("u32_@({f})", "u32_@({d})"),
    "s32": [
        "(s32)({u})", "(s32)({u}+{u})", "({s}>>({u}&31))", "({s}/(({s}&1023)+1))", "({s}%(({s}&1023)+1))",
        "({s}<{s}?{s}:{s})", "(s32)(s16){s}", "(s32)-(u32)({s}>>1)", "({f}<{f}?{s}:{s})", "high({s},{s})",
        "dot({s},{s},{s})", "small_product({s},{s})", "average({s},{s})", "shift_right({s},{u}&63)",
        "field({s},{u},{u})", "({s}>{s}?{s}:{s})", "(s32){g}*{g}", "(s32)({q}>>32)", "({d}!={d}?{s}:{s})",
    ] + _each_mode("s32_@({f})", "s32_@({d})"),
    "u64": [
        "{l}+{l}", "{l}-{l}", "{l}*{l}", "{l}^{u}", "{l}>>({u}&63)", "{l}<<({u}&63)", "{l}/({u}|1ull)",
        "{l}%({l}|1ull)", "(u64)(s64){s}", "bits_of({d})", "({l}<{l}?{l}:{l})", "(u64){u}*{u}", "(u64)((s64){s}*{s})",
        "high({l},{l})", "reverse({l})", "shift_right({l},{u}&127)", "(u64){u}*{u}+{l}", "{l}|~{l}",
    ] + _each_mode("u64_@({f})", "u64_@({d})"),
    "s64": [
        "(s64)({l}+{l})", "(s64)((u64){q}*(u64){q})", "({q}>>({u}&63))", "({q}/(({q}&65535)+1))",
        "({q}%(({s}&1023)+1))", "({q}<{q}?{q}:{q})", "(s64){s}", "(s64){s}*{s}", "high({q},{q})", "(s64){g}",
    ] + _each_mode("s64_@({f})", "s64_@({d})"),
    "u16": [
        "(u16)({h}+{h})", "(u16)({h}*{h})", "(u16)({h}>>({u}&15))", "(u16){u}", "(u16)({h}/({h}|1))", "to_half({f})",
        "half_sum({h},{h})", "half_product({h},{h})", "to_brain({f})", "(u16)({h}^{b})", "({h}<{h}?{h}:{h})",
    ],
    "s16": ["(s16)({g}-{g})", "(s16)({g}*{g})", "(s16)({g}>>({u}&15))", "(s16){s}", "(s16)({g}%(({g}&127)+1))",
            "({g}<{g}?{g}:{g})", "(s16)(s8){g}"],
    "u8": ["(u8)({b}+{b})", "(u8)({b}*{b})", "(u8){u}", "(u8)({b}>>({u}&7))", "({b}>{b}?{b}:{b})", "(u8)({b}%({b}|1))"],
    "float": [
        "{f}+{f}", "{f}-{f}", "{f}*{f}", "{f}/({f}*{f}+1.5f)", "fmaf({f},{f},{f})", "(float){s}", "(float){u}",
        "sqrtf(fabsf({f}))", "({s}<{s}?{f}:{f})", "(float){d}", "floorf({f})", "-{f}", "rintf({f})", "truncf({f})",
        "(float){l}", "least({f},{f})", "most({f},{f})", "from_half({h})", "from_brain({h})", "copysignf({f},{f})",
        "(float){q}", "ceilf({f})", "single_of({u}&0xbfffffffu)",
    ] + _each_mode("add_@({f},{f})", "mul_@({f},{f})", "div_@({f},{f}*{f}+1.5f)", "root_@(fabsf({f}))",
                   "float_@({s})", "fma_@({f},{f},{f})", "float_@({u})", "float_@({q})", "float_@({l})",
                   "float_@({d})"),
    "double": [
        "{d}+{d}", "{d}*{d}", "{d}/({d}*{d}+1.5)", "fma({d},{d},{d})", "(double){f}", "(double){s}", "(double){l}",
        "sqrt(fabs({d}))", "({d}<{d}?{d}:{d})", "-{d}", "ceil({d})", "least({d},{d})", "most({d},{d})", "rint({d})",
    ] + _each_mode("add_@({d},{d})", "mul_@({d},{d})", "div_@({d},{d}*{d}+1.5)", "root_@(fabs({d}))",
                   "fma_@({d},{d},{d})", "double_@({q})", "double_@({l})"),
}  # fmt: skip
LETTERS = {
    "u": "u32", "s": "s32", "l": "u64", "q": "s64", "h": "u16", "g": "s16", "b": "u8", "f": "float", "d": "double",
}  # fmt: skip
INPUTS = {
    "u32": "a", "s32": "b", "u64": "c", "s64": "(s64)c", "u16": "(u16)(a>>7)", "s16": "(s16)b", "u8": "(u8)(c>>9)",
    "float": "x", "double": "y",
}  # fmt: skip


class Program:
    """One random function; variables of each type grow as statements are added."""

    def __init__(self, name: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.name = name
        self.pools = {kind: [f"in_{kind}"] for kind in TEMPLATES}
        self.lines = [f"  {kind} in_{kind} = {value};" for kind, value in INPUTS.items()]
        for index in range(STATEMENTS):
            self._statement(index)

    def _expression(self, kind: str) -> str:
        text = self.random.choice(TEMPLATES[kind])
        for letter, type_name in LETTERS.items():
            while "{" + letter + "}" in text:
                text = text.replace("{" + letter + "}", self.random.choice(self.pools[type_name][-4:]), 1)
        return f"tame(({kind})({text}))" if kind in ("float", "double") else f"({kind})({text})"

    def _statement(self, index: int) -> None:
        kind, name = self.random.choice(list(TEMPLATES)), f"v{index}"
        self.lines.append(f"  {kind} {name} = {self._expression(kind)};")
        shape = self.random.random()
        if shape < 0.2:
            self.lines.append(f"  if ({self._expression('u32')} & 1u) {name} = {self._expression(kind)};")
        elif shape < 0.3:
            self._loop(index, kind, name)
        elif shape < 0.4:
            self._switch(kind, name)
        self.pools[kind].append(name)

    def _loop(self, index: int, kind: str, name: str) -> None:
        """A loop whose length differs between threads and whose body sees its own result; sometimes it ends early."""
        self.pools[kind].append(name)
        end = self._expression("u32")
        leave = f" if ({self._expression('u32')} % 7u == 3u) break;" if self.random.random() < 0.5 else ""
        self.lines.append(f"  for (u32 i{index} = 0; i{index} < ({end} & 7u); i{index}++) {{")
        self.lines.append(f"    {name} = {self._expression(kind)};{leave}\n  }}")
        self.pools[kind].pop()

    def _switch(self, kind: str, name: str) -> None:
        """A dense switch with a default; some cases fall through."""
        self.lines.append(f"  switch ({self._expression('u32')} % 7u) {{")
        for case in range(5):
            leave = " break;" if self.random.random() < 0.8 else ""
            self.lines.append(f"    case {case}: {name} = {self._expression(kind)};{leave}")
        self.lines.append(f"    default: {name} = {self._expression(kind)};\n  }}")

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


def unit(programs: Sequence[Program]) -> str:
    """A translation unit: the functions, one kernel over all of them, and natively a main that does the same."""
    calls = "\n".join(
        f"  out[{i} * {LANES} + t] = {p.name}(a[t], b[t], c[t], x[t], y[t]);" for i, p in enumerate(programs)
    )
    pointers = "const u32 *a, const s32 *b, const u64 *c, const float *x, const double *y, u64 *out"
    return f"""#include "{PRELUDE.name}"
{"".join(p.source() for p in programs)}
#ifdef __CUDACC__
extern "C" __global__ void device_side({pointers}) {{
  int t = threadIdx.x;
{calls}
}}
#else
static void host_side({pointers}, int t) {{
{calls}
}}
int main(int, char **argv) {{
  const int n = {LANES}; static u32 a[n]; static s32 b[n]; static u64 c[n]; static float x[n]; static double y[n];
  static u64 out[n * {len(programs)}];
  FILE *in = fopen(argv[1], "rb");
  if (!in || fread(a, 4, n, in) != n || fread(b, 4, n, in) != n ||
      fread(c, 8, n, in) != n || fread(x, 4, n, in) != n || fread(y, 8, n, in) != n) return 1;
  for (int t = 0; t < n; t++) host_side(a, b, c, x, y, out, t);
  FILE *to = fopen(argv[2], "wb");
  return fwrite(out, 8, n * {len(programs)}, to) != n * {len(programs)};
}}
#endif
"""


@dataclass(frozen=True)
class Comparison:
    """How many values were compared, the programs that disagree, and the opcodes that ran."""

    values: int
    wrong: list[str]
    opcodes: frozenset[str]


def compare(count: int, seed: int) -> Comparison:
    """Build ``count`` programs and run them both ways."""
    programs = [Program(f"f{seed}_{i}", seed * 100_003 + i) for i in range(count)]
    data = inputs(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "unit.cu").write_text(unit(programs))
        text = _device(path)
        native = _native(path, data).reshape(count, LANES)
    emulated = np.zeros((count, LANES), np.uint64)
    report = launch(Module.parse(text), "device_side", (1,), (LANES,), args=[*data, emulated], check=("memory",))
    assert report.findings == [], [str(finding) for finding in report.findings]
    bad = (native != emulated).any(axis=1)
    return Comparison(
        native.size, [programs[i].name for i in np.flatnonzero(bad)], frozenset(report.counters.instructions)
    )


def _device(path: Path) -> str:
    flags = ["-std=c++17", "-fmad=false", "-w", "-arch=sm_80", f"-I{PRELUDE.parent}"]
    subprocess.run(["nvcc", *flags, "-ptx", "-o", path / "unit.ptx", path / "unit.cu"], check=True)
    return (path / "unit.ptx").read_text()


def _native(path: Path, data: list[Any]) -> Any:
    flags = ["-std=c++17", "-O1", "-ffp-contract=off", "-frounding-math", "-fwrapv", "-w", f"-I{PRELUDE.parent}"]
    subprocess.run(["g++", *flags, "-x", "c++", "-o", path / "unit", path / "unit.cu"], check=True)
    (path / "in").write_bytes(b"".join(array.tobytes() for array in data))
    subprocess.run([path / "unit", path / "in", path / "out"], check=True)
    return np.fromfile(path / "out", np.uint64)


def available() -> bool:
    return shutil.which("nvcc") is not None and shutil.which("g++") is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    total, wrong, opcodes = 0, list[str](), frozenset[str]()
    for batch in range(0, options.programs, BATCH):
        found = compare(min(BATCH, options.programs - batch), options.seed + batch)
        total, wrong, opcodes = total + found.values, wrong + found.wrong, opcodes | found.opcodes
        print(
            f"{min(batch + BATCH, options.programs)} programs, {total} values, {len(opcodes)} opcodes, "
            f"{len(wrong)} programs disagree {wrong[:5]}",
            flush=True,
        )
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
