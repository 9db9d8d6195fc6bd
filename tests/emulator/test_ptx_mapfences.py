"""tensormap.replace, tensormap.cp_fenceproxy and the fences of the tensormap proxy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.emulator.ptx_kernel import assembler_error, kernel

from tilewright.runtime.emulator import Module, Report, TensorMap, launch
from tilewright.runtime.emulator.errors import UnsupportedInstruction

ACQUIRE = "fence.proxy.tensormap::generic.acquire.gpu [%q3], 128;"
PUBLISH = "tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned [%q3], [%r2], 128;"
FETCH = """
setp.ne.u32 %p1, %t, 0;
@%p1 bra READY;
mbarrier.init.shared::cta.b64 [%r1], 1;
fence.proxy.async;
mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], 512;
cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r3], [{map}, {{0, 0}}], [%r1];
READY:
bar.sync 0;
WAIT:
mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r1], 0;
@!%p2 bra WAIT;
shl.b32 %r4, %t, 4;
add.u32 %r5, %r4, %r3;
ld.shared.v2.b64 {{%d1, %d2}}, [%r5];
cvt.u64.u32 %d3, %r4;
add.u64 %d3, %d3, %q2;
st.global.v2.b64 [%d3], {{%d1, %d2}};
"""
COPY_IN = """
mov.u32 %r1, full;
mov.u32 %r2, memory;
add.u32 %r3, %r2, 1024;
mad.wide.u32 %d4, %t, 4, %q0;
ld.b32 %r10, [%d4];
mad.lo.u32 %r11, %t, 4, %r2;
st.shared.b32 [%r11], %r10;
bar.warp.sync 0xffffffff;
"""
ONE = "setp.ne.u32 %p3, %t, 0;\n@%p3 bra {label};\n{body}\n{label}:\nbar.warp.sync 0xffffffff;\n"


def replaced(*pairs: str, space: str = "shared::cta", where: str = "%r2") -> str:
    return "\n".join(f"tensormap.replace.tile.{pair.format(s=space, a=where)};" for pair in pairs)


def run(body: str, arrays: list[Any], swizzle: int = 0, **options: Any) -> tuple[Any, Report]:
    """Parameters: a map over the first array, the first and second array, 512 bytes out, a workspace of 128 bytes."""
    out, work = np.zeros(512, np.uint8), np.zeros(128, np.uint8)
    text = kernel(body, pointers=3, maps=1)
    made = TensorMap.tiled(arrays[0], box=(8, 16), swizzle=swizzle)
    args = [made, arrays[-1], out, work]
    return out, launch(Module.parse(text), "k", (1,), (32,), args=args, **options)


def matrices() -> tuple[Any, Any]:
    return np.arange(256, dtype=np.float32).reshape(16, 16), -np.arange(512, dtype=np.float32).reshape(16, 32)


CHANGE = replaced(
    "global_address.{s}.b1024.b64 [{a}], %q1",
    "global_dim.{s}.b1024.b32 [{a}], 0, 32",
    "global_stride.{s}.b1024.b64 [{a}], 0, 128",
)
GOOD = COPY_IN + ONE.format(label="A", body=CHANGE) + PUBLISH + "\n" + ACQUIRE + FETCH.format(map="%q3")


@pytest.mark.parametrize("completion", ["eager", "lazy", "random"])
def test_a_changed_map_reads_another_tensor(completion: str) -> None:
    first, second = matrices()
    assert assembler_error(kernel(GOOD, pointers=3, maps=1)) is None
    out, report = run(GOOD, [first, second], completion=completion)
    assert report.findings == [], [str(f) for f in report.findings]
    np.testing.assert_array_equal(out.view(np.float32).reshape(16, 8), second[:, :8])


def test_an_empty_map_can_be_filled_in_place() -> None:
    """All fields from zeroed memory, in global memory, by one thread with both fences."""
    first, second = matrices()
    body = replaced(
        "box_dim.{s}.b1024.b32 [{a}], 0, 8",
        "box_dim.{s}.b1024.b32 [{a}], 1, 16",
        "global_address.{s}.b1024.b64 [{a}], %q1",
        "global_dim.{s}.b1024.b32 [{a}], 0, 32",
        "global_dim.{s}.b1024.b32 [{a}], 1, %r20",
        "global_stride.{s}.b1024.b64 [{a}], 0, %d9",
        "element_stride.{s}.b1024.b32 [{a}], 0, 1",
        "element_stride.{s}.b1024.b32 [{a}], 1, 2",
        "elemtype.{s}.b1024.b32 [{a}], 7",
        "interleave_layout.{s}.b1024.b32 [{a}], 0",
        "swizzle_mode.{s}.b1024.b32 [{a}], 0",
        "fill_mode.{s}.b1024.b32 [{a}], 0",
        "rank.{s}.b1024.b32 [{a}], 1",
        space="global",
        where="%q3",
    )
    setup = "mov.u32 %r1, full;\nmov.u32 %r2, memory;\nadd.u32 %r3, %r2, 1024;\nmov.u32 %r20, 16;\nmov.u64 %d9, 128;\n"
    fences = "fence.proxy.tensormap::generic.release.gpu;\n" + ACQUIRE
    fetch = FETCH.format(map="%q3").replace("512;", "256;")
    text = setup + ONE.format(label="A", body=body + "\n" + fences) + fetch
    assert assembler_error(kernel(text, pointers=3, maps=1)) is None
    out, report = run(text.replace("shl.b32 %r4, %t, 4", "and.b32 %r4, %t, 15;\nshl.b32 %r4, %r4, 4"), [first, second])
    assert report.findings == [], [str(f) for f in report.findings]
    np.testing.assert_array_equal(out.view(np.float32).reshape(16, 8)[:8], second[::2, :8])


MISSING = [
    (ACQUIRE, "", "acquire"),
    (
        PUBLISH,
        "ld.shared.b32 %r30, [%r11];\nmad.wide.u32 %d8, %t, 4, %q3;\nst.global.b32 [%d8], %r30;\n"
        "bar.warp.sync 0xffffffff;",
        "release",
    ),
]


@pytest.mark.parametrize(("old", "new", "what"), MISSING)
def test_a_missing_tensormap_fence_is_found(old: str, new: str, what: str) -> None:
    first, second = matrices()
    assert old in GOOD
    _, report = run(GOOD.replace(old, new), [first, second])
    kinds = {f.kind: f.message for f in report.findings}
    assert set(kinds) == {"missing-tensormap-fence"} and what in kinds["missing-tensormap-fence"]
    _, report = run(GOOD.replace(old, new), [first, second], assume={"tensormap_fence": "implied"})
    assert report.findings == []


def test_an_acquire_before_the_write_does_not_count() -> None:
    first, second = matrices()
    body = COPY_IN + ONE.format(label="A", body=CHANGE) + ACQUIRE + "\n" + PUBLISH + FETCH.format(map="%q3")
    _, report = run(body, [first, second])
    assert {f.kind for f in report.findings} == {"missing-tensormap-fence"}


def test_a_copy_without_a_warp_barrier_is_a_race() -> None:
    first, second = matrices()
    body = GOOD.replace("A:\nbar.warp.sync 0xffffffff;", "A:")
    _, report = run(body, [first, second])
    assert "race" in {f.kind for f in report.findings}


def test_a_map_in_shared_memory_is_no_map() -> None:
    first, second = matrices()
    body = COPY_IN + "cvt.u64.u32 %d20, %r2;\ncvta.shared.u64 %d20, %d20;\n" + FETCH.format(map="%d20")
    _, report = run(body, [first, second])
    assert any("parameters, constants and global" in f.message for f in report.findings)


BAD_FIELDS = [
    ("box_dim.{s}.b1024.b32 [{a}], 0, 4096", "4096 is not a valid .box_dim"),
    ("box_dim.{s}.b1024.b32 [{a}], 0, 6", "not a multiple of 16"),
    ("global_stride.{s}.b1024.b64 [{a}], 0, 24", "stride of 24"),
    ("global_dim.{s}.b1024.b32 [{a}], 1, 0", "0 is not a valid .global_dim"),
    ("rank.{s}.b1024.b32 [{a}], 2", "a map of rank 3|must be 1 to"),
    ("swizzle_mode.{s}.b1024.b32 [{a}], 1", None),
    ("interleave_layout.{s}.b1024.b32 [{a}], 2", "rank 3 to 5"),
    ("elemtype.{s}.b1024.b32 [{a}], 8", "f32.ftz is not modelled"),
]


@pytest.mark.parametrize(("field", "message"), BAD_FIELDS)
def test_bad_fields_are_findings(field: str, message: str | None) -> None:
    import re

    first, second = matrices()
    body = GOOD.replace(CHANGE, replaced(field))
    assert assembler_error(kernel(body, pointers=3, maps=1)) is None
    _, report = run(body, [first, second])
    found = [f.message for f in report.findings if f.kind == "tensor-map"]
    assert found == [] if message is None else found and re.search(message, found[0]), found


REFUSED = [
    ("swizzle_atomicity.{s}.b1024.b32 [{a}], 1", "sm_100"),
    ("elemtype.{s}.b1024.b32 [{a}], 13", "literal from 0 to 12"),
    ("elemtype.{s}.b1024.b32 [{a}], %r1", "literal"),
    ("global_stride.{s}.b1024.b64 [{a}], 4, %d1", "literal from 0 to 3"),
    ("global_address.{s}.b1024.b32 [{a}], %r1", "b64"),
    ("colour.{s}.b1024.b32 [{a}], 1", "expected one of"),
]


@pytest.mark.parametrize(("field", "message"), REFUSED)
def test_what_does_not_exist_is_refused(field: str, message: str) -> None:
    with pytest.raises(UnsupportedInstruction, match=message):
        run(GOOD.replace(CHANGE, replaced(field)), list(matrices()))


def test_memory_that_holds_no_map_is_found() -> None:
    first, second = matrices()
    body = COPY_IN.replace("st.shared.b32 [%r11], %r10", "st.shared.b32 [%r11], %r11") + ONE.format(
        label="A", body=CHANGE
    )
    _, report = run(body, [first, second])
    assert "holds no tensor map" in report.findings[0].message
