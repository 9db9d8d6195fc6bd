"""Whole kernels as hand-written tile programs: row kernels with partial accumulators, products with packed panels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.cpu.native_programs import Kernel, build, constant, dims_map, element, identity, splat, tensor
from tilewright.dialect import tile
from tilewright.dialect.folds import FoldKind
from tilewright.dialect.mlir import arith, ir, math, scf

Access = tile.Access
WIDTH = 32


def loop(start: Any, stop: Any, step: int, inits: Sequence[Any], body: Callable[..., Sequence[Any]]) -> list[Any]:
    """``scf.for``; ``body(index, *carried)`` gives the next carried values."""
    op = scf.ForOp(start, stop, constant(step), list(inits))
    with ir.InsertionPoint(op.body):
        scf.yield_(list(body(op.induction_variable, *op.inner_iter_args)))
    return list(op.results)


def branch(condition: Any, yes: Callable[[], None], no: Callable[[], None]) -> None:
    op = scf.IfOp(condition, has_else=True)
    for block, body in ((op.then_block, yes), (op.else_block, no)):
        with ir.InsertionPoint(block):
            body()
            scf.yield_([])


def affine(axes: int, *results: Any) -> Any:
    """An affine map; an int stands for a constant, ``axis(n)`` for an axis."""
    return ir.AffineMap.get(axes, 0, [ir.AffineExpr.get_constant(r) if isinstance(r, int) else r for r in results])


def axis(number: int) -> Any:
    return ir.AffineExpr.get_dim(number)


def rounded_up(value: Any, step: int) -> Any:
    return arith.muli(arith.divui(arith.addi(value, constant(step - 1)), constant(step)), constant(step))


def rounded_down(value: Any, step: int) -> Any:
    return arith.muli(arith.divui(value, constant(step)), constant(step))


def is_at_least(a: Any, b: Any) -> Any:
    return arith.cmpi(arith.CmpIPredicate.sge, a, b)


# ---------------------------------------------------------------- rows


class Row:
    """One row of a matrix in steps of ``WIDTH``: whole steps first, then one with a limit."""

    def __init__(self, i: Any, n: Any) -> None:
        self.i, self.n = i, n
        self.whole = rounded_down(n, WIDTH)

    def access(self, view: Any, j: Any, limit: Any) -> Access:
        limits = () if limit is None else ((0, limit),)
        if ir.MemRefType(view.type).rank == 1:
            return Access(view, (j,), identity(1), limits=limits)
        return Access(view, (self.i, j), affine(1, 0, axis(0)), limits=limits)

    def fold(self, inits: Sequence[Any], body: Callable[..., Sequence[Any]]) -> list[Any]:
        """``body(j, limit, *carried)``; the limit is None in whole steps."""
        carried = loop(constant(0), self.whole, WIDTH, inits, lambda j, *c: body(j, None, *c))
        return loop(self.whole, self.n, WIDTH, carried, lambda j, *c: body(j, arith.subi(self.n, j), *c))


def spread(scalar: Any) -> Any:
    return tile.broadcast(scalar, [], [WIDTH])


def softmax() -> Kernel:
    arguments = [tensor("x", "f32", ["M", "N"]), tensor("y", "f32", ["M", "N"], "out")]

    def body(x: Any, y: Any, m: Any, n: Any) -> None:
        def cell(i: Any) -> None:
            row = Row(i, n)
            lowest = splat([WIDTH], "f32", float("-inf"))

            def load(view: Any, j: Any, limit: Any, other: Any = None) -> Any:
                return tile.load(row.access(view, j, limit), [WIDTH], other)

            (partial,) = row.fold([lowest], lambda j, limit, a: [arith.maximumf(a, load(x, j, limit, lowest))])
            (largest,) = tile.reduce([partial], [FoldKind.MAX], [0])

            def fill(buffer: Any) -> None:
                def step(j: Any, limit: Any) -> list[Any]:
                    power = math.exp(arith.subf(load(x, j, limit, lowest), spread(largest)))
                    tile.store(power, row.access(buffer, j, limit))
                    return []

                row.fold([], step)

            powers = tile.stage([n], element("f32"), fill)
            zero = splat([WIDTH], "f32", 0)
            (partial,) = row.fold([zero], lambda j, limit, a: [arith.addf(a, load(powers, j, limit))])
            (total,) = tile.reduce([partial], [FoldKind.ADD], [0])

            def divide(j: Any, limit: Any) -> list[Any]:
                tile.store(arith.divf(load(powers, j, limit), spread(total)), row.access(y, j, limit))
                return []

            row.fold([], divide)

        tile.grid([m], [1], cell)

    return build(["M", "N"], arguments, body)


def layernorm() -> Kernel:
    arguments = [
        tensor("x", "f32", ["M", "N"]), tensor("g", "f32", ["N"]), tensor("b", "f32", ["N"]),
        tensor("y", "f32", ["M", "N"], "out"),
    ]  # fmt: skip

    def body(x: Any, g: Any, b: Any, y: Any, m: Any, n: Any) -> None:
        def cell(i: Any) -> None:
            row = Row(i, n)
            scalar = tile.tile_type([], element("f32"))
            count = arith.sitofp(element("f32"), arith.index_cast(element("i64"), n))
            count = tile.splat(count, [])
            zero = splat([WIDTH], "f32", 0)

            def load(view: Any, j: Any, limit: Any, other: Any = None) -> Any:
                return tile.load(row.access(view, j, limit), [WIDTH], other)

            (partial,) = row.fold([zero], lambda j, limit, a: [arith.addf(a, load(x, j, limit))])
            mean = arith.divf(tile.reduce([partial], [FoldKind.ADD], [0])[0], count)
            centre = spread(mean)

            def squares(j: Any, limit: Any, a: Any) -> list[Any]:
                off = arith.subf(load(x, j, limit, centre), centre)
                return [arith.addf(a, arith.mulf(off, off))]

            (partial,) = row.fold([zero], squares)
            variance = arith.divf(tile.reduce([partial], [FoldKind.ADD], [0])[0], count)
            epsilon = arith.constant(scalar, ir.DenseElementsAttr.get_splat(scalar, ir.FloatAttr.get_f32(1e-5)))
            scale = spread(math.rsqrt(arith.addf(variance, epsilon)))

            def write(j: Any, limit: Any) -> list[Any]:
                normal = arith.mulf(arith.subf(load(x, j, limit), centre), scale)
                value = arith.addf(arith.mulf(normal, load(g, j, limit)), load(b, j, limit))
                tile.store(value, row.access(y, j, limit))
                return []

            row.fold([], write)

        tile.grid([m], [1], cell)

    return build(["M", "N"], arguments, body)


def argmax(dtype: str = "f32") -> Kernel:
    """The position of the largest element of each row, the first of equal ones; NaN is largest."""
    arguments = [tensor("x", dtype, ["M", "N"]), tensor("y", "i64", ["M"], "out")]

    def body(x: Any, y: Any, m: Any, n: Any) -> None:
        def cell(i: Any) -> None:
            row = Row(i, n)
            nothing = splat([WIDTH], "i64", -1)
            lowest = splat([WIDTH], dtype, float("-inf"))

            def step(j: Any, limit: Any, best: Any, at: Any) -> list[Any]:
                value = tile.load(row.access(x, j, limit), [WIDTH], lowest)
                position = arith.addi(tile.iota([WIDTH], 0), tile.splat(j, [WIDTH]))
                number = arith.index_cast(nothing.type, position)
                inside = arith.cmpi(arith.CmpIPredicate.slt, position, tile.splat(n, [WIDTH]))
                number = arith.select(inside, number, nothing)
                return merge(best, at, value, number)

            def merge(a: Any, at: Any, b: Any, bt: Any) -> list[Any]:
                from tilewright.dialect import folds

                wide = [arith.extf(tile.tile_type([WIDTH], element("f32")), v) if dtype != "f32" else v for v in (a, b)]
                _, position = folds.merge(FoldKind.ARGMAX, (wide[0], at), (wide[1], bt))
                kept = arith.cmpi(arith.CmpIPredicate.eq, position, at)
                return [arith.select(kept, a, b), position]

            best, at = row.fold([lowest, nothing], step)
            _, position = tile.reduce([best, at], [FoldKind.ARGMAX], [0])
            tile.store(position, Access(y, (i,), affine(0, 0)))

        tile.grid([m], [1], cell)

    return build(["M", "N"], arguments, body)


# ---------------------------------------------------------------- products


class Panels:
    """The shape of a packed product: register tile, unroll along k, and the block of one cell."""

    def __init__(self, rows: int = 6, columns: int = 16, depth: int = 4, row_block: int = 48, column_block: int = 64):
        self.rows, self.columns, self.depth = rows, columns, depth
        self.row_block, self.column_block = row_block, column_block


def matmul(dtype: str = "f32", total: str = "f32", panels: Panels | None = None) -> Kernel:
    """c = a b with both operands packed into panels in the type of the sum; panels are padded with zeros along k."""
    p = panels or Panels()
    arguments = [
        tensor("a", dtype, ["M", "K"]), tensor("b", dtype, ["K", "N"]), tensor("c", total, ["M", "N"], "out"),
    ]  # fmt: skip

    def wide(value: Any) -> Any:
        if dtype == total:
            return value
        return arith.extf(tile.tile_type(tile.shape_of(value), element(total)), value)

    def body(a: Any, b: Any, c: Any, m: Any, n: Any, k: Any) -> None:
        def cell(i0: Any, j0: Any) -> None:
            zero = constant(0)
            padded = rounded_up(k, p.depth)
            columns = arith.minsi(constant(p.column_block), arith.subi(n, j0))
            rows = arith.minsi(constant(p.row_block), arith.subi(m, i0))
            count = arith.divui(rounded_up(columns, p.columns), constant(p.columns))

            def fill_columns(buffer: Any) -> None:
                def panel(number: Any) -> list[Any]:
                    column = arith.addi(j0, arith.muli(number, constant(p.columns)))

                    def step(kk: Any) -> list[Any]:
                        limits = ((0, arith.subi(k, kk)), (1, arith.subi(n, column)))
                        value = tile.load(Access(b, (kk, column), identity(2), limits=limits), [p.depth, p.columns])
                        target = Access(buffer, (number, kk, zero), affine(2, 0, axis(0), axis(1)))
                        tile.store(wide(value), target)
                        return []

                    loop(zero, k, p.depth, [], step)
                    return []

                loop(zero, count, 1, [], panel)

            packed_columns = tile.stage([count, padded, p.columns], element(total), fill_columns)

            def row_panel(offset: Any) -> list[Any]:
                row = arith.addi(i0, offset)

                def fill_rows(buffer: Any) -> None:
                    def step(kk: Any) -> list[Any]:
                        limits = ((0, arith.subi(m, row)), (1, arith.subi(k, kk)))
                        value = tile.load(Access(a, (row, kk), identity(2), limits=limits), [p.rows, p.depth])
                        tile.store(wide(value), Access(buffer, (kk, zero), dims_map(2, 1, 0)))
                        return []

                    loop(zero, k, p.depth, [], step)

                packed_rows = tile.stage([padded, p.rows], element(total), fill_rows)

                def column_panel(number: Any) -> list[Any]:
                    def step(kk: Any, acc: Any) -> list[Any]:
                        left = tile.load(Access(packed_rows, (kk, zero), identity(2)), [p.depth, p.rows])
                        right_at = Access(packed_columns, (number, kk, zero), affine(2, 0, axis(0), axis(1)))
                        right = tile.load(right_at, [p.depth, p.columns])
                        maps = [dims_map(3, 2, 0), dims_map(3, 2, 1), dims_map(3, 0, 1)]
                        return [tile.contract(left, right, acc, maps)]

                    (acc,) = loop(zero, padded, p.depth, [splat([p.rows, p.columns], total, 0)], step)
                    column = arith.addi(j0, arith.muli(number, constant(p.columns)))
                    rest = (arith.subi(m, row), arith.subi(n, column))
                    inside = arith.andi(
                        is_at_least(rest[0], constant(p.rows)), is_at_least(rest[1], constant(p.columns))
                    )
                    limits = ((0, rest[0]), (1, rest[1]))
                    branch(
                        inside,
                        lambda: tile.store(acc, Access(c, (row, column), identity(2))),
                        lambda: tile.store(acc, Access(c, (row, column), identity(2), limits=limits)),
                    )
                    return []

                loop(zero, count, 1, [], column_panel)
                return []

            loop(zero, rows, p.rows, [], row_panel)

        tile.grid([m, n], [p.row_block, p.column_block], cell)

    return build(["M", "N", "K"], arguments, body)


def convolution(kernel: int = 3, stride: int = 2, pad: int = 1) -> Kernel:
    """y[p, q, o] = sum x[stride p + r - pad, stride q + s - pad, c] w[r, s, c, o], one image, windows guarded."""
    arguments = [
        tensor("x", "f32", ["H", "W", "C"]), tensor("w", "f32", [kernel, kernel, "C", "O"]),
        tensor("y", "f32", ["P", "Q", "O"], "out"),
    ]  # fmt: skip

    def body(x: Any, w: Any, y: Any, h: Any, width: Any, c: Any, o: Any, p: Any, q: Any) -> None:
        def cell(p0: Any, q0: Any, o0: Any) -> None:
            limits_o = arith.subi(o, o0)

            def step(cc: Any, acc: Any) -> list[Any]:
                for r in range(kernel):
                    for s in range(kernel):
                        top = arith.addi(arith.muli(p0, constant(stride)), constant(r - pad))
                        start = arith.addi(arith.muli(q0, constant(stride)), constant(s - pad))
                        pixels = Access(
                            x, (top, start, cc), affine(2, 0, stride * axis(0), axis(1)), guarded=(0, 1),
                            limits=((1, arith.subi(c, cc)),),
                        )  # fmt: skip
                        weights = Access(
                            w, (constant(r), constant(s), cc, o0), affine(2, 0, 0, axis(0), axis(1)),
                            limits=((0, arith.subi(c, cc)), (1, limits_o)),
                        )  # fmt: skip
                        maps = [dims_map(3, 0, 2), dims_map(3, 2, 1), dims_map(3, 0, 1)]
                        acc = tile.contract(tile.load(pixels, [6, 4]), tile.load(weights, [4, 16]), acc, maps)
                return [acc]

            (acc,) = loop(constant(0), c, 4, [splat([6, 16], "f32", 0)], step)
            limits = ((0, arith.subi(q, q0)), (1, limits_o))
            tile.store(acc, Access(y, (p0, q0, o0), affine(2, 0, axis(0), axis(1)), limits=limits))

        tile.grid([p, q, o], [1, 6, 16], cell)

    return build(["H", "W", "C", "O", "P", "Q"], arguments, body)
