"""Owns the entries for indices and extents (TW04), bounds (TW05), statements and order (TW06), and what is missing."""

from __future__ import annotations

from tilewright.compiler.language.catalogue.entry import Entry
from tilewright.compiler.language.catalogue.example import body_entry as _body
from tilewright.compiler.language.catalogue.example import file_entry as _file

INDICES = (
    _body(
        "TW0401",
        "The wrong number of subscripts",
        "A tensor is read and written with as many subscripts as it has dimensions.",
        "y[i, j] = x[i]",
        "y[i, j] = x[i, j]",
    ),
    _body(
        "TW0402",
        "A tensor without subscripts",
        "Values are computed point by point: a tensor is read at a point.",
        "y[i, j] = v * x[i, j]",
        "y[i, j] = v[j] * x[i, j]",
    ),
    _body(
        "TW0403",
        "A subscript that is no integer",
        "Subscripts, extents and bounds are integers. `/` gives a float; `//` rounds down.",
        "y[i, j] = v[j / 2]",
        "y[i, j] = v[j // 2]",
    ),
    _body(
        "TW0404",
        "An index that nothing binds",
        "An index stands on the left or is bound by a reduction. There is no implicit sum.",
        "y[i, j] = x[i, k] * v[k]",
        "y[i, j] = sum[k](x[i, k] * v[k])",
    ),
    _body(
        "TW0405",
        "An index without an extent",
        "An index runs over the dim that it alone subscripts, on the left of an output or in an unguarded read; "
        "elsewhere its extent is written.",
        "s[t] = 2.0 * t\ny[i, j] = x[i, j] * s[0]",
        "s[t: 4] = 2.0 * t\ny[i, j] = x[i, j] * s[0]",
    ),
    _file(
        "TW0406",
        "An index over two extents",
        "The dims that an index alone subscripts must agree.",
        "kernel f[N](x: f32[3, N], w: f32[4]) -> (y: f32[N]):\n    y[i] = sum[k](x[k, i] * w[k])\n",
        "kernel f[N](x: f32[4, N], w: f32[4]) -> (y: f32[N]):\n    y[i] = sum[k](x[k, i] * w[k])\n",
    ),
    _file(
        "TW0407",
        "A dim without a value",
        "A dim is bound by the shape of an input (`X`, `X + c` or `c * X`), or by `require X == …`.",
        "kernel f[N, P](x: f32[N]) -> (y: f32[P]):\n    y[i] = 1\n",
        "kernel f[N, P](x: f32[N]) -> (y: f32[P]):\n    require P == N // 2\n    y[i] = 1\n",
    ),
    _file(
        "TW0408",
        "A require about unknown dims",
        "`require`s are solved in order: a dim that no input binds stands alone on one side of an `==` whose other "
        "side is known.",
        "kernel f[N, P, Q](x: f32[N]) -> (y: f32[P, Q]):\n    require P * Q == N\n    y[i, j] = 1\n",
        "kernel f[N, P, Q](x: f32[N]) -> (y: f32[P, Q]):\n    require P == N // 2\n    require Q == P + 1\n"
        "    y[i, j] = 1\n",
    ),
    _file(
        "TW0409",
        "A require that cannot be met, or speaks about values",
        "`require` is a condition over dims and consts, checked when a kernel is compiled or launched.",
        "kernel f[N](x: f32[N]; s: i32) -> (y: f32[N]):\n    require N > s\n    y[i] = x[i]\n",
        "kernel f[N](x: f32[N]; const s: int = 2) -> (y: f32[N]):\n    require N > s\n    y[i] = x[i]\n",
    ),
    _body(
        "TW0410",
        "Subscripts on a single number",
        "Dims, consts, scalars and names of rank 0 have no subscripts.",
        "y[i, j] = a[i] * x[i, j]",
        "y[i, j] = a * x[i, j]",
    ),
    _file(
        "TW0411",
        "A size that depends on values",
        "The shapes of all results are known before a kernel runs. Give a capacity dim, and a count as an output.",
        "kernel f[N](x: f32[N]; s: i32) -> (y: f32[s]):\n    y[i] = 1\n",
        "kernel f[N](x: f32[N]; const s: int = 8) -> (y: f32[s]):\n    y[i] = 1\n",
    ),
    _body(
        "TW0412",
        "A computed place on the left of a local name",
        "Names that are not outputs are defined at every point of their indices. Outputs and inouts can be scattered "
        "to.",
        "s[i + 1] = x[i, 0]\ny[i, j] = s[i]",
        "s[i] = x[i, 0]\ny[i, j] = s[i]",
    ),
    _body(
        "TW0413",
        "A part of a tensor on the left",
        "A statement defines all of a name. Parts are told apart on the right.",
        "y[i, 0] = x[i, 0]",
        "y[i, z] = x[i, 0] if z == 0 else v[z]",
    ),
    _body(
        "TW0414",
        "A ragged table",
        "All rows of a constant tensor have the same length.",
        "t = [[1, 2], [3]]\ny[i, j] = x[i, j]",
        "t = [[1, 2], [3, 4]]\ny[i, j] = x[i, j] * t[0, 1]",
    ),
    _body(
        "TW0415",
        "An index bound twice",
        "The binders of one reduction have different names.",
        "y[i, j] = sum[k, k](x[i, k])",
        "y[i, j] = sum[k](x[i, k])",
    ),
    _body(
        "TW0416",
        "extent of something that is no index",
        "`extent(j)` is the number of points that an index in scope runs over. A dim is its own value.",
        "y[i, j] = x[i, j] / extent(x)",
        "y[i, j] = x[i, j] / extent(j)",
    ),
    _body(
        "TW0417",
        "cumsum with bounds",
        "`cumsum[t](x)` adds up to the place `t` of an index that is in scope; a bounded sum is written out.",
        "y[i, j] = cumsum[j where j < 2](x[i, j])",
        "y[i, j] = cumsum[j](x[i, j])",
    ),
    _file(
        "TW0418",
        "An order that is no permutation",
        "`order(…)` names every axis once, from the slowest to the fastest.",
        "kernel f[M, N](x: f32[M, N] order(0, 0)) -> (y: f32[M, N]):\n    y[i, j] = x[i, j]\n",
        "kernel f[M, N](x: f32[M, N] order(1, 0)) -> (y: f32[M, N]):\n    y[i, j] = x[i, j]\n",
    ),
)

BOUNDS = (
    _body(
        "TW0501",
        "A read that can leave its tensor",
        "Nothing excludes a shape for which this read is outside. Say what stands there, or exclude the shape with a "
        "`require`; conditions around the read count as proof.",
        "y[i, j] = x[i, j - 1]",
        "y[i, j] = (x[i, j - 1] else 0)",
    ),
    _body(
        "TW0502",
        "A read that leaves its tensor for every shape",
        "This read is never inside. A negative subscript does not count from the end.",
        "y[i, j] = v[-1]",
        "y[i, j] = v[N - 1]",
    ),
    _file(
        "TW0503",
        "A read that leaves its tensor for this shape",
        "Whether the read is inside depends on the dims alone, and was checked when the kernel was called.",
        "kernel last[N](x: f32[N]) -> (y: f32):\n    y = x[N - 1]\n\n# k(an empty array)\n",
        "kernel last[N](x: f32[N]) -> (y: f32):\n    y = x[N - 1]\n\n# k(an array of 3)\n",
        "call",
    ),
    _body(
        "TW0504",
        "A write that can leave its tensor",
        "Nothing excludes a shape for which this write is outside. Points that fail the statement's `where` write "
        "nothing.",
        "y[i, j + 1] = x[i, j]",
        "y[i, j + 1] = x[i, j] where j + 1 < N",
    ),
    _file(
        "TW0505",
        "A division by zero for this shape",
        "An expression over dims divides by one that is 0 for the shapes of this call.",
        "kernel f[N, G](x: f32[N], w: f32[G]) -> (y: f32[N]):\n    require N % G == 0\n    y[i] = x[i]\n\n# G = 0\n",
        "kernel f[N, G](x: f32[N], w: f32[G]) -> (y: f32[N]):\n    require N % G == 0\n    y[i] = x[i]\n\n# G = 2\n",
        "call",
    ),
    _file(
        "TW0506",
        "Dims that one index runs over differ",
        "An index that alone subscripts two dims runs over both, so that they are equal.",
        "kernel dot[K, L](a: f32[K], b: f32[L]) -> (y: f32):\n    y = sum[k](a[k] * b[k])\n\n# K = 3, L = 4\n",
        "kernel dot[K, L](a: f32[K], b: f32[L]) -> (y: f32):\n    y = sum[k](a[k] * b[k])\n\n# K = L = 4\n",
        "call",
    ),
    _file(
        "TW0507",
        "A require is not met",
        "The shapes and consts of this call do not satisfy what the kernel requires.",
        "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    require N % 2 == 0\n    y[i] = x[i]\n\n# N = 3\n",
        "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    require N % 2 == 0\n    y[i] = x[i]\n\n# N = 4\n",
        "call",
    ),
    _file(
        "TW0508",
        "A negative size",
        "A dim or an axis that follows from others is negative for the shapes of this call.",
        "kernel f[N](x: f32[N]) -> (y: f32[N - 2]):\n    y[i] = x[i + 2]\n\n# N = 1\n",
        "kernel f[N](x: f32[N]) -> (y: f32[N - 2]):\n    y[i] = x[i + 2]\n\n# N = 5\n",
        "call",
    ),
)

ORDER = (
    _body(
        "TW0601",
        "A name is read before its statement",
        "Statements are read from top to bottom. Only a recurrence reads what it defines, at earlier points.",
        "y[i, j] = x[i, j] - mu[i]\nmu[i] = mean[k](x[i, k])",
        "mu[i] = mean[k](x[i, k])\ny[i, j] = x[i, j] - mu[i]",
    ),
    _body(
        "TW0602",
        "A recurrence without an order",
        "A statement may read what it defines at earlier points of one index: `t - c` with a constant c, or a bound "
        "`l` with `where l < t`.",
        "s[i] = x[i, 0] + s[id[i]]\ny[i, j] = s[i]",
        "s[i] = x[i, 0] + (s[i - 1] else 0)\ny[i, j] = s[i]",
    ),
    _body(
        "TW0603",
        "A recurrence that steps two indices",
        "One index is stepped. For a dependence along two, step the anti-diagonals `a = i + j`.",
        "y[i, j] = x[i, j] + (y[i - 1, j] else 0) + (y[i, j - 1] else 0)",
        "y[i, j] = x[i, j] + (y[i - 1, j] else 0)",
    ),
    _body(
        "TW0604",
        "A recurrence that needs itself",
        "All reads of a recurrence go the same way along its index, and reads at the same point form no circle.",
        "s[i] = x[i, 0] + (s[i - 1] else 0) + (s[i + 1] else 0)\ny[i, j] = s[i]",
        "s[i] = x[i, 0] + (s[i - 1] else 0)\ny[i, j] = s[i]",
    ),
    _file(
        "TW0605",
        "An in-place read of another element",
        "The statement that changes an `inout` reads it only at the element that it writes; the others may have "
        "changed already.",
        "kernel f[N](inout x: f32[N], w: f32[N]) -> (y: f32):\n    x[i] = w[i] + (x[i - 1] else 0)\n    y = x[0]\n",
        "kernel f[N](inout x: f32[N], w: f32[N]) -> (y: f32):\n    x[i] = w[i] + x[i]\n    y = x[0]\n",
    ),
    _body(
        "TW0606",
        "A name is defined twice",
        "A local name has one statement. An output has one operator, `=`, `+=`, `max=` or `min=`, after at most one "
        "plain `=`.",
        "y[i, j] += x[i, j]\ny[i, j] max= v[j]",
        "y[i, j] += x[i, j]\ny[i, j] += v[j]",
    ),
    _body(
        "TW0607",
        "A local name accumulates",
        "Only outputs and inouts take `+=`, `max=` and `min=`. A sum is written as a reduction.",
        "s[i] += x[i, 0]\ny[i, j] = s[i]",
        "s[i] = sum[k](x[i, k])\ny[i, j] = s[i]",
    ),
    _body(
        "TW0608",
        "A local name with holes",
        "Points that fail a statement's `where` write nothing, which only outputs and inouts allow.",
        "s[i] = x[i, 0] where i > 0\ny[i, j] = s[i]",
        "s[i] = x[i, 0] if i > 0 else 0\ny[i, j] = s[i]",
    ),
    _body(
        "TW0609",
        "A recurrence that is no plain definition",
        "A statement that reads what it defines has one `=` over plain indices, without `where`.",
        "y[i, j] += x[i, j] + (y[i - 1, j] else 0)",
        "y[i, j] = x[i, j] + (y[i - 1, j] else 0)",
    ),
    _file(
        "TW0610",
        "An input is written",
        "Inputs are read alone. `inout` declares a tensor that is changed in place.",
        "kernel f[N](x: f32[N], w: f32[N]) -> (y: f32[N]):\n    w[i] = 2 * x[i]\n    y[i] = w[i]\n",
        "kernel f[N](x: f32[N], inout w: f32[N]) -> (y: f32[N]):\n    w[i] = 2 * x[i]\n    y[i] = w[i]\n",
    ),
    _file(
        "TW0611",
        "A schedule setting that means nothing",
        "Settings are `tile i=64` or `tile s.i=64` for an index of the kernel (of statement `s`), `split`, `warps`, "
        "`stages` and `cluster` with a number. Each must find its place in some launch: an index that no "
        "launch keeps, an option that the target has no use for, or more than 256 points in registers is refused.",
        "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = 2 * x[i]\n\nschedule f for cpu:\n    tile j=64\n",
        "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = 2 * x[i]\n\nschedule f for cpu:\n    tile i=64\n",
    ),
    _file(
        "TW0612",
        "A schedule that asks for more than the target has",
        "A block of threads has at most 32 warps, and the buffers that the tiles and `stages` of a launch ask for must "
        "fit the shared memory of one multiprocessor.",
        "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = 2 * x[i]\n\nschedule f for sm_80:\n    warps 64\n",
        "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = 2 * x[i]\n\nschedule f for sm_80:\n    warps 8\n",
        "compile",
    ),
)

MISSING = (
    _file(
        "TW0901",
        "Not compiled yet",
        "The language has this, the reference interpreter runs it, and no target compiles it yet: scatters and guarded "
        "writes, `inout`, scans, recurrences, selections, `segment`, `rand` and f8.",
        "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[t] = cumsum[t](x[t])\n",
        "kernel f[N](x: f32[N]) -> (y: f32):\n    y = sum[t](x[t])\n",
        "compile",
    ),
    _file(
        "TW0902",
        "Not compiled for this target yet",
        "Other targets compile this kernel, the chosen one has no code for it yet: on GPUs `sin`, `cos` and `pow` of "
        "f64.",
        "kernel f[N](x: f64[N]) -> (y: f64[N]):\n    y[i] = sin(x[i])\n",
        "kernel f[N](x: f64[N]) -> (y: f64[N]):\n    y[i] = exp(x[i])\n",
        "compile",
    ),
    _file(
        "TW0903",
        "Not in the language",
        "Functions as arguments, sorts over several keys, 64-bit unsigned and complex types, and collectives between "
        "devices are outside the language.",
        "kernel f[N](x: u64[N]) -> (y: f32[N]):\n    y[i] = x[i]\n",
        "kernel f[N](x: i64[N]) -> (y: f32[N]):\n    y[i] = x[i]\n",
    ),
)

PLACES: tuple[Entry, ...] = (*INDICES, *BOUNDS, *ORDER, *MISSING)
