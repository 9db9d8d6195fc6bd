"""The code blocks of the README, of CONTRIBUTING and of the pages in ``docs``: Python runs, programs check, commands
end well and print what is shown of them."""

from __future__ import annotations

import glob
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.documents import PAGES, ROOT, Command, blocks_of, commands_of, missing
from tilewright.compiler.cli.main import application
from tilewright.compiler.pipeline import Settings, titles
from tilewright.compiler.sources import from_text
from tilewright.compiler.target import find
from tilewright.passes.cpu.target import host
from tilewright.runtime.switches import Switches

AVX2 = "+avx2" in host().features.split(",")
"""Whether this machine runs the code of which the pages speak; elsewhere outputs are not compared."""


@pytest.fixture
def beside_the_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder to write into, from which ``examples/…`` can be named, and the CPU of which the pages speak."""
    if AVX2:
        monkeypatch.setenv("TILEWRIGHT_CPU", "haswell")
        monkeypatch.setenv("TILEWRIGHT_CPU_FEATURES", "+avx2,+fma,+f16c")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_run_in_order(page: Path, beside_the_examples: None) -> None:
    _write_files(page)
    names: dict[str, object] = {}
    for block in blocks_of(page):
        if block.language == "python":
            exec(compile(block.text, block.place, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_programs_have_no_errors(page: Path) -> None:
    for block in blocks_of(page):
        if block.language == "tw":
            assert from_text(block.text, block.place, ROOT / "examples").module is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_end_well_and_print_what_is_shown(page: Path, beside_the_examples: None) -> None:
    _write_files(page)
    for command in commands_of(page):
        words = [
            part for word in shlex.split(command.line, comments=True) for part in sorted(glob.glob(word)) or [word]
        ]
        if words[:1] == ["tilewright"]:
            _run(command, words[1:])
        else:
            _exists(words)


def test_the_walk_through_names_every_pass() -> None:
    text = (ROOT / "docs" / "pipeline.md").read_text()
    names = {name for target in ("cpu", "sm_80") for name in titles(find(target, Switches()), Settings())}
    assert {name for name in names if f"`{name}`" not in text} == set()


def _write_files(page: Path) -> None:
    """A program whose first line is a comment with a file's name is that file."""
    for block in blocks_of(page):
        name = re.match(r"(?:#|//) (\w+\.(\w+))\n", block.text)
        if name and name[2] == block.language:
            Path(name[1]).write_text(block.text)


def _run(command: Command, words: list[str]) -> None:
    expected = re.search(r"# exit code (\d+)", command.line)
    result = CliRunner().invoke(application(), words, catch_exceptions=False)
    assert result.exit_code == (int(expected[1]) if expected else 0), f"{command.line}\n{result.output}"
    for shown in command.shown if AVX2 else ():
        absent = missing(shown, result.output)
        assert absent is None, f"{command.line}\nprints no line like\n{absent}\nin its place:\n{result.output[:2000]}"


def _exists(words: list[str]) -> None:
    """Other commands are not run here; the files, folders and modules that they name must be there."""
    for word in words:
        if word.startswith("tilewright.") or word.startswith("benchmarks."):
            assert (ROOT / Path(*word.removeprefix("tilewright.").split("."))).with_suffix(".py").exists(), word
        elif "/" in word and not word.startswith(("-", ".venv")):
            assert (ROOT / word.split("::")[0]).exists(), word
