"""A hundred and more sources that no parser may take, each with the error it must get.

The expectations were written before the messages: what a reader of the source would want to be told, and where.
"""

from __future__ import annotations

from tests.unit.bad_programs.bad import Bad

HEADER = "kernel f[N](x: f32[N]; a: f32) -> (y: f32[N]):\n"


def body(code: str, message: str, marked: str) -> Bad:
    """One line in the body of a kernel."""
    return Bad(code, message, f"{HEADER}    {marked}\n")


def first(code: str, message: str, marked: str) -> Bad:
    """The first line of a kernel."""
    return Bad(code, message, f"{marked}\n    y[i] = x[i]\n")


def file(code: str, message: str, marked: str) -> Bad:
    """A whole file."""
    return Bad(code, message, marked)


EXPRESSIONS = (
    body("TW0102", "an expression is missing after `=`", "y[i] =«»"),
    body("TW0102", "an expression is missing after `+`", "y[i] = x[i] +«»"),
    body("TW0102", "an expression is missing after `+`", "y[i] = x[i] + «*» a"),
    body("TW0102", "an expression is missing after `(`", "y[i] = («)» + a"),
    body("TW0102", "an expression is missing after `=`", "y[i] = «/» a"),
    body("TW0102", "an expression is missing after `where`", "y[i] = x[i] where«»"),
    body("TW0102", "an expression is missing after `require`", "require«»"),
    body("TW0102", "an expression is missing after `and`", "y[i] = 1 if a > 0 and «else» 0"),
    body("TW0102", "an expression is missing after `in`", "y[i] = sum[k in «..» N](x[k])"),
    body("TW0102", "an expression is missing after `..`", "y[i] = sum[k in 0 .. «]»(x[k])"),
    body("TW0112", "needs its `else`", "y[i] = x[i] if x[i] > 0«»"),
    body("TW0112", "needs its `else`", "y[i] = 1 + (x[i] if x[i] > 0«») * 2"),
    body("TW0112", "needs its `else`", "y[i] = max(x[i] if x[i] > 0«», 0)"),
    body("TW0112", "the value stands before its condition", "y[i] = «if» x[i] > 0 then x[i] else 0"),
    body("TW0111", "there is no `then`", "y[i] = x[i] > 0 «then» x[i] else 0"),
    body("TW0113", "a guarded read stands in parentheses", "y[i] = x[i - 1] «else» 0"),
    body("TW0113", "a guarded read stands in parentheses", "y[i] = a + x[i - 1] «else» 0"),
    body("TW0113", "guards one read", "y[i] = (exp(x[i - 1]) «else» 0)"),
    body("TW0113", "guards one read", "y[i] = (x[i - 1] + a «else» 0)"),
    body("TW0114", "an operator is missing before `x`", "y[i] = 2 «x»[i]"),
    body("TW0114", "an operator is missing before `x`", "y[i] = 2«x»[i]"),
    body("TW0114", "an operator is missing before `x`", "y[i] = a «x»[i]"),
    body("TW0114", "an operator is missing before `(`", "y[i] = (a + 1) «(»x[i] + 1)"),
    body("TW0114", "an operator or a comma is missing before `a`", "y[i] = max(x[i] «a»)"),
    body("TW0114", "an operator is missing before `3`", "y[i] = x[i] «3»"),
    body("TW0114", "`not` here needs parentheses", "y[i] = 1 + «not» (a > 0)"),
    body("TW0115", "`in` is a word of the language", "y[«in»] = 2"),
    body("TW0115", "`for` is a word of the language", "y[i] = «for» + 1"),
    body("TW0115", "`kernel` is a word of the language", "«kernel»[i] = x[i]"),
    body("TW0101", "`~` cannot stand here", "y[i] = x[i] «~» a"),
    body("TW0101", "`:` cannot stand here", "y[i] = x[i]«:»"),
)
BRACKETS = (
    body("TW0104", "this `(` is never closed", "y[i] = «(x[i] + 1»"),
    body("TW0104", "this `[` is never closed", "y[i] = x«[i + 1»"),
    body("TW0104", "this `(` is never closed", "y[i] = max«(x[i], exp(a)»"),
    file("TW0104", "this `(` is never closed", f"{HEADER}    b[i] = «(x[i]»\n    y[i] = b[i]\n"),
    file("TW0104", "this `(` is never closed", "def f(x) = 2 * «(x»\ndef g(x) = x\n"),
    file("TW0104", "this `(` is never closed", "kernel f[N]«(x: f32[N] -> (y: f32[N]):»\n    y[i] = x[i]\n"),
    body("TW0105", "this `)` closes nothing", "y[i] = x[i]«)»"),
    body("TW0105", "this `]` closes nothing", "y[i] = x[i]«]» + 1"),
    body("TW0105", "`)` cannot close a `[`", "y[i] = x«[i)» + 1"),
    body("TW0105", "`]` cannot close a `(`", "y[i] = «(x[i] + 1]»"),
    body("TW0105", "`)` cannot close a `[`", "y[i] = exp(x«[i)» + 1"),
)
CHARACTERS = (
    body("TW0103", "not a character of the language", "y[i] = 2 «×» x[i]"),
    body("TW0103", "not a character of the language", "y[i] = x[i] if a «≤» 0 else 0"),
    body("TW0103", "greek small letter alpha", "y[i] = «α» * x[i]"),
    body("TW0103", "minus sign", "y[i] = x[i] «−» 1"),
    body("TW0103", "no-break space", "y[i] =«\u00a0»x[i]"),
    body("TW0103", "U+0000", "y[i] = «\0»x[i]"),
    body("TW0103", "there is no `$`", "y[i] = «$»x[i]"),
    body("TW0111", "there is no `@`", "y[i] = x[i] «@» a"),
    body("TW0111", "there is no `!`", "y[i] = 1 if «!»(a > 0) else 0"),
    body("TW0111", "there is no `?`", "y[i] = x[i] «?»"),
    body("TW0111", "there is no `\\`", "y[i] = x[i] + «\\»"),
    body("TW0126", "there are no strings", "y[i] = «'a'»"),
    body("TW0126", "there are no strings", 'y[i] = «"a»'),
    body("TW0127", "`1_000` is no number", "y[i] = «1_000»"),
    body("TW0127", "`1.2.3` is no number", "y[i] = «1.2.3»"),
    body("TW0127", "`1.5f` is no number", "y[i] = «1.5f»"),
    body("TW0127", "`0b101` is no number", "y[i] = «0b101»"),
)
OPERATORS = (
    body("TW0111", "`&&` is written `and`", "y[i] = 1 if a > 0 «&&» a < 1 else 0"),
    body("TW0111", "`||` is written `or`", "y[i] = 1 if a > 0 «||» a < 1 else 0"),
    body("TW0111", "`:=` is written `=`", "y[i] «:=» x[i]"),
    body("TW0111", "`=>` is written `=`", "y[i] «=>» x[i]"),
    body("TW0111", "`mod` is written `%`", "y[i] = x[i] «mod» 2"),
    body("TW0111", "`div` is written `//`", "y[i] = x[i «div» 2]"),
    body("TW0111", "`==` compares", "y[i] «==» x[i]"),
    body("TW0111", "`=` defines", "y[i] = 1 if a «=» 0 else 2"),
    body("TW0131", "there is no `-=`", "y[i] «-=» x[i]"),
    body("TW0131", "there is no `*=`", "y[i] «*=» x[i]"),
    body("TW0131", "`max=` is written without a space", "y[i] «max =» x[i]"),
    body("TW0132", "arguments are given by their order", "y[i] = pow(x[i], e«=»2)"),
    body("TW0136", "values have no attributes", "y[i] = x«.»T[i]"),
    body("TW0136", "there are no tuples", "y[i] = (1«,» 2)"),
    body("TW0136", "no functions as values", "y[i] = «lambda» v: v"),
)
SUBSCRIPTS = (
    body("TW0119", "a range is written `lo .. hi`", "y[i] = sum[k in N«]»(x[k])"),
    body("TW0119", "a range is written `lo .. hi`", "y[i] = sum[k in 0«:»N](x[k])"),
    body("TW0119", "bound with `in` or `:`", "y[i] = sum[k«=»0 .. N](x[k])"),
    body("TW0119", "each is a name", "y[i] = sum[«k + 1»](x[k])"),
    body("TW0119", "each is a name", "y[i] = sum[«2» in 0 .. N](x[i])"),
    body("TW0120", "no slices", "y[i] = sum[k](x[«:»])"),
    body("TW0120", "no slices", "y[i] = sum[k](x[«0:N»])"),
    body("TW0120", "nothing between the brackets", "y[i] = x«[]»"),
    body("TW0120", "one pair of brackets", "y[i] = x[i]«[»i]"),
    body("TW0120", "only a name has subscripts", "y[i] = (x[i] + 1)«[»i]"),
    body("TW0120", "subscripts stand in brackets", "y«(»i) = x[i]"),
    body("TW0122", "what `sum` reduces stands in parentheses", "y[i] = sum[k] «x»[k]"),
    body("TW0122", "what `max` reduces stands in parentheses", "y[i] = x[i] - max[k] «x»[k] + 1"),
    body("TW0123", "nothing stands between", "y[i] = max(x[i]«,)»"),
    body("TW0123", "nothing stands between", "y[i] = max(x[i]«,,» a)"),
    body("TW0123", "nothing stands before this comma", "y[i] = max(«,» a)"),
    body("TW0124", "`where` stands last", "y[i] = sum[k where k < i«,» l](x[k])"),
    body("TW0124", "there is one `where`", "y[i] = sum[k where k < i «where» k > 1](x[k])"),
    body("TW0124", "`where` stands in the brackets", "y[i] = (x[i] «where» a > 0)"),
    body("TW0124", "not of a read", "y[i] = x[i where «i > 0»]"),
    body("TW0130", "numbers only", "t = [1, «a»]"),
    body("TW0130", "a statement of its own", "y[i] = «[»1, 2]"),
    body("TW0130", "defined with `=`", "«t += [1, 2]»"),
)
STATEMENTS = (
    body("TW0110", "there is no `for` statement", "«for» i in N: y[i] = x[i]"),
    body("TW0110", "there is no `while` statement", "«while» a > 0:"),
    body("TW0110", "there is no `return` statement", "«return» x[i]"),
    body("TW0110", "there is no `let` statement", "«let» y = 2"),
    body("TW0110", "there is no `if` statement", "«if» a > 0: y[i] = 1"),
    body("TW0102", "a statement gives a value", "y[i]«»"),
    body("TW0102", "`=` is missing", "y[i] «x»[i]"),
    body("TW0102", "a statement defines one name", "y[i]«,» z[i] = x[i]"),
    body("TW0137", "one statement stands on each line", "b[i] = x[i]«;» y[i] = b[i]"),
    file("TW0121", "`require` stands first", f"{HEADER}    y[i] = x[i]\n    «require N > 1»\n"),
    file("TW0106", "indented alike", f"{HEADER}    b[i] = x[i]\n«      »y[i] = b[i]\n"),
    file("TW0106", "indented alike", f"{HEADER}    b[i] = x[i]\n«  »y[i] = b[i]\n"),
    file("TW0106", "not indented", "«  »def f(x) = x\n"),
    file("TW0106", "has no body", "def f(x) = x\n    «y = 2»\n"),
    file("TW0107", "tabs and spaces", f"{HEADER}    b[i] = x[i]\n«\t»y[i] = b[i]\n"),
    file("TW0109", "no statement", "«kernel f(x: f32[N]) -> (y: f32[N]):»\n"),
    file("TW0133", "in the body of a kernel", "«y»[i] = 2\n"),
    file("TW0133", "in the body of a kernel", "«require» N == 2\n"),
)
FIRST_LINES = (
    first("TW0101", "`(` cannot stand here", "kernel «(»x: f32[N]) -> (y: f32[N]):"),
    first("TW0108", "ends with `:`", "kernel f[N](x: f32[N]) -> (y: f32[N])«»"),
    first("TW0111", "`=>` is written `->`", "kernel f[N](x: f32[N]) «=>» (y: f32[N]):"),
    first("TW0115", "`in` is a word of the language", "kernel f[N](«in»: f32[N]) -> (y: f32[N]):"),
    first("TW0116", "`kernal` begins no item", "«kernal» f[N](x: f32[N]) -> (y: f32[N]):"),
    first("TW0116", "`fn` begins no item", "«fn» f[N](x: f32[N]) -> (y: f32[N]):"),
    first("TW0117", "names its outputs", "kernel f[N](x: f32[N])«:»"),
    first("TW0117", "outputs stand in parentheses", "kernel f[N](x: f32[N]) -> «y»: f32[N]:"),
    first("TW0117", "at least one output", "kernel f[N](x: f32[N]) -> «()»:"),
    first("TW0118", "`x` has no type", "kernel f[N](x«)» -> (y: f32[N]):"),
    first("TW0118", "`x` has no type", "kernel f[N](x: «[»N]) -> (y: f32[N]):"),
    first("TW0118", "a parameter is `name: type`", "kernel f[N](f32 «x»[N]) -> (y: f32[N]):"),
    first("TW0118", "`a` has no shape", "kernel f[N](x: f32[N], «a: f32») -> (y: f32[N]):"),
    first("TW0118", "`w` has a shape", "kernel f[N](x: f32[N]; «w: f32[N]») -> (y: f32[N]):"),
    first("TW0118", "only scalars have a default", "kernel f[N](x: f32[N] = «0») -> (y: f32[N]):"),
    first("TW0118", "only scalars are `const`", "kernel f[N](«const x: f32[N]») -> (y: f32[N]):"),
    first("TW0118", "`inout` parameters stand among the tensors", "kernel f[N](x: f32[N]) -> («inout y: f32[N]»):"),
    first("TW0120", "nothing between the brackets", "kernel f(x: f32«[]») -> (y: f32):"),
    first("TW0123", "a comma is missing before `w`", "kernel f[N](x: f32[N] «w»: f32[N]) -> (y: f32[N]):"),
    first("TW0123", "nothing stands between", "kernel f[N](x: f32[N]«,)» -> (y: f32[N]):"),
    first("TW0129", "`T` has no class", "kernel f<T«>»[N](x: T[N]) -> (y: T[N]):"),
    file("TW0125", "starts on the next line", "kernel f[N](x: f32[N]) -> (y: f32[N]): «y[i] = x[i]»\n"),
    file("TW0134", "`def name(values) = expression`", "def f(x)«:» return x\n"),
    file("TW0134", "names its values in parentheses", "def f «x» = x\n"),
    file("TW0134", "no types, no defaults", "def f(x«=»1) = x\n"),
    file("TW0102", "an expression is missing after `=`", "def f(x) =«»\n"),
    file("TW0115", "`if` is a word of the language", "def «if»(x) = x\n"),
    file("TW0135", "there is no `as`", "import a.b «as» c\n"),
    file("TW0135", "there is no `*`", "from a import «*»\n"),
    file("TW0135", "names with dots", "from «.» import a\n"),
    file("TW0135", "this is no import", "import«»\n"),
    file("TW0126", "there are no strings", "import «'a.tw'»\n"),
    file("TW0138", "begins with the kernel and the target", "schedule f «sm_80»:\n    tile i=128\n"),
    file("TW0138", "no setting", "schedule f for sm_80:\n    tile i«[»3]\n"),
    file("TW0138", "no setting", "schedule f for sm_80:\n    tile i=«»\n"),
    file("TW0109", "no setting", "«schedule f for sm_80:»\n"),
    file("TW0108", "ends with `:`", "schedule f for sm_80«»\n    tile i=128\n"),
)
LIMITS = (
    body("TW0804", "this number is too long", f"y[i] = «{'9' * 101}»"),
    body("TW0805", "larger than any f64", "y[i] = «1e400»"),
    body("TW0806", "this name is too long", f"«{'n' * 201}» = 1"),
    body("TW0803", "nested too deeply", f"y[i] = {'(' * 200}«(»1{')' * 201}"),
)
PROGRAMS: tuple[Bad, ...] = (
    *EXPRESSIONS, *BRACKETS, *CHARACTERS, *OPERATORS, *SUBSCRIPTS, *STATEMENTS, *FIRST_LINES, *LIMITS,
)  # fmt: skip
