"""The examples on the pages of call errors: the wrong one gives exactly that error, the right one none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tilewright.compiler.language.catalogue.calls import ENTRIES
from tilewright.compiler.language.catalogue.entry import Entry
from tilewright.runtime.errors import CallError

ROOT = Path(__file__).resolve().parents[2]
SHOWN = [entry for entry in ENTRIES if entry.stage == "call" and entry.bad]


@pytest.mark.parametrize("entry", SHOWN, ids=lambda entry: entry.code)
def test_examples(entry: Entry) -> None:
    with pytest.raises(CallError) as caught:
        exec(entry.bad, {})
    assert caught.value.code == entry.code
    exec(entry.good, {})


def test_every_code_that_is_raised_has_an_entry() -> None:
    import re

    raised = set()
    for folder in ("runtime", "compiler", "passes"):
        for path in (ROOT / folder).rglob("*.py"):
            if "catalogue" not in path.parts:
                raised |= set(re.findall(r'"(TW1\d{3})"', path.read_text()))
    assert raised <= {entry.code for entry in ENTRIES}
