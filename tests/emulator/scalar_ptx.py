"""Runs one scalar instruction over many inputs: the harness of the instruction tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from tilewright.runtime.emulator import Module, launch

Array = np.ndarray[Any, Any]
STORAGE = {"pred": np.uint32, "f32": np.float32, "f64": np.float64, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
REGISTER = {8: ("b16", "%h"), 16: ("b16", "%h"), 32: ("b32", "%r"), 64: ("b64", "%d"), 1: ("pred", "%p")}
BLOCK = 256
"""Inputs are filled up to whole blocks."""


def bits(kind: str) -> int:
    """Width of a type; a packed pair is twice its element."""
    if kind == "pred":
        return 1
    return int("".join(c for c in kind.split("x")[0] if c.isdigit())) * (2 if "x2" in kind else 1)


def dtype(kind: str) -> Any:
    if kind in STORAGE:
        return np.dtype(STORAGE[kind])
    return np.dtype(f"{'i' if kind[0] == 's' else 'u'}{bits(kind) // 8}")


def execute(body: str, inputs: Sequence[tuple[str, Any]], outputs: Sequence[str]) -> list[Array]:
    """Run ``body`` once per element; it names inputs a0, a1, ... and outputs o0, o1, ... ."""
    given = [_array(kind, values) for kind, values in inputs]
    count = len(given[0])
    padding = -count % min(BLOCK, max(count, 1))
    arrays = [np.concatenate([array, np.repeat(array[-1:], padding)]) for array in given]
    arrays += [np.zeros(count + padding, dtype(kind)) for kind in outputs]
    block = min(BLOCK, count)
    text = _kernel(body, inputs, outputs, arrays)
    report = launch(Module.parse(text), "k", (len(arrays[0]) // block,), (block,), args=arrays, check=("memory",))
    assert report.findings == [], [str(finding) for finding in report.findings]
    return [array[:count] for array in arrays[len(inputs) :]]


def _array(kind: str, values: Any) -> Array:
    """Values of a type; arrays of another type are converted, lists must fit."""
    return np.ascontiguousarray(
        values.astype(dtype(kind)) if isinstance(values, np.ndarray) else np.array(values, dtype(kind))
    )


def _kernel(body: str, inputs: Sequence[tuple[str, Any]], outputs: Sequence[str], arrays: list[Array]) -> str:
    lines = ["mov.u32 %t, %ctaid.x;", "mov.u32 %x, %ntid.x;", "mov.u32 %y, %tid.x;", "mad.lo.u32 %t, %t, %x, %y;"]
    for index in range(len(inputs)):
        lines += [*_place(index, arrays[index]), f"ld.global.b{8 * arrays[index].itemsize} a{index}, [%a];"]
    lines.append(body)
    for index, kind in enumerate(outputs):
        value, item = f"o{index}", arrays[len(inputs) + index]
        if kind == "pred":
            lines.append(f"selp.u32 %x, 1, 0, o{index};")
            value = "%x"
        lines += [*_place(len(inputs) + index, item), f"st.global.b{8 * item.itemsize} [%a], {value};"]
    named = [("a", [kind for kind, _ in inputs]), ("o", list(outputs))]
    declared = [
        f".reg .{REGISTER[bits(kind)][0]} {letter}{i};" for letter, kinds in named for i, kind in enumerate(kinds)
    ]
    parameters = ", ".join(f".param .u64 p{i}" for i in range(len(arrays)))
    return "\n".join(
        [
            ".version 8.3\n.target sm_90a\n.address_size 64",
            f".visible .entry k({parameters})\n{{",
            ".reg .b64 %a; .reg .b32 %t, %x, %y, %z; .reg .pred %q;",
            *declared,
            *lines,
            "ret;\n}\n",
        ]
    )


def _place(parameter: int, array: Array) -> list[str]:
    return [f"ld.param.u64 %a, [p{parameter}];", f"mad.wide.u32 %a, %t, {array.itemsize}, %a;"]


def apply(opcode: str, inputs: Sequence[tuple[str, Any]], output: str) -> Array:
    """The results of one instruction."""
    operands = ", ".join(f"a{i}" for i in range(len(inputs)))
    return execute(f"{opcode} o0, {operands};", inputs, [output])[0]


def integers(kind: str, seed: int, count: int = 64) -> list[int]:
    """Corners of the type, then random values."""
    width, signed = bits(kind), kind[0] == "s"
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    corners = [low, high, 0, 1, high - 1, low + 1, high // 2, (high // 3)] + ([-1, -2] if signed else [2, 5])
    rng = np.random.default_rng(seed)
    rest = [low + int.from_bytes(rng.bytes(8), "little") % (high - low + 1) for _ in range(count - len(corners))]
    return corners + rest


def wrap(value: int, kind: str) -> int:
    """The value modulo the width, as the type reads it."""
    width = bits(kind)
    value &= (1 << width) - 1
    return value - (1 << width) if kind[0] == "s" and value >> (width - 1) else value


def same(actual: Any, expected: Any) -> None:
    """Equal bits, except that one NaN is as good as another."""
    actual, expected = np.asarray(actual), np.asarray(expected, np.asarray(actual).dtype)
    with np.errstate(all="ignore"):
        both = np.isnan(actual.astype(float)) & np.isnan(expected.astype(float))
    unsigned = f"u{actual.itemsize}"
    np.testing.assert_array_equal(np.where(both, 0, actual.view(unsigned)), np.where(both, 0, expected.view(unsigned)))
