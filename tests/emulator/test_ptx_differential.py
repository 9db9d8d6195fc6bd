"""A small batch of random programs, native against emulated; the tool runs more."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("differential_ptx", Path(__file__).with_name("differential_ptx.py"))
assert SPEC is not None and SPEC.loader is not None
TOOL = importlib.util.module_from_spec(SPEC)
sys.modules["differential_ptx"] = TOOL
SPEC.loader.exec_module(TOOL)

needs_compiler = pytest.mark.skipif(not TOOL.available(), reason="needs nvcc and g++")


@needs_compiler
def test_twelve_random_programs_agree() -> None:
    values, wrong = TOOL.compare(12, 4711)
    assert values == 12 * TOOL.LANES
    assert wrong == []


@needs_compiler
@pytest.mark.soak
def test_a_thousand_random_programs_agree() -> None:
    assert [TOOL.compare(50, 1000 + batch)[1] for batch in range(20)] == [[]] * 20
