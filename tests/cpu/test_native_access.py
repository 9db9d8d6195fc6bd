"""Loads and stores in native code: strides, layouts, guards, gathers, masks, stages, run-time checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.cpu.native_programs import (
    NUMPY,
    Kernel,
    build,
    constant,
    dims_map,
    element,
    identity,
    scalar,
    splat,
    tensor,
)  # fmt: skip
from tilewright.dialect import ods, tile
from tilewright.dialect.folds import FoldKind
from tilewright.dialect.mlir import arith, ir, scf
from tilewright.runtime import cpu

Access = tile.Access


def expr(*results: Any, axes: int) -> Any:
    """An affine map from ``axes`` axes; an int is a constant result."""
    return ir.AffineMap.get(axes, 0, [ir.AffineExpr.get_constant(r) if isinstance(r, int) else r for r in results])


def axis(number: int) -> Any:
    return ir.AffineExpr.get_dim(number)


def left(size: Any, start: Any) -> Any:
    return arith.subi(size, start)


def copy_2d(dtype: str, shape: tuple[int, int], layout: str = "row", transposed: bool = False) -> Kernel:
    """y = x or its transpose, by tiles of ``shape``."""
    out = ["N", "M"] if transposed else ["M", "N"]
    arguments = [tensor("x", dtype, ["M", "N"], layout=layout), tensor("y", dtype, out, "out")]

    def body(x: Any, y: Any, m: Any, n: Any) -> None:
        def cell(i: Any, j: Any) -> None:
            limits = ((0, left(m, i)), (1, left(n, j)))
            value = tile.load(Access(x, (i, j), identity(2), limits=limits), shape)
            if transposed:
                tile.store(value, Access(y, (j, i), dims_map(2, 1, 0), limits=limits))
            else:
                tile.store(value, Access(y, (i, j), identity(2), limits=limits))

        tile.grid([m, n], shape, cell)

    return build(["M", "N"], arguments, body)


SHAPES = [(1, 1), (1, 7), (7, 1), (8, 8), (9, 31), (13, 33), (17, 64)]


@pytest.mark.parametrize("dtype", ["f32", "bf16", "f64", "bool", "i8", "i64"])
@pytest.mark.parametrize("shape", [(4, 16), (1, 32), (6, 5), (8, 1), (3, 12)])
def test_copies_of_every_tile_shape(dtype: str, shape: tuple[int, int]) -> None:
    kernel = copy_2d(dtype, shape)
    for m, n in SHAPES:
        x = np.random.default_rng(m * n).integers(0, 2, (m, n)).astype(NUMPY[dtype])
        y = np.zeros_like(x)
        kernel(x, y, m, n)
        assert np.array_equal(x, y)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("layout", ["row", "order(1, 0)", "strided"])
def test_layouts_and_transposition(layout: str, transposed: bool) -> None:
    kernel = copy_2d("f32", (8, 16), layout, transposed)
    for m, n in SHAPES:
        values = np.random.default_rng(m + n).standard_normal((m, n)).astype(np.float32)
        if layout == "strided":
            x = np.zeros((2 * m, 3 * n), np.float32)[::2, ::-3]
            x[:] = values
        else:
            x = np.asarray(values, order="C" if layout == "row" else "F")
        y = np.zeros((n, m) if transposed else (m, n), np.float32)
        kernel(x, y, m, n)
        assert np.array_equal(y, values.T if transposed else values)


@pytest.mark.parametrize("dtype", ["bf16", "f64", "bool", "i32"])
@pytest.mark.parametrize("shape", [(8, 8), (4, 6), (16, 3), (6, 4)])
def test_transposes_in_registers(dtype: str, shape: tuple[int, int]) -> None:
    """Tiles with and without whole blocks of four."""
    kernel = copy_2d(dtype, shape, transposed=True)
    for m, n in SHAPES:
        x = np.random.default_rng(m * n).integers(0, 2, (m, n)).astype(NUMPY[dtype])
        y = np.zeros((n, m), NUMPY[dtype])
        kernel(x, y, m, n)
        assert np.array_equal(y, x.T)


@pytest.mark.parametrize("dtype", ["f32", "f16", "i8", "f64"])
@pytest.mark.parametrize("step", [1, 2, -1])
def test_guarded_dims_give_otherwise(dtype: str, step: int) -> None:
    """y[i] = x[step * i - 3] else 7, which leaves the view on both sides."""
    arguments = [tensor("x", dtype, ["N"]), tensor("y", dtype, ["M"], "out")]

    def body(x: Any, y: Any, m: Any, n: Any) -> None:
        def cell(i: Any) -> None:
            start = arith.subi(arith.muli(i, constant(step)), constant(3))
            access = Access(x, (start,), expr(step * axis(0), axes=1), guarded=(0,))
            value = tile.load(access, [24], splat([24], dtype, 7))
            tile.store(value, Access(y, (i,), identity(1), limits=((0, left(m, i)),)))

        tile.grid([m], [24], cell)

    kernel = build(["M", "N"], arguments, body)
    for m, n in ((1, 1), (5, 3), (40, 17), (100, 100)):
        x = np.arange(1, n + 1).astype(NUMPY[dtype])
        y = np.zeros(m, NUMPY[dtype])
        kernel(x, y, m, n)
        at = step * np.arange(m) - 3
        inside = (at >= 0) & (at < n)
        assert np.array_equal(y, np.where(inside, x[np.where(inside, at, 0)], np.asarray(7, y.dtype)))


@pytest.mark.parametrize("axes", [(0,), (0, 1)])
def test_guarded_windows_of_two_dims(axes: tuple[int, ...]) -> None:
    """y[i, j] = x[i + 1, j - 2] else 0; guards that are the same along a row and ones that are not."""
    arguments = [tensor("x", "f32", ["M", "N"]), tensor("y", "f32", ["M", "N"], "out")]

    def body(x: Any, y: Any, m: Any, n: Any) -> None:
        def cell(i: Any, j: Any) -> None:
            shift = 2 if 1 in axes else 0
            access = Access(x, (i, j), expr(axis(0) + 1, axis(1) - shift, axes=2), guarded=axes,
                            limits=((1, left(n, j)),))  # fmt: skip
            value = tile.load(access, [4, 16])
            tile.store(value, Access(y, (i, j), identity(2), limits=((0, left(m, i)), (1, left(n, j)))))

        tile.grid([m, n], [4, 16], cell)

    kernel = build(["M", "N"], arguments, body)
    for m, n in SHAPES:
        x = np.random.default_rng(m).standard_normal((m, n)).astype(np.float32)
        y = np.ones_like(x)
        kernel(x, y, m, n)
        assert np.array_equal(y, kernel.interpret(x, y, m, n)["y"])
        shift = 2 if 1 in axes else 0
        expected = np.zeros_like(x)
        expected[:-1, shift:] = x[1:, : n - shift] if shift < n else 0
        assert np.array_equal(y, expected)


def gather(dtype: str, mode: str) -> Kernel:
    """y[i, j] = x[index[i], j]."""
    arguments = [
        tensor("x", dtype, ["R", "N"]), tensor("index", "i32", ["M"]), tensor("y", dtype, ["M", "N"], "out"),
    ]  # fmt: skip

    def body(x: Any, index: Any, y: Any, m: Any, n: Any, r: Any) -> None:
        def cell(i: Any, j: Any) -> None:
            rows = tile.load(Access(index, (i,), identity(1), limits=((0, left(m, i)),)), [4])
            rows = arith.index_cast(tile.tile_type([4], ods.index_type()), rows)
            rows = tile.broadcast(rows, [0], [4, 16])
            limits = ((0, left(m, i)), (1, left(n, j)))
            known = {"guarded": (0,)} if mode == "guarded" else {"checked": (0,)} if mode == "checked" else {}
            access = Access(x, (constant(0), j), expr(0, axis(1), axes=2), gathers=((0, rows),), limits=limits, **known)
            tile.store(tile.load(access, [4, 16]), Access(y, (i, j), identity(2), limits=limits))

        tile.grid([m, n], [4, 16], cell)

    return build(["M", "N", "R"], arguments, body)


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("mode", ["proved", "guarded", "checked"])
def test_gathers(mode: str, dtype: str) -> None:
    kernel = gather(dtype, mode)
    generator = np.random.default_rng(4)
    x = generator.standard_normal((11, 37)).astype(NUMPY[dtype])
    low, high = (-5, 17) if mode == "guarded" else (0, 11)
    index = generator.integers(low, high, 23).astype(np.int32)
    y = np.zeros((23, 37), NUMPY[dtype])
    kernel(x, index, y, 23, 37, 11)
    inside = (index >= 0) & (index < 11)
    assert np.array_equal(y, np.where(inside[:, None], x[np.where(inside, index, 0)], np.zeros((), y.dtype)))


@pytest.mark.parametrize("bad", [11, -1, 2**31 - 1])
def test_a_gather_outside_sets_the_status_and_touches_nothing(bad: int) -> None:
    kernel = gather("f32", "checked")
    x, index, y = np.ones((11, 37), np.float32), np.zeros(23, np.int32), np.zeros((23, 37), np.float32)
    index[13] = bad
    with pytest.raises(cpu.NativeCheckFailed) as caught:
        kernel(x, index, y, 23, 37, 11)
    assert caught.value.site == 1 and len(kernel.code.sites["k"]) == 1
    assert not y[13].any() and y[12].all()


def test_gathers_along_the_vector_axis_and_index_tiles() -> None:
    """y[i] = x[(3 * i) % N] with the subscripts computed as a tile."""
    arguments = [tensor("x", "f32", ["N"]), tensor("y", "f32", ["N"], "out")]

    def body(x: Any, y: Any, n: Any) -> None:
        def cell(i: Any) -> None:
            position = arith.addi(tile.iota([16], 0), tile.splat(i, [16]))
            thrice = arith.muli(position, tile.splat(constant(3), [16]))
            subscript = arith.remui(thrice, tile.splat(n, [16]))
            value = tile.load(Access(x, (constant(0),), expr(0, axes=1), gathers=((0, subscript),)), [16])
            tile.store(value, Access(y, (i,), identity(1), limits=((0, left(n, i)),)))

        tile.grid([n], [16], cell)

    kernel = build(["N"], arguments, body)
    for n in (1, 5, 16, 47):
        x, y = np.arange(n, dtype=np.float32), np.zeros(n, np.float32)
        kernel(x, y, n)
        assert np.array_equal(y, x[(3 * np.arange(n)) % n])


@pytest.mark.parametrize("dtype", ["f32", "f64", "bf16", "i8"])
def test_active_elements_and_otherwise_tiles(dtype: str) -> None:
    """y = x where c else z for the load; stored only where c."""
    arguments = [
        tensor("c", "bool", ["N"]), tensor("x", dtype, ["N"]), tensor("z", dtype, ["N"]),
        tensor("y", dtype, ["N"], "out"), tensor("w", dtype, ["N"], "out"),
    ]  # fmt: skip

    def body(c: Any, x: Any, z: Any, y: Any, w: Any, n: Any) -> None:
        def cell(i: Any) -> None:
            limits = ((0, left(n, i)),)
            condition = tile.load(Access(c, (i,), identity(1), limits=limits), [32])
            other = tile.load(Access(z, (i,), identity(1), limits=limits), [32])
            value = tile.load(Access(x, (i,), identity(1), limits=limits, active=condition), [32], other)
            tile.store(value, Access(y, (i,), identity(1), limits=limits))
            tile.store(value, Access(w, (i,), identity(1), limits=limits, active=condition))

        tile.grid([n], [32], cell)

    kernel = build(["N"], arguments, body)
    for n in (1, 9, 64, 75):
        generator = np.random.default_rng(n)
        c = generator.random(n) < 0.5
        x, z = (generator.integers(1, 100, n).astype(NUMPY[dtype]) for _ in range(2))
        y, w = np.zeros(n, NUMPY[dtype]), np.full(n, 5).astype(NUMPY[dtype])
        kernel(c, x, z, y, w, n)
        assert np.array_equal(y, np.where(c, x, z))
        assert np.array_equal(w, np.where(c, x, np.full(n, 5).astype(w.dtype)))


@pytest.mark.parametrize("dtype", ["f32", "i32", "bf16"])
@pytest.mark.parametrize("kind", [FoldKind.ADD, FoldKind.MAX])
def test_stores_that_combine(kind: FoldKind, dtype: str) -> None:
    arguments = [tensor("x", dtype, ["N"]), tensor("y", dtype, ["N"], "inout")]

    def body(x: Any, y: Any, n: Any) -> None:
        def cell(i: Any) -> None:
            limits = ((0, left(n, i)),)
            value = tile.load(Access(x, (i,), identity(1), limits=limits), [32])
            tile.store(value, Access(y, (i,), identity(1), limits=limits), combine=kind)

        tile.grid([n], [32], cell)

    kernel = build(["N"], arguments, body)
    for n in (3, 32, 45):
        x, y = (np.random.default_rng(s).integers(-9, 9, n).astype(NUMPY[dtype]) for s in (n, n + 1))
        expected = x + y if kind is FoldKind.ADD else np.maximum(x, y)
        kernel(x, y, n)
        assert np.array_equal(y, expected)


def test_scalars_of_every_dtype_arrive() -> None:
    dtypes = ["bool", "i8", "u16", "i32", "i64", "f16", "bf16", "f32", "f64"]
    arguments: list[Any] = [scalar(f"s_{d}", d) for d in dtypes]
    arguments += [tensor(f"y_{d}", d, ["N"], "out") for d in dtypes]

    def body(*values: Any) -> None:
        scalars, views, n = values[: len(dtypes)], values[len(dtypes) : -1], values[-1]

        def cell(i: Any) -> None:
            for value, view in zip(scalars, views, strict=True):
                tile.store(tile.splat(value, [8]), Access(view, (i,), identity(1), limits=((0, left(n, i)),)))

        tile.grid([n], [8], cell)

    kernel = build(["N"], arguments, body)
    numbers = [True, -5, 60000, -(2**31), 2**40 + 1, 1.5, -2.5, 3.14159, 2.718281828459045]
    results = [np.zeros(11, NUMPY[d]) for d in dtypes]
    kernel(*numbers, *results, 11)
    for dtype, number, result in zip(dtypes, numbers, results, strict=True):
        assert (result == np.asarray(number).astype(NUMPY[dtype])).all(), dtype


def test_stages_are_cleared_where_their_fill_leaves_holes() -> None:
    """A buffer of 16 filled only up to N % 16, then read wholly; sizes depend on the cell."""
    arguments = [tensor("x", "f32", ["N"]), tensor("y", "f32", ["N"], "out")]

    def body(x: Any, y: Any, n: Any) -> None:
        def cell(i: Any) -> None:
            rest = arith.minsi(constant(16), left(n, i))
            size = arith.addi(rest, constant(16))

            def fill(buffer: Any) -> None:
                value = tile.load(Access(x, (i,), identity(1), limits=((0, rest),)), [16], splat([16], "f32", 9))
                tile.store(value, Access(buffer, (constant(0),), identity(1), limits=((0, rest),)))

            buffer = tile.stage([size], element("f32"), fill)
            reversed_ = tile.load(Access(buffer, (constant(15),), expr(-1 * axis(0), axes=1)), [16])
            tile.store(reversed_, Access(y, (i,), identity(1), limits=((0, rest),)))

        tile.grid([n], [16], cell)

    kernel = build(["N"], arguments, body)
    for n in (16, 21, 32):
        x, y = np.arange(1, n + 1, dtype=np.float32), np.zeros(n, np.float32)
        kernel(x, y, n)
        padded = np.zeros(-(-n // 16) * 16, np.float32)
        padded[:n] = x
        assert np.array_equal(y, padded.reshape(-1, 16)[:, ::-1].reshape(-1)[:n])


def test_stages_may_hold_subscripts() -> None:
    """A buffer of index: positions are computed once, stored, and used to gather."""
    arguments = [tensor("x", "f32", ["N"]), tensor("y", "f32", ["N"], "out")]

    def body(x: Any, y: Any, n: Any) -> None:
        def cell(i: Any) -> None:
            limits = ((0, left(n, i)),)

            def fill(buffer: Any) -> None:
                position = arith.addi(tile.iota([16], 0), tile.splat(i, [16]))
                backwards = arith.subi(tile.splat(arith.subi(n, constant(1)), [16]), position)
                tile.store(backwards, Access(buffer, (constant(0),), identity(1), limits=limits))

            buffer = tile.stage([16], ods.index_type(), fill)
            subscript = tile.load(Access(buffer, (constant(0),), identity(1), limits=limits), [16])
            access = Access(x, (constant(0),), expr(0, axes=1), gathers=((0, subscript),), limits=limits)
            value = tile.load(access, [16])
            tile.store(value, Access(y, (i,), identity(1), limits=limits))

        tile.grid([n], [16], cell)

    kernel = build(["N"], arguments, body)
    for n in (1, 16, 37):
        x, y = np.arange(n, dtype=np.float32), np.zeros(n, np.float32)
        kernel(x, y, n)
        assert np.array_equal(y, x[::-1])


def test_branches_carry_tiles() -> None:
    """Rows of even number are negated, odd ones doubled; a loop carries three kinds of values through the branch."""
    arguments = [tensor("x", "bf16", ["M", "N"]), tensor("y", "f32", ["M", "N"], "out")]

    def body(x: Any, y: Any, m: Any, n: Any) -> None:
        def cell(i: Any) -> None:
            even = arith.cmpi(arith.CmpIPredicate.eq, arith.remui(i, constant(2)), constant(0))
            loop = scf.ForOp(constant(0), n, constant(8), [])
            with ir.InsertionPoint(loop.body):
                j = loop.induction_variable
                access = Access(x, (i, j), expr(0, axis(0), axes=1), limits=((0, left(n, j)),))
                wide = arith.extf(tile.tile_type([8], element("f32")), tile.load(access, [8]))
                branch = scf.IfOp(even, [wide.type], has_else=True)
                with ir.InsertionPoint(branch.then_block):
                    scf.yield_([arith.negf(wide)])
                with ir.InsertionPoint(branch.else_block):
                    scf.yield_([arith.addf(wide, wide)])
                out = Access(y, (i, j), expr(0, axis(0), axes=1), limits=((0, left(n, j)),))
                tile.store(branch.results[0], out)
                scf.yield_([])

        tile.grid([m], [1], cell)

    kernel = build(["M", "N"], arguments, body)
    x = np.random.default_rng(6).standard_normal((5, 19)).astype(NUMPY["bf16"])
    y = np.zeros((5, 19), np.float32)
    kernel(x, y, 5, 19)
    wide = x.astype(np.float32)
    assert np.array_equal(y, np.where(np.arange(5)[:, None] % 2 == 0, -wide, wide + wide))


def test_long_chains_of_ops_do_not_nest_python_calls() -> None:
    arguments = [tensor("x", "f32", ["N"]), tensor("y", "f32", ["N"], "out")]

    def body(x: Any, y: Any, n: Any) -> None:
        def cell(i: Any) -> None:
            limits = ((0, left(n, i)),)
            value = tile.load(Access(x, (i,), identity(1), limits=limits), [8])
            one = splat([8], "f32", 1)
            for _ in range(3_000):
                value = arith.addf(value, one)
            tile.store(value, Access(y, (i,), identity(1), limits=limits))

        tile.grid([n], [8], cell)

    x, y = np.zeros(5, np.float32), np.zeros(5, np.float32)
    build(["N"], arguments, body)(x, y, 5)
    assert (y == 3_000).all()
