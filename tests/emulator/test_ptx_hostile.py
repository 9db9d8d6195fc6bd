"""Bad PTX and bad launches give a clear error quickly, never a crash, a hang or silence."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from tilewright.runtime.emulator import Module, TensorMap, launch
from tilewright.runtime.emulator.errors import LaunchError, PtxSyntaxError, UnsupportedInstruction

HEAD = ".version 8.0\n.target sm_80\n.address_size 64\n"


def kernel(body: str) -> str:
    return (
        HEAD
        + ".visible .entry k(.param .u64 p)\n{\n.reg .b32 %r<9>; .reg .b64 %d<9>; .reg .pred %p<3>;\n"
        + body
        + "\n}\n"
    )


def run(text: str, **options: Any) -> Any:
    return launch(Module.parse(text), "k", (1,), (32,), args=[np.zeros(64, np.uint32)], **options)


@pytest.mark.parametrize(
    "body",
    [
        "frobnicate.b32 %r1, %r2;",
        "add.s32.banana %r1, %r2, %r3;",
        "ld.global.weird.b32 %r1, [%d1];",
        "add.s32 %r1, %r2;",
        "add.s33 %r1, %r2, %r3;",
        "mma.sync.aligned.m16n8k99.row.col.f32.f16.f16.f32 {%r1}, {%r1}, {%r1}, {%r1};",
        "add.s32 %d1, %r2, %r3;",
        "add.s64 %d1, %r2, %r3;",
        "cvt.rn.e9m9.f32 %r1, %r2;",
        "bra nowhere;",
        "add.s32 %r1, %r2, {%r3};",
        "setp.zz.s32 %p1, %r1, %r2;",
        "wgmma.mma_async.sync.aligned.m64n12k16.f32.f16.f16 {%r1}, %d1, %d2, 1, 1, 1;",
        "call f, (%r1);",
        "mov.b32 %r1, unknown_symbol;",
        "tcgen05.alloc.sync %r1;",
    ],
)
def test_unknown_instructions_name_themselves_and_their_line(body: str) -> None:
    with pytest.raises(UnsupportedInstruction) as caught:
        run(kernel("mov.u32 %r1, 1;\n" + body + "\nret;"))
    assert caught.value.line == 8
    assert caught.value.opcode == body.split()[0].rstrip(";")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "{" * 1000,
        ".entry",
        HEAD + ".visible .entry k(",
        HEAD + ".visible .entry k() { mov",
        kernel("{" * 200),
        kernel("add.s32 %nope, %r1, %r2;"),
        kernel("mov.u32 %r1, 0x;"),
        kernel(".reg .b33 %q;"),
        kernel("mov.b32 %r1, [;"),
        kernel("L: L: ret;"),
        HEAD + ".global .align 3 .b8 x[4];",
        HEAD + ".global .b8 x[99999999999];",
        "\0\0\0",
        kernel("mov.u32 %r1, " + "9" * 5000 + ";"),
        ".version 3.0\n",
        HEAD + ".visible .entry k()\n{ ret; }\n.visible .entry k()\n{ ret; }",
    ],
)
def test_broken_text_is_refused_quickly(text: str) -> None:
    start = time.process_time()
    with pytest.raises(PtxSyntaxError):
        Module.parse(text)
    assert time.process_time() - start < 2


def test_three_thousand_lines_parse_fast() -> None:
    body = "\n".join(f"fma.rn.f32 %r{i % 9}, %r{(i + 1) % 9}, %r{(i + 2) % 9}, %r{(i + 3) % 9};" for i in range(3000))
    best = 9.0
    for _ in range(3):
        start = time.process_time()
        Module.parse(kernel(body + "\nret;"))
        best = min(best, time.process_time() - start)
    assert best < 0.15  # 0.05 on an idle core


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"block": (64,)}, "requires"),
        ({"args": []}, "arguments"),
        ({"grid": (0,)}, "extents"),
        ({"schedule": "x"}, "schedule"),
        ({"check": ("x",)}, "check"),
        ({"shared_bytes": 300000}, "shared memory"),
        ({"cluster": (3, 1, 1)}, "clusters"),
        ({"args": ["text"]}, "parameter"),
        ({"entry": "none"}, "no entry"),
        ({"tc": "sm75"}, "tc"),
    ],
)
def test_bad_launches_are_refused(options: dict[str, Any], match: str) -> None:
    text = kernel("ret;").replace("\n{", "\n.reqntid 32, 1, 1\n{")
    defaults: dict[str, Any] = {"entry": "k", "grid": (1,), "block": (32,), "args": [np.zeros(4, np.float32)]}
    with pytest.raises(LaunchError, match=match):
        launch(Module.parse(text), **{**defaults, **options})


@pytest.mark.parametrize(
    "arguments",
    [
        {"box": (64,)},
        {"box": (512, 8)},
        {"box": (3, 8)},
        {"box": (64, 8), "swizzle": 128},
        {"box": (16, 8), "swizzle": 7},
        {"box": (16, 8), "element_strides": (9, 1)},
    ],
)
def test_bad_tensor_maps_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(LaunchError):
        TensorMap.tiled(np.zeros((64, 64), np.float32), **arguments)


def test_endless_loop_stops_with_a_finding() -> None:
    report = run(kernel("L: bra L;"), max_steps=5000)
    assert not report.completed
    assert report.findings[0].kind == "deadlock"
    report = run(kernel("mov.u32 %r1, 0;\nL: add.u32 %r1, %r1, 1;\nbra L;"), max_steps=5000)
    assert report.findings[0].kind == "step-limit"


def test_trap_and_read_only_arrays() -> None:
    assert run(kernel("trap;")).findings[0].kind == "trap"
    array = np.zeros(64, np.uint32)
    array.flags.writeable = False
    text = kernel("ld.param.u64 %d1, [p];\nmov.u32 %r1, 7;\nst.global.b32 [%d1], %r1;\nret;")
    report = launch(Module.parse(text), "k", (1,), (32,), args=[array])
    assert [finding.kind for finding in report.findings] == ["read-only"]
    assert (array == 0).all()


def test_raise_on_finding() -> None:
    from tilewright.runtime.emulator.errors import FindingRaised

    with pytest.raises(FindingRaised, match="out-of-bounds"):
        run(kernel("ld.param.u64 %d1, [p];\nld.global.b32 %r1, [%d1+512];\nret;"), raise_on_finding=True)


def test_divergent_warp_synchronous_code_is_a_deadlock_report() -> None:
    body = "mov.u32 %r1, %laneid;\nsetp.lt.u32 %p1, %r1, 16;\n@%p1 bra L;\nbar.sync 0;\nret;\n"
    body += "L: bar.warp.sync -1;\nbar.sync 0;\nret;"
    report = run(kernel(body))
    assert not report.completed
    assert {finding.kind for finding in report.findings} == {"deadlock"}
