"""Every node of a tree knows exactly where it was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from tests.unit.sources import SOURCES

from tilewright.compiler.language import tree
from tilewright.compiler.language.parse import parse
from tilewright.compiler.language.span import Source

KERNEL = "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    "


def nodes(value: Any) -> Iterator[tree.Node]:
    if isinstance(value, tuple):
        for one in value:
            yield from nodes(one)
    if isinstance(value, tree.Node):
        yield value
    if isinstance(value, tree.Node | tree.File):
        for field in fields(value):
            yield from nodes(getattr(value, field.name))


def children(node: tree.Node) -> Iterator[tree.Node]:
    for field in fields(node):
        value = getattr(node, field.name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, tree.Node):
                yield one


def written(node: tree.Node) -> str:
    return node.span.source.text[node.span.start : node.span.end]


@pytest.mark.parametrize("text", SOURCES.values(), ids=SOURCES.keys())
def test_spans_of_leaves_hold_their_text(text: str) -> None:
    for node in nodes(parse(Source("a.tw", text))):
        if isinstance(node, tree.Name):
            assert written(node) == node.id
        if isinstance(node, tree.Number):
            assert written(node) == node.text


@pytest.mark.parametrize("text", SOURCES.values(), ids=SOURCES.keys())
def test_spans_hold_those_of_their_children_in_order(text: str) -> None:
    for node in nodes(parse(Source("a.tw", text))):
        assert not written(node)[0].isspace() and not written(node)[-1].isspace()
        for child in children(node):
            assert node.span.start <= child.span.start < child.span.end <= node.span.end


@pytest.mark.parametrize(
    "expression",
    ["a", "12", "-a", "not a", "(a + b) * c", "a * (b + c)", "a < b < c", "a if b else c", "f(a, b)", "f()", "x[i]",
     "sum[k where k < 3](x[k])", "(x[i - 1] else 0)", "a ** (b)", "x[(i)]"],
)  # fmt: skip
def test_spans_of_expressions_are_what_was_written(expression: str) -> None:
    (kernel,) = parse(Source("a.tw", f"{KERNEL}y[i] = {expression}\n")).kernels
    assert written(kernel.statements[0].value) == expression


def test_spans_of_declarations() -> None:
    text = f"# doc\n{KERNEL}require N > 1\n    y[i: N] += x[i] where i > 0  # c\n\ndef g[j](v) = v\nimport a.b\n"
    made = parse(Source("a.tw", text))
    (kernel,) = made.kernels
    assert written(kernel.requires[0]) == "require N > 1"
    assert written(kernel.statements[0]) == "y[i: N] += x[i] where i > 0"
    assert written(kernel).startswith("kernel f") and written(kernel).endswith("where i > 0")
    assert written(kernel.tensors[0]) == "x: f32[N]"
    assert written(made.macros[0]) == "def g[j](v) = v"
    assert written(made.imports[0]) == "import a.b"
    subscripts = kernel.statements[0].subscripts
    assert subscripts is not None and written(subscripts[0]) == "i: N"


def test_parenthesised_operands_keep_their_own_place() -> None:
    (kernel,) = parse(Source("a.tw", f"{KERNEL}y = (a) + 1\n")).kernels
    value = kernel.statements[0].value
    assert isinstance(value, tree.Binary)
    assert (written(value), written(value.left)) == ("(a) + 1", "a")


def test_positions_count_characters_from_one() -> None:
    source = Source("a.tw", "é\tb\r\nc")
    assert [source.position(offset) for offset in (0, 2, 5)] == [(1, 1), (1, 3), (2, 1)]
    assert source.line(1) == "é\tb" and source.line(2) == "c" and source.line(3) == ""
    assert source.offset(2, 1) == 5
