"""Pipelines, TMA, wgmma and clusters under every completion policy and several schedules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.emulator.fixture_kernels import KERNELS, changed

from tilewright.runtime.emulator import Module, Report, TensorMap, launch

MODES = [("in-order", 0), ("reverse", 0), ("random", 1)]
COMPLETIONS = ["eager", "lazy", "random"]


def broken(entry: str, sizes: tuple[int, ...], old: str, new: str) -> tuple[Report, bool]:
    """The report of a fixture with one statement changed, and whether its result is right nevertheless."""
    (kernel,) = (kernel for kernel in KERNELS if kernel.entry == entry)
    case = kernel.case(np.random.default_rng(7), sizes)
    report = kernel.launch(case, changed(kernel.fixture, entry, old, new))
    return report, case.right()


PIPELINE_MUTANTS = [
    ("cp.async.wait_group 1", "cp.async.wait_group 2"),
    ("bar.sync", "//"),
    (".m8n8.x4.trans", ".m8n8.x4"),
]


@pytest.mark.parametrize(("old", "new"), PIPELINE_MUTANTS)
def test_pipeline_mutants_are_caught(old: str, new: str) -> None:
    report, right = broken("mma_pipeline", (64, 64, 256), old, new)
    assert report.errors or not right


HOPPER_MUTANTS = [
    ("mbarrier.arrive.shared::cta.b64 _", "//", "deadlock"),
    ("wgmma.wait_group.sync.aligned 0", "wgmma.wait_group.sync.aligned 1", "race"),
    ("mbarrier.arrive.expect_tx", "//", "deadlock"),
    ("bar.sync", "//", "race"),
]


@pytest.mark.parametrize(("old", "new", "kind"), HOPPER_MUTANTS)
def test_specialised_mutants_are_caught(old: str, new: str, kind: str) -> None:
    report, _ = broken("specialised", (64, 64, 456), old, new)
    assert kind in {finding.kind for finding in report.findings}, [str(finding) for finding in report.findings]


def test_tma_store_needs_the_proxy_fence_and_the_wait() -> None:
    def kinds(old: str, new: str) -> set[str]:
        return {finding.kind for finding in broken("tile_add", (32, 32), old, new)[0].findings}

    assert "missing-proxy-fence" in kinds("fence.proxy.async.shared::cta;", "")
    assert "bulk-store" in kinds("cp.async.bulk.wait_group.read", "//")


def test_deadlock_says_who_waits_for_which_phase() -> None:
    report, _ = broken("specialised", (64, 64, 456), "mbarrier.arrive.shared::cta.b64 _", "//")
    waits = [f for f in report.findings if f.kind == "deadlock" and f.other and "mbarrier" in f.other]
    assert waits and "arrivals" in str(waits[0].other)
    assert not report.completed


MULTICAST = """.version 8.3
.target sm_90a
.address_size 64
.visible .entry k(.param .align 64 .b8 map[128], .param .u64 out)
.reqnctapercluster 2, 1, 1
{
.reg .b32 %r<20>; .reg .b64 %d<20>; .reg .pred %p<5>; .reg .b16 %h<3>;
.shared .align 128 .b8 tile[1024];
.shared .align 8 .b8 full[8];
.shared .align 8 .b8 empty[8];
mov.u32 %r1, %tid.x;
mov.u32 %r2, %cluster_ctarank;
mov.u32 %r3, tile;
mov.u32 %r4, full;
mov.u32 %r5, empty;
mov.b64 %d1, map;
cvta.param.u64 %d2, %d1;
setp.ne.u32 %p1, %r1, 0;
@%p1 bra READY;
mbarrier.init.shared::cta.b64 [%r4], 1;
mbarrier.init.shared::cta.b64 [%r5], 2;
fence.mbarrier_init.release.cluster;
mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r4], 1024;
READY:
barrier.cluster.arrive.release.aligned;
barrier.cluster.wait.acquire.aligned;
mov.u32 %r6, 0;
or.b32 %r7, %r1, %r2;
setp.ne.u32 %p2, %r7, 0;
@%p2 bra WAIT;
mov.b16 %h1, 3;
cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%r3], [%d2, {%r6, %r6}], [%r4], %h1;
WAIT:
mbarrier.try_wait.parity.shared::cta.b64 %p3, [%r4], 0;
@!%p3 bra WAIT;
shl.b32 %r8, %r1, 5;
add.s32 %r8, %r8, %r3;
ld.shared.v4.b32 {%r10, %r11, %r12, %r13}, [%r8];
ld.param.u64 %d3, [out];
mad.lo.u32 %r14, %r2, 32, %r1;
mad.wide.u32 %d4, %r14, 16, %d3;
st.global.v4.b32 [%d4], {%r10, %r11, %r12, %r13};
bar.sync 0;
@%p1 bra END;
mapa.shared::cluster.u32 %r15, %r5, 0;
mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r15];
setp.ne.u32 %p4, %r2, 0;
@%p4 bra END;
LAST:
mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p3, [%r5], 0;
@!%p3 bra LAST;
END:
barrier.cluster.arrive.aligned;
barrier.cluster.wait.aligned;
ret;
}
"""  # noqa: E501


@pytest.mark.parametrize("completion", COMPLETIONS)
@pytest.mark.parametrize(("schedule", "seed"), MODES)
def test_multicast_and_remote_arrive(schedule: str, seed: int, completion: str) -> None:
    data = np.arange(32 * 16, dtype=np.uint16).reshape(32, 16)
    out = np.zeros((2, 32, 8), np.uint16)
    report = launch(
        Module.parse(MULTICAST),
        "k",
        (2,),
        (32,),
        args=[TensorMap.tiled(data, box=(16, 32)), out],
        schedule=schedule,
        seed=seed,
        completion=completion,
    )
    assert report.findings == [], [str(f) for f in report.findings]
    np.testing.assert_array_equal(out, np.broadcast_to(data[:, :8], (2, 32, 8)))


@pytest.mark.parametrize(
    ("old", "new"), [("%r5], 2;", "%r5], 3;"), ("%r4], 1024;", "%r4], 1040;"), ("%h1, 3", "%h1, 1")]
)
def test_multicast_mutants_deadlock(old: str, new: str) -> None:
    assert old in MULTICAST
    data, out = np.zeros((32, 16), np.uint16), np.zeros((2, 32, 8), np.uint16)
    report = launch(
        Module.parse(MULTICAST.replace(old, new)), "k", (2,), (32,), args=[TensorMap.tiled(data, box=(16, 32)), out]
    )
    assert not report.completed and "deadlock" in {finding.kind for finding in report.findings}


@pytest.mark.parametrize("width", [32, 64, 128])
@pytest.mark.parametrize("kind", [np.float32, np.uint16])
def test_swizzled_load_follows_the_published_pattern(width: int, kind: Any) -> None:
    """16-byte units move by XOR with the row bits of their address, as the ISA's figures show."""
    inner = width // np.dtype(kind).itemsize
    data = np.arange(16 * inner, dtype=kind).reshape(16, inner)
    raw = np.zeros(16 * width, np.uint8)
    copy = "\n".join(f"ld.shared.b8 %h1, [%r8+{i}]; st.global.b8 [%d4+{i}], %h1;" for i in range(16 * width // 32))
    body = (
        MULTICAST.split("shl.b32 %r8")[0]
        .replace(".reqnctapercluster 2, 1, 1\n", "")
        .replace("1024;\nREADY", f"{16 * width};\nREADY")
    )
    body = (
        body.replace("tile[1024]", "tile[2048]")
        .replace(".align 128", ".align 1024")
        .replace(".multicast::cluster", "")
        .replace(", %h1;", ";")
    )
    part = 16 * width // 32
    text = (
        body
        + f"""mad.lo.u32 %r8, %r1, {part}, %r3;
ld.param.u64 %d3, [out];
mad.wide.u32 %d4, %r1, {part}, %d3;
{copy}
ret;
}}
"""
    )
    report = launch(
        Module.parse(text), "k", (1,), (32,), args=[TensorMap.tiled(data, box=(inner, 16), swizzle=width), raw]
    )
    assert report.findings == [], [str(f) for f in report.findings]
    expected = np.zeros_like(raw)
    source = data.view(np.uint8).reshape(-1)
    for address in range(0, 16 * width, 16):
        row = address // 128
        unit = address // 16 % 8
        target = row * 8 + (unit ^ (row % (width // 16)))
        expected[target * 16 : target * 16 + 16] = source[address : address + 16]
    np.testing.assert_array_equal(raw, expected)
