"""One micro-kernel of the corpus: typed inputs and outputs around a few instructions, and how results are compared.

A kind is a PTX type, with ``:`` and a class of values where not all are wanted (``s32:nonzero``, ``f16x2:exact``).
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np

LANES = 128
"""Threads of a launch: four warps, one warpgroup."""
Array = np.ndarray[Any, Any]
FLOATS: dict[str, Any] = {
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f32": np.float32,
    "tf32": np.float32,
    "f64": np.float64,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
}
REGISTERS = {1: "pred", 16: "b16", 32: "b32", 64: "b64"}


@dataclass(frozen=True)
class Tolerance:
    """``|found - expected| <= relative * |expected| + absolute``; nothing of both means equal bits."""

    relative: float = 0.0
    absolute: float = 0.0

    @property
    def exact(self) -> bool:
        return not self.relative and not self.absolute


BITS = Tolerance()


@dataclass(frozen=True)
class Case:
    """A micro-kernel.

    Attributes:
        name: unique; opcode and what distinguishes it from others of that opcode.
        inputs, outputs: kinds; the body reads ``a0, a1, ...`` and writes ``o0, o1, ...``.
        body: PTX; ``%t`` is the thread, ``%x %y`` are 32-bit, ``%e`` 64-bit scratch, ``%q`` a predicate, and ``tile``
            16 KiB of shared memory.
        chip: the least architecture; one that ends in ``a`` runs on this alone.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    body: str
    chip: str = "sm_80"
    tolerance: Tolerance = BITS

    def at_least(self, chip: str) -> Case:
        return replace(self, chip=chip)

    def within(self, relative: float = 0.0, absolute: float = 0.0) -> Case:
        return replace(self, tolerance=Tolerance(relative, absolute))

    def draw(self, seed: int) -> list[Array]:
        """Inputs as unsigned integers of their width; they depend on the seed and the name alone."""
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        return [draw(kind, rng) for kind in self.inputs]

    def empty(self) -> list[Array]:
        """Where the outputs go."""
        return [np.zeros(LANES, f"u{storage(kind) // 8}") for kind in self.outputs]


def case(opcode: str, output: str, *inputs: str, more: str = "") -> Case:
    """The common form ``opcode o0, a0, a1, ...``; ``more`` follows the operands."""
    names = ", ".join(f"a{n}" for n in range(len(inputs)))
    return Case(f"{opcode}{more}", inputs, (output,), f"{opcode} o0, {names}{more};")


def width(kind: str) -> int:
    """Bits of a value: 1 for a predicate."""
    name = kind.partition(":")[0]
    if name in ("pred", "tf32"):
        return {"pred": 1, "tf32": 32}[name]
    if name[:4] in ("e4m3", "e5m2"):
        return 8 * int(name[5:] or 1)
    base, _, count = name.partition("x")
    return int(re.sub(r"\D", "", base)) * int(count or 1)


def storage(kind: str) -> int:
    """Bits in memory and in a register."""
    return 32 if kind == "pred" else max(width(kind), 16)


def entry(case: Case, name: str) -> str:
    """The PTX of one case as a kernel."""
    kinds = [
        *(("a", n, kind) for n, kind in enumerate(case.inputs)),
        *(("o", n, k) for n, k in enumerate(case.outputs)),
    ]
    declared, loads, stores = [], [], []
    for place, (letter, number, kind) in enumerate(kinds):
        bits = storage(kind)
        declared.append(f".reg .{REGISTERS[width(kind) if kind == 'pred' else bits]} {letter}{number};")
        address = f"ld.param.u64 %e, [p{place}]; mad.wide.u32 %e, %t, {bits // 8}, %e;"
        if letter == "a":
            loads.append(f"{address} ld.global.b{bits} a{number}, [%e];")
        elif kind == "pred":
            stores.append(f"{address} selp.u32 %x, 1, 0, o{number}; st.global.b32 [%e], %x;")
        else:
            stores.append(f"{address} st.global.b{bits} [%e], o{number};")
    parameters = ", ".join(f".param .u64 p{place}" for place in range(len(kinds)))
    tile = ".shared .align 1024 .b8 tile[16384];" if re.search(r"\btile\b", case.body) else ""
    lines = [
        f".visible .entry {name}({parameters})",
        "{",
        f".reg .b64 %e; .reg .b32 %t, %x, %y; .reg .pred %q; {tile}",
        *declared,
        "mov.u32 %t, %tid.x;",
        *loads,
        case.body,
        *stores,
        "ret;",
        "}",
    ]
    return "\n".join(lines)


def module_text(cases: list[Case], chip: str) -> str:
    """A module with the cases as kernels ``k0, k1, ...``."""
    head = f".version 8.7\n.target {chip}\n.address_size 64\n"
    return head + "\n".join(entry(case, f"k{number}") for number, case in enumerate(cases)) + "\n"


# -- values -----------------------------------------------------------------------------------------------------------


def draw(kind: str, rng: np.random.Generator) -> Array:
    """Values of a kind, as unsigned integers of its storage."""
    name, _, values = kind.partition(":")
    if name == "pred":
        return rng.integers(0, 2, LANES).astype(np.uint32)
    base, _, count = name.partition("x")
    parts = [_elements(base, values, rng) for _ in range(int(count or 1))]
    packed = np.zeros(LANES, f"u{storage(kind) // 8}")
    for place, part in enumerate(parts):
        packed |= part.astype(packed.dtype) << packed.dtype.type(place * width(base))
    return packed


def _elements(base: str, values: str, rng: np.random.Generator) -> Array:
    drawn = _floats(base, values, rng) if base in FLOATS else _integers(base, values, rng)
    return drawn.view(f"u{drawn.itemsize}")


def _floats(base: str, values: str, rng: np.random.Generator) -> Array:
    kind = np.dtype(FLOATS[base])
    if values == "exact":
        return (rng.integers(-4, 5, LANES) / 4).astype(kind)
    if values == "normal":
        return rng.normal(size=LANES).astype(kind)
    if values == "angle":
        return rng.uniform(-2 * np.pi, 2 * np.pi, LANES).astype(kind)
    with np.errstate(all="ignore"):
        ordinary = (rng.normal(size=LANES) * 2.0 ** rng.integers(-12, 13, LANES)).astype(kind)
        corners = np.array([0.0, -0.0, 1, -1, 0.5, 1.5, 2.5, -2.5, np.inf, -np.inf, np.nan, 65520, 1e-40]).astype(kind)
    raw = np.frombuffer(rng.bytes(kind.itemsize * LANES), f"u{kind.itemsize}").view(kind)
    found = np.where(np.arange(LANES) % 2, raw, ordinary)
    found[: len(corners)] = corners
    if values == "positive":
        found = np.where(np.isfinite(found) & (found > 0), found, np.ones((), kind))
    found = found[rng.permutation(LANES)].astype(kind)
    if base == "tf32":
        return (found.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)
    return found


def _integers(base: str, values: str, rng: np.random.Generator) -> Array:
    signed, bits = base[0] == "s", max(width(base), 8)
    kind = np.dtype(f"{'i' if signed else 'u'}{bits // 8}")
    if values == "shift":
        return rng.integers(0, 70, LANES).astype(kind)
    if values == "lane":
        return rng.integers(0, 32, LANES).astype(kind)
    if values == "few":
        return rng.integers(0, 4, LANES).astype(kind)
    limits = np.iinfo(kind)
    corners = np.array([0, 1, 2, limits.max, limits.max - 1, limits.min, limits.min + 1, limits.max // 2], kind)
    found = np.frombuffer(rng.bytes(kind.itemsize * LANES), kind).copy()
    small = rng.integers(-100 if signed else 0, 100, LANES).astype(kind)
    found = np.where(np.arange(LANES) % 4 == 0, small, found)
    found[: len(corners)] = corners
    found = found[rng.permutation(LANES)]
    if values == "nonzero":
        found = np.where((found == 0) | (signed & (found == kind.type(-1 if signed else 0))), kind.type(7), found)
    return found.astype(kind)


def compare(case: Case, found: list[Array], expected: list[Array]) -> int:
    """How many values differ by more than the case allows; any NaN equals any NaN of the type."""
    return sum(
        int(np.count_nonzero(~_same(kind, case.tolerance, a, b)))
        for kind, a, b in zip(case.outputs, found, expected, strict=True)
    )


def _same(kind: str, tolerance: Tolerance, found: Array, expected: Array) -> Array:
    base = kind.partition(":")[0].partition("x")[0]
    if base not in FLOATS or width(base) == 8:
        return np.asarray(found == expected)
    a, b = (np.ascontiguousarray(array).view(FLOATS[base]).reshape(LANES, -1) for array in (found, expected))
    raw = f"u{a.itemsize}"
    same = (a.view(raw) == b.view(raw)) | (np.isnan(a) & np.isnan(b))
    if not tolerance.exact:
        with np.errstate(all="ignore"):
            wide, exact = a.astype(np.float64), b.astype(np.float64)
            same |= np.abs(wide - exact) <= tolerance.relative * np.abs(exact) + tolerance.absolute
    return np.asarray(same.all(axis=1))
