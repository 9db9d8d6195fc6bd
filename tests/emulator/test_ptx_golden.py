"""The golden-corpus runner, on a recording that the emulator made itself (no GPU is needed here)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SPEC = importlib.util.spec_from_file_location("golden_ptx", Path(__file__).with_name("golden_ptx.py"))
assert SPEC is not None and SPEC.loader is not None
TOOL = importlib.util.module_from_spec(SPEC)
sys.modules["golden_ptx"] = TOOL
SPEC.loader.exec_module(TOOL)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("golden") / "corpus.npz"
    values = TOOL.record(path, TOOL.emulator_device, {"device": "emulator"})
    assert values == len(TOOL.EXACT) * TOOL.LANES
    return path


def test_a_recording_replays_and_names_its_origin(corpus: Path) -> None:
    origin, wrong = TOOL.replay(corpus)
    assert origin == {"device": "emulator"}
    assert wrong == []


def test_a_changed_bit_is_noticed(corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "changed.npz"
    with np.load(corpus) as data:
        stored = dict(data)
    stored["0.out"] = stored["0.out"].copy()
    stored["0.out"][5] ^= 1
    np.savez_compressed(path, **stored)
    assert TOOL.replay(path)[1] == [TOOL.EXACT[0]]
