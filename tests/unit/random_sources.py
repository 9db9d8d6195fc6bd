"""Random sources: every form of the grammar, with odd spaces, comments and line breaks between the tokens."""

from __future__ import annotations

from hypothesis import strategies as st

NAMES = ("i", "j", "k", "x", "w", "alpha", "a_long_name_of_a_tensor", "max", "N", "order")
names = st.sampled_from(NAMES)
numbers = st.sampled_from(("0", "1", "2.5", "1e-3", "0x1F", ".5", "128"))
BINARY = ("+", "-", "*", "/", "//", "%", "**", "<<", ">>", "&", "|", "^", "<", "<=", "==", "!=", "and", "or")
Text = st.SearchStrategy[str]


def _joined(part: Text, least: int = 1, most: int = 3, by: str = ", ") -> Text:
    return st.lists(part, min_size=least, max_size=most).map(by.join)


def _reads(inner: Text) -> Text:
    return st.builds("{}[{}]".format, names, _joined(inner))


def _binders(inner: Text) -> Text:
    one = st.one_of(
        names, st.builds("{}: {}".format, names, inner), st.builds("{} in {} .. {}".format, names, inner, inner)
    )
    return st.builds("{}{}".format, _joined(one), st.one_of(st.just(""), st.builds(" where {}".format, inner)))


def _larger(inner: Text) -> Text:
    guarded = st.builds("{} else {}".format, _reads(inner), inner)
    return st.one_of(
        _reads(inner),
        st.builds("({})".format, inner),
        st.builds("({})".format, guarded),
        st.builds("{} {} {}".format, inner, st.sampled_from(BINARY), inner).map("({})".format),
        st.builds("({} {} {})".format, inner, st.sampled_from(BINARY), inner),
        st.builds("(-{})".format, inner),
        st.builds("(not {})".format, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("{}({})".format, names, _joined(st.one_of(inner, guarded), 0)),
        st.builds("{}[{}]({})".format, names, _binders(inner), _joined(st.one_of(inner, guarded))),
    )


expressions = st.recursive(st.one_of(names, numbers), _larger, max_leaves=12)
conditions = st.one_of(st.just(""), expressions.map(" where {}".format))
remarks = st.one_of(st.just(""), st.sampled_from(("  # why", "# tight", " #  far   off ")))


@st.composite
def statements(draw: st.DrawFn) -> str:
    extent = draw(st.one_of(st.just(""), numbers.map(": {}".format)))
    left = draw(st.one_of(st.just(""), _joined(expressions).map(lambda inner: f"[{inner}{extent}]")))
    operator = draw(st.sampled_from(("=", " = ", "+=", " max= ", " min=")))
    if operator.startswith(("max", "min")):
        operator = f" {operator}"
    value = draw(st.one_of(expressions, st.builds("{} + {}".format, expressions, expressions)))
    if not left and draw(st.booleans()):
        return f"{draw(names)} = [[1, -2.5], [0x3, 4]]"
    return f"{draw(names)}{left}{operator}{value}{draw(conditions)}"


@st.composite
def spread(draw: st.DrawFn, text: str) -> str:
    """``text`` with line breaks and comments behind some commas inside brackets."""
    parts = []
    depth = 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        parts.append(character)
        if character == "," and depth and draw(st.integers(0, 5)) == 0:
            parts.append(draw(st.sampled_from(("\n", "  # here\n  ", "\n\n        # alone\n  ", "\r\n   "))))
    return "".join(parts)


@st.composite
def kernels(draw: st.DrawFn) -> str:
    indent = draw(st.sampled_from(("    ", "  ", "\t")))
    types = draw(st.sampled_from(("", "<T: float>", "<T : f16|bf16 , U: int>")))
    shape = draw(_joined(expressions))
    params = draw(st.sampled_from((f"x: T[{shape}]", f"inout x : T[{shape}] order(1, 0), w:f32[N]strided", "")))
    scalars = draw(st.sampled_from(("", "; a: f32", ";const n: int=-1,b: bool = true")))
    header = f"kernel {draw(names)}{types}[M,N]({params}{scalars}) -> (y: T[M], total: f32):"
    lines = [f"require {draw(expressions)}"] * draw(st.integers(0, 1))
    lines += draw(st.lists(st.one_of(statements()), min_size=1, max_size=4))
    body = [f"{indent}{draw(spread(line))}{draw(remarks)}" for line in lines]
    if draw(st.booleans()):
        body.insert(0, draw(st.sampled_from(("# at the margin", f"{indent}# inside", ""))))
    return "\n".join([draw(spread(header)) + draw(remarks), *body])


macros = st.builds(
    "def {}{}({}) = {}{}".format,
    names,
    st.sampled_from(("", "[j]", "[j , k]")),
    _joined(names, 0),
    expressions,
    remarks,
)
imports = st.sampled_from(("import a", "import a.b.c", "from a . b import c,d"))
schedules = st.sampled_from(
    ("schedule f for sm_80 :\n  tile i = 128,s.j=64\n  stages 4\n  order i , j", "schedule f for cpu:\n\tunroll")
)
comments = st.sampled_from(("# a comment\n", "# of what follows", "\n", "#\n#tight"))
sources = st.lists(st.one_of(kernels(), macros, imports, schedules, comments), max_size=5).map("\n".join)
