"""Owns the attributes of kernel and launch functions: names, dtypes, shapes, layouts and roles of their arguments.

The one place that spells these attributes; everything else uses ``Argument``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tilewright.dialect import ods
from tilewright.dialect.mlir import ir


@dataclass(frozen=True)
class Argument:
    """One argument or result of a kernel or launch.

    ``shape`` is an affine map from the function's dim symbols to the extents (None: a scalar or a dim). ``role``:
    "in", "inout", "out", "workspace", "table", "scalar" or "dim". ``values``: the dense data of a table.
    """

    name: str
    dtype: str
    shape: Any = None
    layout: str = "row"
    role: str = "in"
    values: Any = None


def set_arguments(function: Any, arguments: Sequence[Argument], prefix: str) -> None:
    """Attach ``arguments`` to the function's arguments; ``prefix`` is the dialect ("tw" or "tile")."""
    function.operation.attributes["arg_attrs"] = _pack(arguments, prefix)


def set_results(function: Any, results: Sequence[Argument], prefix: str) -> None:
    function.operation.attributes["res_attrs"] = _pack(results, prefix)


def arguments_of(function: Any, prefix: str) -> tuple[Argument, ...]:
    return _unpack(function, "arg_attrs", prefix)


def results_of(function: Any, prefix: str) -> tuple[Argument, ...]:
    return _unpack(function, "res_attrs", prefix)


def set_dims(function: Any, dims: Sequence[str], prefix: str) -> None:
    """The dim symbols, in the order of the affine symbols ``s0, s1 …``."""
    function.operation.attributes[f"{prefix}.dims"] = ods.strings(dims)


def dims_of(function: Any, prefix: str) -> tuple[str, ...]:
    return ods.string_list(function.operation.attributes[f"{prefix}.dims"])


def _pack(arguments: Sequence[Argument], prefix: str) -> Any:
    return ir.ArrayAttr.get([_dictionary(a, prefix) for a in arguments])


def _dictionary(argument: Argument, prefix: str) -> Any:
    entries = {
        f"{prefix}.name": ir.StringAttr.get(argument.name),
        f"{prefix}.dtype": ir.StringAttr.get(argument.dtype),
        f"{prefix}.role": ir.StringAttr.get(argument.role),
    }
    if argument.shape is not None:
        entries[f"{prefix}.shape"] = ir.AffineMapAttr.get(argument.shape)
        entries[f"{prefix}.layout"] = ir.StringAttr.get(argument.layout)
    if argument.values is not None:
        entries[f"{prefix}.values"] = argument.values
    return ir.DictAttr.get(entries)


def _unpack(function: Any, attribute: str, prefix: str) -> tuple[Argument, ...]:
    attributes = function.operation.attributes
    if attribute not in attributes:
        return ()
    return tuple(_argument(ir.DictAttr(d), prefix) for d in ir.ArrayAttr(attributes[attribute]))


def _argument(entries: Any, prefix: str) -> Argument:
    def text(key: str, default: str) -> str:
        name = f"{prefix}.{key}"
        return str(ir.StringAttr(entries[name]).value) if name in entries else default

    shape = ir.AffineMapAttr(entries[f"{prefix}.shape"]).value if f"{prefix}.shape" in entries else None
    values = entries[f"{prefix}.values"] if f"{prefix}.values" in entries else None
    return Argument(text("name", ""), text("dtype", ""), shape, text("layout", "row"), text("role", "in"), values)


# ---------------------------------------------------------------- launches


@dataclass(frozen=True)
class Grid:
    """The shared parallel axes of a launch: extents over the dims, and per result which axis is grid axis 0, 1, …."""

    extents: Any  # ir.AffineMap without dims
    positions: tuple[tuple[int, ...], ...]


def set_grid(function: Any, grid: Grid) -> None:
    function.operation.attributes["tw.grid"] = ir.DictAttr.get(
        {
            "extents": ir.AffineMapAttr.get(grid.extents),
            "positions": ir.ArrayAttr.get([ods.i64_array(p) for p in grid.positions]),
        }
    )


def grid_of(function: Any) -> Grid | None:
    """The grid of a launch; None for a function that is not a launch."""
    attributes = function.operation.attributes
    if "tw.grid" not in attributes:
        return None
    entries = ir.DictAttr(attributes["tw.grid"])
    positions = tuple(ods.i64_list(p) for p in ir.ArrayAttr(entries["positions"]))
    return Grid(ir.AffineMapAttr(entries["extents"]).value, positions)


@dataclass(frozen=True)
class Condition:
    """When a variant of a launch holds: each of ``extents`` over the dims is at most the number in its place."""

    extents: Any  # ir.AffineMap without dims
    most: tuple[int, ...]


def set_condition(function: Any, condition: Condition) -> None:
    function.operation.attributes["tile.when"] = ir.DictAttr.get(
        {"extents": ir.AffineMapAttr.get(condition.extents), "most": ods.i64_array(condition.most)}
    )


def condition_of(function: Any) -> Condition | None:
    """The condition of a tile function; None for one that always holds."""
    attributes = function.operation.attributes
    if "tile.when" not in attributes:
        return None
    entries = ir.DictAttr(attributes["tile.when"])
    return Condition(ir.AffineMapAttr(entries["extents"]).value, ods.i64_list(entries["most"]))


def name_of(function: Any) -> str:
    return str(ir.StringAttr(function.operation.attributes["sym_name"]).value)


def functions_of(module: Any) -> list[Any]:
    """The ``func.func`` ops of a module, as a list that survives edits."""
    return [op.operation for op in module.body.operations if op.operation.name == "func.func"]


def statement_name(op: Any) -> str | None:
    """The statement a location names (``loc("y"(...))``), or None."""
    location = ir.Location.from_attr(op.operation.location.attr)
    return str(location.name_str) if isinstance(location, ir.NameLoc) else None
