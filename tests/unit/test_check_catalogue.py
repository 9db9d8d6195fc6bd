"""The examples of the catalogue are true: each bad one gives its code alone, each good one nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tilewright.compiler.language import frontend
from tilewright.compiler.language.catalogue import meaning
from tilewright.compiler.language.catalogue.entry import Entry
from tilewright.compiler.language.catalogue.index import all_entries
from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.language.span import Source

CHECKED = [one for one in all_entries() if one.stage == "check" and one.bad]
KERNELS_OF_CALLS = [one for one in meaning.ENTRIES if one.stage in ("call", "compile")]


def codes(text: str) -> list[str]:
    try:
        frontend.load_module(Source("example.tw", text))
    except SourceErrors as errors:
        return [one.code for one in errors.diagnostics]
    return []


@pytest.mark.parametrize("one", CHECKED, ids=lambda one: one.code)
def test_bad_example_gives_its_code(one: Entry) -> None:
    assert codes(one.bad) == [one.code]


@pytest.mark.parametrize("one", CHECKED, ids=lambda one: one.code)
def test_good_example_is_good(one: Entry) -> None:
    assert codes(one.good) == []


@pytest.mark.parametrize("one", KERNELS_OF_CALLS, ids=lambda one: one.code)
def test_kernels_of_call_examples_are_sound(one: Entry) -> None:
    assert codes(one.bad) == codes(one.good) == []


def test_every_reported_code_has_an_entry() -> None:
    folder = Path(frontend.__file__).resolve().parent
    used = {code for path in folder.rglob("*.py") for code in re.findall(r'"(TW0\d{3})"', path.read_text())}
    assert used <= {one.code for one in all_entries()}
