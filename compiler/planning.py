"""Owns the plan of a tile-level module: its launches with their operands, the workspaces between them, the tables."""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tilewright.dialect import functions, ods, tile
from tilewright.dialect.faults import InternalFault
from tilewright.dialect.mlir import ir
from tilewright.runtime.dtypes import numpy_dtype
from tilewright.runtime.plan import Launch, Operand, Plan, Table, Workspace
from tilewright.runtime.sizes import Number, Operation, SizeExpr, Symbol, ceil_div

TENSOR_ROLES = ("in", "inout", "out", "workspace", "table")


def plan_of(module: Any, interface: Plan, sites: Mapping[str, Sequence[str]]) -> Plan:
    """``interface`` with the launches of ``module``; ``sites`` are the places of each launch's run-time checks."""
    by_name = {functions.name_of(function): function for function in functions.functions_of(module)}
    launches = [by_name[name] for name in ods.string_list(module.operation.attributes["tile.plan"])]
    workspaces: dict[str, Workspace] = {}
    tables: dict[str, Table] = {}
    made = []
    for function in launches:
        name = functions.name_of(function)
        dims = [Symbol(dim) for dim in functions.dims_of(function, "tile")]
        operands = []
        for argument in functions.arguments_of(function, "tile"):
            operands.append(_operand(argument, name))
            if argument.role == "workspace":
                shape = tuple(size_of_affine(size, dims) for size in argument.shape.results)
                workspaces[argument.name] = Workspace(argument.name, argument.dtype, shape)
            if argument.role == "table":
                operands[-1] = Operand("tensor", f"{name}.{argument.name}")
                tables[operands[-1].name] = _table(argument, operands[-1].name)
        made.append(_launch(function, name, tuple(operands), tuple(sites.get(name, ()))))
    return replace(
        interface, workspaces=tuple(workspaces.values()), tables=tuple(tables.values()), launches=tuple(made)
    )


def _operand(argument: functions.Argument, launch: str) -> Operand:
    if argument.role in TENSOR_ROLES:
        return Operand("tensor", argument.name)
    if argument.role in ("scalar", "dim"):
        return Operand(argument.role, argument.name)
    raise InternalFault(f"argument {argument.name!r} of {launch} has role {argument.role!r}")


def _launch(function: Any, name: str, operands: tuple[Operand, ...], sites: tuple[str, ...]) -> Launch:
    attributes = function.operation.attributes
    schedule = ir.StringAttr(attributes["tile.schedule"]).value if "tile.schedule" in attributes else ""
    facts = ods.string_list(attributes["tile.facts"]) if "tile.facts" in attributes else ()
    counts = cells_of(function)
    cells = counts[0] if len(counts) == 1 else Operation("*", tuple(counts))
    return Launch(name, operands, (cells,), facts=facts, schedule=schedule, sites=sites, when=_condition(function))


def _condition(function: Any) -> SizeExpr | None:
    """When a variant holds; None for what always does."""
    condition = functions.condition_of(function)
    if condition is None:
        return None
    dims = [Symbol(dim) for dim in functions.dims_of(function, "tile")]
    limits = [
        Operation("<=", (size_of_affine(extent, dims), Number(most)))
        for extent, most in zip(condition.extents.results, condition.most, strict=True)
    ]
    return functools.reduce(lambda all_, limit: Operation("and", (all_, limit)), limits)


def cells_of(function: Any) -> list[SizeExpr]:
    """How many cells each axis of a launch's grid has."""
    block = function.regions[0].blocks[0]
    roles = functions.arguments_of(function, "tile")
    sizes: dict[Any, SizeExpr] = {
        value: Symbol(role.name) for value, role in zip(block.arguments, roles, strict=True) if role.role == "dim"
    }
    for op in ods.ops_of(block):
        if op.name == "tile.grid":
            return [
                ceil_div(sizes[extent], step) for extent, step in zip(op.operands, tile.grid_tiles(op), strict=True)
            ]
        if op.name == "arith.constant" and isinstance(op.results[0].type, ir.IndexType):
            sizes[op.results[0]] = Number(ir.IntegerAttr(op.attributes["value"]).value)
        if op.name in _ARITHMETIC and all(operand in sizes for operand in op.operands):
            sizes[op.results[0]] = Operation(_ARITHMETIC[op.name], tuple(sizes[operand] for operand in op.operands))
    return []


_ARITHMETIC = {
    "arith.addi": "+", "arith.subi": "-", "arith.muli": "*", "arith.floordivsi": "//", "arith.divui": "//",
    "arith.divsi": "//", "arith.remui": "%", "arith.remsi": "%", "arith.minsi": "min", "arith.maxsi": "max",
    "arith.minui": "min", "arith.maxui": "max",
}  # fmt: skip


def _table(argument: functions.Argument, name: str) -> Table:
    """The constant tensor behind a table argument: its elements, in its declared dtype."""
    values = argument.values
    shape = tuple(ir.RankedTensorType(values.type).shape)
    data = np.array([values[n] for n in range(int(np.prod(shape)))] if not values.is_splat else
                    [values.get_splat_value().value] * int(np.prod(shape)))  # fmt: skip
    content = np.ascontiguousarray(data.astype(numpy_dtype(argument.dtype))).tobytes()
    return Table(name, argument.dtype, shape, base64.b64encode(content).decode())


def size_of_affine(expression: Any, dims: Sequence[SizeExpr]) -> SizeExpr:
    """An affine expression over dim symbols as a size of the plan."""
    if isinstance(expression, ir.AffineConstantExpr):
        return Number(expression.value)
    if isinstance(expression, ir.AffineSymbolExpr):
        return dims[int(expression.position)]
    left, right = (size_of_affine(side, dims) for side in (expression.lhs, expression.rhs))
    for kind, op in _OPERATORS:
        if isinstance(expression, kind):
            return Operation(op, (left, right))
    if isinstance(expression, ir.AffineCeilDivExpr):
        return Operation("negate", (Operation("//", (Operation("negate", (left,)), right)),))
    raise InternalFault(f"size {expression} of a launch")


_OPERATORS: tuple[tuple[Any, str], ...] = (
    (ir.AffineAddExpr, "+"),
    (ir.AffineMulExpr, "*"),
    (ir.AffineFloorDivExpr, "//"),
    (ir.AffineModExpr, "%"),
)
