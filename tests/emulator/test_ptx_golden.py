"""The golden-corpus runner, on a recording that the emulator made itself (no GPU is needed here)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np

SPEC = importlib.util.spec_from_file_location("golden_ptx", Path(__file__).with_name("golden_ptx.py"))
assert SPEC is not None and SPEC.loader is not None
TOOL = importlib.util.module_from_spec(SPEC)
sys.modules["golden_ptx"] = TOOL
SPEC.loader.exec_module(TOOL)


def test_a_recording_replays_and_names_its_origin(tmp_path: Path) -> None:
    path = tmp_path / "corpus.npz"
    values = TOOL.record(path, TOOL.emulator_device, {"device": "emulator"})
    assert values == len(TOOL.EXACT) * TOOL.LANES
    origin, wrong = TOOL.replay(path)
    assert origin == {"device": "emulator"}
    assert wrong == []


def test_a_changed_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "corpus.npz"
    TOOL.record(path, TOOL.emulator_device, {"device": "emulator"})
    with np.load(path) as data:
        stored = dict(data)
    stored["0.out"] = stored["0.out"].copy()
    stored["0.out"][5] ^= 1
    np.savez_compressed(path, **stored)
    assert TOOL.replay(path)[1] == [TOOL.EXACT[0]]
