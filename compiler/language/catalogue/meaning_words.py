"""Owns the entries for names (TW02), types and numerics (TW03), and macros (TW07)."""

from __future__ import annotations

from tilewright.compiler.language.catalogue.entry import Entry
from tilewright.compiler.language.catalogue.example import body_entry as _body
from tilewright.compiler.language.catalogue.example import file_entry as _file

_ONE = "kernel f[N](x: f32[N]{0}) -> (y: f32[N]):\n    y[i] = {1}\n"


def _first(more: str = "", value: str = "x[i]") -> str:
    return _ONE.format(more, value)


NAMES = (
    _body(
        "TW0201",
        "Nothing has this name",
        "A name is a dim, a const, a scalar, a tensor, or the name of an earlier statement. Check the spelling.",
        "y[i, j] = alpha * x[i, j]",
        "y[i, j] = a * x[i, j]",
    ),
    _file(
        "TW0202",
        "A name is taken",
        "Dims, types, tensors, scalars and statements of a kernel share one namespace, and so do the macros and the "
        "kernels of a file.",
        _first(", x: f32[N]"),
        _first(", w: f32[N]"),
    ),
    _body(
        "TW0203",
        "An index has the name of something else",
        "An index may shadow another index, and nothing else: a reader could not tell which one is meant.",
        "y[i, j] = sum[v: 4](x[i, j])",
        "y[i, j] = sum[k: 4](x[i, j])",
    ),
    _file(
        "TW0204",
        "A name of the language",
        "Types and constants such as `f32` and `inf` cannot name something else; macros cannot have the name of a "
        "built-in function either.",
        "def exp(x) = x * x\n",
        "def square(x) = x * x\n",
    ),
    _file(
        "TW0205",
        "No such module",
        "Modules are files `name.tw` below the folder of the importing file, or of the library.",
        "from reductoins import softmax\n",
        "from reductions import softmax\n",
    ),
    _file(
        "TW0206",
        "A module does not define this name",
        "`from M import a` takes a macro or a kernel of `M`. Check the spelling.",
        "from reductions import softmx\n",
        "from reductions import softmax\n",
    ),
    _file(
        "TW0207",
        "Modules import each other",
        "A module that imports itself, directly or through others, has no beginning. Move what both need into a third.",
        "# in a.tw\nfrom b import g\n\n# in b.tw\nfrom a import f\n",
        "# in a.tw\nfrom common import g\n\n# in b.tw\nfrom common import f\n",
        "import",
    ),
    _file(
        "TW0208",
        "A module outside its folder",
        "Imports stay below the folder of the importing file and within the library; a link that leads out is refused, "
        "so that checking a file never reads others of the machine.",
        "# shapes.tw is a link to ../../shapes.tw\nimport shapes\n",
        "# shapes.tw is a file of this folder\nimport shapes\n",
        "import",
    ),
    _body(
        "TW0209",
        "No such function",
        "A function is built in, a macro of this file, or one that was imported.",
        "y[i, j] = softmax[j](x[i, j])",
        "y[i, j] = exp(x[i, j]) / sum[k](exp(x[i, k]))",
    ),
    _body(
        "TW0210",
        "A function in the wrong form",
        "Reductions bind an index in brackets, `sum[k](…)`; functions take arguments alone, `exp(…)`; tensors take "
        "subscripts, `x[i, j]`.",
        "y[i, j] = sum(v[j])",
        "y[i, j] = sum[k](v[k])",
    ),
    _file(
        "TW0211",
        "An output is never written",
        "Every output is defined by a statement.",
        "kernel f[N](x: f32[N]) -> (y: f32[N], z: f32[N]):\n    y[i] = x[i]\n",
        "kernel f[N](x: f32[N]) -> (y: f32[N], z: f32[N]):\n    y[i] = x[i]\n    z[i] = 2 * x[i]\n",
    ),
    _body(
        "TW0212",
        "A function where a value is needed",
        "A function is called: `exp(x)`, `sum[k](x)`.",
        "y[i, j] = exp + x[i, j]",
        "y[i, j] = exp(x[i, j])",
    ),
    _file(
        "TW0213",
        "A schedule for no kernel",
        "A schedule stands in the file of its kernel and names it.",
        _first() + "schedule g for cpu:\n    tile i=64\n",
        _first() + "schedule f for cpu:\n    tile i=64\n",
    ),
)

TYPES = (
    _body(
        "TW0301",
        "A type where a value is needed",
        "A type is used as a cast, `f16(x)`, or given to a macro; it has no value. `bitcast` takes one first.",
        "y[i, j] = f32 * x[i, j]",
        "y[i, j] = f32(id[i]) * x[i, j]",
    ),
    _file(
        "TW0302",
        "No such type",
        "The types are bool, i8 to i64, u8 to u32, f8e4m3, f8e5m2, f16, bf16, f32, f64, and the kernel's own type "
        "parameters; the classes of type parameters are float, int, number and any.",
        "kernel f[N](x: float32[N]) -> (y: f32[N]):\n    y[i] = x[i]\n",
        _first(),
    ),
    _file(
        "TW0303",
        "A run-time scalar without a type of memory",
        "`int` and `float` are for compile-time values (`const`). A scalar that the caller passes has a size.",
        _first("; a: float", "a * x[i]"),
        _first("; a: f32", "a * x[i]"),
    ),
    _file(
        "TW0304",
        "A type that nothing determines",
        "A type parameter is the dtype of the arguments declared with it. One that no argument binds is given.",
        "kernel zeros<T: float>[N](n: i32[N]) -> (y: T[N]):\n    y[i] = 0\n\n# in Python: k(n)\n",
        'kernel zeros<T: float>[N](n: i32[N]) -> (y: T[N]):\n    y[i] = 0\n\n# in Python: k(n, types={"T": "f32"})\n',
        "call",
    ),
    _body(
        "TW0305",
        "A condition is needed",
        "`if`, `where`, `and`, `or`, `not`, `any` and `all` take conditions; numbers are not conditions.",
        "y[i, j] = 1 if x[i, j] else 0",
        "y[i, j] = 1 if x[i, j] != 0 else 0",
    ),
    _file(
        "TW0306",
        "A float stored as an integer",
        "Rounding a float to an integer is written, so that nobody loses a fraction unseen. A cast truncates and "
        "saturates.",
        "kernel f[N](x: f32[N]) -> (y: i32[N]):\n    y[i] = 2 * x[i]\n",
        "kernel f[N](x: f32[N]) -> (y: i32[N]):\n    y[i] = i32(2 * x[i])\n",
    ),
    _body(
        "TW0307",
        "A number that does not fit",
        "A literal takes the type of the other operand and must have a place in it.",
        "y[i, j] = id[i] + 3000000000",
        "y[i, j] = i64(id[i]) + 3000000000",
    ),
    _file(
        "TW0308",
        "bitcast changes the size",
        "`bitcast(T, x)` reads the bits of x as a T of the same size.",
        "kernel f[N](x: f32[N]) -> (y: i64[N]):\n    y[i] = bitcast(i64, x[i])\n",
        "kernel f[N](x: f32[N]) -> (y: i32[N]):\n    y[i] = bitcast(i32, x[i])\n",
    ),
    _body(
        "TW0309",
        "The wrong number of arguments",
        "Each built-in takes a fixed number of arguments; `min` and `max` take two or more.",
        "y[i, j] = exp(x[i, j], a)",
        "y[i, j] = exp(a * x[i, j])",
    ),
    _file(
        "TW0310",
        "A value of the wrong kind for a const or a default",
        "The value of a `const` is a constant of its type: a whole number for int, a number for float, true or false "
        "for bool.",
        _first("; const c: int = 1.5", "c * x[i]"),
        _first("; const c: float = 1.5", "c * x[i]"),
    ),
    _file(
        "TW0311",
        "An argument of the wrong type",
        "Arguments have the declared dtypes; all arguments of one type parameter have one dtype of its class.",
        "kernel add<T: float>[N](a: T[N], b: T[N]) -> (y: T[N]):\n    y[i] = a[i] + b[i]\n\n# k(f32, f16)\n",
        "kernel add<T: float>[N](a: T[N], b: T[N]) -> (y: T[N]):\n    y[i] = a[i] + b[i]\n\n# k(f16, f16)\n",
        "call",
    ),
    _file(
        "TW0312",
        "A const without a value",
        "A `const` without a default is given by the caller, by its name.",
        "kernel f[N](x: f32[N]; const c: int) -> (y: f32[N]):\n    y[i] = c * x[i]\n\n# k(x)\n",
        "kernel f[N](x: f32[N]; const c: int) -> (y: f32[N]):\n    y[i] = c * x[i]\n\n# k(x, c=3)\n",
        "call",
    ),
    _body(
        "TW0313",
        "A constant that is too large",
        "Integers of the program text are exact; what is computed from them has at most 128 bits, and at most 64 "
        "where it meets an index at run time.",
        "y[i, j] = x[i, j] * (3 ** 100)",
        "y[i, j] = x[i, j] * 3.0 ** 100",
    ),
    _body(
        "TW0314",
        "Division by zero",
        "The divisor of `//` or `%` is the constant 0.",
        "y[i, j] = x[i, j % 0]",
        "y[i, j] = x[i, j % N]",
    ),
    _body(
        "TW0315",
        "An operator that needs integers",
        "`//`, `%`, `~`, shifts and bit operations work on integers. For floats write `floor(a / b)`; for conditions "
        "`and`, `or`, `not`.",
        "y[i, j] = x[i, j] // 2",
        "y[i, j] = floor(x[i, j] / 2)",
    ),
    _body(
        "TW0317",
        "A negative power of an integer, or a negative shift",
        "The result would be no integer. Make the base a float.",
        "y[i, j] = x[i, j] * id[i] ** -1",
        "y[i, j] = x[i, j] * f32(id[i]) ** -1",
    ),
    _body(
        "TW0318",
        "segment without offsets",
        "`segment(off, t)` takes the name of a non-decreasing integer tensor of rank 1.",
        "y[i, j] = segment(v, j)",
        "y[i, j] = segment(id, j)",
    ),
    _file(
        "TW0319",
        "tf32 of something that is not f32",
        "`tf32(x)` lets a factor of a contraction that is f32 use the shorter product of the tensor cores.",
        "kernel f[N](x: f64[N]) -> (y: f64[N]):\n    y[i] = tf32(x[i])\n",
        "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = tf32(x[i])\n",
    ),
)

MACROS = (
    _body(
        "TW0701",
        "The wrong number of arguments for a macro",
        "A macro takes as many arguments as it has parameters.",
        "y[i, j] = blend(x[i, j])",
        "y[i, j] = blend(x[i, j], v[j])",
        "def blend(p, q) = 0.5 * p + 0.5 * q\n",
    ),
    _body(
        "TW0702",
        "The wrong number of indices for a macro",
        "A macro with one index parameter takes one binder or several; one with more takes exactly as many.",
        "y[i, j] = total(x[i, j])",
        "y[i, j] = total[k](x[i, k])",
        "def total[k](p) = sum[k](p)\n",
    ),
    _file(
        "TW0703",
        "A macro uses itself",
        "Macros are replaced by their bodies, so that none can contain itself. A fixed count of steps is an index.",
        "def power(x) = x * power(x)\n",
        "def cube(x) = x * x * x\n",
    ),
    _body(
        "TW0704",
        "A macro that cannot be bounded",
        "A bound on a macro's index goes to the reductions over it. A macro that also uses the index outside a "
        "reduction has no meaning there; put the bound into the argument.",
        "y[i, j] = share[j where j <= i](x[i, j])",
        "y[i, j] = share[j](x[i, j] if j <= i else 0)",
        "def share[k](p) = p / sum[k](p)\n",
    ),
    _body(
        "TW0705",
        "One index that stands for several",
        "A macro with one index parameter may be used with several binders, if it uses the index in reductions alone.",
        "y[i, j] = place[p, q](x[p, q])",
        "y[i, j] = place[q](x[i, q])",
        "def place[k](t) = sum[k](t * k)\n",
    ),
    _file(
        "TW0706",
        "A macro sees only its parameters",
        "The body of a macro knows its parameters, the indices that it binds, built-ins and macros; dims, scalars and "
        "tensors of a kernel are passed.",
        "def scaled(x) = x / N\n",
        "def scaled(x, N) = x / N\n",
    ),
    _body(
        "TW0707",
        "An argument of the wrong kind for a macro",
        "What a macro calls as a type must be given a type, what it reads with subscripts the name of a tensor.",
        "y[i, j] = at(v[j], j)",
        "y[i, j] = at(v, j)",
        "def at(t, k) = t[k]\n",
    ),
)

WORDS: tuple[Entry, ...] = (*NAMES, *TYPES, *MACROS)
