"""Communication inside warps and CTAs, jumps through tables, hints and calls that cannot be inlined."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.emulator.ptx_kernel import assembler_error, kernel

from tilewright.runtime.emulator import Module, Report, launch
from tilewright.runtime.emulator.errors import UnsupportedInstruction

SCHEDULES = [("in-order", 0), ("reverse", 0), ("random", 4)]
LANE = np.arange(32)


def run(body: str, arrays: list[Any], threads: int = 32, outside: str = "", **options: Any) -> Report:
    text = kernel(body, pointers=len(arrays), outside=outside)
    assert assembler_error(text) is None
    return launch(Module.parse(text), "k", (1,), (threads,), args=arrays, **options)


def results(body: str, values: Any, kind: Any = np.uint32, threads: int = 32, **options: Any) -> Any:
    """The body turns %r1 (the thread's value) into %r2; %t is the thread."""
    out = np.zeros(threads, kind)
    loads = "mad.wide.u32 %d1, %t, 4, %q0;\nld.global.b32 %r1, [%d1];\n"
    store = "\nmad.wide.u32 %d2, %t, 4, %q1;\nst.global.b32 [%d2], %r2;"
    report = run(loads + body + store, [np.asarray(values), out], threads, **options)
    assert report.findings == [], [str(f) for f in report.findings]
    return out


def random_words(high: int = 2**32) -> Any:
    seed = int(np.random.default_rng().integers(2**31))
    print("seed", seed)
    return np.random.default_rng(seed).integers(0, high, 32, np.uint64).astype(np.uint32)


MASKS = [0xFFFFFFFF, 0x0000FF0F, 0x80000001]
VOTES = {"all": "pred", "any": "pred", "uni": "pred", "ballot": "b32"}


def in_mask(mask: int) -> Any:
    return (mask >> LANE & 1).astype(bool)


def guarded(mask: int, body: str) -> str:
    """Run a body by the lanes of a mask; the others keep 77."""
    test = f"shr.u32 %r8, {mask}, %t;\nand.b32 %r8, %r8, 1;\nsetp.eq.u32 %p8, %r8, 0;\n@%p8 bra OUT;\n"
    return f"mov.u32 %r2, 77;\n{test}{body}\nOUT:"


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("mode", VOTES)
@pytest.mark.parametrize("limit", [0, 2**31, 2**32])
def test_vote(mode: str, limit: int, mask: int) -> None:
    values = random_words()
    test = f"cvt.u64.u32 %d5, %r1;\nsetp.lt.u64 %p1, %d5, {limit};\n"
    vote = f"vote.sync.{mode}.{VOTES[mode]} {'%r2' if mode == 'ballot' else '%p2'}, %p1, {mask};\n"
    select = "" if mode == "ballot" else "selp.u32 %r2, 1, 0, %p2;"
    found = results(guarded(mask, test + vote + select), values)
    true, active = values < limit, in_mask(mask)
    expected = {
        "all": true[active].all(),
        "any": true[active].any(),
        "uni": len(set(true[active].tolist())) == 1,
        "ballot": sum(1 << int(lane) for lane in LANE[true & active]),
    }[mode]
    np.testing.assert_array_equal(found, np.where(active, np.uint32(expected), 77))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("wide", [False, True])
def test_match(wide: bool, mask: int) -> None:
    values, active = random_words(4), in_mask(mask)
    operand, kind = ("%d5", "b64") if wide else ("%r1", "b32")
    body = f"cvt.u64.u32 %d5, %r1;\nshl.b64 %d5, %d5, 40;\nmatch.any.sync.{kind} %r2, {operand}, {mask};"
    expected = [sum(1 << int(other) for other in LANE[active & (values == value)]) for value in values]
    np.testing.assert_array_equal(results(guarded(mask, body), values), np.where(active, expected, 77))


@pytest.mark.parametrize("same", [False, True])
def test_match_all(same: bool) -> None:
    values = np.full(32, 9, np.uint32)
    values[31] += not same
    found = results("match.all.sync.b32 %r2|%p1, %r1, -1;", values)
    assert (found == (0xFFFFFFFF if same else 0)).all()
    picked = results("match.all.sync.b32 %r3|%p1, %r1, -1;\nselp.u32 %r2, 5, 6, %p1;", values)
    assert (picked == (5 if same else 6)).all()


REDUCTIONS: dict[str, Any] = {
    "add.u32": lambda x: np.uint32(int(x.astype(np.uint64).sum()) & 0xFFFFFFFF),
    "add.s32": lambda x: np.uint32(int(x.astype(np.uint64).sum()) & 0xFFFFFFFF),
    "min.u32": lambda x: x.min(),
    "max.s32": lambda x: x.view(np.int32).max().view(np.uint32),
    "min.s32": lambda x: x.view(np.int32).min().view(np.uint32),
    "and.b32": lambda x: np.bitwise_and.reduce(x),
    "or.b32": lambda x: np.bitwise_or.reduce(x),
    "xor.b32": lambda x: np.bitwise_xor.reduce(x),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("operation", REDUCTIONS)
def test_redux(operation: str, mask: int) -> None:
    values, active = random_words(), in_mask(mask)
    found = results(guarded(mask, f"redux.sync.{operation} %r2, %r1, {mask};"), values)
    np.testing.assert_array_equal(found, np.where(active, REDUCTIONS[operation](values[active]), 77))


def shuffled(mode: str, lane: int, amount: int, clamp: int, segment: int) -> tuple[int, bool]:
    """The source lane by the pseudocode of the ISA, and whether it is in range."""
    top, low = (lane & segment) | (clamp & ~segment & 31), lane & segment
    source, inside = {
        "up": (lane - amount, lane - amount >= top),
        "down": (lane + amount, lane + amount <= top),
        "bfly": (lane ^ amount, (lane ^ amount) <= top),
        "idx": (low | (amount & ~segment & 31), (low | (amount & ~segment & 31)) <= top),
    }[mode]
    return (source, True) if inside else (lane, False)


@pytest.mark.parametrize("mode", ["up", "down", "bfly", "idx"])
@pytest.mark.parametrize("segment", [0, 16, 24, 30])
@pytest.mark.parametrize("amount", [0, 1, 5, 31])
def test_shuffle(mode: str, segment: int, amount: int) -> None:
    values = random_words()
    clamp = 0 if mode == "up" else 31
    body = f"shfl.sync.{mode}.b32 %r3|%p1, %r1, {amount}, {segment << 8 | clamp}, -1;\nselp.u32 %r2, %r3, 1, %p1;"
    expected = [shuffled(mode, lane, amount, clamp, segment) for lane in range(32)]
    np.testing.assert_array_equal(results(body, values), [values[s] if inside else 1 for s, inside in expected])


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_activemask_names_only_lanes_that_are_together(schedule: str, seed: int) -> None:
    body = "mov.u32 %r2, 0;\nsetp.ge.u32 %p1, %t, 5;\n@%p1 bra OUT;\nactivemask.b32 %r2;\nOUT:"
    found = results(body, np.zeros(32, np.uint32), schedule=schedule, seed=seed)
    assert all(found[lane] >> lane & 1 and not found[lane] >> 5 for lane in range(5)) and not found[5:].any()


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
@pytest.mark.parametrize(("operation", "limit"), [("popc", 20), ("and", 20), ("and", 64), ("or", 20), ("or", 0)])
def test_barrier_reduction(operation: str, limit: int, schedule: str, seed: int) -> None:
    """All 64 threads get the result; a named barrier with a count reduces over its warps only."""
    test = f"setp.lt.u32 %p1, %t, {limit};\n"
    if operation == "popc":
        body, expected = test + "bar.red.popc.u32 %r2, 1, %p1;", limit
    else:
        body = test + f"barrier.cta.red.{operation}.pred.aligned %p2, 2, 64, %p1;\nselp.u32 %r2, 3, 4, %p2;"
        expected = 3 if (limit == 64 if operation == "and" else limit > 0) else 4
    found = results(body, np.zeros(64, np.uint32), threads=64, schedule=schedule, seed=seed)
    assert (found == expected).all()


def test_barrier_reduction_of_one_warp() -> None:
    body = "mov.u32 %r2, 0;\nsetp.ge.u32 %p1, %t, 32;\n@%p1 bra OUT;\n"
    body += "setp.lt.u32 %p2, %t, 7;\nbarrier.cta.red.popc.aligned.u32 %r2, 3, 32, !%p2;\nOUT:"
    found = results(body, np.zeros(64, np.uint32), threads=64)
    assert (found[:32] == 25).all() and (found[32:] == 0).all()


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_branch_table(schedule: str, seed: int) -> None:
    body = """and.b32 %r3, %r1, 3;
TABLE: .branchtargets ONE, TWO, ONE, THREE;
brx.idx %r3, TABLE;
ONE:
mov.u32 %r2, 10;
bra.uni OUT;
TWO:
mov.u32 %r2, 20;
bra.uni OUT;
THREE:
mov.u32 %r2, 30;
OUT:"""
    values = random_words()
    found = results(body, values, schedule=schedule, seed=seed)
    np.testing.assert_array_equal(found, np.array([10, 20, 10, 30])[values & 3])


def test_an_index_outside_the_table_is_found() -> None:
    out = np.zeros(32, np.uint32)
    body = "TABLE: .branchtargets ONE, TWO;\nbrx.idx %t, TABLE;\nONE:\nTWO:\n"
    body += "mad.wide.u32 %d1, %t, 4, %q0;\nst.global.u32 [%d1], 1;"
    (found,) = run(body, [out]).findings
    assert found.kind == "branch-table" and out.tolist() == [1, 1] + [0] * 30


def test_hints_change_nothing() -> None:
    body = """griddepcontrol.wait;
griddepcontrol.launch_dependents;
nanosleep.u32 100;
nanosleep.u32 %r1;
pmevent.mask 3;
prefetch.global.L2 [%q0];
prefetchu.L1 [%q0];
discard.global.L2 [%d9], 128;
applypriority.global.L2::evict_normal [%d9], 128;
createpolicy.fractional.L2::evict_last.b64 %d3, 1.0;
ld.global.L2::cache_hint.b32 %r2, [%d1], %d3;"""
    values = random_words()
    aligned = "mov.u64 %d9, %q1;\n"
    np.testing.assert_array_equal(results(aligned + body, values), values)


RECURSIVE = """.func (.param .b32 r) down(.param .b32 n)
{
.reg .b32 %x<4>;
.param .b32 inner;
.param .b32 back;
ld.param.b32 %x1, [n];
add.u32 %x1, %x1, -1;
st.param.b32 [inner], %x1;
call.uni (back), down, (inner);
ld.param.b32 %x2, [back];
st.param.b32 [r], %x2;
ret;
}
"""


def test_recursion_is_refused_by_name() -> None:
    body = "{\n.param .b32 a;\n.param .b32 b;\nst.param.b32 [a], %t;\ncall.uni (b), down, (a);\n}"
    text = kernel(body, outside=RECURSIVE)
    assert assembler_error(text) is None
    with pytest.raises(UnsupportedInstruction, match=r"recursion \(down -> down\)"):
        launch(Module.parse(text), "k", (1,), (32,))
