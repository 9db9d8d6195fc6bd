"""Every other form of mma.sync: 4- and 1-bit integers, rounding of f64, m8n8k4 of f16, structured sparsity.

Fragments are packed here by the formulas that the ISA prints under "Matrix Fragments", element by element.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.emulator.ptx_kernel import assembler_error, kernel, registers

from tilewright.runtime.emulator import Module, Report, launch
from tilewright.runtime.emulator.errors import UnsupportedInstruction

Place = Callable[[int, int], tuple[int, ...]]
ELEMENTS: dict[str, Any] = {
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "tf32": np.float32,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "s8": np.int8,
    "u8": np.uint8,
}
BITS = {"f16": 16, "bf16": 16, "tf32": 32, "e4m3": 8, "e5m2": 8, "s8": 8, "u8": 8, "s4": 4, "u4": 4, "b1": 1, "f64": 64}


def raw(values: Any, kind: str) -> Any:
    """Bit patterns of the elements as integers."""
    if kind in ELEMENTS:
        typed = np.asarray(values).astype(ELEMENTS[kind])
        return typed.view(f"u{typed.itemsize}").astype(np.uint64)
    return np.asarray(values).astype(np.int64).astype(np.uint64) & np.uint64((1 << BITS[kind]) - 1)


def packed(matrix: Any, place: Place, count: int, kind: str) -> Any:
    """32-bit registers (register, lane) that hold ``count`` elements per lane, the low ones first."""
    patterns, bits = raw(matrix, kind), BITS[kind]
    words = np.zeros((count * bits // 32, 32), np.uint32)
    for lane in range(32):
        for i in range(count):
            words[i * bits // 32, lane] |= np.uint32(int(patterns[place(lane, i)]) << (i * bits % 32))
    return words


def a_place(bits: int) -> Place:
    """Rows g and g + 8 by turns of one register; k runs through the four lanes, then on by a chunk."""
    per = 32 // bits
    return lambda lane, i: (
        lane // 4 + (8 if i // per % 2 else 0),
        lane % 4 * per + i % per + (4 * per if i >= 2 * per else 0),
    )


def short_a_place(bits: int) -> Place:
    """The same for eight rows."""
    return lambda lane, i: (lane // 4, lane % 4 * (32 // bits) + i)


def b_place(bits: int) -> Place:
    per = 32 // bits
    return lambda lane, i: (lane % 4 * per + i % per + i // per * 4 * per, lane // 4)


def run_words(
    instruction: str, inputs: list[tuple[str, Any]], outputs: tuple[str, int], extra: str = ""
) -> tuple[Any, Report]:
    """Load register lists, run one instruction with {0}, {1}, ... for them and {d} for the result, store the result."""
    body, names = extra, []
    for position, (prefix, words) in enumerate(inputs):
        width = 8 if prefix == "e" else 4
        start = 10 * position if prefix == "e" else 20 * position
        names.append(registers(prefix, start, len(words)))
        body += f"mad.wide.u32 %d1, %t, {width}, %q{position};\n"
        for index in range(len(words)):
            body += f"ld.global.b{8 * width} %{prefix}{start + index}, [%d1+{32 * width * index}];\n"
    prefix, count = outputs
    width = 8 if prefix == "e" else 4
    target = 45 if prefix == "e" else 90 if prefix == "f" else 120
    body += instruction.format(*names, d=registers(prefix, target, count)) + "\n"
    body += f"mad.wide.u32 %d1, %t, {width}, %q{len(inputs)};\n"
    body += "".join(f"st.global.b{8 * width} [%d1+{32 * width * i}], %{prefix}{target + i};\n" for i in range(count))
    text = kernel(body, pointers=len(inputs) + 1)
    assert assembler_error(text) is None
    out = np.zeros((count, 32), np.uint64 if width == 8 else np.uint32)
    return out, launch(Module.parse(text), "k", (1,), (32,), args=[*(w for _, w in inputs), out])


def c_place(lane: int, i: int) -> tuple[int, int]:
    return lane // 4 + (8 if i >= 2 else 0), lane % 4 * 2 + i % 2


def integers(kind: str, shape: tuple[int, ...], rng: Any) -> Any:
    low, high = {"s4": (-8, 8), "u4": (0, 16), "b1": (0, 2), "s8": (-128, 128), "u8": (0, 256)}[kind]
    return rng.integers(low, high, shape)


INTEGER_FORMS = [
    ("m8n8k32", "s4", "s4", ""),
    ("m16n8k32", "s4", "u4", ""),
    ("m16n8k64", "u4", "s4", ".satfinite"),
    ("m8n8k16", "u8", "s8", ""),
    ("m8n8k128", "b1", "b1", ".xor.popc"),
    ("m16n8k128", "b1", "b1", ".and.popc"),
    ("m16n8k256", "b1", "b1", ".xor.popc"),
    ("m16n8k256", "b1", "b1", ".and.popc"),
]


def shape_of(name: str) -> tuple[int, int, int]:
    m, rest = name[1:].split("n")
    n, k = rest.split("k")
    return int(m), int(n), int(k)


@pytest.mark.parametrize(("shape", "left", "right", "option"), INTEGER_FORMS)
def test_small_integers(shape: str, left: str, right: str, option: str) -> None:
    rng = np.random.default_rng(11)
    m, _, k = shape_of(shape)
    a, b, c = (
        integers(left, (m, k), rng),
        integers(right, (k, 8), rng),
        rng.integers(-1000, 1000, (m, 8)).astype(np.int32),
    )
    bits = BITS[left]
    place = a_place(bits) if m == 16 else short_a_place(bits)
    counts = m * k // 32, 8 * k // 32, m // 4
    words = [packed(a, place, counts[0], left), packed(b, b_place(bits), counts[1], right)]
    old = np.array([[c[c_place(lane, i)] for lane in range(32)] for i in range(counts[2])], np.int32).view(np.uint32)
    instruction = f"mma.sync.aligned.{shape}.row.col.s32.{left}.{right}.s32{option} {{d}}, {{0}}, {{1}}, {{2}};"
    out, report = run_words(instruction, [("r", words[0]), ("r", words[1]), ("r", old)], ("r", counts[2]))
    assert report.findings == []
    product = (
        (a[:, :, None] ^ b).sum(1) if "xor" in option else (a[:, :, None] & b).sum(1) if "and" in option else a @ b
    )
    for lane in range(32):
        for i in range(counts[2]):
            assert out.view(np.int32)[i, lane] == (product + c)[c_place(lane, i)]


FLOAT_FORMS = [
    ("m16n8k8", "f16", "f16", "f32"),
    ("m16n8k8", "f16", "f16", "f16"),
    ("m16n8k16", "e4m3", "e5m2", "f32"),
    ("m16n8k16", "e5m2", "e5m2", "f16"),
    ("m16n8k32", "e5m2", "e4m3", "f16"),
]


@pytest.mark.parametrize(("shape", "left", "right", "result"), FLOAT_FORMS)
def test_small_floats(shape: str, left: str, right: str, result: str) -> None:
    rng = np.random.default_rng(13)
    _, _, k = shape_of(shape)
    a, b, c = (rng.integers(-8, 9, size) / 4 for size in ((16, k), (k, 8), (16, 8)))
    bits, count = BITS[left], 4 if result == "f32" else 2
    kind, prefix = ("tf32", "f") if result == "f32" else ("f16", "r")
    words = [packed(a, a_place(bits), k // 2, left), packed(b, b_place(bits), k // 4, right)]
    words.append(packed(c, c_place, 4, kind))
    instruction = f"mma.sync.aligned.{shape}.row.col.{result}.{left}.{right}.{result} {{d}}, {{0}}, {{1}}, {{2}};"
    out, report = run_words(instruction, [("r", words[0]), ("r", words[1]), (prefix, words[2])], (prefix, count))
    assert report.findings == []
    np.testing.assert_array_equal(out, packed(a @ b + c, c_place, 4, kind))


def test_integers_saturate_or_wrap() -> None:
    ones = np.full((16, 64), 7)
    c = np.full((4, 32), 2**31 - 10, np.int32).view(np.uint32)
    words = [packed(ones, a_place(4), 32, "s4"), packed(ones[:8].T, b_place(4), 16, "s4")]
    for option, expected in ((".satfinite", 2**31 - 1), ("", 2**31 - 10 + 64 * 49 - 2**32)):
        instruction = f"mma.sync.aligned.m16n8k64.row.col{option}.s32.s4.s4.s32 {{d}}, {{0}}, {{1}}, {{2}};"
        out, _ = run_words(instruction, [("r", words[0]), ("r", words[1]), ("r", c)], ("r", 4))
        assert (out.view(np.int32) == expected).all()


@pytest.mark.parametrize("shape", ["m8n8k4", "m16n8k4", "m16n8k8", "m16n8k16"])
@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
def test_doubles_round_as_told(shape: str, mode: str) -> None:
    """Directed sums bound the exact ones from the right side; rn is within the bound of a k-term sum."""
    seed = int(np.random.default_rng().integers(2**31))
    print("seed", seed)
    rng = np.random.default_rng(seed)
    m, _, k = shape_of(shape)
    a, b, c = rng.normal(size=(m, k)), rng.normal(size=(k, 8)), rng.normal(size=(m, 8))
    halves = m // 8
    words = [
        np.array(
            [
                [a[lane // 4 + 8 * (i % halves), lane % 4 + 4 * (i // halves)] for lane in range(32)]
                for i in range(halves * k // 4)
            ]
        ),
        np.array([[b[lane % 4 + 4 * i, lane // 4] for lane in range(32)] for i in range(k // 4)]),
        np.array([[c[c_place(lane, i)] for lane in range(32)] for i in range(m // 4)]),
    ]
    instruction = f"mma.sync.aligned.{shape}.row.col.{mode}.f64.f64.f64.f64 {{d}}, {{0}}, {{1}}, {{2}};"
    out, report = run_words(instruction, [("e", w.view(np.uint64)) for w in words], ("e", m // 4))
    assert report.findings == []
    for lane in range(32):
        for i in range(m // 4):
            row, column = c_place(lane, i)
            terms = [Fraction(a[row, j]) * Fraction(b[j, column]) for j in range(k)] + [Fraction(c[row, column])]
            error = Fraction(out.view(np.float64)[i, lane]) - sum(terms)
            assert abs(error) <= (k + 1) * Fraction(1, 2**52) * sum(map(abs, terms))
            assert mode not in ("rm", "rp") or (error <= 0) == (mode == "rm") or error == 0


def quad_a(layout: str) -> Place:
    half = lambda lane: 4 if lane >= 16 else 0  # noqa: E731
    if layout == "row":
        return lambda lane, i: (lane % 16 // 4, lane % 4 + half(lane), i)
    return lambda lane, i: (lane % 16 // 4, i % 4 + half(lane), lane % 4)


def quad_b(layout: str) -> Place:
    half = lambda lane: 4 if lane >= 16 else 0  # noqa: E731
    if layout == "row":
        return lambda lane, i: (lane % 16 // 4, lane % 4, i + half(lane))
    return lambda lane, i: (lane % 16 // 4, i, lane % 4 + half(lane))


def quad_c(kind: str) -> Place:
    if kind == "f16":
        return lambda lane, i: (lane % 16 // 4, lane % 4 + (4 if lane >= 16 else 0), i)
    return lambda lane, i: (
        lane % 16 // 4,
        (lane & 1) + (i & 2) + (4 if lane >= 16 else 0),
        (i & 4) + (lane & 2) + (i & 1),
    )


@pytest.mark.parametrize(("a_layout", "b_layout"), [("row", "row"), ("row", "col"), ("col", "row"), ("col", "col")])
@pytest.mark.parametrize(("result", "old"), [("f32", "f32"), ("f16", "f16"), ("f32", "f16")])
def test_four_products_of_quads(a_layout: str, b_layout: str, result: str, old: str) -> None:
    rng = np.random.default_rng(12)
    a, b, c = (rng.integers(-4, 5, shape) / 2 for shape in ((4, 8, 4), (4, 4, 8), (4, 8, 8)))
    c_kind, d_kind = ("tf32" if kind == "f32" else "f16" for kind in (old, result))
    words = [
        packed(a, quad_a(a_layout), 4, "f16"),
        packed(b, quad_b(b_layout), 4, "f16"),
        packed(c, quad_c(old), 8, c_kind),
    ]
    instruction = f"mma.sync.aligned.m8n8k4.{a_layout}.{b_layout}.{result}.f16.f16.{old} {{d}}, {{0}}, {{1}}, {{2}};"
    kinds = ["r", "r", "f" if old == "f32" else "r"]
    inputs = list(zip(kinds, words, strict=True))
    out, report = run_words(instruction, inputs, ("f" if result == "f32" else "r", 8 if result == "f32" else 4))
    assert report.findings == []
    np.testing.assert_array_equal(out, packed(a @ b + c, quad_c(result), 8, d_kind))


# -- structured sparsity ----------------------------------------------------------------------------------------------

CHUNK = {"f16": 4, "bf16": 4, "tf32": 2, "s8": 4, "u8": 4, "e4m3": 4, "e5m2": 4, "s4": 8, "u4": 8}
SPARSE_FORMS = [
    ("m16n8k16", "f16", "f16", (0, 1, 2, 3)),
    ("m16n8k32", "f16", "f16", (0, 1)),
    ("m16n8k16", "bf16", "bf16", (3,)),
    ("m16n8k32", "bf16", "bf16", (1,)),
    ("m16n8k8", "tf32", "tf32", (0, 2)),
    ("m16n8k16", "tf32", "tf32", (0, 1)),
    ("m16n8k32", "s8", "u8", (0, 1)),
    ("m16n8k64", "u8", "s8", (0,)),
    ("m16n8k64", "s4", "u4", (0, 1)),
    ("m16n8k128", "u4", "u4", (0,)),
    ("m16n8k64", "e4m3", "e5m2", (0,)),
]


def sparse_matrix(kind: str, k: int, rng: Any) -> tuple[Any, Any, Any]:
    """A dense matrix with half of each chunk zero, the kept elements (16, k/2), and the entries (16, chunks)."""
    chunk, group = CHUNK[kind], 2 if kind in ("s4", "u4") else 1
    dense, kept, entries = np.zeros((16, k)), np.zeros((16, k // 2)), np.zeros((16, k // chunk), int)
    for row in range(16):
        for index in range(k // chunk):
            if kind == "tf32":
                picks = [int(rng.integers(2))]
                entries[row, index] = 0b1110 if picks[0] else 0b0100
            else:
                picks = sorted(int(x) for x in rng.permutation(4)[:2])
                entries[row, index] = picks[0] | picks[1] << 2
            values = sparse_values(kind, len(picks) * group, rng)
            kept[row, index * chunk // 2 : (index + 1) * chunk // 2] = values
            for position, pick in enumerate(picks):
                start = index * chunk + pick * group
                dense[row, start : start + group] = values[position * group : (position + 1) * group]
    return dense, kept, entries


def sparse_values(kind: str, count: int, rng: Any) -> Any:
    if kind in ("s4", "u4", "s8", "u8"):
        return integers(kind, (count,), rng)
    return rng.integers(-8, 9, count) / 4


def metadata(entries: Any, kind: str, chosen: int, junk: int) -> Any:
    """Registers of the metadata: 16 bits of rows g and g + 8 for wide types, else 32 bits of one row, in some lanes."""
    wide = kind in ("f16", "bf16", "tf32")
    lanes = entries.shape[1] * 4 * 16 // 256
    words = np.full((1, 32), junk, np.uint32)
    for g in range(8):
        for lane in range(lanes):
            rows = (g, g + 8) if wide else (g + 8 * (lane % 2),)
            start = 4 * lane if wide else 8 * (lane // 2)
            word, shift = 0, 0
            for row in rows:
                for entry in entries[row, start : start + (4 if wide else 8)]:
                    word |= int(entry) << shift
                    shift += 4
            words[0, 4 * g + chosen * lanes + lane] = word
    return words


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize(("shape", "left", "right", "selectors"), SPARSE_FORMS)
def test_sparse_products(shape: str, left: str, right: str, selectors: tuple[int, ...], ordered: bool) -> None:
    seed = int(np.random.default_rng().integers(2**31))
    print("seed", seed)
    rng = np.random.default_rng(seed)
    _, _, k = shape_of(shape)
    dense, kept, entries = sparse_matrix(left, k, rng)
    b = sparse_values(right, k * 8, rng).reshape(k, 8)
    integral = left in ("s8", "u8", "s4", "u4")
    c, kind, prefix = np.arange(128).reshape(16, 8) - 50, "s32" if integral else "f32", "r" if integral else "f"
    words = [
        packed(kept, a_place(BITS[left]), k // 4, left),
        packed(b, b_place(BITS[right]), k // 4, right),
        np.array([[c[c_place(lane, i)] for lane in range(32)] for i in range(4)], np.int32 if integral else np.float32),
    ]
    for chosen in selectors[:1] if ordered else selectors:
        name = "mma.sp::ordered_metadata" if ordered else "mma.sp"
        meta = metadata(entries, left, chosen, 0)
        opcode = f"{name}.sync.aligned.{shape}.row.col.{kind}.{left}.{right}.{kind}"
        instruction = f"{opcode} {{d}}, {{0}}, {{1}}, {{2}}, %r60, {chosen};"
        inputs = [("r", words[0]), ("r", words[1]), (prefix, words[2].view(np.uint32)), ("r", meta)]
        out, report = run_words(instruction, inputs, (prefix, 4))
        assert report.findings == [], [str(f) for f in report.findings]
        expected = dense @ b + c
        found = out.view(words[2].dtype)
        for lane in range(32):
            for i in range(4):
                assert found[i, lane] == expected[c_place(lane, i)]


def run_metadata(meta: Any, name: str = "mma.sp") -> Report:
    zeros = [
        ("r", np.zeros((2, 32), np.uint32)),
        ("r", np.zeros((2, 32), np.uint32)),
        ("f", np.zeros((4, 32), np.uint32)),
    ]
    instruction = f"{name}.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {{d}}, {{0}}, {{1}}, {{2}}, %r60, 1;"
    return run_words(instruction, [*zeros, ("r", meta)], ("f", 4))[1]


def test_bad_metadata_is_found() -> None:
    good = np.full((1, 32), 0x44444444, np.uint32)
    assert run_metadata(good).findings == []
    bad = good.copy()
    bad[0, 13] = 0x44544444  # lane 1 of group 3 holds rows 3 and 11; two equal indices
    (found,) = run_metadata(bad).findings
    assert found.kind == "sparse-metadata" and "row 11" in found.message
    bad[0, 13], bad[0, 12] = 0x44444444, 0
    assert run_metadata(bad).findings == []  # lanes that the selector does not name hold nothing
    swapped = np.full((1, 32), 0x11111111, np.uint32)
    assert run_metadata(swapped).findings == []
    assert [f.kind for f in run_metadata(swapped, "mma.sp::ordered_metadata").findings] == ["sparse-metadata"]


REFUSED = [
    ("mma.sync.aligned.m16n8k16.row.col.f32.f16.bf16.f32", 4, 2, 4, "does not exist for these types"),
    ("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f16", 2, 1, 2, "do not go together"),
    ("mma.sync.aligned.m16n8k16.row.col.satfinite.f32.f16.f16.f32", 4, 2, 4, "option"),
    ("mma.sync.aligned.m16n8k32.row.col.s32.s8.e4m3.s32", 4, 2, 4, "does not exist for these types"),
    ("mma.sync.aligned.m16n8k64.row.col.s32.s8.s8.s32", 4, 2, 4, "does not exist for these types"),
    ("mma.sync.aligned.m8n8k128.row.col.s32.b1.b1.s32", 1, 1, 2, "option"),
    ("mma.sync.aligned.m16n8k16.row.row.f32.f16.f16.f32", 4, 2, 4, "expected one of col"),
    ("mma.sync.aligned.m16n8k16.row.col.rz.f32.f16.f16.f32", 4, 2, 4, "unknown modifier"),
]


@pytest.mark.parametrize(("opcode", "a", "b", "c", "message"), REFUSED)
def test_forms_that_do_not_exist_are_refused(opcode: str, a: int, b: int, c: int, message: str) -> None:
    names = [registers("r", start, count) for start, count in ((0, a), (20, b), (40, c))]
    text = kernel(f"{opcode} {registers('r', 60, 4 if c == 4 else 2)}, {', '.join(names)};")
    with pytest.raises(UnsupportedInstruction, match=message):
        launch(Module.parse(text), "k", (1,), (32,))


@pytest.mark.parametrize(("chosen", "shape"), [(4, "m16n8k16"), (2, "m16n8k32")])
def test_selectors_out_of_range_are_refused(chosen: int, shape: str) -> None:
    count = 2 if shape == "m16n8k16" else 4
    operands = ", ".join(
        (registers("f", 0, 4), registers("r", 0, count), registers("r", 8, count), registers("f", 8, 4))
    )
    text = kernel(f"mma.sp.sync.aligned.{shape}.row.col.f32.bf16.bf16.f32 {operands}, %r30, {chosen};")
    assert assembler_error(text) is not None
    with pytest.raises(UnsupportedInstruction, match="sparsity selector"):
        launch(Module.parse(text), "k", (1,), (32,))
