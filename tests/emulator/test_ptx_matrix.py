"""mma, ldmatrix, stmatrix, movmatrix and cp.async against the fragment formulas of the PTX ISA, written out here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tilewright.runtime.emulator import Module, launch

Place = Callable[[int, int, int], tuple[int, int]]


def program(body: str, arrays: list[Any], block: int = 32, shared: int = 4096, **options: Any) -> Any:
    """Run a body that finds the address of array i in %p<i> and its thread number in %t."""
    loads = "\n".join(f"ld.param.u64 %p{i}, [q{i}];" for i in range(len(arrays)))
    text = (
        ".version 8.3\n.target sm_90a\n.address_size 64\n.visible .entry k("
        + ", ".join(f".param .u64 q{i}" for i in range(len(arrays)))
        + f")\n{{\n.reg .b32 %r<200>; .reg .b64 %d<100>; .reg .b64 %p<20>; .reg .pred %q<9>; .reg .b32 %t;\n"
        f".shared .align 128 .b8 memory[{shared}];\nmov.u32 %t, %tid.x;\n{loads}\n{body}\nret;\n}}\n"
    )
    return launch(Module.parse(text), "k", (1,), (block,), args=arrays, **options)


def load_registers(prefix: str, start: int, array: int, count: int, width: int) -> str:
    """Load register r of the lane from array[r][lane]."""
    lines = [f"mad.wide.u32 %p15, %t, {width}, %p{array};"]
    lines += [f"ld.global.b{8 * width} {prefix}{start + r}, [%p15+{32 * width * r}];" for r in range(count)]
    return "\n".join(lines)


# (row, column) of element i of lane group g, position c, as the ISA prints them
def half_a(k: int) -> Place:
    return lambda i, g, c: (g + (8 if i // 2 % 2 else 0), c * 2 + i % 2 + (8 if i >= 4 else 0))


def half_b(i: int, g: int, c: int) -> tuple[int, int]:
    return c * 2 + i % 2 + (8 if i >= 2 else 0), g


def tf32_a(i: int, g: int, c: int) -> tuple[int, int]:
    return g + (8 if i % 2 else 0), c + (4 if i >= 2 else 0)


def tf32_b(i: int, g: int, c: int) -> tuple[int, int]:
    return c + (4 if i else 0), g


def byte_a(i: int, g: int, c: int) -> tuple[int, int]:
    return g + (8 if i // 4 % 2 else 0), c * 4 + i % 4 + (16 if i >= 8 else 0)


def byte_b(i: int, g: int, c: int) -> tuple[int, int]:
    return c * 4 + i % 4 + (16 if i >= 4 else 0), g


def double_a(i: int, g: int, c: int) -> tuple[int, int]:
    return g + (8 if i % 2 else 0), c + 4 * (i // 2)


def double_b(i: int, g: int, c: int) -> tuple[int, int]:
    return c + 4 * i, g


def result_place(i: int, g: int, c: int) -> tuple[int, int]:
    return g + (8 if i >= 2 else 0), c * 2 + i % 2


def fragments(matrix: Any, place: Place, count: int) -> Any:
    """Elements of every lane as (element, lane), packed into registers of 32 bits (or 64 for doubles)."""
    lanes = np.empty((32, count), matrix.dtype)
    for lane in range(32):
        for i in range(count):
            lanes[lane, i] = matrix[place(i, lane // 4, lane % 4)]
    word = np.uint64 if matrix.itemsize == 8 else np.uint32
    return np.ascontiguousarray(np.ascontiguousarray(lanes).view(word).T)


CASES = [
    ("m16n8k16.row.col.f32.bf16.bf16.f32", ml_dtypes.bfloat16, np.float32, 16, half_a(16), half_b),
    ("m16n8k16.row.col.f32.f16.f16.f32", np.float16, np.float32, 16, half_a(16), half_b),
    ("m16n8k16.row.col.f16.f16.f16.f16", np.float16, np.float16, 16, half_a(16), half_b),
    ("m16n8k8.row.col.f32.bf16.bf16.f32", ml_dtypes.bfloat16, np.float32, 8, half_a(8), half_b),
    ("m16n8k8.row.col.f32.tf32.tf32.f32", np.float32, np.float32, 8, tf32_a, tf32_b),
    ("m16n8k4.row.col.f32.tf32.tf32.f32", np.float32, np.float32, 4, tf32_a, tf32_b),
    ("m16n8k32.row.col.s32.s8.s8.s32", np.int8, np.int32, 32, byte_a, byte_b),
    ("m16n8k32.row.col.s32.u8.s8.s32", np.uint8, np.int32, 32, byte_a, byte_b),
    ("m16n8k16.row.col.s32.s8.s8.s32", np.int8, np.int32, 16, byte_a, byte_b),
    ("m16n8k32.row.col.f32.e4m3.e4m3.f32", ml_dtypes.float8_e4m3fn, np.float32, 32, byte_a, byte_b),
    ("m16n8k16.row.col.f64.f64.f64.f64", np.float64, np.float64, 16, double_a, double_b),
    ("m16n8k8.row.col.f64.f64.f64.f64", np.float64, np.float64, 8, double_a, double_b),
]


@pytest.mark.parametrize(("opcode", "kind", "result", "k", "place_a", "place_b"), CASES, ids=[c[0] for c in CASES])
def test_mma(opcode: str, kind: Any, result: Any, k: int, place_a: Place, place_b: Place) -> None:
    rng = np.random.default_rng(1)
    integral = np.dtype(kind).kind in "iu"
    draw = (
        (lambda shape: rng.integers(0 if kind is np.uint8 else -9, 10, shape))
        if integral
        else (lambda shape: rng.integers(-8, 9, shape) / 4)
    )
    a, c = draw((16, k)).astype(kind), draw((16, 8)).astype(result)
    b_kind = np.int8 if "u8.s8" in opcode else kind
    b = draw((k, 8)).astype(b_kind)
    words = [fragments(a, place_a, 16 * k // 32), fragments(b, place_b, 8 * k // 32), fragments(c, result_place, 4)]
    out = np.zeros_like(words[2])
    prefix, width = ("%d", 8) if kind is np.float64 else ("%r", 4)
    counts = [len(w) for w in words]
    starts = [0, counts[0], counts[0] + counts[1]]
    body = "\n".join(
        load_registers(prefix, s, i, n, width) for i, (s, n) in enumerate(zip(starts, counts, strict=True))
    )
    names = [", ".join(f"{prefix}{s + r}" for r in range(n)) for s, n in zip(starts, counts, strict=True)]
    target = 90
    result_names = ", ".join(f"{prefix}{target + r}" for r in range(counts[2]))
    body += f"\nmma.sync.aligned.{opcode} {{{result_names}}}, {{{names[0]}}}, {{{names[1]}}}, {{{names[2]}}};\n"
    body += f"mad.wide.u32 %p15, %t, {width}, %p3;\n"
    body += "\n".join(
        f"st.global.b{8 * width} [%p15+{32 * width * r}], {prefix}{target + r};" for r in range(counts[2])
    )
    report = program(body, [*words, out])
    assert report.findings == []
    expected = (a.astype(np.float64) @ b.astype(np.float64) + c.astype(np.float64)).astype(result)
    np.testing.assert_array_equal(out, fragments(expected, result_place, 4))


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_ldmatrix_and_stmatrix(count: int, transposed: bool) -> None:
    """Store with stmatrix at scattered rows, read back with ldmatrix; lane t holds (t/4, 2(t%4)+{0,1})."""
    values = np.arange(count * 64, dtype=np.uint16).reshape(count, 8, 8)
    registers = np.zeros((count, 32), np.uint32)
    for q in range(count):
        for lane in range(32):
            for h in range(2):
                row, column = lane // 4, 2 * (lane % 4) + h
                registers[q, lane] |= np.uint32(int(values[q, row, column])) << np.uint32(16 * h)
    out = np.zeros_like(registers)
    names = ", ".join(f"%r{r}" for r in range(count))
    body = (
        load_registers("%r", 0, 0, count, 4)
        + f"""
mul.lo.u32 %r50, %t, 48;
mov.u32 %r51, memory;
add.u32 %r50, %r50, %r51;
stmatrix.sync.aligned.m8n8.x{count}.shared.b16 [%r50], {{{names}}};
bar.sync 0;
ldmatrix.sync.aligned.m8n8.x{count}{".trans" if transposed else ""}.shared.b16 {{{names}}}, [%r50];
mad.wide.u32 %p15, %t, 4, %p1;
"""
        + "\n".join(f"st.global.b32 [%p15+{128 * r}], %r{r};" for r in range(count))
    )
    report = program(body, [registers, out])
    assert report.findings == [], [str(f) for f in report.findings]
    expected = values.transpose(0, 2, 1) if transposed else values
    words = np.ascontiguousarray(expected).view(np.uint32).reshape(count, 32)
    np.testing.assert_array_equal(out, words)


def test_movmatrix_transposes() -> None:
    matrix = np.arange(64, dtype=np.uint16).reshape(8, 8)
    out = np.zeros(32, np.uint32)
    body = (
        load_registers("%r", 0, 0, 1, 4)
        + """
movmatrix.sync.aligned.m8n8.trans.b16 %r1, %r0;
mad.wide.u32 %p15, %t, 4, %p1;
st.global.b32 [%p15], %r1;"""
    )
    assert program(body, [matrix.view(np.uint32).reshape(-1), out]).findings == []
    np.testing.assert_array_equal(out.view(np.uint16).reshape(8, 8), matrix.T)


COPY = """
mad.wide.u32 %p15, %t, 16, %p0;
shl.b32 %r0, %t, 4;
mov.u32 %r1, memory;
add.u32 %r0, %r0, %r1;
cp.async.cg.shared.global [%r0], [%p15], 16, {amount};
cp.async.commit_group;
{wait}
xor.b32 %r2, %r0, {distance};
ld.shared.v2.b64 {{%d0, %d1}}, [%r2];
mad.wide.u32 %p15, %t, 16, %p1;
st.global.v2.b64 [%p15], {{%d0, %d1}};
"""


@pytest.mark.parametrize("completion", ["eager", "lazy", "random"])
@pytest.mark.parametrize("amount", [16, 12, 0])
def test_cp_async_copies_and_zero_fills(completion: str, amount: int) -> None:
    data = np.arange(32 * 16, dtype=np.uint8).reshape(32, 16)
    out = np.zeros_like(data)
    report = program(
        COPY.format(amount=amount, wait="cp.async.wait_group 0;", distance=0), [data, out], completion=completion
    )
    assert report.findings == []
    np.testing.assert_array_equal(out, np.where(np.arange(16) < amount, data, 0))


def test_missing_wait_group_is_found_lazily_and_as_a_race() -> None:
    data, out = np.ones((32, 16), np.uint8), np.zeros((32, 16), np.uint8)
    report = program(COPY.format(amount=16, wait="", distance=0), [data, out], completion="eager")
    assert [f.kind for f in report.findings] == ["race"] and "cp.async" in str(report.findings[0].other)
    report = program(COPY.format(amount=16, wait="", distance=0), [data, out], completion="lazy", check=("memory",))
    assert [f.kind for f in report.findings] == ["uninitialised"]


def test_reading_another_lanes_copy_needs_a_barrier() -> None:
    data, out = np.ones((32, 16), np.uint8), np.zeros((32, 16), np.uint8)
    wait = "cp.async.wait_group 0;"
    found = program(COPY.format(amount=16, wait=wait, distance=16), [data, out]).findings
    assert [f.kind for f in found] == ["race"]
    assert program(COPY.format(amount=16, wait=wait + " bar.sync 0;", distance=16), [data, out]).findings == []


def test_partial_copy_may_start_at_the_end_of_an_array() -> None:
    data, out = np.arange(32 * 16 - 4, dtype=np.uint8), np.zeros((32, 16), np.uint8)
    assert program(COPY.format(amount=12, wait="cp.async.wait_all;", distance=0), [data, out]).findings == []
    found = program(COPY.format(amount=16, wait="cp.async.wait_all;", distance=0), [data, out]).findings
    assert [f.kind for f in found] == ["out-of-bounds"] and found[0].lanes == (31,)


@pytest.mark.parametrize("model", ["ideal", "sm80", "sm90"])
def test_tensor_core_models_agree_on_small_integers(model: str) -> None:
    from tilewright.runtime.emulator.tensor_core import multiply_accumulate

    rng = np.random.default_rng(2)
    a, b, c = (rng.integers(-50, 50, shape).astype(np.float64) for shape in ((4, 32), (32, 5), (4, 5)))
    np.testing.assert_array_equal(multiply_accumulate(a, b, c, "bf16", model), (a @ b + c).astype(np.float32))


def test_tensor_core_models_truncate() -> None:
    from tilewright.runtime.emulator.tensor_core import multiply_accumulate

    a = np.array([[1.0] + [2.0**-26] * 15])
    ones, zero = np.ones((16, 1)), np.zeros((1, 1))
    assert multiply_accumulate(a, ones, zero, "f16", "ideal")[0, 0] == np.float32(1 + 2.0**-22 - 2.0**-26)
    assert multiply_accumulate(a, ones, zero, "f16", "sm80")[0, 0] == 1.0
    assert multiply_accumulate(a, ones, zero, "f16", "sm90")[0, 0] == 1.0
