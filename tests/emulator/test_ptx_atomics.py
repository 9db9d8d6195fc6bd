"""Atomics of every type, packed, vector and 128 bits wide, against one thread after the other in Python."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.emulator.ptx_kernel import assembler_error, kernel, registers

from tilewright.runtime.emulator import Module, Report, launch
from tilewright.runtime.emulator.errors import UnsupportedInstruction

SCHEDULES = [("in-order", 0), ("reverse", 0), ("random", 3)]
DTYPES: dict[str, Any] = {
    "u32": np.uint32,
    "s32": np.int32,
    "u64": np.uint64,
    "s64": np.int64,
    "b32": np.uint32,
    "b64": np.uint64,
    "b16": np.uint16,
    "f32": np.float32,
    "f64": np.float64,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
}


def run(body: str, arrays: list[Any], shared: bool = False, **options: Any) -> Report:
    return launch(Module.parse(kernel(body, pointers=len(arrays))), "k", (1,), (32,), args=arrays, **options)


INTEGER = [(op, t) for op in ("min", "max") for t in ("u32", "s32", "u64", "s64")]
INTEGER += [("add", t) for t in ("u32", "s32", "u64")] + [
    (op, t) for op in ("and", "or", "xor") for t in ("b32", "b64")
]
FOLDS: dict[str, Any] = {
    "add": np.add,
    "min": np.minimum,
    "max": np.maximum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}


@pytest.mark.parametrize("mnemonic", ["atom", "red"])
@pytest.mark.parametrize("scope", ["", ".relaxed.cta", ".acq_rel.cluster", ".relaxed.sys"])
@pytest.mark.parametrize(("operation", "kind"), INTEGER)
def test_integer_reductions(operation: str, kind: str, scope: str, mnemonic: str) -> None:
    seed = int(np.random.default_rng().integers(2**31))
    print("seed", seed)
    dtype = np.dtype(DTYPES[kind])
    values = np.random.default_rng(seed).integers(0, 2**63, 32, np.uint64).astype(dtype)
    total = np.array([values[7]], dtype)
    prefix, bits = ("d", 64) if dtype.itemsize == 8 else ("r", 32)
    old = f"%{prefix}11, " if mnemonic == "atom" else ""
    order = scope.replace("acq_rel", "relaxed") if mnemonic == "red" else scope
    body = f"""mad.wide.u32 %d1, %t, {dtype.itemsize}, %q0;
ld.global.b{bits} %{prefix}10, [%d1];
{mnemonic}{order}.global.{operation}.{kind} {old}[%q1], %{prefix}10;"""
    report = run(body, [values, total], schedule="random", seed=seed % 7)
    assert report.findings == []
    with np.errstate(over="ignore"):
        assert total[0] == FOLDS[operation].reduce(np.append(values, values[7])).astype(dtype)


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
@pytest.mark.parametrize(("operation", "limit"), [("inc", 5), ("dec", 5)])
def test_wrapping_counters(operation: str, limit: int, schedule: str, seed: int) -> None:
    """Every thread sees another step of the counter."""
    counter, seen = np.array([3], np.uint32), np.zeros(32, np.uint32)
    body = f"""mov.u32 %r1, {limit};
atom.global.{operation}.u32 %r2, [%q0], %r1;
mad.wide.u32 %d1, %t, 4, %q1;
st.global.u32 [%d1], %r2;"""
    assert run(body, [counter, seen], schedule=schedule, seed=seed).findings == []
    value, steps = 3, []
    for _ in range(32):
        steps.append(value)
        value = (0 if value >= limit else value + 1) if operation == "inc" else limit if value in (0,) else value - 1
    assert counter[0] == value and sorted(seen.tolist()) == sorted(steps)


VECTORS = [
    ("f16", 8, "h"),
    ("bf16", 4, "h"),
    ("f16", 2, "h"),
    ("f16x2", 4, "r"),
    ("bf16x2", 2, "r"),
    ("f32", 4, "f"),
    ("f32", 2, "f"),
]


@pytest.mark.parametrize("mnemonic", ["atom", "red"])
@pytest.mark.parametrize("operation", ["add", "min", "max"])
@pytest.mark.parametrize(("kind", "count", "prefix"), VECTORS)
def test_vectors(kind: str, count: int, prefix: str, operation: str, mnemonic: str) -> None:
    if kind == "f32" and operation != "add":
        return
    dtype = np.dtype(DTYPES[kind.removesuffix("x2")])
    items = count * (2 if kind.endswith("x2") else 1)
    rng = np.random.default_rng(8)
    values = rng.integers(-3, 4, (32, items)).astype(dtype)
    total = np.zeros((1, items), dtype)
    width = dtype.itemsize * items // count
    body = f"mad.wide.u32 %d1, %t, {items * dtype.itemsize}, %q0;\n"
    body += "".join(f"ld.global.b{8 * width} %{prefix}{i}, [%d1+{width * i}];\n" for i in range(count))
    old = registers(prefix, 16, count) + ", " if mnemonic == "atom" else ""
    exact = ".noftz" if kind != "f32" else ""
    body += f"{mnemonic}.global.{operation}{exact}.v{count}.{kind} {old}[%q1], {registers(prefix, 0, count)};"
    assert assembler_error(kernel(body, pointers=2)) is None
    assert run(body, [values, total]).findings == []
    expected = {
        "add": values.astype(float).sum(0),
        "min": values.min(0).clip(None, 0),
        "max": values.max(0).clip(0, None),
    }
    np.testing.assert_array_equal(total[0].astype(float), expected[operation].astype(float))


WIDE_SETUP = """
add.u32 %r1, %t, 100;
cvt.u64.u32 %d1, %r1;
mul.lo.u64 %d2, %d1, 7;
mov.b128 %w0, {%d1, %d2};
"""


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_wide_exchange_passes_a_token(schedule: str, seed: int) -> None:
    """Each thread takes what another left; nothing is lost and halves stay together."""
    place, seen = np.array([1, 2], np.uint64), np.zeros((32, 2), np.uint64)
    body = (
        WIDE_SETUP
        + """atom.global.exch.b128 %w1, [%q0], %w0;
mad.wide.u32 %d5, %t, 16, %q1;
st.global.b128 [%d5], %w1;"""
    )
    assert assembler_error(kernel(body, pointers=2)) is None
    assert run(body, [place, seen], schedule=schedule, seed=seed).findings == []
    every = {(1, 2)} | {(lane + 100, 7 * (lane + 100)) for lane in range(32)}
    assert {tuple(x) for x in seen.tolist()} | {tuple(place.tolist())} == every


@pytest.mark.parametrize("space", ["global", "shared"])
def test_wide_compare_and_swap(space: str) -> None:
    """Only who names both halves right swaps; the others get the current value."""
    place, seen = np.array([40, 41], np.uint64), np.zeros((32, 2), np.uint64)
    where = "%q0" if space == "global" else "%r9"
    body = (
        WIDE_SETUP
        + f"""
mov.u32 %r9, memory;
setp.ne.u32 %p1, %t, 0;
@!%p1 ld.global.b128 %w5, [%q0];
@!%p1 st.shared.b128 [%r9], %w5;
bar.sync 0;
mov.u64 %d3, 40;
add.u32 %r2, %t, 41;
cvt.u64.u32 %d4, %r2;
mov.b128 %w2, {{%d3, %d4}};
atom.{space}.cas.b128 %w3, [{where}], %w2, %w0;
mov.b128 %w4, %w3;
mov.b128 {{%d6, %d7}}, %w4;
mad.wide.u32 %d5, %t, 16, %q1;
st.global.v2.b64 [%d5], {{%d6, %d7}};
bar.sync 0;
@!%p1 ld.{space}.b128 %w5, [{where}];
@!%p1 st.global.b128 [%q0], %w5;"""
    )
    assert assembler_error(kernel(body, pointers=2)) is None
    assert run(body, [place, seen]).findings == []
    assert place.tolist() == [100, 700]
    assert seen[0].tolist() == [40, 41] and (seen[1:] == [100, 700]).all()


def test_wide_accesses_are_checked() -> None:
    place = np.zeros(4, np.uint64)
    report = run("add.u64 %d1, %q0, 8;\nld.global.b128 %w0, [%d1];", [place])
    assert [f.kind for f in report.findings] == ["misaligned"]
    report = run("add.u64 %d1, %q0, 32;\nst.relaxed.gpu.global.b128 [%d1], %w0;", [place])
    assert [f.kind for f in report.findings] == ["out-of-bounds"]
    report = run("ld.shared.b128 %w0, [memory];", [place])
    assert [f.kind for f in report.findings] == ["uninitialised"]


def test_equal_wide_instructions_stay_apart() -> None:
    """Neighbouring moves and accesses of the same form each have their own registers."""
    data = np.arange(1, 9, dtype=np.uint64).reshape(4, 2)
    out = np.zeros_like(data)
    body = "".join(f"ld.global.b128 %w{i}, [%q0+{16 * i}];\n" for i in range(4))
    body += "".join(f"mov.b128 {{%d{2 * i + 10}, %d{2 * i + 11}}}, %w{i};\n" for i in range(4))
    body += "".join(f"mov.b128 %w{i + 4}, {{%d{2 * i + 11}, %d{2 * i + 10}}};\n" for i in range(4))
    body += "setp.ne.u32 %p1, %t, 0;\n" + "".join(
        f"@!%p1 st.global.b128 [%q1+{16 * i}], %w{i + 4};\n" for i in range(4)
    )
    assert run(body, [data, out]).findings == []
    np.testing.assert_array_equal(out, data[:, ::-1])


def test_wide_registers_keep_their_lanes_apart() -> None:
    """A guarded write leaves the other lanes alone."""
    out = np.zeros((32, 2), np.uint64)
    body = (
        WIDE_SETUP
        + """mov.b128 %w1, %w0;
mov.u64 %d8, 5;
setp.lt.u32 %p1, %t, 10;
@%p1 mov.b128 %w1, {%d8, %d8};
mad.wide.u32 %d5, %t, 16, %q0;
st.global.b128 [%d5], %w1;"""
    )
    assert run(body, [out]).findings == []
    lanes = np.arange(32)
    np.testing.assert_array_equal(out[:, 0], np.where(lanes < 10, 5, lanes + 100))
    np.testing.assert_array_equal(out[:, 1], np.where(lanes < 10, 5, 7 * (lanes + 100)))


REFUSED = [
    ("atom.global.add.f16 %h0, [%q0], %h1;", "noftz"),
    ("atom.global.add.v2.u32 {%r0, %r1}, [%q0], {%r2, %r3};", "does not exist"),
    ("atom.global.min.v2.f32 {%f0, %f1}, [%q0], {%f2, %f3};", "exists for"),
    ("atom.shared.add.v2.f32 {%f0, %f1}, [memory], {%f2, %f3};", "does not exist"),
    (
        f"atom.global.add.v8.f32 {registers('f', 0, 8)}, [%q0], {registers('f', 8, 8)};",
        "does not exist",
    ),
    ("atom.global.inc.u64 %d1, [%q0], %d2;", "exists for u32"),
    ("atom.global.and.u32 %r0, [%q0], %r1;", "exists for b32, b64"),
    ("atom.global.add.b128 %w0, [%q0], %w1;", "expected one of exch, cas"),
    ("ld.global.v2.b128 {%w0, %w1}, [%q0];", "unknown modifier|do not exist"),
    ("add.b128 %w0, %w1, %w2;", "unknown instruction"),
]


@pytest.mark.parametrize(("line", "message"), REFUSED)
def test_what_does_not_exist_is_refused(line: str, message: str) -> None:
    assert assembler_error(kernel(line, pointers=1)) is not None
    with pytest.raises(UnsupportedInstruction, match=message):
        run(line, [np.zeros(64, np.uint64)])
