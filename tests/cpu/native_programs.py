"""Builds hand-written tile programs, compiles them for this machine and calls them with NumPy arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from tilewright.dialect import functions, ods, tile
from tilewright.dialect.functions import Argument
from tilewright.dialect.interpret.tile import run_tile
from tilewright.dialect.mlir import arith, ir
from tilewright.passes.cpu.native import NativeCode, compile_native
from tilewright.passes.cpu.target import CpuTarget, host
from tilewright.runtime import cpu

NUMPY = {
    "bool": np.dtype(bool), "i8": np.dtype("i1"), "i16": np.dtype("i2"), "i32": np.dtype("i4"), "i64": np.dtype("i8"),
    "u8": np.dtype("u1"), "u16": np.dtype("u2"), "u32": np.dtype("u4"), "f16": np.dtype("f2"),
    "bf16": np.dtype(ml_dtypes.bfloat16), "f32": np.dtype("f4"), "f64": np.dtype("f8"),
}  # fmt: skip


def element(dtype: str) -> Any:
    """The MLIR type of a language dtype; needs a session."""
    names = {"bool": "i1", "u8": "i8", "u16": "i16", "u32": "i32"}
    return ir.Type.parse(names.get(dtype, dtype))


def tensor(name: str, dtype: str, dims: Sequence[str | int], role: str = "in", layout: str = "row") -> tuple[Any, ...]:
    return ("tensor", name, dtype, tuple(dims), role, layout)


def scalar(name: str, dtype: str) -> tuple[Any, ...]:
    return ("scalar", name, dtype)


def program(
    dims: Sequence[str], arguments: Sequence[tuple[Any, ...]], body: Callable[..., None], name: str = "k"
) -> Any:
    """A module with one launch; ``body(*views and scalars, *dims)`` writes it."""
    module = ir.Module.create()
    types, known = [], []
    for argument in arguments:
        if argument[0] == "scalar":
            types.append(element(argument[2]))
            known.append(Argument(argument[1], argument[2], role="scalar"))
            continue
        _, label, dtype, sizes, role, layout = argument
        types.append(tile.view_type([s if isinstance(s, int) else None for s in sizes], element(dtype)))
        extents = [
            ir.AffineExpr.get_constant(s) if isinstance(s, int) else ir.AffineExpr.get_symbol(dims.index(s))
            for s in sizes
        ]
        known.append(Argument(label, dtype, ir.AffineMap.get(0, len(dims), extents), layout, role))
    types += [ods.index_type()] * len(dims)
    known += [Argument(d, "index", role="dim") for d in dims]
    function_type = ir.TypeAttr.get(ir.FunctionType.get(types, []))
    with ir.InsertionPoint(module.body):
        op = ods.create(
            "func.func", [], [], {"sym_name": ir.StringAttr.get(name), "function_type": function_type}, regions=1
        )
    functions.set_arguments(op, known, "tile")
    functions.set_dims(op, dims, "tile")
    with ir.InsertionPoint(ods.add_block(op, 0, types)):
        body(*op.regions[0].blocks[0].arguments)
        ods.create("func.return")
    module.operation.verify()
    return module


class Kernel:
    """A compiled program; call it with arrays in the order of its arguments, scalars, then dims."""

    def __init__(
        self, code: NativeCode, module: Any, dims: Sequence[str], arguments: Sequence[tuple[Any, ...]]
    ) -> None:
        self.code = code
        self.module = module
        self.dims = dims
        self.arguments = arguments
        self.library = cpu.NativeLibrary(code.object_bytes, code.launches)
        (self.entry,) = self.library.entries.values()

    def slots(self, *values: Any) -> cpu.Slots:
        slots: list[bytes | int] = []
        for argument, value in zip(self.arguments, values, strict=False):
            if argument[0] == "scalar":
                slots.append(np.asarray(value).astype(NUMPY[argument[2]]).tobytes())
                continue
            assert value.dtype == NUMPY[argument[2]], (argument[1], value.dtype)
            slots.append(value.ctypes.data)
            if argument[5] == "strided":
                slots += [s // value.itemsize for s in value.strides]
        slots += [int(v) for v in values[len(self.arguments) :]]
        return cpu.Slots(slots)

    def __call__(self, *values: Any, pool: cpu.ThreadPool | None = None) -> None:
        cpu.launch(self.entry, self.slots(*values), pool)

    def interpret(self, *values: Any) -> dict[str, Any]:
        """What the program means: its outputs by name, in float64 inside."""
        names = [a[1] for a in self.arguments]
        given = {a[1]: v for a, v in zip(self.arguments, values, strict=False) if a[0] == "scalar" or a[4] != "out"}
        sizes = dict(zip(self.dims, values[len(names) :], strict=True))
        with ods.session():
            return run_tile(self.module, [self.entry.name], given, sizes)


def build(
    dims: Sequence[str],
    arguments: Sequence[tuple[Any, ...]],
    body: Callable[..., None],
    target: CpuTarget | None = None,
) -> Kernel:
    with ods.session():
        module = program(dims, arguments, body)
        return Kernel(compile_native(module, target or host()), module, dims, arguments)


def constant(number: int) -> Any:
    return arith.constant(ods.index_type(), number)


def identity(rank: int) -> Any:
    return ir.AffineMap.get_identity(rank)


def dims_map(axes: int, *positions: int) -> Any:
    """The affine map from ``axes`` axes to some of them, in this order."""
    return ir.AffineMap.get(axes, 0, [ir.AffineDimExpr.get(p) for p in positions])


def splat(shape: Sequence[int], dtype: str, number: float) -> Any:
    type_ = tile.tile_type(shape, element(dtype))
    kind = element(dtype)
    attribute = ir.FloatAttr.get(kind, number) if isinstance(kind, ir.FloatType) else ir.IntegerAttr.get(kind, number)
    return arith.constant(type_, ir.DenseElementsAttr.get_splat(type_, attribute))


@functools.cache
def map_kernel(op: str, inputs: tuple[str, ...], output: str, width: int = 32, **attributes: str) -> Kernel:
    """``y[i] = op(x[i], ...)`` for one op on tiles of ``width``; ``attributes`` as MLIR text."""
    arguments = [tensor(f"x{n}", d, ["N"]) for n, d in enumerate(inputs)] + [tensor("y", output, ["N"], "out")]

    def body(*values: Any) -> None:
        *views, result, n = values

        def cell(i: Any) -> None:
            left = arith.subi(n, i)
            access = functools.partial(tile.Access, offsets=(i,), map=identity(1), limits=((0, left),))
            tiles = [tile.load(access(v), [width]) for v in views]
            known = {k: ir.Attribute.parse(v) for k, v in attributes.items()}
            value = ods.create(op, [tile.tile_type([width], element(output))], tiles, known).result
            tile.store(value, access(result))

        tile.grid([n], [width], cell)

    return build(["N"], arguments, body)


def run_map(op: str, *inputs: Any, output: str | None = None, dtypes: Sequence[str] = (), **attributes: str) -> Any:
    """Apply one op to arrays, elementwise."""
    names = tuple(dtypes) or tuple(next(k for k, v in NUMPY.items() if v == x.dtype) for x in inputs)
    kernel = map_kernel(op, names, output or names[0], **attributes)
    result = np.zeros(len(inputs[0]), NUMPY[output or names[0]])
    kernel(*inputs, result, len(inputs[0]))
    return result
