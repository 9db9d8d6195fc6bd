"""The command line: every sub-command, every exit code, every form that can be printed and taken up again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tilewright.compiler.cli.main import application

SOFTMAX = """kernel softmax<T: float>[M, N](x: T[M, N]) -> (y: T[M, N]):
    y[i, j] = exp(x[i, j] - max[j](x[i, j])) / sum[j](exp(x[i, j] - max[j](x[i, j])))
"""


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "softmax.tw"
    path.write_text(SOFTMAX)
    return str(path)


def tilewright(*words: str, code: int = 0) -> str:
    """The output of a command, which must end with ``code``."""
    result = CliRunner().invoke(application(), list(words), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def test_run_checks_times_and_stores(source: str, tmp_path: Path) -> None:
    out = tmp_path / "y.npy"
    text = tilewright(
        "run", f"{source}:softmax", "--arg", "x=randn:f32[8,50]", "--check", "--time", "--out", str(out)
    )  # fmt: skip
    assert "check ok" in text and "ms best" in text
    np.testing.assert_allclose(np.load(out).sum(1), 1, rtol=1e-6)


def test_run_reads_files_and_the_reference_agrees(source: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((3, 7)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", a=x, b=x + 1)
    first = tilewright("run", source, "--arg", f"x={tmp_path}/x.npy")
    assert first == tilewright("run", source, "--arg", f"x={tmp_path}/x.npz:a")
    assert (
        first.split(",")[0]
        == tilewright("run", source, "--arg", f"x={tmp_path}/x.npy", "--device", "reference").split(",")[0]
    )


def test_a_difference_fails_the_check(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tilewright.compiler.cli import run

    real = run._named
    monkeypatch.setattr(run, "_named", lambda names, result: {n: v * 1.001 for n, v in real(names, result).items()})
    assert "check FAILED" in tilewright("run", source, "--arg", "x=randn:f32[8,50]", "--check", code=4)


def test_compile_to_a_file_that_runs(source: str, tmp_path: Path) -> None:
    out = tmp_path / "s.twk"
    assert "1 launches" in tilewright("compile", source, "--type", "T=f32", "--dim", "N=32", "-o", str(out))
    tilewright("run", str(out), "--arg", "x=randn:f32[4,32]")
    assert "TW1018" in tilewright("run", str(out), "--arg", "x=randn:f32[4,33]", code=3)


@pytest.mark.parametrize(
    ("form", "part"),
    [("tree", "Kernel("), ("tensor", "tw.map"), ("plan", "func.call"), ("tile", "tile.grid"), ("llvm", "define"),
     ("asm", ".text")],
)  # fmt: skip
def test_every_form_can_be_printed(source: str, form: str, part: str) -> None:
    printed = tilewright("compile", source, "--type", "T=f32", "--emit", form)
    assert part in printed or part.replace("func.call", "call @softmax_0") in printed


def test_object_code_is_bytes(source: str, tmp_path: Path) -> None:
    out = tmp_path / "s.o"
    tilewright("compile", source, "--type", "T=f32", "--emit", "obj", "-o", str(out))
    assert out.read_bytes().startswith(b"\x7fELF")


@pytest.mark.parametrize("level", ["tensor", "plan", "tile"])
def test_compiling_from_a_dumped_level_gives_the_same_code(source: str, level: str, tmp_path: Path) -> None:
    dumped = tmp_path / "level.mlir"
    dumped.write_text(tilewright("compile", source, "--type", "T=f32", "--emit", level))
    whole = tilewright("compile", source, "--type", "T=f32", "--emit", "asm")
    assert tilewright("compile", str(dumped), "--emit", "asm") == whole
    tilewright("run", str(dumped), "--arg", "x=randn:f32[4,9]")


@pytest.mark.parametrize("level", ["tensor", "plan", "tile", "tile-gpu"])
def test_what_may_be_assumed_of_calls_travels_with_a_dump(level: str, tmp_path: Path) -> None:
    """Copies by 16 bytes rest on what allocators promise and on a ``require`` line; both must be in the file."""
    source, dumped = tmp_path / "product.tw", tmp_path / "level.mlir"
    source.write_text(
        "kernel product[M, N, K](a: f16[M, K], b: f16[K, N]) -> (c: f16[M, N]):\n"
        "    require K % 8 == 0 and N % 8 == 0\n    c[i, j] = sum[k](a[i, k] * b[k, j])\n\n"
        "schedule product for sm_80:\n    stages 4\n"
    )
    dumped.write_text(tilewright("compile", str(source), "--target", "sm_80", "--emit", level))
    whole = tilewright("compile", str(source), "--target", "sm_80", "--emit", "ptx")
    assert "cp.async.cg.shared.global" in whole
    assert tilewright("compile", str(dumped), "--target", "sm_80", "--emit", "ptx") == whole


@pytest.mark.parametrize("stop", ["fuse", "partition", "tile"])
def test_stopping_and_going_on(source: str, stop: str, tmp_path: Path) -> None:
    dumped = tmp_path / "stopped.mlir"
    dumped.write_text(tilewright("compile", source, "--type", "T=f32", "--stop-after", stop))
    out = tmp_path / "y.npy"
    tilewright("run", str(dumped), "--arg", "x=randn:f32[4,9]", "--out", str(out))
    np.testing.assert_allclose(np.load(out).sum(1), 1, rtol=1e-6)


def test_watching_the_passes(source: str, tmp_path: Path) -> None:
    words = ["compile", source, "--type", "T=f32", "-o", str(tmp_path / "s.twk")]
    assert "// after partition" in tilewright(*words, "--print-changed")
    assert "all passes" in tilewright(*words, "--time-passes")
    tilewright(*words, "--verify-passes")


def test_check_and_its_json(source: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tw"
    bad.write_text("kernel k[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = z[i] + w[i]\n")
    assert "1 kernels: no errors" in tilewright("check", source)
    assert "bad.tw:2:12" in tilewright("check", source, str(bad), code=1)
    record = json.loads(tilewright("check", str(bad), "--error-format", "json", code=1))
    assert len(record["errors"]) >= 2 and all(error["code"].startswith("TW") for error in record["errors"])


def test_fmt_is_idempotent_and_checks(tmp_path: Path) -> None:
    path = tmp_path / "a.tw"
    path.write_text("kernel  k[N](x : f32[N])->(y: f32[N]):\n  y[i]=x[i]*2 # twice\n")
    tilewright("fmt", "--check", str(path), code=4)
    tilewright("fmt", str(path))
    assert "# twice" in path.read_text()
    tilewright("fmt", "--check", str(path))


def test_explain_gives_reasons_and_pages(source: str) -> None:
    text = tilewright("explain", source, "--type", "T=f32")
    assert "because:" in text and "launch softmax_0" in text
    assert "# TW1007" in tilewright("explain", "TW1007")
    tilewright("explain", "TW9999", code=3)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["run", "missing.tw"], 3),
        (["run", "SOURCE", "--arg", "x=randn:f99[4]"], 3),
        (["run", "SOURCE", "--arg", "x=randn:f32[4]"], 3),
        (["run", "SOURCE", "--arg", "z=1"], 3),
        (["run", "SOURCE:other"], 3),
        (["run", "SOURCE", "--target", "sm_1", "--arg", "x=randn:f32[4,4]"], 3),
        (["run", "SOURCE", "--device", "moon", "--arg", "x=randn:f32[4,4]"], 3),
        (["compile", "SOURCE"], 3),
        (["compile", "SOURCE", "--type", "T=f32", "--disable", "partition"], 3),
        (["compile", "SOURCE", "--type", "T=f32", "--stop-after", "nothing"], 3),
        (["compile", "SOURCE", "--type", "T=f32", "--emit", "ptx"], 3),
        (["compile", "SOURCE", "--dim", "N=x", "--type", "T=f32"], 3),
        (["bake", "SOURCE"], 2),
        (["run"], 2),
    ],
)
def test_refusals_have_their_exit_codes(source: str, words: list[str], code: int) -> None:
    tilewright(*(word.replace("SOURCE", source) for word in words), code=code)


def test_an_ir_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "x.mlir"
    path.write_text("this is no IR")
    assert "TW1209" in tilewright("compile", str(path), code=3)


def test_internal_faults_end_with_70(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tilewright.compiler import pipeline
    from tilewright.dialect.faults import InternalFault

    def broken(*arguments: Any) -> Any:
        raise InternalFault("a made-up fault")

    monkeypatch.setattr(pipeline, "back_end", broken)
    monkeypatch.setenv("TILEWRIGHT_CACHE", "off")
    assert "made-up" in tilewright("run", source, "--arg", "x=randn:f32[2,2]", code=70)


def test_the_installed_command_and_bad_switches(source: str) -> None:
    command = [sys.executable, "-m", "tilewright.compiler.cli.main"]
    done = subprocess.run([*command, "run", source, "--arg", "x=ones:f32[2,4]"], capture_output=True, text=True)
    assert done.returncode == 0 and "mean 0.25" in done.stdout, done.stderr
    import os

    environment = {**os.environ, "TILEWRIGHT_CACHE": "maybe"}
    done = subprocess.run([*command, "run", source], capture_output=True, text=True, env=environment)
    assert done.returncode == 3 and "TW1204" in done.stderr


PTX = """
.version 8.0
.target sm_80
.address_size 64
.visible .entry put(.param .u64 out)
{
    .reg .u64 %rd<3>;
    .reg .u32 %r<2>;
    ld.param.u64 %rd1, [out];
    mov.u32 %r1, %tid.x;
    mul.wide.u32 %rd2, %r1, 4;
    add.u64 %rd2, %rd1, %rd2;
    st.global.u32 [%rd2], %r1;
    ret;
}
"""


def test_emulate_finds_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "put.ptx"
    path.write_text(PTX)
    tilewright("emulate", str(path), "--block", "32", "--arg", "u32[32]=zeros")
    tilewright("emulate", str(path), "--block", "32", "--arg", "u32[31]=zeros", code=4)
    path.write_text(PTX.replace("mul.wide.u32", "mul.high.u32"))
    tilewright("emulate", str(path), "--arg", "u32[32]=zeros", code=3)
