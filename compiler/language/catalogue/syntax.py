"""Owns the entries for syntax, for the limits of sources and for imports."""

from __future__ import annotations

from tilewright.compiler.language.catalogue.entry import Entry, Stage

HEADER = "kernel scale[N](x: f32[N]) -> (y: f32[N]):\n"


def _body(
    code: str, title: str, explanation: str, bad: str, good: str, stage: Stage = "parse", header: str = HEADER
) -> Entry:
    """An entry whose examples are the bodies of a kernel."""
    return Entry(code, title, explanation, _kernel(header, bad), _kernel(header, good), stage)


def _kernel(header: str, body: str) -> str:
    return header + "".join(f"    {line}\n" for line in body.split("\n"))


def _first(code: str, title: str, explanation: str, bad: str, good: str, body: str = "y[i] = 2 * x[i]") -> Entry:
    """An entry whose examples are the first lines of a kernel."""
    return Entry(code, title, explanation, _kernel(bad + "\n", body), _kernel(good + "\n", body), "parse")


SYNTAX = (
    _body(
        "TW0101",
        "Something cannot stand here",
        "The parser met a word or a sign that fits nothing it could have gone on with. The line above the carets is "
        "right up to the underlined place.",
        "y[i] = x[i] ~ 2",
        "y[i] = x[i] - 2",
    ),
    _body(
        "TW0102",
        "Something is missing",
        "An operand, a name or a sign is missing: an operator stands alone, or the line ends too early.",
        "y[i] = 2 * ",
        "y[i] = 2 * x[i]",
    ),
    _body(
        "TW0103",
        "A character outside the language",
        "Outside comments a source is plain ASCII. Signs from papers and word processors have an ASCII spelling; names "
        "are letters a-z and A-Z, digits and `_`.",
        "y[i] = 2 × x[i]",
        "y[i] = 2 * x[i]",
    ),
    _body(
        "TW0104",
        "A bracket is never closed",
        "Inside brackets a line goes on in the next one, so that an open bracket would swallow what follows. The "
        "carets start at the bracket that is open.",
        "y[i] = 2 * (x[i] + 1",
        "y[i] = 2 * (x[i] + 1)",
    ),
    _body(
        "TW0105",
        "A bracket closes nothing, or the wrong one",
        "Brackets close in the reverse order of opening: `(` with `)`, `[` with `]`.",
        "y[i] = 2 * (x[i)]",
        "y[i] = 2 * (x[i])",
    ),
    Entry(
        "TW0106",
        "Indentation that fits no block",
        "Items start at the left margin; the lines of one body are all indented alike. Only kernels and schedules have "
        "a body.",
        HEADER + "    a[i] = 2 * x[i]\n      y[i] = a[i]\n",
        HEADER + "    a[i] = 2 * x[i]\n    y[i] = a[i]\n",
        "parse",
    ),
    Entry(
        "TW0107",
        "Tabs and spaces mixed",
        "The lines of one block are indented by the same characters. `tilewright fmt` writes four spaces.",
        HEADER + "    a[i] = 2 * x[i]\n\ty[i] = a[i]\n",
        HEADER + "    a[i] = 2 * x[i]\n    y[i] = a[i]\n",
        "parse",
    ),
    _first(
        "TW0108",
        "A header without its colon",
        "The first line of a kernel and of a schedule ends with `:`.",
        "kernel scale[N](x: f32[N]) -> (y: f32[N])",
        "kernel scale[N](x: f32[N]) -> (y: f32[N]):",
    ),
    Entry(
        "TW0109",
        "A kernel or a schedule without a body",
        "A kernel defines each of its outputs in an indented statement; a schedule has at least one setting.",
        "kernel scale[N](x: f32[N]) -> (y: f32[N]):\n    require N >= 1\n",
        "kernel scale[N](x: f32[N]) -> (y: f32[N]):\n    require N >= 1\n    y[i] = 2 * x[i]\n",
        "parse",
    ),
    _body(
        "TW0110",
        "A statement of another language",
        "A body holds definitions only. An index runs over its extent by itself, a condition stands in the value or in "
        "a `where`, a step that depends on the one before is a recurrence.",
        "for i in N: y[i] = 2 * x[i]",
        "y[i] = 2 * x[i]",
    ),
    _body(
        "TW0111",
        "An operator of another language",
        "The operators are those of Python: `and or not`, `== != < <= > >=`, `| ^ & << >>`, `+ - * / // % **`. A "
        "matrix product is a sum over an index.",
        "y[i] = x[i] if i > 0 && i < 9 else 0",
        "y[i] = x[i] if i > 0 and i < 9 else 0",
    ),
    _body(
        "TW0112",
        "A conditional without its else",
        "Every element has a value: a conditional is `a if c else b`. To leave elements as they are, put `where c` "
        "behind the statement.",
        "y[i] = x[i] if x[i] > 0",
        "y[i] = x[i] if x[i] > 0 else 0",
    ),
    _body(
        "TW0113",
        "A guard that guards nothing",
        "`(x[i - 1] else 0)` is the value of a read that can leave its tensor. The `else` stands directly behind one "
        "read, both in parentheses.",
        "y[i] = x[i - 1] else 0",
        "y[i] = (x[i - 1] else 0)",
    ),
    _body(
        "TW0114",
        "An operator is missing",
        "Values do not stand side by side: a product is written with `*`.",
        "y[i] = 2 x[i]",
        "y[i] = 2 * x[i]",
    ),
    _first(
        "TW0115",
        "A word of the language as a name",
        "These words cannot be names: `and const def else for from if import in inout kernel not or require schedule "
        "where`.",
        "kernel scale[N](in: f32[N]) -> (y: f32[N]):",
        "kernel scale[N](in_: f32[N]) -> (y: f32[N]):",
        "y[i] = 1",
    ),
    Entry(
        "TW0116",
        "An item of an unknown kind",
        "What stands at the left margin begins with `kernel`, `def`, `schedule`, `import` or `from`.",
        "function twice(x) = 2 * x\n",
        "def twice(x) = 2 * x\n",
        "parse",
    ),
    _first(
        "TW0117",
        "Outputs in the wrong form",
        "A kernel names its outputs behind its parameters: `-> (y: T[M], s: f32)`, in parentheses, at least one.",
        "kernel scale[N](x: f32[N]) -> f32[N]:",
        "kernel scale[N](x: f32[N]) -> (y: f32[N]):",
    ),
    _first(
        "TW0118",
        "A parameter in the wrong form or place",
        "Tensors stand before the `;`, scalars and consts behind it; every parameter has a type; only scalars have "
        "defaults and `const`, only tensors `inout` and layouts.",
        "kernel scale[N](x: f32[N], a: f32) -> (y: f32[N]):",
        "kernel scale[N](x: f32[N]; a: f32) -> (y: f32[N]):",
    ),
    _body(
        "TW0119",
        "A binder in the wrong form",
        "The brackets of a reduction bind new names: `j`, `j: extent` or `j in lo .. hi`, with `hi` excluded.",
        "y[i] = x[i] * sum[k in N](x[k])",
        "y[i] = x[i] * sum[k in 0 .. N](x[k])",
    ),
    _body(
        "TW0120",
        "A subscript in the wrong form",
        "A read names one element: `x[i, j + 1]`, one integer expression for each dimension, in one pair of brackets. "
        "There are no slices.",
        "y[i] = sum[k](x[:])",
        "y[i] = sum[k](x[k])",
    ),
    _body(
        "TW0121",
        "A require behind a statement",
        "The conditions on dims and consts stand first in the body, because they hold for all of it.",
        "y[i] = 2 * x[i]\nrequire N >= 1",
        "require N >= 1\ny[i] = 2 * x[i]",
    ),
    _body(
        "TW0122",
        "A reduction without parentheses",
        "A reduction has its binders in brackets and what it reduces in parentheses, always.",
        "y[i] = x[i] / sum[k] x[k]",
        "y[i] = x[i] / sum[k](x[k])",
    ),
    _body(
        "TW0123",
        "A comma too many or too few",
        "Parts of a list have one comma between them, and none behind the last.",
        "y[i] = max(x[i], 0,)",
        "y[i] = max(x[i], 0)",
    ),
    _body(
        "TW0124",
        "A where in the wrong place",
        "`where` stands once and last: in the brackets of a reduction, behind all binders, or behind a statement.",
        "y[i] = sum[k where k <= i, l](x[k])",
        "y[i] = sum[k, l: N where k <= i](x[k])",
    ),
    Entry(
        "TW0125",
        "A body on the line of its header",
        "The body of a kernel or a schedule starts on the next line, indented.",
        "kernel scale[N](x: f32[N]) -> (y: f32[N]): y[i] = 2 * x[i]\n",
        HEADER + "    y[i] = 2 * x[i]\n",
        "parse",
    ),
    _body(
        "TW0126",
        "A string",
        "The language has numbers and truth values, no strings.",
        'y[i] = "2" * x[i]',
        "y[i] = 2 * x[i]",
    ),
    _body(
        "TW0127",
        "A malformed number",
        "Numbers are decimal (`12`, `1.5`, `.5`, `2.5e-3`) or hexadecimal (`0x1f`), without separators and suffixes; a "
        "cast such as `f16(1.5)` gives a type.",
        "y[i] = 1_000 * x[i]",
        "y[i] = 1000 * x[i]",
    ),
    Entry(
        "TW0128",
        "A file that is not text",
        "A source is a regular file of UTF-8 text.",
        "",
        "",
        "read",
    ),
    _first(
        "TW0129",
        "A type parameter without its class",
        "A type parameter says what it may be: a class (`float int number any`) or a list of types.",
        "kernel scale<T>[N](x: T[N]) -> (y: T[N]):",
        "kernel scale<T: float>[N](x: T[N]) -> (y: T[N]):",
    ),
    _body(
        "TW0130",
        "A constant tensor in the wrong form",
        "A constant tensor is a statement of its own, `name = [1.0, -0.5]`, nested for more ranks, and holds numbers "
        "only.",
        "y[i] = [1.0, -0.5]",
        "t = [1.0, -0.5]\ny[i] = t[i % 2] * x[i]",
    ),
    _body(
        "TW0131",
        "An operator that defines nothing",
        "A statement defines with `=` or accumulates with `+=`, `max=` and `min=`, written without a space.",
        "y[i] *= x[i]",
        "y[i] = 2 * x[i]",
    ),
    _body(
        "TW0132",
        "A named argument",
        "Arguments are given by their order.",
        "y[i] = pow(x[i], exponent=2)",
        "y[i] = pow(x[i], 2)",
    ),
    Entry(
        "TW0133",
        "A statement outside a kernel",
        "A statement at the left margin belongs to no kernel: indent it.",
        HEADER + "    y[i] = 2 * x[i]\nz[i] = y[i]\n",
        HEADER + "    y[i] = 2 * x[i]\n    z[i] = y[i]\n",
        "parse",
    ),
    Entry(
        "TW0134",
        "A macro in the wrong form",
        "A macro is one expression: `def name[indices](values) = expression`. Its values are plain names.",
        "def twice(x): return 2 * x\n",
        "def twice(x) = 2 * x\n",
        "parse",
    ),
    Entry(
        "TW0135",
        "An import in the wrong form",
        "`import a.b` makes the macros and kernels of a module known as `b`, `from a.b import x, y` two of them.",
        "from activations import gelu as g\n",
        "def twice(x) = 2 * x\n",
        "parse",
    ),
    _body(
        "TW0136",
        "A value that is no number",
        "Every value is one number or truth value: there are no tuples, attributes and functions as values. Extents "
        "are dims, by their names.",
        "y[i] = x[i] / x.shape",
        "y[i] = x[i] / N",
    ),
    _body(
        "TW0137",
        "Several statements on one line",
        "Each statement has a line of its own.",
        "a[i] = 2 * x[i]; y[i] = a[i]",
        "a[i] = 2 * x[i]\ny[i] = a[i]",
    ),
    Entry(
        "TW0138",
        "A schedule in the wrong form",
        "A schedule is `schedule kernel for target:` with one setting a line: a word, then `index=number` pairs or a "
        "number.",
        HEADER + "    y[i] = 2 * x[i]\nschedule scale on sm_80:\n    tile i=128\n",
        HEADER + "    y[i] = 2 * x[i]\nschedule scale for sm_80:\n    tile i=128\n",
        "parse",
    ),
)

_DEEP = " + ".join(["x[i]"] * 202)

LIMITS = (
    Entry("TW0801", "The file is too long", "A source has at most 2 Mi characters. Split it.", "", "", "parse"),
    Entry("TW0802", "Too many tokens", "A source has at most 100,000 tokens. Split it.", "", "", "parse"),
    _body(
        "TW0803",
        "Brackets nested too deeply",
        "At most 200 brackets may be open at one place.",
        "y[i] = " + "(" * 201 + "x[i]" + ")" * 201,
        "y[i] = ((x[i]))",
    ),
    _body(
        "TW0804",
        "A number of too many characters",
        "A number has at most 100 characters.",
        "y[i] = x[i] + 0." + "1" * 100,
        "y[i] = x[i] + 0.1111111111111111",
    ),
    _body(
        "TW0805",
        "A number larger than any float",
        "The number exceeds the range of f64. Infinity is written `inf`.",
        "y[i] = min(x[i], 1e999)",
        "y[i] = min(x[i], inf)",
    ),
    _body(
        "TW0806",
        "A name of too many characters",
        "A name has at most 200 characters.",
        f"{'a' * 201}[i] = x[i]\ny[i] = x[i]",
        "a[i] = x[i]\ny[i] = a[i]",
    ),
    _body(
        "TW0807",
        "An expression too deep",
        "An expression has at most 200 operators, calls and conditionals inside each other; a chain `a + b + c` has "
        "one level per operator. Give a part of it a name of its own.",
        f"y[i] = {_DEEP}",
        "a[i] = x[i] + x[i]\ny[i] = a[i] + a[i]",
    ),
    Entry(
        "TW0808",
        "A line of too many tokens",
        "A statement or a declaration has at most 10,000 tokens.",
        "",
        "",
        "parse",
    ),
    Entry(
        "TW0809",
        "Macros that grow too large",
        "A kernel has at most 200,000 expression nodes once its macros are expanded. A macro that uses its argument "
        "twice doubles it: give the argument a statement of its own.",
        "def p1(x) = x * x\n"
        + "".join(f"def p{i + 1}(x) = p{i}(p{i}(x))\n" for i in range(1, 6))
        + HEADER
        + "    y[i] = p6(x[i])\n",
        "def p1(x) = x * x\n" + HEADER + "    a[i] = p1(p1(x[i]))\n    y[i] = p1(p1(a[i]))\n",
    ),
    Entry("TW0810", "Macros nested too deeply", "At most 64 macros may be in use inside each other.", "", ""),
    Entry("TW0811", "Too many operations", "A kernel has at most 50,000 operations.", "", ""),
    Entry(
        "TW0812",
        "Too many dimensions",
        "A tensor has at most 16 dimensions.",
        f"kernel f[N](x: f32[{', '.join('N' * 17)}]) -> (y: f32[N]):\n    y[i] = x[{', '.join('i' * 17)}]\n",
        f"kernel f[N](x: f32[{', '.join('N' * 16)}]) -> (y: f32[N]):\n    y[i] = x[{', '.join('i' * 16)}]\n",
    ),
    Entry("TW0813", "A constant tensor too large", "A constant tensor has at most 4,096 numbers.", "", ""),
    Entry("TW0814", "Too many imports", "A file reaches at most 100 files through its imports.", "", "", "import"),
)

ENTRIES: tuple[Entry, ...] = (*SYNTAX, *LIMITS)
