"""The pages: their links lead somewhere, the index names them all, what they quote stands in the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.documents import PAGES, ROOT, blocks_of, commands_of, missing

EVERY_PAGE = [*PAGES, *sorted((ROOT / "docs" / "decisions").glob("*.md"))]
LANGUAGES = {"tw", "python", "console", "sh", "mlir", "llvm", "asm", "ptx", "text", "output", "json", "diff"}
_LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)#]+)(#[^)]*)?\)")
_PATH = re.compile(r"`((?:compiler|dialect|passes|runtime|tests|examples|docs|benchmarks)/[\w./-]+)")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", EVERY_PAGE, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`]*`", "code", page.read_text(), flags=re.DOTALL)
    dead = [target for target, _ in _LINK.findall(prose) if not (page.parent / target).exists()]
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_that_are_named_exist(page: Path) -> None:
    """A name that holds a placeholder in capitals (``passes/tensor/NAME.py``) is none."""
    paths = {
        path.rstrip("./") for path in _PATH.findall(page.read_text()) if not re.search(r"[A-Z]{3}", Path(path).stem)
    }
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_says_what_it_is(page: Path) -> None:
    assert [block.place for block in blocks_of(page) if block.language not in LANGUAGES] == []


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert {name for name in pages if f"({name})" not in index} == set()


def test_the_table_of_the_readme_is_that_of_a_stored_run() -> None:
    from benchmarks.cpu import END, RESULTS, START, table

    shown = (ROOT / "README.md").read_text().split(START)[1].split(END)[0]
    assert shown.strip() == "" or shown in [table(json.loads(path.read_text())) for path in RESULTS.glob("*.json")]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_make_has_the_targets_that_are_named(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = {word for word in re.findall(r"`make ([a-z][\w-]*)", page.read_text())}
    for command in commands_of(page):
        if command.line.startswith("make "):
            asked |= {word for word in command.line.split("#")[0].split()[1:] if "=" not in word}
    assert asked <= targets


REAL = """
    %y_1 = "tile.reduce"(%y_0) {axes = array<i64: 0>} : (tensor<16xf32>) -> tensor<f32> loc(#loc10)
    %y_2 = arith.subf %y_1, %y_1 fastmath<contract> : tensor<f32> loc("y"(#loc3))
    %y_3 = arith.divf %y_2, %y_1 : tensor<f32>
"""


@pytest.mark.parametrize(
    ("shown", "absent"),
    [
        ('%s = "tile.reduce"(%x) … -> tensor<f32>\n…\n%q = arith.divf %d, %s : tensor<f32>', None),
        ("%d = arith.subf %s, %s fastmath<contract> : tensor<f32>", None),
        ("%d = arith.subf %s, %t fastmath<contract> …", "%d = arith.subf %s, %t fastmath<contract> …"),
        ('%s = "tile.reduce"(%x) …\n%q = arith.divf %d, %x : tensor<f32>', "%q = arith.divf %d, %x : tensor<f32>"),
        ("%q = arith.divf …\n%d = arith.subf …", "%d = arith.subf …"),
        ("%q = arith.divf", "%q = arith.divf"),
    ],
)  # fmt: skip
def test_excerpts_are_compared(shown: str, absent: str | None) -> None:
    assert missing(shown, REAL) == absent
