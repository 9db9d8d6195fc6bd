"""Launches built by hand at the tensor level, with the NumPy meaning of each, for tests of the tiling passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.dialect import functions
from tilewright.dialect import tensor as tw
from tilewright.dialect.folds import FoldKind, constant_of
from tilewright.dialect.mlir import arith, func, ir, math

PROVED, GATHER, GUARDED = tw.ReadMode.PROVED, tw.ReadMode.GATHER, tw.ReadMode.GUARDED
Arrays = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A launch: how to build it, inputs for given dims, and its expected outputs in float64."""

    name: str
    dims: tuple[str, ...]
    build: Callable[[], Any]
    inputs: Callable[[np.random.Generator, dict[str, int]], Arrays]
    expected: Callable[[Arrays, dict[str, int]], Arrays]


def launch(
    name: str,
    dims: Sequence[str],
    arguments: Sequence[tuple[str, Sequence[str], str]],
    results: Sequence[tuple[str, Sequence[str], str]],
    grid: tuple[Sequence[str], Sequence[Sequence[int]]],
    body: Callable[..., Sequence[Any]],
) -> Any:
    """A launch function at the current insertion point; shapes are lists of dims."""
    function = func.FuncOp(name, ([_tensor(s, t) for _, s, t in arguments], [_tensor(s, t) for _, s, t in results]))
    functions.set_dims(function, dims, "tw")
    functions.set_arguments(function, [functions.Argument(n, t, _shape(s, dims)) for n, s, t in arguments], "tw")
    functions.set_results(
        function, [functions.Argument(n, t, _shape(s, dims), role="out") for n, s, t in results], "tw"
    )
    functions.set_grid(function, functions.Grid(_shape(grid[0], dims), tuple(tuple(p) for p in grid[1])))
    block = function.add_entry_block()
    with ir.InsertionPoint(block):
        func.ReturnOp(list(body(*block.arguments)))
    return function.operation


def element(dtype: str) -> Any:
    kinds = {"f32": ir.F32Type.get, "f64": ir.F64Type.get, "i32": lambda: ir.IntegerType.get_signless(32)}
    kinds |= {"i64": lambda: ir.IntegerType.get_signless(64), "bool": lambda: ir.IntegerType.get_signless(1)}
    return kinds[dtype]()


def _tensor(shape: Sequence[str], dtype: str) -> Any:
    return ir.RankedTensorType.get([ir.ShapedType.get_dynamic_size()] * len(shape), element(dtype))


def _shape(shape: Sequence[str], dims: Sequence[str]) -> Any:
    return ir.AffineMap.get(0, len(dims), [ir.AffineSymbolExpr.get(list(dims).index(d)) for d in shape])


def domain(indices: str, extents: Sequence[str], dims: Sequence[str], parallel: int | None = None) -> tw.Domain:
    return tw.box(list(indices), [ir.AffineSymbolExpr.get(list(dims).index(d)) for d in extents], len(dims), parallel)


def below(values: tw.Domain, greater: int, less: int) -> tw.Domain:
    """The domain with the constraint ``index greater >= index less``."""
    expr = ir.AffineDimExpr.get(greater) - ir.AffineDimExpr.get(less)
    symbols = values.extents.n_symbols
    constraints = ir.AffineMap.get(len(values.indices), symbols, [expr])
    return tw.Domain(values.indices, values.parallel, values.extents, constraints)


def at(tensor: Any, *subscripts: Any) -> Any:
    return tw.read(tensor, list(subscripts), [PROVED] * len(subscripts))


# ---------------------------------------------------------------- softmax

MN = ("M", "N")


def _softmax() -> Any:
    def body(x: Any) -> Sequence[Any]:
        rows = domain("ij", MN, MN, 1)
        (top,) = tw.fold(rows, [FoldKind.MAX], lambda i, j: [at(x, i, j)])
        (total,) = tw.fold(rows, [FoldKind.ADD], lambda i, j: [math.exp(arith.subf(at(x, i, j), at(top, i)))])
        return tw.map_(
            domain("ij", MN, MN),
            lambda i, j: [arith.divf(math.exp(arith.subf(at(x, i, j), at(top, i))), at(total, i))],
        )

    return launch("softmax", MN, [("x", MN, "f32")], [("y", MN, "f32")], (["M"], [[0]]), body)


def _softmax_expected(arrays: Arrays, dims: dict[str, int]) -> Arrays:
    x = arrays["x"].astype(np.float64)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return {"y": e / e.sum(axis=1, keepdims=True)}


SOFTMAX = Case(
    "softmax",
    MN,
    _softmax,
    lambda rng, d: {"x": rng.normal(size=(d["M"], d["N"])).astype(np.float32)},
    _softmax_expected,
)

# ---------------------------------------------------------------- linear with bias

MNK = ("M", "N", "K")


def _linear() -> Any:
    def body(x: Any, w: Any, b: Any) -> Sequence[Any]:
        (acc,) = tw.fold(
            domain("ijk", MNK, MNK, 2), [FoldKind.ADD], lambda i, j, k: [arith.mulf(at(x, i, k), at(w, j, k))]
        )
        return tw.map_(domain("ij", MN, MNK), lambda i, j: [arith.addf(at(acc, i, j), at(b, j))])

    arguments = [("x", ("M", "K"), "f32"), ("w", ("N", "K"), "f32"), ("b", ("N",), "f32")]
    return launch("linear", MNK, arguments, [("y", MN, "f32")], (["M", "N"], [[0, 1]]), body)


LINEAR = Case(
    "linear",
    MNK,
    _linear,
    lambda rng, d: {
        "x": rng.normal(size=(d["M"], d["K"])).astype(np.float32),
        "w": rng.normal(size=(d["N"], d["K"])).astype(np.float32),
        "b": rng.normal(size=(d["N"],)).astype(np.float32),
    },
    lambda a, d: {"y": a["x"].astype(np.float64) @ a["w"].astype(np.float64).T + a["b"]},
)

# ---------------------------------------------------------------- a product that two results read


def _twice() -> Any:
    def body(x: Any, w: Any) -> Sequence[Any]:
        (acc,) = tw.fold(
            domain("ijk", MNK, MNK, 2), [FoldKind.ADD], lambda i, j, k: [arith.mulf(at(x, i, k), at(w, k, j))]
        )
        (square,) = tw.map_(domain("rc", MN, MNK), lambda i, j: [arith.mulf(at(acc, i, j), at(acc, i, j))])
        return [acc, square]

    arguments = [("x", ("M", "K"), "f32"), ("w", ("K", "N"), "f32")]
    results = [("y", MN, "f32"), ("z", MN, "f32")]
    return launch("twice", MNK, arguments, results, (["M", "N"], [[0, 1], [0, 1]]), body)


TWICE = Case(
    "twice",
    MNK,
    _twice,
    lambda rng, d: {
        "x": rng.normal(size=(d["M"], d["K"])).astype(np.float32),
        "w": rng.normal(size=(d["K"], d["N"])).astype(np.float32),
    },
    lambda a, d: {
        "y": a["x"].astype(np.float64) @ a["w"],
        "z": (a["x"].astype(np.float64) @ a["w"]) ** 2,
    },
)

# ---------------------------------------------------------------- a triangular sum (affine constraint)

N2 = ("N", "N")


def _triangle() -> Any:
    def body(x: Any) -> Sequence[Any]:
        lower = below(domain("ij", N2, ("N",), 1), 0, 1)
        return tw.fold(lower, [FoldKind.ADD], lambda i, j: [at(x, i, j)])

    return launch("triangle", ("N",), [("x", N2, "f32")], [("y", ("N",), "f32")], (["N"], [[0]]), body)


TRIANGLE = Case(
    "triangle",
    ("N",),
    _triangle,
    lambda rng, d: {"x": rng.normal(size=(d["N"], d["N"])).astype(np.float32)},
    lambda a, d: {"y": np.tril(a["x"].astype(np.float64)).sum(axis=1)},
)

# ---------------------------------------------------------------- sums of ragged length (data-dependent bound)


def _lengths() -> Any:
    def body(x: Any, lengths: Any) -> Sequence[Any]:
        index = ir.IndexType.get()

        def bounds(i: Any) -> list[Any]:
            return [constant_of(index, 0), arith.index_cast(index, at(lengths, i))]

        return tw.fold(domain("ij", MN, MN, 1), [FoldKind.ADD], lambda i, j: [at(x, i, j)], bounds=bounds)

    arguments = [("x", MN, "f32"), ("len", ("M",), "i32")]
    return launch("lengths", MN, arguments, [("y", ("M",), "f32")], (["M"], [[0]]), body)


LENGTHS = Case(
    "lengths",
    MN,
    _lengths,
    lambda rng, d: {
        "x": rng.normal(size=(d["M"], d["N"])).astype(np.float32),
        "len": rng.integers(0, d["N"] + 1, size=d["M"]).astype(np.int32),
    },
    lambda a, d: {"y": np.array([row[:n].astype(np.float64).sum() for row, n in zip(a["x"], a["len"], strict=True)])},
)

# ---------------------------------------------------------------- argmax (a fold of pairs)


def _argmax() -> Any:
    def body(x: Any) -> Sequence[Any]:
        _, where = tw.fold(domain("ij", MN, MN, 1), [FoldKind.ARGMAX], lambda i, j: [at(x, i, j), j])
        i64 = ir.IntegerType.get_signless(64)
        return tw.map_(domain("i", ("M",), MN), lambda i: [arith.index_cast(i64, at(where, i))])

    return launch("argmax", MN, [("x", MN, "f32")], [("y", ("M",), "i64")], (["M"], [[0]]), body)


ARGMAX = Case(
    "argmax",
    MN,
    _argmax,
    lambda rng, d: {"x": rng.integers(0, 4, size=(d["M"], d["N"])).astype(np.float32)},
    lambda a, d: {"y": a["x"].argmax(axis=1)},
)

# ---------------------------------------------------------------- a shifted read with a guard

ONE = ("N",)


def _shift() -> Any:
    def body(x: Any) -> Sequence[Any]:
        def point(i: Any) -> list[Any]:
            before = arith.subi(i, constant_of(ir.IndexType.get(), 1))
            outside = constant_of(ir.F32Type.get(), 7.0)
            return [arith.addf(at(x, i), tw.read(x, [before], [GUARDED], otherwise=outside))]

        return tw.map_(domain("i", ONE, ONE), point)

    return launch("shift", ONE, [("x", ONE, "f32")], [("y", ONE, "f32")], (["N"], [[0]]), body)


SHIFT = Case(
    "shift",
    ONE,
    _shift,
    lambda rng, d: {"x": rng.normal(size=d["N"]).astype(np.float32)},
    lambda a, d: {"y": a["x"] + np.concatenate([[7.0], a["x"].astype(np.float64)[:-1]])},
)

# ---------------------------------------------------------------- column sums (lanes along a result axis)


def _columns() -> Any:
    def body(x: Any) -> Sequence[Any]:
        return tw.fold(domain("ji", ("N", "M"), MN, 1), [FoldKind.ADD], lambda j, i: [at(x, i, j)])

    return launch("columns", MN, [("x", MN, "f32")], [("y", ("N",), "f32")], (["N"], [[0]]), body)


COLUMNS = Case(
    "columns",
    MN,
    _columns,
    lambda rng, d: {"x": rng.normal(size=(d["M"], d["N"])).astype(np.float32)},
    lambda a, d: {"y": a["x"].astype(np.float64).sum(axis=0)},
)

CASES = (SOFTMAX, LINEAR, TWICE, TRIANGLE, LENGTHS, ARGMAX, SHIFT, COLUMNS)
