"""The mutation tool on the quick kernels: a broken synchronisation is always noticed or listed as equivalent."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def load_tool() -> ModuleType:
    """The tool is a script beside the tests, not part of a package."""
    spec = importlib.util.spec_from_file_location("mutate_ptx", Path(__file__).with_name("mutate_ptx.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutate_ptx"] = module
    spec.loader.exec_module(module)
    return module


TOOL = load_tool()
QUICK = ["tile_add", "cluster_sum", "split_sum"]


@pytest.mark.parametrize("subject", [s for s in TOOL.SUBJECTS if s.name in QUICK], ids=lambda s: s.name)
def test_synchronisation_mutants_are_killed(subject: object) -> None:
    survivors = []
    for mutant in TOOL.mutants(subject):
        if mutant.synchronisation and TOOL.killed(mutant) is None and TOOL.excuse(mutant) is None:
            survivors.append((mutant.kind, mutant.line))
    assert survivors == []


@pytest.mark.parametrize("subject", TOOL.SUBJECTS, ids=lambda s: s.name)
def test_originals_are_clean(subject: object) -> None:
    text = (TOOL.FOLDER / f"{subject.file}.ptx").read_text()  # type: ignore[attr-defined]
    module = TOOL.Module.parse(text)
    for mode in TOOL.MODES[:2]:
        report, right = subject.run(module, **mode)  # type: ignore[attr-defined]
        assert right and report.findings == [] and report.completed


@pytest.mark.soak
def test_kill_rates() -> None:
    everything = TOOL.choose(None, 0, None)
    outcome = {id(mutant): TOOL.killed(mutant) for mutant in everything}
    real = [m for m in everything if outcome[id(m)] is not None or TOOL.excuse(m) is None]
    rate = sum(outcome[id(m)] is not None for m in real) / len(real)
    synchronisation = [m for m in real if m.synchronisation]
    assert sum(outcome[id(m)] is not None for m in synchronisation) / len(synchronisation) >= 0.95
    assert rate >= 0.90
