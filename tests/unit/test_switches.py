"""Environment switches: typed, documented, and part of the cache key where they change code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tilewright.runtime import switches
from tilewright.runtime.errors import CallError
from tilewright.runtime.switches import Switches, documentation, read, table

ROOT = Path(__file__).resolve().parents[2]


def test_empty_environment_gives_the_defaults() -> None:
    assert read({"PATH": "/bin"}) == Switches()


def test_values_are_typed() -> None:
    found = read({"TILEWRIGHT_CACHE": "off", "TILEWRIGHT_THREADS": "3", "TILEWRIGHT_CACHE_DIR": "/x"})
    assert found == Switches(cache=False, threads=3, cache_dir=Path("/x"))


@pytest.mark.parametrize(
    ("name", "value"), [("THREADS", "-1"), ("THREADS", "two"), ("CACHE", "maybe"), ("MLIR", "other"), ("CAHCE", "on")]
)
def test_bad_values_and_names_are_refused(name: str, value: str) -> None:
    with pytest.raises(CallError) as caught:
        read({f"TILEWRIGHT_{name}": value})
    assert caught.value.code == "TW1204" and f"TILEWRIGHT_{name}" in str(caught.value)


def test_exactly_the_switches_that_change_code_are_in_the_key() -> None:
    base = Switches().cache_key()
    samples = {"check": True, "cpu": "znver3", "cpu_features": "+avx", "ptxas": Path("/p"), "mlir": "mlir"}
    assert samples.keys() == {name for name, row in table().items() if row.in_cache_key}
    for name, value in samples.items():
        assert Switches(**{name: value}).cache_key() != base
    assert Switches(threads=5, verify_passes=True).cache_key() == base


def test_the_page_is_the_table() -> None:
    assert (ROOT / "docs" / "switches.md").read_text() == documentation()


def test_no_other_file_reads_the_environment() -> None:
    allowed = {"runtime/switches.py", "dialect/mlir.py"}
    readers = {
        str(path.relative_to(ROOT))
        for folder in ("compiler", "dialect", "passes", "runtime")
        for path in (ROOT / folder).rglob("*.py")
        if "os.environ" in path.read_text() or "getenv" in path.read_text()
    }
    assert readers <= allowed


def test_module_has_no_state() -> None:
    assert read({}) is not read({}) and not hasattr(switches, "SWITCHES")
