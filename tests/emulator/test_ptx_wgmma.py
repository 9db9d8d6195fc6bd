"""wgmma of every type and width, from shared memory and registers, dense and sparse.

The matrices are put into shared memory byte by byte here, by the canonical layouts of the ISA ("Shared Memory Matrix
Layout", "Strides"): rows of 16, 32, 64 or 128 bytes, eight of them together, swizzled by the number of the row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.emulator.ptx_kernel import assembler_error, kernel, registers
from tests.emulator.test_ptx_products import BITS, CHUNK, raw, sparse_values

from tilewright.runtime.emulator import Module, Report, launch
from tilewright.runtime.emulator.errors import UnsupportedInstruction

MODES = {0: 0, 128: 1, 64: 2, 32: 3}
B_AT = 16384
BLOCK = 2048


def row_bytes(matrix: Any, kind: str) -> Any:
    """(rows, bytes) of a matrix whose rows run along k."""
    patterns, bits = raw(matrix, kind), BITS[kind]
    if bits >= 8:
        return np.ascontiguousarray(patterns.astype(f"u{bits // 8}")).view(np.uint8)
    per = 8 // bits
    grouped = patterns.reshape(len(patterns), -1, per)
    return (grouped << np.arange(0, 8, bits, dtype=np.uint64)).sum(-1).astype(np.uint8)


def placed(rows: Any, width: int) -> tuple[Any, int, int]:
    """Shared-memory bytes of a K-major matrix, with the leading and the stride byte offset of its descriptor."""
    count, size = rows.shape
    if not width:  # core matrices of 8 rows of 16 bytes, one after the other along k
        memory = np.zeros(count * size, np.uint8)
        for row in range(count):
            for unit in range(size // 16):
                start = row // 8 * (size * 8) + unit * 128 + row % 8 * 16
                memory[start : start + 16] = rows[row, unit * 16 : unit * 16 + 16]
        return memory, 128, size * 8
    memory = np.zeros(count * width, np.uint8)
    for row in range(count):
        for unit in range(size // 16):
            line = row * width + unit * 16
            swapped = line ^ (line >> 7 & (width // 16 - 1)) << 4
            memory[swapped : swapped + 16] = rows[row, unit * 16 : unit * 16 + 16]
    return memory, 16, 8 * width


def transposed(rows: Any) -> tuple[Any, int, int]:
    """An MN-major 16-bit matrix (k, extent) in core matrices of 8 k by 8: stride along extent, leading along k."""
    k, extent = rows.shape[0], rows.shape[1] // 2
    memory = np.zeros(k * extent * 2, np.uint8)
    for line in range(k):
        for unit in range(extent // 8):
            start = unit * 128 + line // 8 * (extent // 8 * 128) + line % 8 * 16
            memory[start : start + 16] = rows[line, unit * 16 : unit * 16 + 16]
    return memory, extent // 8 * 128, 128


def descriptor(start: int, leading: int, stride: int, width: int) -> int:
    return (start >> 4) | (leading >> 4) << 16 | (stride >> 4) << 32 | MODES[width] << 62


def fragments_of_a(rows: Any) -> Any:
    """A in registers: bytes of (64, 32) as words (register, thread)."""
    words = np.zeros((4, 128), np.uint32)
    view = np.ascontiguousarray(rows).view(np.uint32)
    for thread in range(128):
        warp, g, c = thread // 32, thread % 32 // 4, thread % 4
        for r in range(4):
            words[r, thread] = view[warp * 16 + g + 8 * (r % 2), c + 4 * (r // 2)]
    return words


def run(
    opcode: str,
    n: int,
    result: str,
    left: Any,
    left_memory: tuple[Any, int, int] | None,
    right_memory: tuple[Any, int, int],
    old: Any,
    tail: str,
    width: int,
    metadata: Any = None,
    scale: bool = True,
) -> tuple[Any, Report]:
    """One wgmma; returns D (64, n) and the report. Pointers: A bytes, B bytes, C registers, metadata, D registers."""
    count = n // 4 if result == "f16" else n // 2
    prefix = "f" if result == "f32" else "r"
    start = 0 if prefix == "f" else 100
    first = left if left_memory is None else blocks(left_memory[0])
    second = blocks(right_memory[0])
    body = "mov.u32 %r1, memory;\n"
    if left_memory is not None:
        body += copy_in(0, len(first), 0)
        a_operand = "%d5"
        body += f"mov.u64 %d5, {descriptor(0, left_memory[1], left_memory[2], width)};\n"
    else:
        body += "".join(
            f"mad.wide.u32 %d1, %t, 4, %q0;\nld.global.b32 %r{40 + r}, [%d1+{512 * r}];\n" for r in range(4)
        )
        a_operand = registers("r", 40, 4)
    body += copy_in(1, len(second), B_AT)
    body += f"mov.u64 %d6, {descriptor(B_AT, right_memory[1], right_memory[2], width)};\n"
    body += "mad.wide.u32 %d2, %t, 4, %q2;\n"
    body += "".join(f"ld.global.b32 %{prefix}{start + i}, [%d2+{512 * i}];\n" for i in range(count))
    body += "mad.wide.u32 %d3, %t, 4, %q3;\nld.global.b32 %r2, [%d3];\n"
    body += f"fence.proxy.async.shared::cta;\nbar.sync 0;\nsetp.{'eq' if scale else 'ne'}.u32 %p1, %t, %t;\n"
    sparse = "" if metadata is None else f" %r2, {metadata[1]},"
    body += (
        f"wgmma.fence.sync.aligned;\n{opcode} {registers(prefix, start, count)}, {a_operand}, %d6,{sparse} %p1{tail};\n"
    )
    body += "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\nmad.wide.u32 %d4, %t, 4, %q4;\n"
    body += "".join(f"st.global.b32 [%d4+{512 * i}], %{prefix}{start + i};\n" for i in range(count))
    text = kernel(body, pointers=5, shared=B_AT + 16384).replace("%f<100>", "%f<200>").replace("%r<300>", "%r<400>")
    assert assembler_error(text) is None
    c_words = to_registers(old, result)
    meta = np.zeros(128, np.uint32) if metadata is None else metadata[0]
    out = np.zeros_like(c_words)
    report = launch(Module.parse(text), "k", (1,), (128,), args=[first, second, c_words, meta, out])
    return from_registers(out, n, result), report


def copy_in(pointer: int, size: int, target: int) -> str:
    """Copy an array of whole 2048-byte blocks into shared memory."""
    lines = "".join(
        f"ld.global.v2.b64 {{%d7, %d8}}, [%d1+{offset}];\nst.shared.v2.b64 [%r3+{target + offset}], {{%d7, %d8}};\n"
        for offset in range(0, size, BLOCK)
    )
    return f"mad.wide.u32 %d1, %t, 16, %q{pointer};\nmad.lo.u32 %r3, %t, 16, %r1;\n{lines}"


def blocks(memory: Any) -> Any:
    """Padded to whole blocks."""
    return np.concatenate([memory, np.zeros(-len(memory) % BLOCK, np.uint8)])


def accumulator_place(thread: int, register: int, part: int, result: str) -> tuple[int, int]:
    warp, g, c = thread // 32, thread % 32 // 4, thread % 4
    if result == "f16":
        return warp * 16 + g + 8 * (register % 2), register // 2 * 8 + 2 * c + part
    return warp * 16 + g + 8 * (register % 4 // 2), register // 4 * 8 + 2 * c + register % 2


DTYPES: dict[str, Any] = {"f32": np.float32, "s32": np.int32, "f16": np.float16}


def to_registers(matrix: Any, result: str) -> Any:
    n, parts = matrix.shape[1], 2 if result == "f16" else 1
    values = np.zeros((n // 2 // parts, 128, parts), DTYPES[result])
    for r, thread, part in np.ndindex(values.shape):
        values[r, thread, part] = matrix[accumulator_place(thread, r, part, result)]
    return np.ascontiguousarray(values).view(np.uint32)[..., 0]


def from_registers(words: Any, n: int, result: str) -> Any:
    parts = 2 if result == "f16" else 1
    values = np.ascontiguousarray(words).view(DTYPES[result]).reshape(len(words), 128, parts)
    matrix = np.zeros((64, n))
    for r, thread, part in np.ndindex(values.shape):
        matrix[accumulator_place(thread, r, part, result)] = values[r, thread, part]
    return matrix


FORMS = [
    ("f16", "f16", "f32", 8, 32),
    ("f16", "f16", "f16", 24, 128),
    ("bf16", "bf16", "f32", 40, 64),
    ("tf32", "tf32", "f32", 16, 0),
    ("e4m3", "e5m2", "f32", 72, 32),
    ("e5m2", "e5m2", "f16", 8, 64),
    ("s8", "s8", "s32", 24, 32),
    ("u8", "s8", "s32", 48, 128),
    ("b1", "b1", "s32", 16, 0),
]


def values_of(kind: str, shape: tuple[int, ...], rng: Any) -> Any:
    if kind == "b1":
        return rng.integers(0, 2, shape)
    return sparse_values(kind, int(np.prod(shape)), rng).reshape(shape)


@pytest.mark.parametrize("from_registers_", [False, True], ids=["memory", "registers"])
@pytest.mark.parametrize(("left", "right", "result", "n", "width"), FORMS)
def test_every_type(left: str, right: str, result: str, n: int, width: int, from_registers_: bool) -> None:
    seed = int(np.random.default_rng().integers(2**31))
    print("seed", seed)
    rng = np.random.default_rng(seed)
    k = 256 // BITS[left]
    a, b, c = values_of(left, (64, k), rng), values_of(right, (n, k), rng), rng.integers(-9, 10, (64, n))
    suffix = ".and.popc" if left == "b1" else ""
    tail = "" if result == "s32" else ", 1, 1"
    if left in ("f16", "bf16"):
        tail += ", 0" if from_registers_ else ", 0, 0"
    rows = row_bytes(a, left)
    memory = None if from_registers_ else placed(rows, width)
    opcode = f"wgmma.mma_async.sync.aligned.m64n{n}k{k}.{result}.{left}.{right}{suffix}"
    fragment = fragments_of_a(rows) if from_registers_ else None
    found, report = run(opcode, n, result, fragment, memory, placed(row_bytes(b, right), width), c, tail, width)
    assert report.findings == [], [str(f) for f in report.findings]
    np.testing.assert_array_equal(found, a @ b.T + c)


@pytest.mark.parametrize("n", [8, 88, 136, 256])
def test_widths(n: int) -> None:
    rng = np.random.default_rng(n)
    a, b = values_of("e4m3", (64, 32), rng), values_of("e4m3", (n, 32), rng)
    opcode = f"wgmma.mma_async.sync.aligned.m64n{n}k32.f32.e4m3.e4m3"
    memory = placed(row_bytes(a, "e4m3"), 0), placed(row_bytes(b, "e4m3"), 0)
    found, report = run(opcode, n, "f32", None, *memory, np.zeros((64, n)), ", 1, 1", 0)
    assert report.findings == []
    np.testing.assert_array_equal(found, a @ b.T)


@pytest.mark.parametrize(("signs", "scale"), [((1, -1), True), ((-1, -1), True), ((-1, 1), False)])
def test_signs_and_scale(signs: tuple[int, int], scale: bool) -> None:
    rng = np.random.default_rng(5)
    a, b, c = values_of("f16", (64, 16), rng), values_of("f16", (16, 16), rng), rng.integers(-9, 10, (64, 16))
    tail = f", {signs[0]}, {signs[1]}, 0, 0"
    memory = placed(row_bytes(a, "f16"), 0), placed(row_bytes(b, "f16"), 0)
    opcode = "wgmma.mma_async.sync.aligned.m64n16k16.f32.f16.f16"
    found, _ = run(opcode, 16, "f32", None, *memory, c, tail, 0, scale=scale)
    np.testing.assert_array_equal(found, signs[0] * signs[1] * (a @ b.T) + (c if scale else 0))


def test_transposed_operands() -> None:
    rng = np.random.default_rng(6)
    a, b = values_of("bf16", (64, 16), rng), values_of("bf16", (32, 16), rng)
    memory = transposed(row_bytes(a.T.copy(), "bf16")), transposed(row_bytes(b.T.copy(), "bf16"))
    opcode = "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16"
    found, report = run(opcode, 32, "f32", None, *memory, np.zeros((64, 32)), ", 1, 1, 1, 1", 0)
    assert report.findings == []
    np.testing.assert_array_equal(found, a @ b.T)


SPARSE = [
    ("f16", "f16", "f32", 16, (0, 1)),
    ("bf16", "bf16", "f32", 8, (1,)),
    ("tf32", "tf32", "f32", 8, (0, 1)),
    ("e4m3", "e5m2", "f16", 8, (0,)),
    ("u8", "s8", "s32", 24, (0,)),
]


def sparse_left(kind: str, k: int, rng: Any) -> tuple[Any, Any, Any]:
    dense, kept, entries = np.zeros((64, k)), np.zeros((64, k // 2)), np.zeros((64, k // CHUNK[kind]), np.int64)
    for row, index in np.ndindex(entries.shape):
        chunk = CHUNK[kind]
        picks = [int(rng.integers(2))] if kind == "tf32" else sorted(int(x) for x in rng.permutation(4)[:2])
        entries[row, index] = (0b1110 if picks[0] else 0b0100) if kind == "tf32" else picks[0] | picks[1] << 2
        values = sparse_values(kind, len(picks), rng)
        kept[row, index * chunk // 2 : (index + 1) * chunk // 2] = values
        dense[row, [index * chunk + pick for pick in picks]] = values
    return dense, kept, entries


def sparse_metadata(entries: Any, kind: str, chosen: int) -> Any:
    """The word of every thread: warp w has rows 16 w on; pairs of lanes for wide types, all four lanes for bytes."""
    words = np.full(128, 0xFFFFFFFF if kind in ("f16", "bf16", "tf32") else 0, np.uint32)
    for warp, g, lane in np.ndindex(4, 8, 2 if kind in ("f16", "bf16", "tf32") else 4):
        row = warp * 16 + g
        if kind in ("f16", "bf16", "tf32"):
            nibbles = [*entries[row, 4 * lane : 4 * lane + 4], *entries[row + 8, 4 * lane : 4 * lane + 4]]
            thread = warp * 32 + g * 4 + chosen * 2 + lane
        else:
            nibbles = list(entries[row + 8 * (lane % 2), 8 * (lane // 2) : 8 * (lane // 2) + 8])
            thread = warp * 32 + g * 4 + lane
        words[thread] = sum(int(entry) << 4 * i for i, entry in enumerate(nibbles))
    return words


@pytest.mark.parametrize("from_registers_", [False, True], ids=["memory", "registers"])
@pytest.mark.parametrize(("left", "right", "result", "n", "selectors"), SPARSE)
def test_sparse(left: str, right: str, result: str, n: int, selectors: tuple[int, ...], from_registers_: bool) -> None:
    seed = int(np.random.default_rng().integers(2**31))
    print("seed", seed)
    rng = np.random.default_rng(seed)
    k = 512 // BITS[left]
    dense, kept, entries = sparse_left(left, k, rng)
    b, c = values_of(right, (n, k), rng), rng.integers(-9, 10, (64, n))
    tail = "" if result == "s32" else ", 1, 1"
    if left in ("f16", "bf16"):
        tail += ", 0" if from_registers_ else ", 0, 0"
    rows = row_bytes(kept, left)
    for chosen in selectors:
        metadata = sparse_metadata(entries, left, chosen), chosen
        opcode = f"wgmma.mma_async.sp.sync.aligned.m64n{n}k{k}.{result}.{left}.{right}"
        memory = None if from_registers_ else placed(rows, 64)
        fragment = fragments_of_a(rows) if from_registers_ else None
        right_memory = placed(row_bytes(b, right), 64)
        found, report = run(opcode, n, result, fragment, memory, right_memory, c, tail, 64, metadata)
        assert report.findings == [], [str(f) for f in report.findings]
        np.testing.assert_array_equal(found, dense @ b.T + c)


def test_changing_the_metadata_too_early_is_found() -> None:
    lists = f"{registers('f', 0, 4)}, {registers('r', 4, 4)}"
    body = f"""
wgmma.fence.sync.aligned;
wgmma.mma_async.sp.sync.aligned.m64n8k32.f32.f16.f16 {lists}, %d1, %r2, 0, %p1, 1, 1, 0;
wgmma.commit_group.sync.aligned;
mov.b32 %r2, 0;
wgmma.wait_group.sync.aligned 0;
"""
    report = launch(Module.parse(kernel(body)), "k", (1,), (128,))
    assert any(f.kind == "wgmma-register" and "%r2" in f.message for f in report.findings)


REFUSED = [
    ("wgmma.mma_async.sync.aligned.m64n40k32.s32.s8.s8", 20, "%p1", "does not exist for the type"),
    ("wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.s8", 4, "%p1, 1, 1", "bad scale"),
    ("wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.bf16", 4, "%p1, 1, 1, 0, 0", "does not exist for the type"),
    ("wgmma.mma_async.sync.aligned.m64n8k8.f32.tf32.tf32", 4, "%p1, 1, 1, 0, 1", "16-bit operands"),
    ("wgmma.mma_async.sync.aligned.m64n8k256.s32.b1.b1.xor.popc", 4, "%p1", "expected one of and"),
    ("wgmma.mma_async.sync.aligned.m64n8k16.satfinite.f32.f16.f16", 4, "%p1, 1, 1, 0, 0", "integers"),
]


@pytest.mark.parametrize(("opcode", "count", "tail", "message"), REFUSED)
def test_what_does_not_exist_is_refused(opcode: str, count: int, tail: str, message: str) -> None:
    text = kernel(f"{opcode} {registers('r', 50, count)}, %d1, %d2, {tail};")
    with pytest.raises(UnsupportedInstruction, match=message):
        launch(Module.parse(text), "k", (1,), (128,))
