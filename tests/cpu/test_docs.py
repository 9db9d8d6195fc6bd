"""The code blocks of the README and of the pages in ``docs``: Python runs, programs check, commands end well."""

from __future__ import annotations

import glob
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tilewright.compiler.cli.main import application
from tilewright.compiler.sources import from_text

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def beside_the_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder to write into, from which ``examples/…`` can be named."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in BLOCK.findall(page.read_text()) if language in languages]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run_in_order(page: Path, beside_the_examples: None) -> None:
    names: dict[str, object] = {}
    for text in blocks(page, "python"):
        exec(compile(text, page.name, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_programs_have_no_errors(page: Path) -> None:
    for text in blocks(page, "", "tw"):
        if re.search(r"^kernel ", text, re.MULTILINE):
            assert from_text(text, page.name, ROOT / "examples").module.kernels


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_end_well(page: Path, beside_the_examples: None) -> None:
    for line in "\n".join(blocks(page, "console")).splitlines():
        words = [part for word in shlex.split(line, comments=True) for part in sorted(glob.glob(word)) or [word]]
        if words[:1] != ["tilewright"]:
            continue
        result = CliRunner().invoke(application(), words[1:], catch_exceptions=False)
        assert result.exit_code == 0, f"{line}\n{result.output}"
