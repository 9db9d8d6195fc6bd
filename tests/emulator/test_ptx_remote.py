"""Asynchronous stores and reductions into the shared memory of another CTA of the cluster."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.emulator.ptx_kernel import assembler_error, kernel

from tilewright.runtime.emulator import Module, Report, launch
from tilewright.runtime.emulator.errors import UnsupportedInstruction

COMPLETIONS = ["eager", "lazy", "random"]
RING = """
mov.u32 %r1, full;
mov.u32 %r2, memory;
mov.u32 %r3, %cluster_ctarank;
setp.ne.u32 %p1, %t, 0;
shl.b32 %r4, %t, 4;
add.u32 %r5, %r4, %r2;
mad.lo.u32 %r6, %r3, 32, %t;
mad.lo.u32 %r6, %r6, 7, 5;
mov.b32 %r7, %r6;
add.u32 %r8, %r6, 1;
st.shared.v4.b32 [%r5], {%r6, %r7, %r8, %r8};
add.u32 %r9, %r5, 1024;
st.shared.v4.b32 [%r9], {%r8, %r6, %r7, %r6};
@%p1 bra READY;
mbarrier.init.shared::cta.b64 [%r1], 1;
fence.proxy.async;
mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], @BYTES@;
READY:
fence.proxy.async;
barrier.cluster.arrive.release.aligned;
barrier.cluster.wait.acquire.aligned;
xor.b32 %r10, %r3, 1;
mapa.shared::cluster.u32 %r11, %r1, %r10;
mapa.shared::cluster.u32 %r12, %r2, %r10;
add.u32 %r13, %r12, %r4;
@SEND@
WAIT:
mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p2, [%r1], 0;
@!%p2 bra WAIT;
ld.shared.v4.b32 {%r20, %r21, %r22, %r23}, [%r5];
mad.lo.u32 %r14, %r3, 32, %t;
mad.wide.u32 %d1, %r14, 16, %q0;
st.global.v4.b32 [%d1], {%r20, %r21, %r22, %r23};
barrier.cluster.arrive.aligned;
barrier.cluster.wait.aligned;
"""
SENDS = {
    "st.b32": (4, "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b32 [%r13], %r9, [%r11];"),
    "st.v4.s32": (
        16,
        "st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.s32 [%r13], {%r9, %r4, %r3, %r4}, [%r11];",
    ),
    "st.v2.b64": (
        16,
        "mov.b64 %d5, {%r9, %r3};\n"
        "st.async.shared::cluster.mbarrier::complete_tx::bytes.v2.b64 [%r13], {%d5, %d5}, [%r11];",
    ),
    "red.inc": (
        4,
        "red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.inc.u32 [%r13], %r9, [%r11];",
    ),
    "red.max": (
        4,
        "red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.max.s32 [%r13], %r9, [%r11];",
    ),
    "red.xor": (
        4,
        "red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.xor.b32 [%r13], %r9, [%r11];",
    ),
    "red.add.u64": (
        8,
        "mov.b64 %d5, {%r9, %r3};\n"
        "red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.add.u64 [%r13], %d5, [%r11];",
    ),
}
BULK = """
@%p1 bra SENT;
add.u32 %r15, %r2, 1024;
cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.{op} [%r12], [%r15], 512, [%r11];
SENT:
"""
BULK_OPERATIONS = ["add.u32", "add.s32", "add.u64", "min.s32", "max.u32", "inc.u32", "dec.u32", "and.b32", "xor.b32"]


def ring(send: str, total: int) -> str:
    body = RING.replace("@BYTES@", str(total)).replace("@SEND@", send)
    return kernel(body, pointers=1, directives=".reqnctapercluster 2, 1, 1")


def run(text: str, **options: Any) -> tuple[Any, Report]:
    out = np.zeros((2, 32, 4), np.uint32)
    return out, launch(Module.parse(text), "k", (2,), (32,), args=[out], **options)


def before() -> tuple[Any, Any]:
    """What each thread put at its place, and 1024 bytes further."""
    rank, lane = np.arange(2)[:, None], np.arange(32)[None, :]
    value = ((rank * 32 + lane) * 7 + 5).astype(np.uint32)
    first = np.stack([value, value, value + 1, value + 1], axis=-1)
    second = np.stack([value + 1, value, value, value], axis=-1)
    return first, second


def sent(name: str, old: Any, base: int) -> Any:
    """The place of every thread after its partner has sent."""
    rank, lane = np.meshgrid([1, 0], np.arange(32), indexing="ij")  # the sender
    r9, r4, r3 = (base + lane * 16 + 1024).astype(np.uint32), (lane * 16).astype(np.uint32), rank.astype(np.uint32)
    new = old.copy()
    if name == "st.v4.s32":
        new[:] = np.stack([r9, r4, r3, r4], axis=-1)
    elif name == "st.v2.b64":
        new[:] = np.stack([r9, r3, r9, r3], axis=-1)
    elif name == "red.add.u64":
        wide = new.view(np.uint64)
        wide[..., 0] += r9.astype(np.uint64) | r3.astype(np.uint64) << np.uint64(32)
    else:
        table = {
            "st.b32": r9,
            "red.inc": np.where(old[..., 0] >= r9, 0, old[..., 0] + 1),
            "red.max": np.maximum(old[..., 0], r9),
            "red.xor": old[..., 0] ^ r9,
        }
        new[..., 0] = table[name]
    return new


@pytest.mark.parametrize("completion", COMPLETIONS)
@pytest.mark.parametrize("name", SENDS)
def test_asynchronous_sends(name: str, completion: str) -> None:
    size, send = SENDS[name]
    out, report = run(ring(send, 32 * size), completion=completion, schedule="random", seed=3)
    assert report.findings == [], [str(f) for f in report.findings]
    np.testing.assert_array_equal(out, sent(name, before()[0], 0))


def combined(operation: str, old: Any, new: Any) -> Any:
    name, kind = operation.split(".")
    a, b = (
        x.view({"u": np.uint32, "s": np.int32, "b": np.uint32}[kind[0]]) if kind[1:] == "32" else x.view(np.uint64)
        for x in (old, new)
    )
    if name == "inc":
        result = np.where(a >= b, 0, a + 1)
    elif name == "dec":
        result = np.where((a == 0) | (a > b), b, a - 1)
    else:
        result = {"add": np.add, "min": np.minimum, "max": np.maximum, "and": np.bitwise_and, "xor": np.bitwise_xor}[
            name
        ](a, b)
    return np.ascontiguousarray(result.astype(a.dtype)).view(np.uint32)


@pytest.mark.parametrize("completion", COMPLETIONS)
@pytest.mark.parametrize("operation", BULK_OPERATIONS)
def test_bulk_reduction_into_the_cluster(operation: str, completion: str) -> None:
    out, report = run(ring(BULK.format(op=operation), 512), completion=completion)
    assert report.findings == [], [str(f) for f in report.findings]
    first, second = before()
    np.testing.assert_array_equal(out, combined(operation, first, second[::-1]))


def test_spellings_are_real() -> None:
    for size, send in SENDS.values():
        assert assembler_error(ring(send, 32 * size)) is None
    for operation in ("add.u64", "inc.u32", "xor.b32"):
        assert assembler_error(ring(BULK.format(op=operation), 512)) is None


def test_reductions_at_one_place_do_not_race() -> None:
    size, send = SENDS["red.max"]
    out, report = run(ring(send.replace("%r13", "%r12"), 32 * size))
    assert report.findings == []
    largest = np.maximum(before()[0][:, 0, 0], 31 * 16 + 1024)
    np.testing.assert_array_equal(out[:, 0, 0], largest)


ARRIVALS = {
    "one by one": "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r11];",
    "at once": "@!%p1 mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r11], 32;",
    "generic address": "cvta.shared.u64 %d6, %d5;\nmapa.u64 %d7, %d6, %r10;\nmbarrier.arrive.b64 _, [%d7];",
    "with bytes": "mbarrier.arrive.expect_tx.release.cluster.shared::cluster.b64 _, [%r11], 8;\n"
    "mbarrier.complete_tx.relaxed.cluster.shared::cluster.b64 [%r11], 8;",
}


@pytest.mark.parametrize("completion", COMPLETIONS)
@pytest.mark.parametrize("name", ARRIVALS)
def test_remote_arrivals(name: str, completion: str) -> None:
    """32 arrivals of the other CTA end the phase; what it wrote before, the waiting threads may read."""
    send = "mov.u64 %d5, full;\nst.shared::cluster.b32 [%r13], %r9;\n" + ARRIVALS[name]
    text = ring(send, 0).replace("mbarrier.init.shared::cta.b64 [%r1], 1", "mbarrier.init.shared::cta.b64 [%r1], 32")
    text = text.replace("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], 0;", "")
    if name == "at once":
        text = text.replace(ARRIVALS[name], "bar.sync 0;\n" + ARRIVALS[name])
    assert assembler_error(text) is None
    out, report = run(text, completion=completion)
    assert report.findings == [], [str(f) for f in report.findings]
    np.testing.assert_array_equal(out, sent("st.b32", before()[0], 0))


def test_ranks_of_addresses() -> None:
    """getctarank undoes mapa, for shared and for generic addresses."""
    send = "getctarank.shared::cluster.u32 %r30, %r13;\nmapa.u64 %d6, %d5, %r10;\ngetctarank.u64 %r31, %d6;"
    body = RING.split("@SEND@")[0].replace("@BYTES@", "0") + "mov.u64 %d5, memory;\ncvta.shared.u64 %d5, %d5;\n" + send
    body += "mad.lo.u32 %r14, %r3, 32, %t;\nmad.wide.u32 %d1, %r14, 8, %q0;\nst.global.v2.b32 [%d1], {%r30, %r31};"
    text = kernel(body, pointers=1, directives=".reqnctapercluster 2, 1, 1")
    assert assembler_error(text) is None
    out = np.full((2, 32, 2), 9, np.uint32)
    assert launch(Module.parse(text), "k", (2,), (32,), args=[out]).findings == []
    assert (out[0] == 1).all() and (out[1] == 0).all()


@pytest.mark.parametrize("name", ["st.b32", "st.v4.s32", "st.v2.b64"])
def test_stores_of_one_phase_at_one_place_race(name: str) -> None:
    size, send = SENDS[name]
    _, report = run(ring(send.replace("%r13", "%r12"), 32 * size))
    assert [f.kind for f in report.findings] == ["race"] and "one phase" in report.findings[0].message


def test_reading_without_a_wait_is_a_race() -> None:
    size, send = SENDS["st.b32"]
    text = ring(send, 32 * size).replace("mbarrier.try_wait.parity.acquire", "//").replace("@!%p2 bra WAIT;", "")
    _, report = run(text, completion="eager")
    assert "race" in {f.kind for f in report.findings}


@pytest.mark.parametrize(("wait", "expected"), [(True, set()), (False, {"race"})])
def test_the_source_of_a_bulk_copy_may_be_reused_after_its_phase(wait: bool, expected: set[str]) -> None:
    """The receiver's wait and a cluster barrier tell the sender that its bytes have been read."""
    reuse = "st.shared.b32 [%r9], %r4;\n"
    text = ring(BULK.format(op="add.u32"), 512)
    end = "barrier.cluster.wait.aligned;\n"
    place = text.rindex(end) + len(end)
    first = text.index("WAIT:")
    text = text[:place] + reuse + text[place:] if wait else text[:first] + reuse + text[first:]
    assert {f.kind for f in run(text.replace("arrive.aligned", "arrive.release.aligned"))[1].findings} == expected


def test_a_bulk_reduction_reads_behind_a_proxy_fence() -> None:
    text = ring(BULK.format(op="add.u32"), 512)
    start = text.index("READY:")
    fence = text.index("fence.proxy.async;", start)
    text = text[:fence] + text[fence + len("fence.proxy.async;") :]
    assert "missing-proxy-fence" in {f.kind for f in run(text)[1].findings}


def test_bytes_that_nobody_sends_deadlock() -> None:
    size, send = SENDS["st.b32"]
    _, report = run(ring(send, 32 * size + 4))
    assert not report.completed and "4 bytes are missing" in " ".join(str(f.other) for f in report.findings)


def test_the_mbarrier_must_be_beside_the_destination() -> None:
    size, send = SENDS["st.b32"]
    _, report = run(ring(send.replace("[%r11]", "[%r1]"), 32 * size))
    assert any("not in the CTA of the destination" in f.message for f in report.findings)


REFUSED = [
    (
        "st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b64 [%r13], {%d5, %d5, %d5, %d5}, [%r11];",
        "16 bytes at most",
    ),
    ("st.async.shared::cluster.b32 [%r13], %r9, [%r11];", "mbarrier::complete_tx"),
    (
        "red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.min.u64 [%r13], %d5, [%r11];",
        "exists for u32, s32",
    ),
    ("red.async.shared::cluster.mbarrier::complete_tx::bytes.and.b32 [%r13], %r9, [%r11];", "relaxed"),
    (BULK.format(op="add.f32"), "exists for u32, s32, u64"),
    (BULK.format(op="min.u64"), "exists for u32, s32"),
    ("mbarrier.arrive.shared::cluster.b64 %d5, [%r11];", "must be `_`"),
    ("mbarrier.try_wait.parity.shared::cluster.b64 %p3, [%r11], 0;", "executing CTA"),
    ("multimem.red.relaxed.gpu.global.add.f32 [%q0], %f0;", "multicast objects"),
    ("alloca.u64 %d5, 16, 8;", "stack"),
    ("stacksave.u64 %d5;", "stack"),
    ("colour.b32 %r1, %r2;", "unknown instruction"),
]


@pytest.mark.parametrize(("send", "message"), REFUSED)
def test_what_does_not_exist_is_refused(send: str, message: str) -> None:
    with pytest.raises(UnsupportedInstruction, match=message):
        run(ring(send, 128))
