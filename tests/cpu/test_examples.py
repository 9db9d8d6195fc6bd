"""Every example file has a companion in Python, and the companion runs."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SOURCES = sorted(EXAMPLES.glob("*.tw"))
FARTHEST = {"matmul": 0.0}
"""From NumPy in f32 at the sizes of the examples; the matrix product compares small integers on two targets."""


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_companion_runs(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    difference = runpy.run_path(str(EXAMPLES / f"run_{source.stem}.py"))["main"]()
    assert difference <= FARTHEST.get(source.stem, 5e-5)
    assert source.stem in capsys.readouterr().out


def test_there_are_examples() -> None:
    assert len(SOURCES) >= 6
