"""Programs without meaning get exactly the error that was written down for them, at the place that was marked."""

from __future__ import annotations

import pytest
from tests.unit.bad_programs.bad import Bad
from tests.unit.bad_programs.meaning import BAD_PROGRAMS

from tilewright.compiler.language.errors import SourceErrors, outermost
from tilewright.compiler.language.frontend import load_module
from tilewright.compiler.language.span import Source


def test_there_are_enough() -> None:
    assert len({bad.marked for bad in BAD_PROGRAMS}) >= 150


@pytest.mark.parametrize("bad", BAD_PROGRAMS, ids=lambda bad: f"{bad.code}-{bad.message[:30]}")
def test_error_is_the_expected_one(bad: Bad) -> None:
    with pytest.raises(SourceErrors) as raised:
        load_module(Source("bad.tw", bad.text))
    found = [(d.code, outermost(d.span).start, outermost(d.span).end) for d in raised.value.diagnostics]
    assert found == [(bad.code, bad.start, bad.end)], str(raised.value)
    assert bad.message in raised.value.diagnostics[0].message
