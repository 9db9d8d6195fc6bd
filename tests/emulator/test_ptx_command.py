"""The command-line front of the emulator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tilewright.runtime.emulator.command import main

FIXTURE = str(Path(__file__).parent / "fixtures" / "basic.ptx")
SOFTMAX = [FIXTURE, "--entry", "row_softmax", "--grid", "3", "--block", "64", "--arg", "f32[5,77]=random"]


def test_a_clean_run_returns_zero_and_writes_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        *SOFTMAX,
        "--arg",
        "f32[5,77]=empty",
        "--arg",
        "i32=5",
        "--arg",
        "i32=77",
        "--check",
        "memory,performance",
    ]
    assert main([*arguments, "--report", str(tmp_path / "out.json")]) == 0
    data = json.loads((tmp_path / "out.json").read_text())
    assert data["completed"] and data["findings"] == [] and data["counters"]["instructions"]
    assert main([*arguments, "--report", str(tmp_path / "out.html")]) == 0
    assert "Findings" in (tmp_path / "out.html").read_text()
    assert "no findings" in capsys.readouterr().out


def test_a_fault_returns_one(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*SOFTMAX, "--arg", "f32[5,70]=zeros", "--arg", "i32=5", "--arg", "i32=77"]
    assert main(arguments) == 1
    assert "out-of-bounds" in capsys.readouterr().out


@pytest.mark.parametrize("extra", [["--arg", "q7=1"], ["--arg", "f32[2]=strange"], [], ["--arg", "map:f32[8,8]=ones"]])
def test_bad_input_returns_two(extra: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SOFTMAX, *extra]) == 2
    assert "error:" in capsys.readouterr().err


def test_missing_file_returns_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["/nonexistent.ptx"]) == 2
    assert capsys.readouterr().err
