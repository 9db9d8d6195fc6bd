"""wmma: every type, shape and layout, as load, product and store, against exact products."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.emulator.ptx_kernel import assembler_error, kernel, registers

from tilewright.runtime.emulator import Module, Report, launch
from tilewright.runtime.emulator.errors import UnsupportedInstruction

LARGE = ["m16n16k16", "m8n32k16", "m32n8k16"]
TYPES: dict[str, Any] = {
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "tf32": np.float32,
    "f32": np.float32,
    "f64": np.float64,
    "s8": np.int8,
    "u8": np.uint8,
    "s32": np.int32,
}
BITS = {"f16": 16, "bf16": 16, "tf32": 32, "f32": 32, "f64": 64, "s8": 8, "u8": 8, "s32": 32, "s4": 4, "u4": 4, "b1": 1}


def extents(shape: str) -> tuple[int, int, int]:
    m, rest = shape[1:].split("n")
    n, k = rest.split("k")
    return int(m), int(n), int(k)


def count(kind: str, rows: int, columns: int, multiplicand: bool) -> int:
    if kind == "f16" and multiplicand:
        return 8
    return rows * columns * BITS[kind] // 32 // (64 if kind == "f64" else 32)


def packed(matrix: Any, kind: str, layout: str, stride: int) -> Any:
    """Memory of a matrix with a line every ``stride`` elements."""
    lines = matrix.T if layout == "col" else matrix
    padded = np.zeros((len(lines), stride), np.float64)
    padded[:, : lines.shape[1]] = lines
    if kind in TYPES:
        return padded.astype(TYPES[kind])
    bits, per = BITS[kind], 8 // BITS[kind]
    patterns = (padded.astype(np.int64) & ((1 << bits) - 1)).reshape(len(lines), -1, per)
    return (patterns << np.arange(0, 8, bits)).sum(-1).astype(np.uint8)


def text(
    shape: str,
    kinds: tuple[str, str, str],
    layouts: tuple[str, str, str],
    strides: tuple[int, int, int],
    option: str,
    space: str,
) -> str:
    """Load A, B and C, multiply, store D with C's stride and layout. Pointers: A, B, C, D."""
    kind, old, result = kinds
    m, n, k = extents(shape)
    word = {"f64": "e", "f32": "f"}
    lists = [
        registers(word.get(kind, "r"), 0, count(kind, m, k, True)),
        registers(word.get(kind, "r"), 10, count(kind, k, n, True)),
        registers(word.get(old, "r"), 20, count(old, m, n, False)),
        registers(word.get(result, "r"), 40, count(result, m, n, False)),
    ]
    types = f"{result}.{old}" if kind == "f16" else f"{result}.{kind}.{kind}.{old}"
    operation = f".{option}.popc" if option in ("xor", "and") else ""
    suffix = "" if operation or not option else f".{option}"
    if kind == "f64":
        types, suffix = (f"{option}." if option else "") + types, ""
    body = ""
    for index, stride in enumerate((*strides, strides[2])):
        body += f"mov.u32 %r{90 + index}, {stride};\n"
    body += f"wmma.load.a.sync.aligned.{layouts[0]}.{shape}{space}.{kind} {lists[0]}, [%q0], %r90;\n"
    body += f"wmma.load.b.sync.aligned.{layouts[1]}.{shape}{space}.{kind} {lists[1]}, [%q1], %r91;\n"
    body += f"wmma.load.c.sync.aligned.{layouts[2]}.{shape}{space}.{old} {lists[2]}, [%q2], %r92;\n"
    body += f"wmma.mma{operation}.sync.aligned.{layouts[0]}.{layouts[1]}.{shape}.{types}{suffix} "
    body += ", ".join(lists[3:] + lists[:3]) + ";\n"
    body += f"wmma.store.d.sync.aligned.{layouts[2]}.{shape}{space}.{result} [%q3], {lists[3]}, %r93;\n"
    return kernel(body, pointers=4)


def draw(kind: str, shape: tuple[int, int], rng: Any) -> Any:
    ranges = {"s4": (-8, 8), "u4": (0, 16), "b1": (0, 2), "s8": (-128, 128), "u8": (0, 256), "s32": (-999, 999)}
    return rng.integers(*ranges[kind], shape) if kind in ranges else rng.integers(-8, 9, shape) / 4


def run(
    shape: str,
    kinds: tuple[str, str, str],
    layouts: tuple[str, str, str],
    option: str = "",
    space: str = ".global",
    extra: int = 0,
) -> Report:
    seed = int(np.random.default_rng().integers(2**31))
    print("seed", seed)
    rng = np.random.default_rng(seed)
    m, n, k = extents(shape)
    kind, old, result = kinds
    a, b, c = draw(kind, (m, k), rng), draw(kind, (k, n), rng), draw(old, (m, n), rng)
    lines = [(x.T if layout == "col" else x).shape[1] + extra for x, layout in zip((a, b, c), layouts, strict=True)]
    arrays = [
        packed(x, t, layout, s) for x, t, layout, s in zip((a, b, c), (kind, kind, old), layouts, lines, strict=True)
    ]
    d = np.zeros(arrays[2].shape, TYPES[result])
    source = text(shape, kinds, layouts, (lines[0], lines[1], lines[2]), option, space)
    report = launch(Module.parse(source), "k", (1,), (32,), args=[*arrays, d])
    product = (
        (a[:, :, None] ^ b).sum(1) if option == "xor" else (a[:, :, None] & b).sum(1) if option == "and" else a @ b
    )
    expected = packed(product + c, result, layouts[2], lines[2])
    if extra:
        expected[:, -extra:] = 0
    np.testing.assert_array_equal(d, expected)
    return report


TILES = [
    ("half_tiles", np.float16, np.float32, (16, 16)),
    ("wide_tiles", ml_dtypes.bfloat16, np.float32, (8, 32)),
    ("single_tiles", np.float32, np.float32, (16, 16)),
    ("byte_tiles", np.int8, np.int32, (32, 8)),
    ("double_tiles", np.float64, np.float64, (8, 8)),
]


@pytest.mark.parametrize(("schedule", "seed"), [("in-order", 0), ("reverse", 0), ("random", 1)])
@pytest.mark.parametrize(("entry", "kind", "total", "fragment"), TILES, ids=[tile[0] for tile in TILES])
def test_tiles_compiled_by_nvcc(
    entry: str, kind: Any, total: Any, fragment: tuple[int, int], schedule: str, seed: int
) -> None:
    """Two warps a block, two by two fragments a warp; small integers, so that every order of adding is exact."""
    module = Module.parse((Path(__file__).parent / "fixtures" / "wmma.ptx").read_text())
    rng = np.random.default_rng(2)
    m, n, k = fragment[0] * 2 * 2, fragment[1] * 2 * 2, 48
    a, b = (rng.integers(-4, 5, shape).astype(kind) for shape in ((m, k), (n, k)))
    c = np.zeros((m, n), total)
    report = launch(module, entry, (2, 1), (64,), args=[a, b, c, n, k], schedule=schedule, seed=seed)
    assert report.errors == [], [str(f) for f in report.errors]
    np.testing.assert_array_equal(c, a.astype(np.float64) @ b.astype(np.float64).T)


FORMS = [
    (shape, ("f16", old, result)) for shape in LARGE for old, result in (("f16", "f16"), ("f32", "f32"), ("f16", "f32"))
]
FORMS += [(shape, (kind, "s32", "s32")) for shape in LARGE for kind in ("s8", "u8")]
FORMS += [(shape, ("bf16", "f32", "f32")) for shape in LARGE]
FORMS += [("m16n16k8", ("tf32", "f32", "f32")), ("m8n8k4", ("f64", "f64", "f64"))]


@pytest.mark.parametrize(
    "layouts", [("row", "col", "row"), ("col", "row", "col"), ("row", "row", "row"), ("col", "col", "col")]
)
@pytest.mark.parametrize(("shape", "kinds"), FORMS)
def test_load_multiply_store(shape: str, kinds: tuple[str, str, str], layouts: tuple[str, str, str]) -> None:
    assert run(shape, kinds, layouts).findings == []


@pytest.mark.parametrize(
    ("shape", "kind", "option"),
    [("m8n8k32", "s4", ""), ("m8n8k32", "u4", "satfinite"), ("m8n8k128", "b1", "xor"), ("m8n8k128", "b1", "and")],
)
def test_sub_byte(shape: str, kind: str, option: str) -> None:
    assert run(shape, (kind, "s32", "s32"), ("row", "col", "row"), option).findings == []


@pytest.mark.parametrize("space", ["", ".global"])
def test_padded_lines(space: str) -> None:
    assert run("m16n16k16", ("f16", "f32", "f32"), ("row", "col", "row"), space=space, extra=16).findings == []


def test_lines_off_the_fragment_are_a_warning() -> None:
    """CUDA asks for 16 bytes, the PTX ISA for the whole fragment."""
    report = run("m16n16k16", ("f16", "f16", "f16"), ("row", "col", "row"), extra=8)
    assert {(f.kind, f.severity) for f in report.findings} == {("wmma-alignment", "warning")}


def test_spellings_are_real() -> None:
    for shape, kinds in [*FORMS[::4], FORMS[-1], FORMS[-2]]:
        assert assembler_error(text(shape, kinds, ("row", "col", "row"), (16, 16, 16), "", ".global")) is None
    for shape, kind, option in (("m8n8k32", "u4", "satfinite"), ("m8n8k128", "b1", "xor")):
        source = text(shape, (kind, "s32", "s32"), ("row", "col", "row"), (128, 128, 8), option, "")
        assert assembler_error(source) is None
    assert assembler_error(text("m8n8k4", ("f64", "f64", "f64"), ("row", "col", "row"), (4, 4, 8), "rz", "")) is None


def test_the_wrong_layout_gives_a_wrong_product() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(-4, 5, (16, 16)).astype(np.float16), rng.integers(-4, 5, (16, 16)).astype(np.float16)
    d = np.zeros((16, 16), np.float32)
    source = text("m16n16k16", ("f16", "f32", "f32"), ("row", "col", "row"), (16, 16, 16), "", ".global")
    report = launch(
        Module.parse(source.replace("mma.sync.aligned.row.col", "mma.sync.aligned.col.col")),
        "k",
        (1,),
        (32,),
        args=[a, b, np.zeros_like(d), d],
    )
    assert report.findings == [] and not (d == a.astype(float) @ b.astype(float).T).all()


def test_faults_are_found() -> None:
    a = np.ones((16, 16), np.float16)
    d = np.zeros((15, 16), np.float32)
    source = text("m16n16k16", ("f16", "f32", "f32"), ("row", "col", "row"), (16, 16, 16), "", ".global")
    report = launch(Module.parse(source), "k", (1,), (32,), args=[a, a, np.zeros((16, 16), np.float32), d])
    assert [f.kind for f in report.findings] == ["out-of-bounds"]
    apart = source.replace("mov.u32 %r90, 16;", "add.u32 %r90, %t, 16;")
    report = launch(
        Module.parse(apart),
        "k",
        (1,),
        (32,),
        args=[np.ones((64, 16), np.float16), a, np.zeros((16, 16), np.float32), np.zeros((16, 16), np.float32)],
    )
    assert any(f.kind == "wmma" and "differs" in f.message for f in report.findings)


REFUSED = [
    ("wmma.load.a.sync.aligned.col.m8n8k32.global.s4 {%r0}, [%q0], %r9;", "sub-byte"),
    ("wmma.load.a.sync.aligned.row.m16n16k8.global.f16 {%r0}, [%q0], %r9;", "does not exist for the type"),
    ("wmma.load.a.sync.aligned.row.m16n16k16.global.bf16 {%r0}, [%q0], %r9;", "has 4 registers"),
    ("wmma.load.c.sync.aligned.row.m16n16k16.global.bf16 {%r0}, [%q0], %r9;", "accumulator"),
    ("wmma.mma.sync.aligned.row.col.m16n16k16.s32.s8.u8.s32 {%r0}, {%r0}, {%r0}, {%r0};", "do not go together"),
    ("wmma.mma.sync.aligned.row.col.m16n16k16.f16.f16.satfinite {%r0}, {%r0}, {%r0}, {%r0};", "option"),
    ("wmma.mma.sync.aligned.row.row.m8n8k32.s32.s4.s4.s32 {%r0}, {%r0}, {%r0}, {%r0};", "option"),
    ("wmma.mma.sync.row.col.m16n16k16.f16.f16 {%r0}, {%r0}, {%r0}, {%r0};", "aligned"),
]


@pytest.mark.parametrize(("line", "message"), REFUSED)
def test_what_does_not_exist_is_refused(line: str, message: str) -> None:
    assert assembler_error(kernel(line, pointers=1)) is not None
    with pytest.raises(UnsupportedInstruction, match=message):
        launch(Module.parse(kernel(line, pointers=1)), "k", (1,), (32,), args=[np.zeros(4096, np.uint8)])
