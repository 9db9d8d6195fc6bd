"""What costs too much is refused: quickly, with a code of its own, and what is just within a limit is taken."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest

from tilewright.compiler.language import limits
from tilewright.compiler.language.errors import SourceErrors, render
from tilewright.compiler.language.frontend import load_module
from tilewright.compiler.language.parse import parse
from tilewright.compiler.language.read import read_source
from tilewright.compiler.language.span import Source

HEADER = "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = "
SECONDS = 1.0
MEGABYTES = 64


def codes(text: str) -> list[str]:
    try:
        parse(Source("a.tw", text))
    except SourceErrors as errors:
        return [error.code for error in errors.diagnostics]
    return []


def nested(depth: int) -> str:
    return f"{HEADER}{'(' * depth}1{')' * depth}\n"


def chain(operators: int) -> str:
    return f"{HEADER}{' + '.join(['1'] * (operators + 1))}\n"


WITHIN = {
    "TW0801": "#" * limits.SOURCE_CHARACTERS,
    "TW0802": "# a\n" * limits.TOKENS,
    "TW0803": nested(limits.NESTING),
    "TW0804": f"{HEADER}{'0' * (limits.LITERAL_CHARACTERS - 1)}1\n",
    "TW0805": f"{HEADER}1.7e308\n",
    "TW0806": f"def {'f' * limits.NAME_CHARACTERS}(x) = x\n",
    "TW0807": chain(limits.EXPRESSION_DEPTH),
    "TW0808": f"def f({', '.join(['x'] * (limits.LINE_TOKENS // 2 - 3))}) = 1\n",
}
ABOVE = {
    "TW0801": WITHIN["TW0801"] + "#",
    "TW0802": WITHIN["TW0802"] + "# a\n",
    "TW0803": nested(limits.NESTING + 1),
    "TW0804": f"{HEADER}{'0' * limits.LITERAL_CHARACTERS}1\n",
    "TW0805": f"{HEADER}1.8e308\n",
    "TW0806": f"def {'f' * (limits.NAME_CHARACTERS + 1)}(x) = x\n",
    "TW0807": chain(limits.EXPRESSION_DEPTH + 1),
    "TW0808": f"def f({', '.join(['x'] * (limits.LINE_TOKENS // 2))}) = 1\n",
}


@pytest.mark.parametrize("code", sorted(WITHIN))
def test_just_within(code: str) -> None:
    assert codes(WITHIN[code]) == []


@pytest.mark.parametrize("code", sorted(ABOVE))
def test_just_above(code: str) -> None:
    assert codes(ABOVE[code]) == [code]


HOSTILE = {
    "open brackets": HEADER + "(" * 100_000,
    "open brackets on lines": "[\n" * 100_000,
    "closing brackets": HEADER + ")" * 100_000,
    "minus signs": HEADER + "-" * 99_000 + "1",
    "conditionals": HEADER + "1 if 1 else " * 30_000 + "1",
    "digits": HEADER + "9" * 2_000_000,
    "exponent": HEADER + "1e" + "9" * 90,
    "long name": "x" * 2_000_000,
    "huge file": "x = 1\n" * 10_000_000,
    "nulls": "\0" * 1_000_000,
    "carriage returns": "\r" * 1_000_000,
    "mixed line ends": "a\r\n\n\r\r\n" * 100_000,
    "byte order marks": "\ufeff" * 1_000_000,
    "surrogates": "\ud800" * 100_000,
    "quotes": '"' * 1_000_000,
    "open kernels": "".join(f"kernel k{i}(\n" for i in range(30_000)),
    "broken lines": "y = 1\n" * 20_000,
    "broken body": HEADER + "1\n" + "    y[i] = = 1\n" * 14_000,
    "indents": HEADER + "1\n" + "".join(f"{' ' * (i % 90 + 1)}y = 1\n" for i in range(20_000)),
    "deep calls": HEADER + "f(1 + " * 199 + "1" + ")" * 199,
    "wide characters": "é ↦ 漢 " * 200_000,
    "binary": bytes(range(256)).decode("latin-1") * 4_000,
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_sources_are_refused_quickly(name: str) -> None:
    codes("def f(x) = x\n")  # the parser is made before the clock starts
    assert min(seconds_to_refuse(HOSTILE[name]) for _ in range(2)) < SECONDS


def seconds_to_refuse(text: str) -> float:
    started = time.process_time()
    with pytest.raises(SourceErrors) as caught:
        parse(Source("a.tw", text))
    render(caught.value.diagnostics)
    assert 1 <= len(caught.value.diagnostics) <= limits.DIAGNOSTICS
    return time.process_time() - started


def test_a_file_of_blank_lines_is_empty() -> None:
    assert codes("\n" * limits.SOURCE_CHARACTERS) == []


@pytest.mark.parametrize("name", ["open brackets", "broken body", "nulls", "digits", "binary"])
def test_hostile_sources_take_little_memory(name: str) -> None:
    codes("def f(x) = x\n")
    tracemalloc.start()
    try:
        assert codes(HOSTILE[name])
        assert tracemalloc.get_traced_memory()[1] < MEGABYTES * 2**20
    finally:
        tracemalloc.stop()


def test_an_endless_file_is_not_read() -> None:
    with pytest.raises(SourceErrors) as caught:
        read_source("/dev/zero")
    assert caught.value.diagnostics[0].code == "TW0128"


# ---------------------------------------------------------------- limits that need the meaning of a source


def meanings(text: str, folder: Path | None = None) -> list[str]:
    try:
        load_module(Source("a.tw", text), folder)
    except SourceErrors as errors:
        return [error.code for error in errors.diagnostics]
    return []


def doubling(times: int) -> str:
    """A macro that makes two to the power of ``times`` nodes."""
    macros = "".join(f"def p{i + 1}(x) = p{i}(x + x)\n" for i in range(times))
    return f"def p0(x) = x\n{macros}kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = p{times}(x[i])\n"


def chained(times: int) -> str:
    macros = "".join(f"def p{i + 1}(x) = p{i}(x)\n" for i in range(times - 1))
    return f"def p0(x) = x\n{macros}kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = p{times - 1}(x[i])\n"


def table(numbers: int) -> str:
    written = ", ".join(["1"] * numbers)
    return f"kernel f[N](x: f32[N]) -> (y: f32[N]):\n    t = [{written}]\n    y[i] = t[0] * x[i]\n"


def ranked(dims: int) -> str:
    return f"kernel f[N](x: f32[{', '.join('N' * dims)}]) -> (y: f32[N]):\n    y[i] = x[{', '.join('i' * dims)}]\n"


def test_expansion_is_bounded_before_it_is_walked() -> None:
    assert meanings(doubling(8)) == []
    started = time.process_time()
    assert meanings(doubling(60)) == ["TW0809"]
    assert time.process_time() - started < 5 * SECONDS


def test_macros_inside_macros() -> None:
    assert meanings(chained(limits.EXPANSION_DEPTH)) == []
    assert meanings(chained(limits.EXPANSION_DEPTH + 1)) == ["TW0810"]


def test_operations_of_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KERNEL_OPERATIONS", 100)
    body = "".join(f"    a{i}[i] = x[i] * 2 + 1\n" for i in range(40))
    kernel = f"kernel f[N](x: f32[N]) -> (y: f32[N]):\n{body}    y[i] = a0[i]\n"
    assert meanings(kernel) == ["TW0811"]


def test_ranks() -> None:
    assert meanings(ranked(limits.RANK)) == []
    assert meanings(ranked(limits.RANK + 1)) == ["TW0812"]


def test_tables() -> None:
    assert meanings(table(limits.TABLE_ELEMENTS)) == []
    assert meanings(table(limits.TABLE_ELEMENTS + 1)) == ["TW0813"]


@pytest.mark.parametrize("more", [0, 1])
def test_imported_files(tmp_path: Path, more: int) -> None:
    count = limits.IMPORTED_FILES + more
    for index in range(count):
        (tmp_path / f"m{index}.tw").write_text(f"def p{index}(x) = x\n")
    text = "".join(f"import m{index}\n" for index in range(count))
    assert meanings(text, tmp_path) == ["TW0814"] * more
