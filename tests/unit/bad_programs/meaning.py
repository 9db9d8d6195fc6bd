"""A hundred and more programs that parse and mean nothing, each with the error it must get.

The expectations were written before the messages: what the author of the program would want to be told, and where.
"""

from __future__ import annotations

from tests.unit.bad_programs.bad import Bad

HEADER = (
    "kernel f[M, N](x: f32[M, N], v: f32[N], id: i32[M], flag: bool[M]; a: f32, const n: int = 2) -> (y: f32[M, N]):\n"
)


def body(code: str, message: str, *lines: str) -> Bad:
    """The body of a kernel with a matrix, a vector, integers, bools, a scalar and a const."""
    return Bad(code, message, HEADER + "".join(f"    {line}\n" for line in lines))


def file(code: str, message: str, marked: str) -> Bad:
    return Bad(code, message, marked)


FIRST = "kernel f[N](x: f32[N]) -> (y: f32[N]):\n"
PLAIN = FIRST + "    y[i] = x[i]\n"


def macro(code: str, message: str, definition: str, line: str) -> Bad:
    """One macro and one line that uses it."""
    return Bad(code, message, f"{definition}\n{HEADER}    {line}\n")


NAMES = (
    body("TW0201", "nothing is called `alpha`", "y[i, j] = «alpha» * x[i, j]"),
    body("TW0201", "no tensor is called `xx`", "y[i, j] = «xx»[i, j]"),
    body("TW0201", "no tensor is called `weight`", "y[i, j] = x[i, j] * «weight»[j]"),
    body("TW0202", "already the name of a dim", "«M» = 2", "y[i, j] = x[i, j]"),
    body("TW0202", "already the name of a dim", "«N» = sum[k: N](x[0, k])", "y[i, j] = x[i, j]"),
    body("TW0202", "already the name of a scalar", "«a» = 2.0", "y[i, j] = x[i, j]"),
    body("TW0202", "already the name of a const", "«n» = 2.0", "y[i, j] = x[i, j]"),
    file("TW0202", "already the name of a dim", "kernel f[N, «N»](x: f32[N]) -> (y: f32[N]):\n    y[i] = x[i]\n"),
    file(
        "TW0202",
        "already the name of a tensor",
        "kernel f[N](x: f32[N], «x»: f32[N]) -> (y: f32[N]):\n    y[i] = x[i]\n",
    ),
    file("TW0202", "already the name of a tensor", "kernel f[N](x: f32[N]) -> («x»: f32[N]):\n    y = 1\n"),
    file("TW0202", "already the name of a type", "kernel f<T: float>[«T»](x: T[T]) -> (y: f32[T]):\n    y[i] = x[i]\n"),
    file(
        "TW0202",
        "kernel `f` is defined twice",
        PLAIN + PLAIN.replace("kernel f", "kernel «f»"),
    ),
    file("TW0202", "macro `g` is defined twice", "def g(x) = x\ndef «g»(x) = x + 1\n"),
    file("TW0202", "parameter `x` is defined twice", "def g(x, «x») = x\n"),
    body("TW0203", "already the name of a dim", "y[i, j] = sum[«N»: 4](v[N])"),
    body("TW0203", "already the name of a tensor", "y[i, j] = sum[«v»: 4](x[i, j])"),
    body("TW0203", "already the name of a const", "y[i, «n»] = x[i, n]"),
    file(
        "TW0204", "`f32` is a word of the language", "kernel f[N](x: f32[N]) -> («f32»: f32[N]):\n    f32[i] = x[i]\n"
    ),
    file("TW0204", "`exp` is built in", "def «exp»(x) = x\n"),
    file("TW0204", "`sum` is built in", "def «sum»[j](x) = x\n"),
    body("TW0209", "there is no function `softmx`", "y[i, j] = «softmx»[j](x[i, j])"),
    body("TW0209", "there is no function `gelu`", "y[i, j] = «gelu»(x[i, j])"),
    body("TW0210", "needs the index it runs over", "y[i, j] = «sum»(x[i, j])"),
    body("TW0210", "subscripts stand in brackets", "y[i, j] = «x»(i, j)"),
    body("TW0210", "binds no index", "y[i, j] = «exp»[k: 2](x[i, j])"),
    file(
        "TW0211",
        "output `z` is never written",
        "kernel f[N](x: f32[N]) -> (y: f32[N], «z»: f32[N]):\n    y[i] = x[i]\n",
    ),
    body("TW0212", "is a function: call it", "y[i, j] = «exp» + x[i, j]"),
    file(
        "TW0213",
        "no kernel `g` in this file",
        "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = x[i]\nschedule «g» for cpu:\n    tile i=4\n",
    ),
    file("TW0205", "there is no module `reductoins`", "from «reductoins» import softmax\n"),
    file("TW0206", "defines no `softmx`", "from reductions import «softmx»\n"),
)

TYPES = (
    file("TW0302", "there is no type `float32`", "kernel f[N](x: «float32»[N]) -> (y: f32[N]):\n    y[i] = x[i]\n"),
    file("TW0302", "there is no type `T`", "kernel f[N](x: «T»[N]) -> (y: f32[N]):\n    y[i] = x[i]\n"),
    file("TW0302", "there is no type `floats`", "kernel f<T: «floats»>[N](x: T[N]) -> (y: f32[N]):\n    y[i] = x[i]\n"),
    file(
        "TW0303",
        "a run-time scalar needs a type of memory",
        "kernel f[N](x: f32[N]; a: «float») -> (y: f32[N]):\n    y[i] = a * x[i]\n",
    ),
    file(
        "TW0310",
        "the default of const `c`",
        "kernel f[N](x: f32[N]; const c: int = «N») -> (y: f32[N]):\n    y[i] = x[i]\n",
    ),
    file(
        "TW0310",
        "needs a value of type int",
        "kernel f[N](x: f32[N]; const c: int = «1.5») -> (y: f32[N]):\n    y[i] = c * x[i]\n",
    ),
    file(
        "TW0310",
        "needs a value of type bool",
        "kernel f[N](x: f32[N]; const c: bool = «1») -> (y: f32[N]):\n    y[i] = x[i]\n",
    ),
    file(
        "TW0310", "the default of `a`", "kernel f[N](x: f32[N]; a: i32 = «0.5») -> (y: f32[N]):\n    y[i] = a * x[i]\n"
    ),
    body("TW0301", "`f32` is a type", "y[i, j] = «f32» * x[i, j]"),
    body("TW0305", "a condition is needed", "y[i, j] = 1 if «x[i, j]» else 0"),
    body("TW0305", "a condition is needed", "y[i, j] = 1 if not «x[i, j]» else 0"),
    body("TW0305", "a condition is needed", "y[i, j] = 1 if flag[i] and «id[i]» else 0"),
    body("TW0305", "a condition is needed", "y[i, j] = sum[k where «v[k]»](x[i, k])"),
    body("TW0305", "a condition is needed", "y[i, j] = 1 if any[k](«v[k]») else 0"),
    file("TW0305", "`y` holds bools", "kernel f[N](x: f32[N]) -> (y: bool[N]):\n    y[i] = «x[i]»\n"),
    file("TW0306", "without a cast", "kernel f[N](x: f32[N]) -> (y: i32[N]):\n    y[i] = «x[i] * 2»\n"),
    file("TW0306", "without a cast", "kernel f[N](id: i32[N]) -> (y: i32[N]):\n    y[i] = «id[i] / 2»\n"),
    body("TW0307", "does not fit in i32", "y[i, j] = id[i] + «3000000000»"),
    file("TW0307", "does not fit in u32", "kernel f[N](c: u32[N]) -> (y: u32[N]):\n    y[i] = c[i] + «-1»\n"),
    file(
        "TW0308",
        "keeps the number of bits",
        "kernel f[N](x: f32[N]) -> (y: i64[N]):\n    y[i] = «bitcast(i64, x[i])»\n",
    ),
    body("TW0309", "takes 1 argument", "y[i, j] = «exp(x[i, j], a)»"),
    body("TW0309", "takes 3 arguments", "y[i, j] = «fma(x[i, j], a)»"),
    body("TW0309", "takes at least 2 arguments", "y[i, j] = «max(x[i, j])»"),
    body("TW0309", "takes 2 arguments", "y[i, j] = «top[k](x[i, k])»"),
    body("TW0309", "takes 1 argument", "y[i, j] = «sum[k](x[i, k], v[k])»"),
    body("TW0309", "a cast takes one value", "y[i, j] = «f16(x[i, j], a)»"),
    body("TW0313", "more than 128 bits", "y[i, j] = x[i, j] * («3 ** 100»)"),
    body("TW0313", "more than 128 bits", "y[i, j] = x[i, j] * («1 << 200»)"),
    body("TW0313", "more than 64 bits", "y[i, j] = x[(i + «100000000000000000000») % M, j]"),
    body("TW0313", "more than 64 bits", "y[i, j] = 1 if i < «100000000000000000000» else x[i, j]"),
    body("TW0314", "division by zero", "y[i, j] = x[«i // 0», j]"),
    body("TW0314", "division by zero", "y[i, j] = x[i, «j % 0»]"),
    body("TW0315", "`%` needs integers", "y[i, j] = «x[i, j] % 2»"),
    body("TW0315", "`//` needs integers", "y[i, j] = «x[i, j] // a»"),
    body("TW0315", "`&` needs integers", "y[i, j] = 1 if «x[i, j] & id[i]» else 0"),
    body("TW0315", "`~` needs an integer", "y[i, j] = 1 if «~flag[i]» else 0"),
    body("TW0317", "to a negative power", "y[i, j] = x[i, j] * «id[i] ** -1»"),
    body("TW0318", "an integer tensor of rank 1", "y[i, j] = x[i, segment(«v», j)]"),
    file("TW0319", "takes an f32 factor", "kernel f[N](x: f64[N]) -> (y: f64[N]):\n    y[i] = «tf32(x[i])»\n"),
    file("TW0903", "not in the language", "kernel f[N](x: «u64»[N]) -> (y: f32[N]):\n    y[i] = x[i]\n"),
    file("TW0903", "not in the language", "kernel f[N](x: «complex64»[N]) -> (y: f32[N]):\n    y[i] = x[i]\n"),
    body("TW0903", "collectives between devices are not in the language", "y[i, j] = «all_reduce»(x[i, j])"),
    body("TW0903", "sorts over several keys are not in the language", "y[i, j] = «argsort»[k](x[i, k])"),
)

INDICES = (
    body("TW0401", "`x` has rank 2", "y[i, j] = «x[i]»"),
    body("TW0401", "`v` has rank 1", "y[i, j] = «v[i, j]»"),
    body("TW0401", "`y` has rank 2", "«y»[i] = v[i]"),
    file("TW0401", "`l` has rank 0", "kernel f[N](x: f32[N]) -> (l: f32):\n    «l»[i] = x[i]\n"),
    body("TW0402", "is read with subscripts", "y[i, j] = «v» * x[i, j]"),
    body("TW0403", "an integer is needed", "y[i, j] = x[i, «v[j]»]"),
    body("TW0403", "an integer is needed", "y[i, j] = x[«i / 2», j]"),
    body("TW0403", "an integer is needed", "y[i, j] = x[«0.5», j]"),
    body("TW0404", "neither on the left nor bound", "y[i, j] = x[i, «k»]"),
    body("TW0404", "neither on the left nor bound", "y[i, j] = sum[k](x[i, k]) * v[«k»]"),
    body("TW0404", "neither on the left nor bound", "y[i, j] = sum[k in 0 .. «k»](x[i, k])"),
    body("TW0405", "nothing says how far index `k` runs", "y[i, j] = sum[«k»](x[i, j])"),
    body("TW0405", "nothing says how far index `t` runs", "s[«t»] = 2.0", "y[i, j] = x[i, j] * s[i]"),
    body("TW0405", "nothing says how far index `k` runs", "y[i, j] = sum[«k»]((v[k] else 0))"),
    body("TW0405", "nothing says how far index `k` runs", "y[i, j] = max[«k»](v[k + 1])"),
    file(
        "TW0406",
        "two different extents",
        "kernel f[N](x: f32[3, N], w: f32[4]) -> (y: f32[N]):\n    y[i] = sum[k](x[k, i] * w[«k»])\n",
    ),
    file("TW0407", "nothing binds dim `P`", "kernel f[N, «P»](x: f32[N]) -> (y: f32[P]):\n    y[i] = 1\n"),
    file("TW0407", "nothing binds dim `P`", "kernel f[«P»](x: f32[P // 2]) -> (y: f32[P]):\n    y[i] = 1\n"),
    file(
        "TW0408",
        "dim `Q` is not known here",
        "kernel f[N, P, Q](x: f32[N]) -> (y: f32[P]):\n    require «P == Q + 1»\n    y[i] = 1\n",
    ),
    file(
        "TW0409",
        "speaks about dims and consts",
        "kernel f[N](x: f32[N]; s: i32) -> (y: f32[N]):\n    require «N > s»\n    y[i] = x[i]\n",
    ),
    file(
        "TW0409",
        "is never met",
        "kernel f[N](x: f32[N]; const c: int = 3) -> (y: f32[N]):\n    require «c == 2»\n    y[i] = x[i]\n",
    ),
    body("TW0410", "has no subscripts", "y[i, j] = «a»[i] * x[i, j]"),
    body("TW0410", "has no subscripts", "y[i, j] = «M»[i] * x[i, j]"),
    file("TW0411", "cannot depend on values", "kernel f[N](x: f32[N]; s: i32) -> (y: f32[«s»]):\n    y[i] = 1\n"),
    file(
        "TW0411",
        "cannot depend on values",
        "kernel f[N](id: i32[N]) -> (y: f32[N]):\n    s[i, k: «id[0]»] = 1.0 * id[i]\n    y[i] = s[i, 0]\n",
    ),
    body("TW0412", "plain indices stand on its left", "s[«i + 1», j] = x[i, j]", "y[i, j] = s[i, j]"),
    body("TW0412", "plain indices stand on its left", "s[i, «i»] = x[i, 0]", "y[i, j] = s[i, j]"),
    body("TW0413", "a part of it cannot stand on the left", "y[i, «0»] = x[i, 0]"),
    body("TW0413", "a part of it cannot stand on the left", "s[i, «1»] = x[i, 0]", "y[i, j] = s[i, j]"),
    body("TW0414", "one length", "t = [[1, 2], «[3]»]", "y[i, j] = x[i, j]"),
    body("TW0415", "is bound twice", "y[i, j] = sum[k, «k»](x[i, k])"),
    body("TW0416", "takes an index", "y[i, j] = extent(«k») * x[i, j]"),
    body("TW0416", "takes an index", "y[i, j] = extent(«x») * x[i, j]"),
    body("TW0417", "takes one index of this place", "y[i, j] = «cumsum[j where j < 2](x[i, j])»"),
    file("TW0418", "names each axis", "kernel f[N](x: f32[N, N] «order(0, 0)») -> (y: f32[N]):\n    y[i] = x[i, i]\n"),
    file(
        "TW0812",
        "more than 16 dimensions",
        FIRST + "    «s[a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r] = x[a]»\n    y[i] = x[i]\n",
    ),
)

BOUNDS = (
    body("TW0501", "can leave it", "y[i, j] = x[«i + 1», j]"),
    body("TW0501", "can leave it", "y[i, j] = x[i, «j - 1»]"),
    body("TW0501", "can leave it", "y[i, j] = x[«j», j] if j < N - 1 else 0"),
    body("TW0501", "can leave it", "y[i, j] = v[«i»]"),
    body("TW0501", "can leave it", "y[i, j] = sum[k: 3](v[«j + k»])"),
    body("TW0501", "can leave it", "y[i, j] = x[i, «2 * j»]"),
    body("TW0501", "can leave it", "y[i, j] = x[i, j] if j < 4 else v[«j - 5»]"),
    body("TW0501", "can leave it", "y[i, j] = sum[k in 0 .. j + 2](v[«k»])"),
    body("TW0501", "can leave it", "y[i, j] = x[i, «N - j»]"),
    body("TW0502", "leaves it for every shape", "y[i, j] = x[i, «j + N»]"),
    body("TW0502", "leaves it for every shape", "y[i, j] = v[«-1»]"),
    body("TW0502", "leaves it for every shape", "y[i, j] = v[«-1 - j»]"),
    body("TW0502", "leaves it for every shape", "y[i, j] = v[«N»]"),
    body("TW0504", "can leave it", "y[«i + 1», j] = x[i, j]"),
    body("TW0504", "can leave it", "y[i, «j: M»] = x[i, 0]"),
    file("TW0501", "can leave it", "kernel f[K](x: f32[K, 3]) -> (y: f32[K]):\n    y[i] = sum[k: 4](x[i, «k»])\n"),
    file(
        "TW0501",
        "can leave it",
        "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    s[i] = x[i] + (s[i - 1] else 0) + s[«i - 2»]\n    y[i] = s[i]\n",
    ),
)

ORDER = (
    body("TW0601", "is read before its statement", "y[i, j] = «s»[i]", "s[i] = sum[k](x[i, k])"),
    body("TW0601", "is read before its statement", "y[i, j] = «c» * x[i, j]", "c = 2.0"),
    body("TW0602", "not ordered", "s[i, j] = x[i, j] + «s[id[i], j]»", "y[i, j] = s[i, j]"),
    body("TW0602", "not ordered", "s[i] = x[i, 0] + sum[k: M](«s[k]»)", "y[i, j] = s[i]"),
    body(
        "TW0603",
        "steps two indices",
        "s[i, j] = x[i, j] + (s[i - 1, j] else 0) + («s[i, j - 1]» else 0)",
        "y[i, j] = s[i, j]",
    ),
    body("TW0604", "in both directions", "s[i] = x[i, 0] + (s[i - 1] else 0) + («s[i + 1]» else 0)", "y[i, j] = s[i]"),
    body("TW0604", "its own value", "s[i] = 1 + «s[i]» * x[i, 0]", "y[i, j] = s[i]"),
    body("TW0604", "its own value", "s[i] = 1 + «t[i]» * x[i, 0]", "t[i] = s[i] + x[i, 0]", "y[i, j] = s[i]"),
    file(
        "TW0605",
        "only the element it writes",
        "kernel f[N](inout x: f32[N], w: f32[N]) -> (y: f32):\n    x[i] = w[i] + («x[i - 1]» else 0)\n    y = x[0]\n",
    ),
    body("TW0606", "is defined twice", "s[i] = x[i, 0]", "«s»[i] = x[i, 0]", "y[i, j] = s[i]"),
    body("TW0606", "is defined twice", "s = [1.0, 2.0]", "«s»[i: N] = (s[i-1] else 0) + 1", "y[i, j] = x[i, j]"),
    body("TW0606", "is changed by `max=` after `+=`", "y[i, j] += x[i, j]", "«y»[i, j] max= x[i, j]"),
    body("TW0606", "is changed by `=` after `+=`", "y[i, j] += x[i, j]", "«y»[i, j] = x[i, j]"),
    body("TW0607", "only outputs and inouts accumulate", "«s»[i] += x[i, 0]", "y[i, j] = s[i]"),
    body("TW0608", "`where` has no place", "s[i] = x[i, 0] where «i > 0»", "y[i, j] = s[i]"),
    body("TW0610", "is an input and cannot be written", "«x»[i, j] = 0", "y[i, j] = x[i, j]"),
    file("TW0609", "one plain `=`", "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    «y[i] += x[i] + (y[i - 1] else 0)»\n"),
)

LIMITS = (
    body("TW0812", "binds more than 16", "y[i, j] = «sum[" + ", ".join(f"k{n}: 2" for n in range(17)) + "](a)»"),
)

MACROS = (
    macro("TW0701", "takes 2 arguments", "def g(x, z) = x + z", "y[i, j] = «g(x[i, j])»"),
    macro("TW0701", "takes 1 argument", "def g[k](x) = sum[k](x)", "y[i, j] = «g[k](x[i, k], a)»"),
    macro("TW0702", "takes 1 index in brackets", "def g[k](x) = sum[k](x)", "y[i, j] = «g»(x[i, j])"),
    macro("TW0702", "takes 2 indices in brackets", "def g[k, l](x) = sum[k, l](x)", "y[i, j] = «g»[k](x[i, k])"),
    macro("TW0702", "takes no index in brackets", "def g(x) = x", "y[i, j] = «g»[k](x[i, k])"),
    macro("TW0703", "cannot be recursive", "def g(x) = «g»(x) + 1", "y[i, j] = g(x[i, j])"),
    file("TW0703", "cannot be recursive", "def g[j](x) = 1 + sum[j](x * «g»[j](x))\n"),
    macro("TW0704", "cannot be bounded", "def g[k](x) = x / sum[k](x)", "y[i, j] = «g[j where j <= i](x[i, j])»"),
    macro("TW0704", "cannot be bounded", "def g[k](x) = x / sum[k](x)", "y[i, j] = «g[j in 0 .. N](x[i, j])»"),
    macro("TW0705", "no value of its own", "def g[k](x) = sum[k](x * k)", "y[i, j] = «g[p, q](x[p, q])»"),
    file("TW0706", "`z` is not a parameter", "def g(x) = x + «z»\n" + HEADER + "    y[i, j] = g(x[i, j])\n"),
    file("TW0706", "`M` is not a parameter", "def g(x) = x * «M»\n" + HEADER + "    y[i, j] = g(x[i, j])\n"),
    file("TW0706", "`v` is not a parameter", "def g(i) = «v»[i]\n" + HEADER + "    y[i, j] = g(j)\n"),
    macro("TW0707", "must be given the name of a tensor", "def g(t, i) = t[i]", "y[i, j] = g(«v[j]», j)"),
    macro("TW0707", "must be given a type", "def g(x, T) = T(x)", "y[i, j] = g(x[i, j], «x[i, j]»)"),
    macro("TW0903", "functions as arguments", "def g(h, x) = h(x)", "y[i, j] = g(«exp», x[i, j])"),
    macro("TW0903", "functions as arguments", "def h(x) = x\ndef g(h2, x) = h2(x)", "y[i, j] = g(«h», x[i, j])"),
    macro("TW0209", "there is no function `gg`", "def g(x) = «gg»(x)", "y[i, j] = g(x[i, j])"),
)

BAD_PROGRAMS = NAMES + TYPES + INDICES + BOUNDS + ORDER + LIMITS + MACROS
