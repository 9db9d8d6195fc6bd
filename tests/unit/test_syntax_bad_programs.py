"""Hand-written bad sources give exactly the error that was written down for them."""

from __future__ import annotations

import pytest
from tests.unit.bad_programs.bad import Bad
from tests.unit.bad_programs.syntax import HEADER, PROGRAMS

from tilewright.compiler.language.catalogue.index import entry
from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.language.parse import parse, parse_items
from tilewright.compiler.language.span import Source


@pytest.mark.parametrize("bad", PROGRAMS, ids=range(len(PROGRAMS)))
def test_error_is_the_expected_one(bad: Bad) -> None:
    with pytest.raises(SourceErrors) as caught:
        parse(Source("bad.tw", bad.text))
    (error,) = caught.value.diagnostics
    assert error.code == bad.code
    assert bad.message in error.message
    assert (error.span.start, error.span.end) == (bad.start, bad.end)
    assert entry(error.code).title


def test_there_are_a_hundred() -> None:
    assert len({bad.text for bad in PROGRAMS}) >= 100


def test_errors_of_all_lines_and_items_are_told_together() -> None:
    text = (
        f"{HEADER}    b[i] = 2 x[i]\n    c[i] = x[i] +\n    y[i] = b[i]\n"
        "def g(x): x\n"
        "kernel h[N](x: f32[N] -> (y: f32[N]):\n    y[i] = x[i]\n    z[i] = 'a'\n"
    )
    with pytest.raises(SourceErrors) as caught:
        parse(Source("bad.tw", text))
    assert [(d.code, d.span.line) for d in caught.value.diagnostics] == [
        ("TW0114", 2), ("TW0102", 3), ("TW0134", 5), ("TW0104", 6), ("TW0126", 8),
    ]  # fmt: skip


def test_sound_items_survive_broken_ones() -> None:
    parsed = parse_items(Source("bad.tw", f"def f(x) = x +\ndef g(x) = x\n{HEADER}    y[i] = g(x[i])\n"))
    assert [macro.name.id for macro in parsed.file.macros] == ["g"]
    assert [kernel.name.id for kernel in parsed.file.kernels] == ["f"]
    assert [error.code for error in parsed.errors] == ["TW0102"]


def test_fixes_repair() -> None:
    """A suggested fix, put in place, leaves no error."""
    repaired = 0
    for bad in PROGRAMS:
        errors = parse_items(Source("bad.tw", bad.text)).errors
        for fix in errors[0].fixes:
            text = bad.text[: fix.span.start] + fix.replacement + bad.text[fix.span.end :]
            left = parse_items(Source("fixed.tw", text)).errors
            repaired += not left
    assert repaired >= 20
