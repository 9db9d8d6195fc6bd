"""Errors as they are shown: text with carets for every kind of line, JSON for editors, one catalogue of codes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from tilewright.compiler.language import limits
from tilewright.compiler.language.catalogue import calls, meaning, syntax
from tilewright.compiler.language.catalogue.entry import Entry
from tilewright.compiler.language.catalogue.index import all_entries, entry
from tilewright.compiler.language.catalogue.pages import pages, write
from tilewright.compiler.language.errors import Diagnostic, Fix, Note, SourceErrors, render
from tilewright.compiler.language.excerpt import excerpt
from tilewright.compiler.language.parse import parse
from tilewright.compiler.language.read import read_source
from tilewright.compiler.language.span import Source, Span

PAGES = Path(__file__).parents[2] / "docs" / "errors"


def place(text: str, part: str) -> Span:
    start = text.index(part)
    return Source("a.tw", text).span(start, start + len(part))


def test_text_shows_everything() -> None:
    text = "def f(x) = x +\ny = f(2)\n"
    span = place(text, "x +").used_at(place(text, "f(2)"))
    note = Note(place(text, "f(x)"), "defined here")
    fix = Fix(place(text, "+"), "", "remove the `+`")
    shown = render([Diagnostic("TW0102", span, "something is missing", "a value", "the end", (note,), (fix,))])
    assert shown == (
        "a.tw:1:12: error TW0102: something is missing\n"
        "    1 | def f(x) = x +\n"
        "      |            ^^^\n"
        "    expected: a value\n"
        "    found:    the end\n"
        "    in macro `f` used here: a.tw:2:5\n"
        "    2 | y = f(2)\n"
        "      |     ^^^^\n"
        "    note: defined here: a.tw:1:5\n"
        "    1 | def f(x) = x +\n"
        "      |     ^^^^\n"
        "    fix: remove the `+`\n"
    )


def test_macros_inside_macros_are_shown_innermost_first() -> None:
    text = "x f(x) g(x)\n"
    span = place(text, "x").used_at(place(text, "f(x)")).used_at(place(text, "g(x)"))
    shown = render([Diagnostic("TW0102", span, "m")])
    assert shown.index("macro `f`") < shown.index("macro `g`")


@pytest.mark.parametrize(
    "line, part, carets",
    [
        ("\ty = bad", "bad", "        ^^^"),
        ("a\tbad", "bad", "    ^^^"),
        ("漢字 = bad", "bad", "       ^^^"),
        ("漢字", "字", "  ^^"),
        ("e\u0301 bad", "bad", "  ^^^"),
        ("a\x1b[31mbad", "bad", "      ^^^"),
        ("a \t b", "\t", "  ^^"),
    ],
)
def test_carets_stand_under_their_text(line: str, part: str, carets: str) -> None:
    shown, marks = excerpt(place(line, part))
    assert marks == "      | " + carets
    assert "\x1b" not in shown and "\t" not in shown


def test_empty_and_long_spans() -> None:
    source = Source("a.tw", "abc\ndef\n")
    assert excerpt(source.span(3, 3))[1] == "      |    ^"
    assert excerpt(source.span(1, 6))[1] == "      |  ^^"
    assert excerpt(Source("a.tw", "").span(0, 0)) == []


def test_long_lines_are_cut_around_the_place() -> None:
    text = "a" * 100_000 + "BAD" + "b" * 100_000
    shown, marks = excerpt(place(text, "BAD"))
    assert len(shown) < limits.NOTE_LINE_COLUMNS + 20
    assert shown[marks.index("^") : marks.rindex("^") + 1] == "BAD"


def test_json_has_the_same_facts() -> None:
    text = "y = f(2)\n"
    span = place(text, "2").used_at(place(text, "f(2)"))
    diagnostic = Diagnostic("TW0102", span, "m", "e", "f", (Note(None, "n"),), (Fix(span, "3", "write 3"),))
    (error,) = json.loads(render([diagnostic], "json"))["errors"]
    assert (error["code"], error["message"], error["expected"], error["found"]) == ("TW0102", "m", "e", "f")
    assert error["place"] == {"file": "a.tw", "line": 1, "column": 7, "end_line": 1, "end_column": 8}
    assert error["macros"][0]["name"] == "f" and error["macros"][0]["place"]["column"] == 5
    assert error["notes"] == [{"message": "n", "place": None}]
    assert error["fixes"][0]["replacement"] == "3"
    assert json.loads(render([], "json")) == {"errors": []} and render([]) == ""


def test_errors_are_sorted_distinct_and_capped() -> None:
    text = "\n".join("x" for _ in range(200))
    source = Source("a.tw", text)
    made = [Diagnostic("TW0101", source.span(2 * i, 2 * i + 1), "m") for i in reversed(range(200))]
    errors = SourceErrors([*made, made[0]])
    assert [d.span.line for d in errors.diagnostics] == list(range(1, limits.DIAGNOSTICS + 1))
    assert errors.omitted == 200 - limits.DIAGNOSTICS
    assert f"{errors.omitted} more errors" in str(errors)


def test_errors_travel_between_processes() -> None:
    errors = SourceErrors([Diagnostic("TW0101", place("abc", "b"), "m")])
    copy = pickle.loads(pickle.dumps(errors))
    assert copy.diagnostics == errors.diagnostics and str(copy) == str(errors)


def test_codes_stand_once_in_the_catalogue() -> None:
    codes = [one.code for one in (*syntax.ENTRIES, *meaning.ENTRIES, *calls.ENTRIES)]
    assert len(codes) == len(set(codes))
    assert all(len(code) == 6 and code.startswith("TW") and code[2:].isdigit() for code in codes)
    assert [one.code for one in all_entries()] == sorted(codes)
    assert entry("TW0104").title
    with pytest.raises(KeyError):
        entry("TW9999")


@pytest.mark.parametrize("one", all_entries(), ids=lambda one: one.code)
def test_entries_are_complete(one: Entry) -> None:
    assert one.title and not one.title.endswith(".") and one.explanation.endswith(".")
    assert bool(one.bad) == bool(one.good)


@pytest.mark.parametrize("one", [e for e in all_entries() if e.stage == "parse" and e.bad], ids=lambda one: one.code)
def test_examples_give_their_code(one: Entry) -> None:
    with pytest.raises(SourceErrors) as caught:
        parse(Source("bad.tw", one.bad))
    assert [error.code for error in caught.value.diagnostics] == [one.code]
    parse(Source("good.tw", one.good))


def test_pages_are_current() -> None:
    """After a change of the catalogue: ``python -m tilewright.compiler.language.catalogue.pages docs/errors``."""
    stored = {path.name: path.read_text(encoding="utf-8") for path in PAGES.glob("*.md")}
    assert stored == pages()


def test_writing_pages_removes_old_ones(tmp_path: Path) -> None:
    (tmp_path / "TW0000.md").write_text("old")
    write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(pages())


@pytest.mark.parametrize(
    "raw, part", [(b"def f(x) = x\n\xff", "byte 0xff in line 2"), (b"\xc3", "byte 0xc3 in line 1")]
)
def test_files_are_utf8(tmp_path: Path, raw: bytes, part: str) -> None:
    path = tmp_path / "a.tw"
    path.write_bytes(raw)
    with pytest.raises(SourceErrors, match=part):
        read_source(path)


def test_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tw"
    path.write_bytes("# é\r\n".encode())
    assert read_source(path) == Source(str(path), "# é\r\n")
    with pytest.raises(SourceErrors, match="TW0128"):
        read_source(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_source(tmp_path / "b.tw")
