"""A small batch of random programs, native against emulated; the tool runs more."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SPEC = importlib.util.spec_from_file_location("differential_ptx", Path(__file__).with_name("differential_ptx.py"))
assert SPEC is not None and SPEC.loader is not None
TOOL = importlib.util.module_from_spec(SPEC)
sys.modules["differential_ptx"] = TOOL
SPEC.loader.exec_module(TOOL)

needs_compiler = pytest.mark.skipif(not TOOL.available(), reason="needs nvcc and g++")


@needs_compiler
def test_twelve_random_programs_agree() -> None:
    seed = int(np.random.default_rng().integers(10**6))
    print("seed", seed)
    found = TOOL.compare(12, seed)
    assert found.values == 12 * TOOL.LANES
    assert found.wrong == []


@needs_compiler
@pytest.mark.soak
def test_a_thousand_random_programs_agree() -> None:
    """They reach each scalar instruction that C++ can name: over 250 opcodes with their modifiers."""
    batches = [TOOL.compare(TOOL.BATCH, 1000 + batch) for batch in range(1000 // TOOL.BATCH)]
    assert [found.wrong for found in batches] == [[]] * len(batches)
    assert len(frozenset().union(*(found.opcodes for found in batches))) > 250
