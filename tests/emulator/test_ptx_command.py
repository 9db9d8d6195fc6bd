"""The command-line front of the emulator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tilewright.runtime.emulator.command import main
from tilewright.runtime.emulator.command_values import parse_argument

FIXTURE = str(Path(__file__).parent / "fixtures" / "basic.ptx")
SOFTMAX = [FIXTURE, "--entry", "row_softmax", "--grid", "3", "--block", "64"]
GOOD = [*SOFTMAX, "--arg", "f32[5,77]=random", "--arg", "f32[5,77]=empty", "--arg", "i32=5", "--arg", "i32=77"]
FAULTS = [FIXTURE, "--entry", "faults", "--arg", "f32[32]=ones", "--arg", "i32=32"]


def test_a_clean_run_returns_zero_and_writes_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.json"
    assert main([*GOOD, "--check", "memory,performance", "--report", str(path)]) == 0
    data = json.loads(path.read_text())
    assert data["completed"] and data["findings"] == [] and data["launch"]["kernel"] == "row_softmax"
    assert data["counters"]["instructions"]["ld.global.nc.f32"] > 0
    assert data["counters"]["global_accesses"] and data["counters"]["lines"]
    shown = capsys.readouterr().out
    assert "no findings" in shown and "sectors/request" in shown and "coverage:" in shown
    assert data["counters"]["approximations"]["ex2.approx.ftz.f32"] == "relative 2^-22" in shown


def test_a_fault_shows_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FAULTS, "--arg", "i32=1"]) == 4
    shown = capsys.readouterr().out
    assert "error: out-of-bounds: global load of 4 bytes" in shown
    assert "basic.ptx:1752: ld.global.f32 %f10, [%rd4];" in shown
    assert "basic.cu:113: if (which == 1) value += x[lane + count];" in shown
    assert "0 bytes after the end of argument 0, which has 128" in shown
    assert "1 error, 0 warnings" in shown


def test_the_page_needs_nothing_else_and_shows_the_listing(tmp_path: Path) -> None:
    path = tmp_path / "out.html"
    assert main([*FAULTS, "--arg", "i32=5", "--report", str(path)]) == 4
    page = path.read_text()
    assert "<script" not in page and "http" not in page and "url(" not in page and "@import" not in page
    assert "error: race" in page and "memory[lane / 2] = value * lane;" in page
    lines = Path(FIXTURE).read_text().splitlines()
    assert all(f"id='L{number}'" in page for number in range(1, len(lines) + 1))
    assert "<img" not in page and page.count("<article>") == 1


def test_text_of_the_kernel_is_escaped_in_the_page(tmp_path: Path) -> None:
    source, page = tmp_path / "<b>.ptx", tmp_path / "out.html"
    head = ".version 8.0\n.target sm_80\n.address_size 64\n"
    source.write_text(head + ".visible .entry k()\n{\nret; // <script>alert(1)</script>\n}\n")
    assert main([str(source), "--report", str(page)]) == 0
    assert "<script>" not in page.read_text() and "&lt;script&gt;" in page.read_text()
    assert "<b>.ptx" not in page.read_text()


def test_an_assumption_can_be_changed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*GOOD, "--assume", "register_pool=unlimited", "--assume", "tensormap_fence=implied"]) == 0
    assert "no findings" in capsys.readouterr().out


def test_all_modes_are_run_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*GOOD, "--schedule", "all", "--completion", "all"]) == 0
    assert "no findings in 9 modes" in capsys.readouterr().out
    assert main([*FAULTS, "--arg", "i32=5", "--schedule", "all"]) == 4
    assert "in 3 of 3 modes, first with schedule in-order, completion lazy" in capsys.readouterr().out


def test_arrays_come_from_files_and_go_to_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).normal(size=(5, 77))
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    np.save(tmp_path / "wide.npy", x)
    results = []
    for name in (f"{tmp_path}/x.npy", f"f32[5,77]@{tmp_path}/wide.npy"):
        path = tmp_path / "y.npy"
        rest = ["--arg", "f32[5,77]=empty", "--arg", "i32=5", "--arg", "i32=77", "--out", f"1={path}"]
        assert main([*SOFTMAX, "--arg", name, *rest]) == 0
        results.append(np.load(path))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_allclose(results[0].sum(1), 1, rtol=1e-5)
    capsys.readouterr()


def test_the_kernels_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([FIXTURE, "--list"]) == 0
    shown = capsys.readouterr().out
    assert "row_softmax" in shown and "  3: u32  row_softmax_param_3" in shown and "static shared bytes 256" in shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("i32=-7", np.int32(-7)),
        ("u8=0xff", np.uint8(255)),
        ("f16=0.5", np.float16(0.5)),
        ("null", None),
        ("hex:00ff", b"\0\xff"),
        ("i16[2,2]=arange", np.array([[0, 1], [2, 3]], np.int16)),
        ("f32[3]=2.5", np.full(3, 2.5, np.float32)),
    ],
)
def test_arguments(text: str, expected: Any) -> None:
    found = parse_argument(text, 0)
    assert type(found) is type(expected)
    np.testing.assert_array_equal(found, expected)


def test_random_arguments_depend_on_the_seed() -> None:
    first, again, other = (parse_argument("f32[64]=random", seed) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


def test_a_tensor_map() -> None:
    found = parse_argument("map:f16[128,64]=random:box=64x32:swizzle=128:fill=nan:steps=1x2", 0)
    assert (found.box, found.swizzle, found.fill, found.element_strides) == ((64, 32), 128, 1, (1, 2))


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("q7=1", "types are"),
        ("f32[2]=strange", "is not random"),
        ("map:f32[8,8]=ones", "needs :box"),
        ("map:f32[8,8]=ones:box=8x8:colour=1", "needs :box"),
        ("map:i32=3:box=8x8", "array with a shape"),
        ("i32", "a scalar needs a value"),
        ("i8=1000", "does not fit 8 bits"),
        ("f32=abc", "could not convert"),
        ("f32[99999999999]=zeros", "GiB"),
        ("f32[2]@missing.npy", "No such file"),
        ("hex:0g", "hexadecimal"),
    ],
)
def test_bad_arguments_are_refused_with_a_reason(
    argument: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SOFTMAX, "--arg", argument]) == 3
    shown = capsys.readouterr().err
    assert f"error: argument `{argument}`: " in shown and reason in shown


def test_a_wrong_number_of_arguments_shows_the_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SOFTMAX, "--arg", "i32=1"]) == 3
    assert "  2: u32  row_softmax_param_2" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--grid", "4x"],
        ["--check", "everything"],
        ["--assume", "register_pool=maybe"],
        ["--report", "x.pdf"],
        ["--out", "y.npy"],
        ["--nonsense"],
        [],
    ],
)
def test_a_wrong_command_line_ends_with_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*SOFTMAX[: len(words) and None], *words])
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("text", [None, "", "no PTX", ".version 8.0\n.target sm_80\n"])
def test_bad_files_are_refused(text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.ptx"
    if text is not None:
        path.write_text(text)
    assert main([str(path)]) == 3
    assert capsys.readouterr().err.startswith("error: ")


def test_a_module_of_several_kernels_asks_which(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([FIXTURE]) == 3
    assert "choose one with --entry: tiled_matmul, row_softmax" in capsys.readouterr().err
