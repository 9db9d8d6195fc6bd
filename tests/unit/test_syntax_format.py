"""Formatting changes how a source looks and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from tests.unit.random_sources import sources
from tests.unit.sources import SOURCES

from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.language.format import format_source
from tilewright.compiler.language.parse import parse
from tilewright.compiler.language.same import same_tree
from tilewright.compiler.language.scan import scan
from tilewright.compiler.language.span import Source

LIBRARY = Path(__file__).parents[2] / "compiler" / "library"
HEADER = "kernel f[N](x: f32[N]) -> (y: f32[N]):\n"


def comments(text: str) -> list[str]:
    return [text[comment.start : comment.end].rstrip() for comment in scan(Source("a", text)).comments]


def check(text: str) -> None:
    once = format_source(text)
    assert format_source(once) == once
    assert same_tree(parse(Source("a", text)), parse(Source("a", once)))
    assert comments(once) == comments(text)
    assert not re.search(r"[ \t\r]$", once, re.MULTILINE)
    assert not once or once.endswith("\n") and not once.endswith("\n\n")


@pytest.mark.parametrize("text", SOURCES.values(), ids=SOURCES.keys())
def test_sources(text: str) -> None:
    check(text)


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*.tw")), ids=lambda path: path.name)
def test_library(path: Path) -> None:
    check(path.read_text(encoding="utf-8"))


@settings(max_examples=50)
@given(sources)
def test_random_sources(text: str) -> None:
    check(text)


@pytest.mark.parametrize("text", SOURCES.values(), ids=SOURCES.keys())
def test_lines_are_short(text: str) -> None:
    assert all(len(line) <= 120 for line in format_source(text).split("\n") if "#" not in line)


@pytest.mark.parametrize(
    "written, formatted",
    [
        ("y[ i ]=x[i]*-2", "y[i] = x[i] * -2"),
        ("y[i,j : 4]+=x [i] where i<j", "y[i, j: 4] += x[i] where i < j"),
        ("y[i] max= ( x[i-1]else 0 )", "y[i] max= (x[i - 1] else 0)"),
        ("y = a if not(b)else-c", "y = a if not (b) else -c"),
        ("y = sum [k in 0..N where k<-1](x[k])", "y = sum[k in 0 .. N where k < -1](x[k])"),
        ("y = a**-b--c-~d", "y = a ** -b - -c - ~d"),
        ("t = [ [1,-2] , [.5,0x1F] ]", "t = [[1, -2], [.5, 0x1F]]"),
        ("max = max(max[j](x), 1)", "max = max(max[j](x), 1)"),
        ("require N%2==0", "require N % 2 == 0\n    y = 1"),
    ],
)
def test_spaces(written: str, formatted: str) -> None:
    rest = "\n  y = 1" if written.startswith("require") else ""
    assert format_source(f"{HEADER}  {written}{rest}") == f"{HEADER}    {formatted}\n"


def test_first_lines() -> None:
    written = "kernel f < T:f16|bf16 > [ M,N ]( x:T[M , N]order( 1,0 ) ; const n:int=-1 )->( y:T[ M ] ) :\n y[i]=1\n"
    expected = "kernel f<T: f16 | bf16>[M, N](x: T[M, N] order(1, 0); const n: int = -1) -> (y: T[M]):\n    y[i] = 1\n"
    assert format_source(written) == expected


def test_long_first_lines_and_values_are_wrapped() -> None:
    written = (
        "kernel convolution<T: float>[N, H, W, C, K, R, S](x: T[N, H, W, C], w: T[K, R, S, C], b: T[K]; "
        "const stride: int = 1) -> (y: T[N, H, W, K]):\n"
        "    y[n, p, q, k] = b[k] + sum[r, s, c]((x[n, p * stride + r - 1, q * stride + s - 1, c] else 0) "
        "* w[k, r, s, c]) * 2.0 / 10\n"
    )
    assert format_source(written) == (
        "kernel convolution<T: float>[N, H, W, C, K, R, S](\n"
        "        x: T[N, H, W, C], w: T[K, R, S, C], b: T[K];\n"
        "        const stride: int = 1\n"
        "    ) -> (y: T[N, H, W, K]):\n"
        "    y[n, p, q, k] = (b[k]\n"
        "        + sum[r, s, c]((x[n, p * stride + r - 1, q * stride + s - 1, c] else 0) * w[k, r, s, c]) * 2.0 / 10)\n"
    )


def test_neighbouring_definitions_are_aligned() -> None:
    written = (
        f"{HEADER}    a = 1  # one\n    long_name[i] += 2\n\n    b = 3\n    # apart\n    cc = 4\n"
        "def f(x) = x\ndef gg(x) = x\n"
    )
    assert format_source(written) == (
        f"{HEADER}    a            = 1  # one\n    long_name[i] += 2\n\n    b = 3\n    # apart\n    cc = 4\n\n"
        "def f(x)  = x\ndef gg(x) = x\n"
    )


def test_comments_keep_their_places() -> None:
    written = (
        f"\ufeff#first\r\n\r\n\r\n# of f\r\n{HEADER}# inside\n    y[i] = max(x[i],  # why\n# alone\n 1)  # end\n"
        "    # last\n# of g\ndef g(x) = x"
    )
    assert format_source(written) == (
        f"#first\n\n# of f\n{HEADER}    # inside\n    y[i] = max(x[i],  # why\n        # alone\n        1)  # end\n"
        "    # last\n\n# of g\ndef g(x) = x\n"
    )


@pytest.mark.parametrize("text", ["", "\n\n", " \n"])
def test_nothing_stays_nothing(text: str) -> None:
    assert format_source(text) == ""


def test_broken_sources_are_refused() -> None:
    with pytest.raises(SourceErrors):
        format_source("def f(x) =")
