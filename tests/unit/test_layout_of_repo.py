"""The repository's own rules: where things are, how large they may be, and what they may not mention."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("compiler", "dialect", "passes", "runtime")
LONGEST_FILE = 600
LONGEST_FUNCTION = 80
FUNCTION_P95 = 45
FUNCTION_MEDIAN = 10


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def functions(paths: list[Path]) -> Iterator[tuple[str, int]]:
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
                yield name, (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("folder", FOLDERS)
def test_package_folders_are_links_to_the_top_level(folder: str) -> None:
    link = ROOT / "src" / "tilewright" / folder
    assert link.is_symlink() and link.resolve() == ROOT / folder


def test_every_folder_with_code_is_a_package() -> None:
    missing = {path.parent for path in sources(*FOLDERS)} - {path.parent for path in ROOT.rglob("__init__.py")}
    assert missing == set()


def test_package_files_hold_a_docstring_only() -> None:
    for path in sources(*FOLDERS):
        if path.name == "__init__.py" and path.parent != ROOT / "runtime" / "emulator":  # a public interface of its own
            (only,) = ast.parse(path.read_text()).body
            assert isinstance(only, ast.Expr) and isinstance(only.value, ast.Constant), path


def test_every_file_says_what_it_owns() -> None:
    paths = [path for path in sources(*FOLDERS, "tests", "benchmarks") if path.read_text().strip()]
    assert [path for path in paths if not ast.get_docstring(_tree(path))] == []


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def test_files_are_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources(*FOLDERS, "tests", "benchmarks")
        if (lines := len(path.read_text().splitlines())) > LONGEST_FILE
    }
    assert long == {}


def test_functions_are_short() -> None:
    lengths = dict(functions(sources(*FOLDERS)))
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}
    ordered = sorted(lengths.values())
    assert ordered[int(0.95 * len(ordered))] <= FUNCTION_P95
    assert statistics.median(ordered) <= FUNCTION_MEDIAN


def test_no_machine_paths_and_no_registries() -> None:
    machine = re.compile(r"(?<![\w.])/(work|home|root|opt|tmp|Users)/|files\.pythonhosted|pypi\.org|download\.pytorch")
    named = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in _texts()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if machine.search(line) and path != Path(__file__).resolve()
    ]
    assert named == []


def _texts() -> list[Path]:
    suffixes = {".py", ".md", ".toml", ".tw", ".lark", ".sh", ""}
    tops = [ROOT / name for name in (*FOLDERS, "tests", "benchmarks", "docs", "examples", ".ci")]
    inside = [path for top in tops for path in top.rglob("*") if path.is_file()]
    beside = [path for path in ROOT.iterdir() if path.is_file()]
    return [path for path in inside + beside if path.suffix in suffixes and "__pycache__" not in path.parts]


@pytest.mark.parametrize("extra", ["torch", "triton"])
def test_tests_of_an_extra_bear_its_mark(extra: str) -> None:
    """Without it no target runs them: ``make test`` lacks the extra, and the target that has it asks for the mark."""
    needs = re.compile(rf"^\s*(?:import|from) {extra}\b|importorskip\(\"{extra}[\".]", re.MULTILINE)
    tests = {path: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    bare = [str(path.relative_to(ROOT)) for path, text in tests.items() if needs.search(text)]
    assert [name for name in bare if f"pytest.mark.{extra}" not in tests[ROOT / name]] == []


def test_linter_sees_every_file() -> None:
    """The type checkers are pointed at the real folders: a checker that follows no links would pass over nothing."""
    config = (ROOT / "pyproject.toml").read_text()
    assert 'include = ["compiler", "dialect", "passes", "runtime"]' in config


def in_fresh_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_import_is_light() -> None:
    loaded = in_fresh_process("import sys, tilewright; dir(tilewright); print('\\n'.join(sys.modules))").split()
    heavy = {"numpy", "llvmlite", "lark", "rich", "typer", "torch", "cuda", "ml_dtypes"} & set(loaded)
    assert heavy == set() and not any("mlir" in name for name in loaded)


def test_import_takes_at_most_150_ms_of_processor_time() -> None:
    code = "import time; t = time.process_time(); import tilewright; print(time.process_time() - t)"
    assert min(float(in_fresh_process(code)) for _ in range(3)) <= 0.15


def test_only_absolute_names_are_loaded() -> None:
    code = "import sys, tilewright as tw; tw.jit; tw.load; tw.compile; print(sorted(set(sys.modules) & {%s}))"
    assert in_fresh_process(code % ", ".join(map(repr, FOLDERS))).strip() == "[]"
