"""Every form of the language becomes the tree that stands for it."""

from __future__ import annotations

import threading

import pytest
from tests.unit.sources import SOURCES

from tilewright.compiler.language import tree
from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.language.parse import parse
from tilewright.compiler.language.same import structure
from tilewright.compiler.language.span import Source

HEADER = "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    "


def file(text: str) -> tree.File:
    return parse(Source("a.tw", text))


def statement(text: str) -> tree.Statement:
    return file(f"{HEADER}{text}\n").kernels[0].statements[0]


def shown(node: tree.Expr | tree.Table | None) -> str:
    """An expression with every operator in parentheses."""
    match node:
        case None:
            return ""
        case tree.Number(text=text):
            return text
        case tree.Name(id=name):
            return name
        case tree.Read(name=name, subscripts=subscripts):
            return f"{name.id}[{', '.join(map(shown, subscripts))}]"
        case tree.Guarded(read=read, otherwise=otherwise):
            return f"({shown(read)} else {shown(otherwise)})"
        case tree.Unary(op=op, operand=operand):
            return f"({op} {shown(operand)})"
        case tree.Binary(op=op, left=left, right=right):
            return f"({shown(left)} {op} {shown(right)})"
        case tree.Compare(ops=ops, operands=operands):
            pairs = zip(operands, ops, strict=False)
            return "(" + "".join(f"{shown(operand)} {op} " for operand, op in pairs) + shown(operands[-1]) + ")"
        case tree.IfElse(condition=condition, then=then, otherwise=otherwise):
            return f"({shown(then)} if {shown(condition)} else {shown(otherwise)})"
        case tree.Call(name=name, arguments=arguments):
            return f"{name.id}({', '.join(map(shown, arguments))})"
        case tree.Reduce(name=name, binders=binders, where=where, arguments=arguments):
            condition = f" where {shown(where)}" if where else ""
            bound = ", ".join(map(binder, binders))
            return f"{name.id}[{bound}{condition}]({', '.join(map(shown, arguments))})"
        case tree.Table(items=items):
            return f"[{', '.join(map(shown, items))}]"
    raise AssertionError(node)


def binder(node: tree.Binder) -> str:
    if node.extent is not None:
        return f"{node.name.id}: {shown(node.extent)}"
    return node.name.id if node.lo is None else f"{node.name.id} in {shown(node.lo)} .. {shown(node.hi)}"


@pytest.mark.parametrize(
    "written, meant",
    [
        ("a + b * c - d", "((a + (b * c)) - d)"),
        ("a - b - c", "((a - b) - c)"),
        ("a / b // c % d * e", "((((a / b) // c) % d) * e)"),
        ("-a ** 2", "(- (a ** 2))"),
        ("a ** -b ** c", "(a ** (- (b ** c)))"),
        ("~a & b ^ c | d << e + f", "((((~ a) & b) ^ c) | (d << (e + f)))"),
        ("a << b >> c", "((a << b) >> c)"),
        ("a | b < c & d", "((a | b) < (c & d))"),
        ("a < b <= c == d != e", "(a < b <= c == d != e)"),
        ("not a < b and not c or d", "(((not (a < b)) and (not c)) or d)"),
        ("a if b else c if d else e", "(a if b else (c if d else e))"),
        ("a or b if c and d else e + 1", "((a or b) if (c and d) else (e + 1))"),
        ("(a if b else c) * d", "((a if b else c) * d)"),
        ("a<-b", "(a < (- b))"),
        ("a--b", "(a - (- b))"),
        ("(x[i - 1] else 0) + 1", "((x[(i - 1)] else 0) + 1)"),
        ("f(x[i + 1] else a + b, c)", "f((x[(i + 1)] else (a + b)), c)"),
        ("sum[k](x[k] else 0)", "sum[k]((x[k] else 0))"),
        ("((x[i] else 0))", "(x[i] else 0)"),
        ("sum[i, j: N, k in 0 .. i where j < k and i](a, b)", "sum[i, j: N, k in 0 .. i where ((j < k) and i)](a, b)"),
        ("sum[k in 0..8](k)", "sum[k in 0 .. 8](k)"),
        ("max[j](x[j]) + max(a, b)", "(max[j](x[j]) + max(a, b))"),
        ("x[i, y[j], k // 2]", "x[i, y[j], (k // 2)]"),
        ("f()", "f()"),
        ("[1, -2.5, 0x1F]", "[1, -2.5, 0x1F]"),
        ("[[1, 2], [3, 4]]", "[[1, 2], [3, 4]]"),
        ("(\n  a +  # one\n\n  b\n )", "(a + b)"),
    ],
)  # fmt: skip
def test_expressions(written: str, meant: str) -> None:
    assert shown(statement(f"y = {written}").value) == meant


@pytest.mark.parametrize(
    "text, value",
    [("0", 0), ("12", 12), ("007", 7), ("0x1f", 31), ("1.", 1.0), (".5", 0.5), ("1.5e-3", 0.0015), ("2E+2", 200.0)],
)
def test_numbers(text: str, value: int | float) -> None:
    number = statement(f"y = {text}").value
    assert isinstance(number, tree.Number)
    assert (number.value, type(number.value), number.text) == (value, type(value), text)


def test_negative_numbers_of_a_table_are_numbers() -> None:
    table = statement("y = [-1.5]").value
    assert isinstance(table, tree.Table) and isinstance(table.items[0], tree.Number)
    assert (table.items[0].value, table.items[0].text) == (-1.5, "-1.5")


@pytest.mark.parametrize("op", ["=", "+=", "max=", "min="])
def test_statements(op: str) -> None:
    made = statement(f"y[i, j: 4, p*2 + 1] {op} x[i] where i < j")
    assert (made.name.id, made.op, shown(made.where)) == ("y", op, "(i < j)")
    assert made.subscripts is not None
    assert [(shown(s.index), shown(s.extent)) for s in made.subscripts] == [
        ("i", ""),
        ("j", "4"),
        ("((p * 2) + 1)", ""),
    ]


def test_statement_without_subscripts() -> None:
    assert statement("total = 1").subscripts is None


def test_kernel_header() -> None:
    kernel = file(
        "kernel f<T: float, U: f16 | bf16>[M, N](x: T[M, N + 1] order(1, 0), inout m: U[2 * N] strided;"
        " a: f32, const n: int = -1) -> (y: T[M], s: f32):\n    require N > 1\n    require M == n\n    y[i] = 1\n"
    ).kernels[0]
    assert [(p.name.id, [c.id for c in p.classes]) for p in kernel.type_params] == [
        ("T", ["float"]),
        ("U", ["f16", "bf16"]),
    ]
    assert [name.id for name in kernel.dims] == ["M", "N"]
    x, m = kernel.tensors
    assert x.shape is not None and [shown(e) for e in x.shape] == ["M", "(N + 1)"]
    assert x.layout is not None and x.layout.order == (1, 0)
    assert m.qualifier == "inout" and m.layout is not None and m.layout.order is None
    a, n = kernel.scalars
    assert (a.qualifier, a.default, a.shape) == (None, None, None)
    assert (n.qualifier, shown(n.default)) == ("const", "(- 1)")
    assert [(p.name.id, p.shape is None) for p in kernel.outputs] == [("y", False), ("s", True)]
    assert [shown(r.condition) for r in kernel.requires] == ["(N > 1)", "(M == n)"]


def test_kernel_without_tensors_or_dims() -> None:
    kernel = file("kernel f(; const n: int) -> (y: f32):\n    y = n\n").kernels[0]
    assert (kernel.tensors, kernel.dims, len(kernel.scalars)) == ((), (), 1)


def test_macros_imports_and_schedules() -> None:
    made = file(
        "import a\nimport a.b\nfrom a.b import c, d\ndef f[j, k](v, w) = v\ndef g() = 1\n"
        "schedule f for sm_90a:\n    tile i=128, s.j=N // 2\n    stages 4\n    order i, j\n    pipelined\n"
    )
    names = [([n.id for n in one.module], [n.id for n in one.names]) for one in made.imports]
    assert names == [(["a"], []), (["a", "b"], []), (["a", "b"], ["c", "d"])]
    f, g = made.macros
    assert ([n.id for n in f.indices], [n.id for n in f.params]) == (["j", "k"], ["v", "w"])
    assert (g.indices, g.params) == ((), ())
    (schedule,) = made.schedules
    assert (schedule.kernel.id, schedule.target.id) == ("f", "sm_90a")
    lines = [
        (line.name.id, [([k.id for k in a.key], shown(a.value)) for a in line.arguments]) for line in schedule.lines
    ]
    assert lines == [
        ("tile", [(["i"], "128"), (["s", "j"], "(N // 2)")]),
        ("stages", [([], "4")]),
        ("order", [([], "i"), ([], "j")]),
        ("pipelined", []),
    ]


def test_documentation_is_the_comment_directly_above() -> None:
    made = file(
        "# of the file\n\n# first\n#\n#  second\ndef f(x) = x  # no\n\n# not of g\n\ndef g(x) = x\n"
        + f"# of k\n{HEADER}y = 1\n"
    )
    assert [macro.doc for macro in made.macros] == ["first\n\n second", ""]
    assert made.kernels[0].doc == "of k"


def test_line_ends_tabs_and_marks() -> None:
    plain = file(f"def f(x) = x\n{HEADER}y = (1 +\n 2)\n")
    for other in (
        f"def f(x) = x\n{HEADER}y = (1 +\n 2)\n".replace("\n", "\r\n"),
        f"\ufeffdef f(x) = x\n\n   \n# c\n\n{HEADER}y = (1 +\n 2)",
        f"def f(x) = x\r\n{HEADER}y = (1 +\r\n\r\n 2)   \n\n".replace("    ", "\t"),
    ):
        assert structure(file(other).macros) == structure(plain.macros)
        assert structure(file(other).kernels) == structure(plain.kernels)


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", " \n\t\n"])
def test_empty_files(text: str) -> None:
    made = file(text)
    assert (made.imports, made.macros, made.kernels, made.schedules) == ((), (), (), ())


@pytest.mark.parametrize("text", SOURCES.values(), ids=SOURCES.keys())
def test_sources_parse(text: str) -> None:
    made = file(text)
    assert made.kernels and all(kernel.statements for kernel in made.kernels)


def test_threads_may_parse_at_the_same_time() -> None:
    text = "\n".join(SOURCES.values())
    wanted = structure(file(text).kernels)
    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda: results.append(structure(file(text).kernels) == wanted)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4


def test_errors_are_raised_together() -> None:
    with pytest.raises(SourceErrors) as caught:
        file("def f(x) = \ndef g(x) = x y\n")
    assert len(caught.value.diagnostics) == 2
