"""Owns the neutral tile level, dialect ``tile``: ops, builders, and typed views of their attributes.

A tile is a ranked tensor of static shape; ``arith`` and ``math`` work on it element by element. A view is a ``memref``
with dynamic sizes. Example (generic form)::

    "tile.grid"(%M) ({
    ^bb0(%i0: index):
      %left = arith.subi %M, %i0 : index
      %x = "tile.load"(%view, %i0, %c0, %left) {map = affine_map<(d0, d1) -> (d0, d1)>, limit_axes = array<i64: 0>, ...}
          : (memref<?x?xf32>, index, index, index) -> tensor<4x16xf32>
      ...
      "tile.yield"() : () -> ()
    }) {tiles = array<i64: 4>} : (index) -> ()

The exact meaning stands in ``docs/decisions/0001-levels.md``. (No ``from __future__ import annotations`` here: the
bindings read the classes' annotations as objects.)
"""

# pyright: reportInvalidTypeForm=false
# The bindings are untyped modules: their classes are values to a type checker, and annotations of ops all the same.

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tilewright.dialect import ods
from tilewright.dialect.folds import FoldKind, arity
from tilewright.dialect.mlir import ext, ir


class TileDialect(ext.Dialect, name="tile"):  # type: ignore[misc,call-arg]
    """The neutral tile level."""


class GridOp(TileDialect.Operation, name="grid"):  # type: ignore[name-defined,misc,call-arg]
    """Independent cells; the region's arguments are the first coordinates of a cell."""

    extents: Sequence[ext.Operand[ir.IndexType]]
    tiles: Any
    body: ext.Region

    @staticmethod
    def verify_invariants(op: Any) -> bool:
        return _verify_grid(op)


class LoadOp(TileDialect.Operation, name="load", traits=[ods.ReadsMemory]):  # type: ignore[name-defined,misc,call-arg]
    """A tile of a view by an index map; what is outside or inactive becomes ``otherwise``."""

    view: ext.Operand[Any]
    offsets: Sequence[ext.Operand[ir.IndexType]]
    gathers: Sequence[ext.Operand[Any]]
    limits: Sequence[ext.Operand[ir.IndexType]]
    active: Sequence[ext.Operand[Any]]
    otherwise: Sequence[ext.Operand[Any]]
    map: Any
    gather_dims: Any
    limit_axes: Any
    guarded: Any
    checked: Any
    result: ext.Result[Any]

    @staticmethod
    def verify_invariants(op: Any) -> bool:
        return _verify_access(op, load_view(op).access, op.operation.results[0].type)


class StoreOp(TileDialect.Operation, name="store"):  # type: ignore[name-defined,misc,call-arg]
    """Stores a tile through an index map; ``combine`` is "none" or a fold kind."""

    tile: ext.Operand[Any]
    view: ext.Operand[Any]
    offsets: Sequence[ext.Operand[ir.IndexType]]
    gathers: Sequence[ext.Operand[Any]]
    limits: Sequence[ext.Operand[ir.IndexType]]
    active: Sequence[ext.Operand[Any]]
    map: Any
    gather_dims: Any
    limit_axes: Any
    guarded: Any
    combine: Any

    @staticmethod
    def verify_invariants(op: Any) -> bool:
        view = store_view(op)
        return _verify_access(op, view.access, view.tile.type)


class StageOp(TileDialect.Operation, name="stage"):  # type: ignore[name-defined,misc,call-arg]
    """A buffer of one grid cell, filled by its region, read-only afterwards."""

    sizes: Sequence[ext.Operand[ir.IndexType]]
    space: ir.StringAttr
    buffer: ext.Result[Any]
    body: ext.Region

    @staticmethod
    def verify_invariants(op: Any) -> bool:
        return _verify_stage(op)


class ContractOp(TileDialect.Operation, name="contract", traits=[ods.Pure]):  # type: ignore[name-defined,misc,call-arg]
    """``acc + sum of a * b`` over the axes that the result does not have, in acc's type."""

    a: ext.Operand[Any]
    b: ext.Operand[Any]
    acc: ext.Operand[Any]
    maps: ir.ArrayAttr
    result: ext.Result[Any]

    @staticmethod
    def verify_invariants(op: Any) -> bool:
        return _verify_contract(op)


class ReduceOp(TileDialect.Operation, name="reduce", traits=[ods.Pure]):  # type: ignore[name-defined,misc,call-arg]
    """Folds tiles over some of their axes."""

    __annotations__ = {**ods.mixed("tiles", ext.Operand[Any]), **ods.mixed("results", ext.Result[Any])}
    kinds: ir.ArrayAttr
    axes: Any
    unsigned: Any

    @staticmethod
    def verify_invariants(op: Any) -> bool:
        return _verify_reduce(op)


class BroadcastOp(TileDialect.Operation, name="broadcast", traits=[ods.Pure]):  # type: ignore[name-defined,misc,call-arg]
    """Repeats a tile along new axes; ``axes[k]`` is the result axis of source axis k (also a transposition)."""

    tile: ext.Operand[Any]
    axes: Any
    result: ext.Result[Any]

    @staticmethod
    def verify_invariants(op: Any) -> bool:
        return _verify_broadcast(op)


class IotaOp(TileDialect.Operation, name="iota", traits=[ods.Pure]):  # type: ignore[name-defined,misc,call-arg]
    """The position along one axis, as ``index``."""

    axis: Any
    result: ext.Result[Any]

    @staticmethod
    def verify_invariants(op: Any) -> bool:
        return _verify_iota(op)


class SplatOp(TileDialect.Operation, name="splat", traits=[ods.Pure]):  # type: ignore[name-defined,misc,call-arg]
    """A scalar as a tile."""

    scalar: ext.Operand[Any]
    result: ext.Result[Any]

    @staticmethod
    def verify_invariants(op: Any) -> bool:
        return _verify_splat(op)


class YieldOp(TileDialect.Operation, name="yield", traits=[ir.IsTerminatorTrait, ods.Pure]):  # type: ignore[name-defined,misc,call-arg]
    """Ends a grid or a stage."""

    values: Sequence[ext.Operand[Any]]


# ---------------------------------------------------------------- types


def tile_type(shape: Sequence[int], element: Any) -> Any:
    return ir.RankedTensorType.get(list(shape), element)


def view_type(sizes: Sequence[int | None], element: Any) -> Any:
    """A view; None is a dynamic size."""
    dynamic = ir.ShapedType.get_dynamic_size()
    return ir.MemRefType.get([dynamic if s is None else s for s in sizes], element)


def shape_of(tile: Any) -> tuple[int, ...]:
    return tuple(ir.RankedTensorType(tile.type).shape)


# ---------------------------------------------------------------- access


@dataclass(frozen=True)
class Access:
    """Where the elements of a tile lie in a view.

    Coordinate ``d`` of element ``p`` is ``offsets[d] + map[d](p) + gather(p)`` (``gathers[d]`` if present). ``limits``
    gives for some tile axes how many positions exist. ``guarded`` and ``checked`` are view dims: outside of a guarded
    dim nothing is touched, outside of a checked one the launch fails. ``active`` is an i1 tile or None.
    """

    view: Any
    offsets: tuple[Any, ...]
    map: Any  # ir.AffineMap, linear with constant coefficients
    gathers: tuple[tuple[int, Any], ...] = ()
    limits: tuple[tuple[int, Any], ...] = ()
    guarded: tuple[int, ...] = ()
    checked: tuple[int, ...] = ()
    active: Any = None


@dataclass(frozen=True)
class LoadView:
    access: Access
    otherwise: Any


@dataclass(frozen=True)
class StoreView:
    tile: Any
    access: Access
    combine: FoldKind | None


def load(access: Access, shape: Sequence[int], otherwise: Any = None, loc: Any = None) -> Any:
    """``tile.load`` of a tile of ``shape`` with the view's element type."""
    element = ir.MemRefType(access.view.type).element_type
    groups = _operand_groups(access)
    groups.append([] if otherwise is None else [otherwise])
    attributes = _access_attributes(access)
    attributes["checked"] = ods.i64_array(access.checked)
    attributes["operandSegmentSizes"] = ods.segments(1, *[len(g) for g in groups])
    operands = [access.view, *[v for g in groups for v in g]]
    return ods.create("tile.load", [tile_type(shape, element)], operands, attributes, loc=loc).result


def store(tile: Any, access: Access, combine: FoldKind | None = None, loc: Any = None) -> None:
    groups = _operand_groups(access)
    attributes = _access_attributes(access)
    attributes["combine"] = ir.StringAttr.get(combine.value if combine else "none")
    attributes["operandSegmentSizes"] = ods.segments(1, 1, *[len(g) for g in groups])
    ods.create("tile.store", [], [tile, access.view, *[v for g in groups for v in g]], attributes, loc=loc)


def _operand_groups(access: Access) -> list[list[Any]]:
    return [
        list(access.offsets),
        [tile for _, tile in access.gathers],
        [limit for _, limit in access.limits],
        [] if access.active is None else [access.active],
    ]


def _access_attributes(access: Access) -> dict[str, Any]:
    return {
        "map": ir.AffineMapAttr.get(access.map),
        "gather_dims": ods.i64_array([d for d, _ in access.gathers]),
        "limit_axes": ods.i64_array([a for a, _ in access.limits]),
        "guarded": ods.i64_array(access.guarded),
    }


def load_view(op: Any) -> LoadView:
    op = op.operation
    access, rest = _read_access(op, list(op.operands), 1)
    return LoadView(access, rest[0] if rest else None)


def store_view(op: Any) -> StoreView:
    op = op.operation
    operands = list(op.operands)
    access, _ = _read_access(op, operands[1:], 2)
    combine = ir.StringAttr(op.attributes["combine"]).value
    return StoreView(operands[0], access, None if combine == "none" else FoldKind(combine))


def _read_access(op: Any, operands: list[Any], skip: int) -> tuple[Access, list[Any]]:
    """The access of an op whose operands start with the view; the rest that is not part of it."""
    sizes = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))[skip:]
    rest = operands[1:]
    groups = []
    for size in sizes:
        groups.append(rest[:size])
        rest = rest[size:]
    gather_dims = ods.i64_list(op.attributes["gather_dims"])
    limit_axes = ods.i64_list(op.attributes["limit_axes"])
    checked = ods.i64_list(op.attributes["checked"]) if "checked" in op.attributes else ()
    access = Access(
        operands[0],
        tuple(groups[0]),
        ir.AffineMapAttr(op.attributes["map"]).value,
        tuple(zip(gather_dims, groups[1], strict=True)),
        tuple(zip(limit_axes, groups[2], strict=True)),
        ods.i64_list(op.attributes["guarded"]),
        checked,
        groups[3][0] if groups[3] else None,
    )
    return access, (groups[4] if len(groups) > 4 else [])


# ---------------------------------------------------------------- other builders


def grid(extents: Sequence[Any], tiles: Sequence[int], body: Callable[..., None], loc: Any = None) -> Any:
    """``tile.grid``; ``body(*cell)`` builds a cell from its first coordinates."""
    op = ods.create("tile.grid", [], extents, {"tiles": ods.i64_array(tiles)}, 1, loc)
    block = ods.add_block(op, 0, [ods.index_type()] * len(extents))
    with ir.InsertionPoint(block):
        body(*block.arguments)
        ods.create("tile.yield")
    return op


def grid_tiles(op: Any) -> tuple[int, ...]:
    return ods.i64_list(op.operation.attributes["tiles"])


def stage(
    sizes: Sequence[int | Any], element: Any, fill: Callable[[Any], None], space: str = "cell", loc: Any = None
) -> Any:
    """``tile.stage``: ``sizes`` are ints or index values, ``fill(buffer)`` stores into it. Returns the buffer."""
    buffer = view_type([s if isinstance(s, int) else None for s in sizes], element)
    dynamic = [s for s in sizes if not isinstance(s, int)]
    op = ods.create("tile.stage", [buffer], dynamic, {"space": ir.StringAttr.get(space)}, 1, loc)
    block = ods.add_block(op, 0, [buffer])
    with ir.InsertionPoint(block):
        fill(block.arguments[0])
        ods.create("tile.yield")
    return op.result


def contract(a: Any, b: Any, acc: Any, maps: Sequence[Any], loc: Any = None) -> Any:
    """``maps``: three affine maps from the axes of the contraction to those of a, b and acc."""
    attribute = ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in maps])
    return ods.create("tile.contract", [acc.type], [a, b, acc], {"maps": attribute}, loc=loc).result


def contract_maps(op: Any) -> tuple[Any, Any, Any]:
    a, b, acc = (ir.AffineMapAttr(m).value for m in ir.ArrayAttr(op.operation.attributes["maps"]))
    return a, b, acc


def reduce(
    tiles: Sequence[Any], kinds: Sequence[FoldKind], axes: Sequence[int], unsigned: bool = False, loc: Any = None
) -> list[Any]:
    attributes = {
        "kinds": ods.strings([k.value for k in kinds]),
        "axes": ods.i64_array(axes),
        "unsigned": ir.BoolAttr.get(unsigned),
    }
    kept = [s for a, s in enumerate(shape_of(tiles[0])) if a not in axes]
    results = [tile_type(kept, ir.RankedTensorType(t.type).element_type) for t in tiles]
    attributes["operandSegmentSizes"] = ods.mixed_segments([t.type for t in tiles])
    attributes["resultSegmentSizes"] = ods.mixed_segments(results)
    return list(ods.create("tile.reduce", results, tiles, attributes, loc=loc).results)


def reduce_axes(op: Any) -> tuple[int, ...]:
    return ods.i64_list(op.operation.attributes["axes"])


def broadcast(tile: Any, axes: Sequence[int], shape: Sequence[int], loc: Any = None) -> Any:
    """The tile repeated into ``shape``; unchanged when it has this form already."""
    if list(axes) == list(range(len(shape))) and shape_of(tile) == tuple(shape):
        return tile
    element = ir.RankedTensorType(tile.type).element_type
    attributes = {"axes": ods.i64_array(axes)}
    return ods.create("tile.broadcast", [tile_type(shape, element)], [tile], attributes, loc=loc).result


def broadcast_axes(op: Any) -> tuple[int, ...]:
    return ods.i64_list(op.operation.attributes["axes"])


def iota(shape: Sequence[int], axis: int, loc: Any = None) -> Any:
    return ods.create("tile.iota", [tile_type(shape, ods.index_type())], [], {"axis": ods.i64(axis)}, loc=loc).result


def iota_axis(op: Any) -> int:
    return int(ir.IntegerAttr(op.operation.attributes["axis"]).value)


def splat(scalar: Any, shape: Sequence[int], loc: Any = None) -> Any:
    return ods.create("tile.splat", [tile_type(shape, scalar.type)], [scalar], loc=loc).result


# ---------------------------------------------------------------- verifiers


def _fail(op: Any, message: str) -> bool:
    op.operation.location.emit_error(message)
    return False


def _verify_grid(op: Any) -> bool:
    op = op.operation
    axes, tiles = len(op.operands), grid_tiles(op)
    block = op.regions[0].blocks[0] if len(op.regions[0].blocks) else None
    if block is None or not (axes == len(tiles) == len(block.arguments)):
        return _fail(op, f"'tile.grid' has {axes} extents and {len(tiles)} tiles: its body needs one argument per axis")
    return True


def _verify_access(op: Any, access: Access, tile: Any) -> bool:
    rank, axes = ir.MemRefType(access.view.type).rank, ir.RankedTensorType(tile).rank
    if len(access.offsets) != rank or len(access.map.results) != rank:
        return _fail(op, f"access of a view of rank {rank} has {len(access.offsets)} offsets")
    if access.map.n_dims != axes:
        return _fail(op, f"access map has {access.map.n_dims} axes, the tile has {axes}")
    return _verify_access_parts(op, access, ir.RankedTensorType(tile))


def _verify_access_parts(op: Any, access: Access, tile: Any) -> bool:
    view, shape = ir.MemRefType(access.view.type), tuple(tile.shape)
    if view.element_type != tile.element_type:
        return _fail(op, f"'{op.operation.name}' moves {tile.element_type} and the view holds {view.element_type}")
    for value in [gather for _, gather in access.gathers] + ([] if access.active is None else [access.active]):
        if not isinstance(value.type, ir.RankedTensorType) or shape_of(value) != shape:
            return _fail(op, f"'{op.operation.name}' has a gather or active {value.type} for a tile of shape {shape}")
    dims = [*(dim for dim, _ in access.gathers), *access.guarded, *access.checked]
    if any(not 0 <= dim < view.rank for dim in dims) or any(not 0 <= a < len(shape) for a, _ in access.limits):
        return _fail(op, f"'{op.operation.name}' names a dim or an axis outside of the view or the tile")
    return True


def _verify_stage(op: Any) -> bool:
    op = op.operation
    buffer = ir.MemRefType(op.results[0].type)
    dynamic = sum(size == ir.ShapedType.get_dynamic_size() for size in buffer.shape)
    block = op.regions[0].blocks[0] if len(op.regions[0].blocks) else None
    if len(op.operands) != dynamic:
        return _fail(op, f"'tile.stage' has {len(op.operands)} sizes for {dynamic} dynamic dims")
    if block is None or [argument.type for argument in block.arguments] != [op.results[0].type]:
        return _fail(op, "'tile.stage' needs a body whose argument is its buffer")
    return True


def _verify_contract(op: Any) -> bool:
    op = op.operation
    maps = contract_maps(op)
    if op.results[0].type != op.operands[2].type:
        return _fail(op, f"'tile.contract' gives {op.results[0].type} and accumulates {op.operands[2].type}")
    sizes: dict[int, int] = {}
    for affine_map, value in zip(maps, op.operands, strict=True):
        if len(affine_map.results) != len(shape_of(value)):
            return _fail(op, f"'tile.contract' has a map {affine_map} for an operand {value.type}")
        for expression, size in zip(affine_map.results, shape_of(value), strict=True):
            axis = expression.position if isinstance(expression, ir.AffineDimExpr) else None
            if axis is None or sizes.setdefault(axis, size) != size:
                return _fail(op, f"'tile.contract' axis {expression} of {affine_map} does not fit size {size}")
    return True


def _verify_reduce(op: Any) -> bool:
    op = op.operation
    axes, shape = reduce_axes(op), shape_of(op.operands[0])
    count = sum(arity(FoldKind(name)) for name in ods.string_list(op.attributes["kinds"]))
    if not (count == len(op.operands) == len(op.results)):
        return _fail(op, f"'tile.reduce' folds {count} values: {len(op.operands)} tiles, {len(op.results)} results")
    if len(set(axes)) != len(axes) or any(not 0 <= axis < len(shape) for axis in axes):
        return _fail(op, f"'tile.reduce' over axes {axes} of a tile of shape {shape}")
    kept = tuple(size for axis, size in enumerate(shape) if axis not in axes)
    if any(shape_of(value) != shape for value in op.operands) or any(shape_of(r) != kept for r in op.results):
        return _fail(op, f"'tile.reduce' of shape {shape} over axes {axes} gives shape {kept}")
    return True


def _verify_broadcast(op: Any) -> bool:
    op = op.operation
    axes, source, shape = broadcast_axes(op), shape_of(op.operands[0]), shape_of(op.results[0])
    if len(axes) != len(source) or len(set(axes)) != len(axes) or any(not 0 <= axis < len(shape) for axis in axes):
        return _fail(op, f"'tile.broadcast' axes {axes} do not place shape {source} in shape {shape}")
    if any(size not in (1, shape[axis]) for axis, size in zip(axes, source, strict=True)):
        return _fail(op, f"'tile.broadcast' of shape {source} along {axes} does not fit shape {shape}")
    return True


def _verify_iota(op: Any) -> bool:
    rank = len(shape_of(op.operation.results[0]))
    if not 0 <= iota_axis(op) < rank:
        return _fail(op, f"'tile.iota' axis {iota_axis(op)} of a tile of rank {rank}")
    return True


def _verify_splat(op: Any) -> bool:
    element = ir.RankedTensorType(op.operation.results[0].type).element_type
    if element != op.operation.operands[0].type:
        return _fail(op, f"'tile.splat' of {op.operation.operands[0].type} gives a tile of {element}")
    return True
