"""Texts that are huge, deep or endless cost little time and memory, and what is refused says why in a short message.

Also damaged texts: cut anywhere, or changed anywhere, they are an error of the emulator's own classes or they run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.emulator.fixture_kernels import KERNELS, fixture_text
from tests.emulator.hostile_texts import HARMLESS, HOSTILE, kernel
from tests.seeds import fresh_seed

from tilewright.runtime.emulator import Module, launch
from tilewright.runtime.emulator.command import main
from tilewright.runtime.emulator.errors import EmulatorError, LaunchError, PtxSyntaxError

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 2.0
MEBIBYTES = 400
"""Above what the process had at the start; the texts themselves, up to 70 MiB, are in it."""
FIXTURES = ("basic", "hopper", "pipeline", "splitk")


@pytest.fixture(scope="module", params=["hostile", "harmless"])
def costs(request: pytest.FixtureRequest) -> dict[str, Any]:
    words = [sys.executable, "-m", "tests.emulator.hostile_texts", request.param]
    ran = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=True)
    return {"kind": request.param, **json.loads(ran.stdout)}


def test_bad_texts_are_refused_soon_and_in_bounded_memory(costs: dict[str, Any]) -> None:
    kind, start = costs.pop("kind"), costs.pop("")
    assert set(costs) == set(HOSTILE if kind == "hostile" else HARMLESS)
    assert {name: cost["seconds"] for name, cost in costs.items() if cost["seconds"] > SECONDS} == {}
    assert {name: cost["error"] for name, cost in costs.items() if bool(cost["error"]) != (kind == "hostile")} == {}
    assert {name: cost["message"] for name, cost in costs.items() if len(cost["message"]) > 500} == {}
    assert max(cost["peak"] for cost in costs.values()) - start["peak"] < MEBIBYTES


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("forty megabytes", 0), ("scopes left open", 70), ("results", 7), ("dimensions", 4), ("a block size", 4),
        ("local memory", 7), ("parameters", 4), ("a version", 1),
    ],
)  # fmt: skip
def test_a_refusal_names_the_line_where_there_is_one(text: str, line: int) -> None:
    with pytest.raises(PtxSyntaxError) as caught:
        Module.parse(HOSTILE[text]())
    assert caught.value.line == line


def test_the_command_refuses_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.ptx"
    for name in ("scopes", "local memory of one thread", "zero bytes"):
        path.write_text(HOSTILE[name]())
        assert main([str(path), "--arg", "u32[4]=zeros"]) == 3
        assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"grid": (2**31 - 1, 65535, 65535)}, "CTAs"),
        ({"grid": (2**31,)}, "grid"),
        ({"block": (2**20,)}, "block"),
        ({"shared_bytes": 10**12}, "shared memory"),
        ({"cluster": (2**20, 1, 1)}, "cluster"),
    ],
)
def test_enormous_launches_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(LaunchError, match=match):
        launch(Module.parse(kernel("")), "k", **{"grid": (1,), "block": (32,), "args": [np.zeros(4)], **options})


def test_enormous_loops_end_at_the_step_limit() -> None:
    body = "mov.u32 %r1, 0;\nL: add.u32 %r1, %r1, 1; setp.lt.u32 %p1, %r1, 4000000000; @%p1 bra L;"
    start = time.process_time()
    report = launch(Module.parse(kernel(body)), "k", (1,), (32,), args=[np.zeros(4)], max_steps=2000)
    assert time.process_time() - start < SECONDS
    assert not report.completed and [finding.kind for finding in report.findings] == ["step-limit"]


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [211, pytest.param(50, marks=pytest.mark.soak)])
@pytest.mark.parametrize("name", FIXTURES)
def test_a_text_that_is_cut_is_an_error_or_a_module(name: str, step: int) -> None:
    text = fixture_text(name)
    refused = sum(not _parses(text[:cut]) for cut in range(0, len(text), step))
    assert refused > 0


def _parses(text: str) -> bool:
    try:
        Module.parse(text)
    except PtxSyntaxError:
        return False
    return True


def test_a_text_with_changed_bytes_is_refused_or_runs() -> None:
    _damage(300, 0.0)


@pytest.mark.soak
def test_many_texts_with_changed_bytes(soak_seconds: float) -> None:
    _damage(0, soak_seconds)


def _damage(least: int, seconds: float) -> None:
    """Launch damaged kernels: nothing but the emulator's errors comes out, each soon."""
    rng = np.random.default_rng(fresh_seed())
    end = time.monotonic() + seconds
    done = 0
    while done < least or time.monotonic() < end:
        chosen = KERNELS[rng.integers(len(KERNELS))]
        text = damaged(fixture_text(chosen.fixture), chosen.entry, rng)
        start = time.process_time()
        try:
            chosen.launch(chosen.case(rng, chosen.sizes[-1]), Module.parse(text), max_steps=300)
        except EmulatorError:
            pass
        assert time.process_time() - start < SECONDS
        done += 1


def damaged(text: str, entry: str, rng: np.random.Generator) -> str:
    """One to three bytes of a kernel changed, left out, put in, or replaced by a piece of the text."""
    start = text.index(f".entry {entry}(")
    end = text.find(".entry", start + 1) % (len(text) + 1)
    pieces = list(text)
    for place in rng.integers(start, end, rng.integers(1, 4)).tolist():
        other = int(rng.integers(start, end))
        pieces[place] = rng.choice(
            ["", chr(rng.integers(32, 127)), pieces[place] + chr(rng.integers(1, 256)), text[other : other + 20]]
        )
    return "".join(pieces)
