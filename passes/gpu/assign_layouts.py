"""Owns the pass ``assign-layouts``: neutral tiles get the layouts in which a GPU's threads hold them.

Before: a neutral tile program. After: the same program whose tiles of rank >= 1 carry a layout as encoding, with
``tile.convert`` where a value is needed in another layout than it was computed in. Contractions, reductions and loops
fix layouts; loads, constants and elementwise ops are computed in the layout their reader wants (again, if two readers
differ). Needs: static tile shapes that powers of two divide over the lanes. Does not handle: batch tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tilewright.dialect import functions, ods, tile
from tilewright.dialect.layout import Layout
from tilewright.dialect.mlir import ir
from tilewright.dialect.tile_gpu import laid_out
from tilewright.passes.base import Pass
from tilewright.passes.gpu.layouts import Fragments, blocked, fragments, sliced, warp_grid
from tilewright.passes.schedule import Schedule, parse_schedule

FLEXIBLE = frozenset({"tile.load", "tile.splat", "tile.iota", "tile.broadcast", "arith.constant"})
VECTOR_BYTES = 16


@dataclass(frozen=True)
class AssignLayouts(Pass):
    """Assigns layouts for the warps that a launch's schedule gives it, or ``warps`` where it names none."""

    name: ClassVar[str] = "assign-layouts"
    result_level: ClassVar[str | None] = "tile-gpu"
    warps: int = 4

    def run(self, module: Any) -> Any:
        result = ir.Module.create(loc=module.operation.location)
        for key, value in module.operation.attributes.items():
            result.operation.attributes[key] = value
        with ir.InsertionPoint(result.body):
            for function in functions.functions_of(module):
                with function.location:
                    _Assigner(function, warps_of(function) or self.warps).build()
        return result


def warps_of(function: Any) -> int:
    """The warps that the schedule of a launch asks for; 0 where it says nothing."""
    return _scheduled(function).warps if "tile.schedule" in function.attributes else 0


def stages_of(function: Any) -> int:
    """The depth of the copy pipeline that the schedule of a launch asks for; 0 where it says nothing."""
    return _scheduled(function).stages if "tile.schedule" in function.attributes else 0


def _scheduled(function: Any) -> Schedule:
    return parse_schedule(ir.StringAttr(function.attributes["tile.schedule"]).value)


@dataclass
class _Frame:
    """Values known in one open region: scalars and views by their old value, tiles by old value and layout."""

    plain: dict[Any, Any] = field(default_factory=dict)
    tiles: dict[tuple[Any, Layout | None], Any] = field(default_factory=dict)
    fixed: dict[Any, Layout | None] = field(default_factory=dict)


class _Assigner:
    """Rebuilds one function."""

    def __init__(self, function: Any, warps: int) -> None:
        self.function, self.warps = function, warps
        self.frames: list[_Frame] = [_Frame()]
        self.natural: dict[Any, Layout | None] = {}
        self.contractions: dict[Any, Fragments] = {}

    def build(self) -> None:
        block = self.function.regions[0].blocks[0]
        self._survey(block)
        attributes = {**dict(self.function.attributes.items()), "tile.warps": ods.i64(self.warps)}
        copy = ods.create("func.func", attributes=attributes, regions=1)
        target = copy.regions[0].blocks.append(*[a.type for a in block.arguments])
        for old, new in zip(block.arguments, target.arguments, strict=True):
            self.frames[-1].plain[old] = new
        with ir.InsertionPoint(target):
            self._block(block)

    # ------------------------------------------------------------ which layouts are fixed

    def _survey(self, block: Any) -> None:
        """The layout in which each value comes to be, where its op fixes one; loops take it from what they yield."""
        for op in ods.ops_of(block):
            for region in op.regions:
                for inner in region.blocks:
                    self._survey(inner)
            self._survey_op(op)

    def _survey_op(self, op: Any) -> None:
        if op.name == "tile.contract":
            self.natural[op.results[0]] = self._contraction(op)
        elif op.name == "tile.reduce":
            shape = tile.shape_of(op.operands[0])
            layout = self.natural.get(op.operands[0]) or self._default(op.operands[0])
            kept = tuple(a for a in range(len(shape)) if a not in tile.reduce_axes(op))
            for result in op.results:
                self.natural[result] = sliced(layout, kept) if kept and layout is not None else None
        elif op.name == "scf.for":
            terminator = ods.ops_of(op.regions[0].blocks[0])[-1]
            for result, value in zip(op.results, terminator.operands, strict=True):
                self.natural[result] = self.natural.get(value) or self._default(value)
        elif _is_elementwise(op):
            found = [self.natural[o] for o in op.operands if self.natural.get(o) is not None]
            self.natural[op.results[0]] = found[0] if found else None

    def _contraction(self, op: Any) -> Layout | None:
        a, b, c = (tile.shape_of(v) for v in op.operands)
        plan = fragment_plan(op, self.warps)
        if plan is None:
            return self._default(op.results[0])
        self.contractions[op] = plan
        return plan.c

    def _default(self, value: Any) -> Layout | None:
        """Blocks along the last axis, wide enough for 128-bit accesses."""
        shape = _shape(value)
        if not shape:
            return None
        return blocked(shape, self.warps, _vector(value))

    # ------------------------------------------------------------ rebuilding

    def _block(self, block: Any) -> None:
        for op in ods.ops_of(block):
            with op.location:
                self._op(op)

    def _op(self, op: Any) -> None:
        special = {
            "scf.for": self._for, "tile.grid": self._region_op, "tile.stage": self._region_op,
            "scf.if": self._region_op,
            "tile.store": self._store, "tile.contract": self._contract, "tile.reduce": self._reduce,
        }.get(op.name)  # fmt: skip
        if special is not None:
            special(op)
        elif not op.results or not _is_tile(op.results[0]):
            self._plain(op)

    def _plain(self, op: Any) -> None:
        """Scalar ops, terminators of grids and stages: copied with their operands' new values."""
        operands = [self._get(v, self._layout_at(v)) for v in op.operands]
        copy = ods.create(op.name, [r.type for r in op.results], operands, dict(op.attributes.items()))
        for old, new in zip(op.results, copy.results, strict=True):
            self.frames[-1].plain[old] = new

    def _region_op(self, op: Any) -> None:
        operands = [self._get(v, self._layout_at(v)) for v in op.operands]
        attributes = dict(op.attributes.items())
        copy = ods.create(op.name, [r.type for r in op.results], operands, attributes, len(op.regions))
        for old, new in zip(op.results, copy.results, strict=True):
            self.frames[-1].plain[old] = new
        for old_region, new_region in zip(op.regions, copy.regions, strict=True):
            for inner in old_region.blocks:
                block = new_region.blocks.append(*[a.type for a in inner.arguments])
                self._nested(inner, block, dict(zip(inner.arguments, block.arguments, strict=True)))

    def _nested(self, old: Any, new: Any, plain: dict[Any, Any]) -> None:
        self.frames.append(_Frame(plain))
        with ir.InsertionPoint(new):
            self._block(old)
        self.frames.pop()

    def _for(self, op: Any) -> None:
        layouts = [self.natural.get(r) for r in op.results]
        bounds = [self._get(v, None) for v in list(op.operands)[:3]]
        start = [self._get(v, x) for v, x in zip(list(op.operands)[3:], layouts, strict=True)]
        copy = ods.create("scf.for", [v.type for v in start], [*bounds, *start], regions=1)
        body = op.regions[0].blocks[0]
        block = copy.regions[0].blocks.append(ods.index_type(), *[v.type for v in start])
        frame = _Frame({body.arguments[0]: block.arguments[0]})
        for old, new, layout in zip(list(body.arguments)[1:], list(block.arguments)[1:], layouts, strict=True):
            _remember(frame, old, new, layout)
        self.frames.append(frame)
        with ir.InsertionPoint(block):
            inner = ods.ops_of(body)
            for nested in inner[:-1]:
                with nested.location:
                    self._op(nested)
            values = [self._get(v, x) for v, x in zip(inner[-1].operands, layouts, strict=True)]
            ods.create("scf.yield", operands=values)
        self.frames.pop()
        for old, new, layout in zip(op.results, copy.results, layouts, strict=True):
            _remember(self.frames[-1], old, new, layout)

    def _store(self, op: Any) -> None:
        value = op.operands[0]
        layout = self.natural.get(value) or self._store_layout(op)
        operands = [self._get(v, layout if _shape(v) else None) for v in op.operands]
        ods.create(op.name, [], operands, dict(op.attributes.items()))

    def _store_layout(self, op: Any) -> Layout | None:
        """Blocks along the axis that is contiguous in the view."""
        shape = _shape(op.operands[0])
        if not shape:
            return None
        access = _first_load(op.operands[0]) or tile.store_view(op).access
        return blocked(shape, self.warps, _vector(op.operands[0]), contiguous_axis(access.map))

    def _contract(self, op: Any) -> None:
        a, b, acc = op.operands
        plan = self.contractions.get(op)
        if plan is None:
            layouts = _product_layouts(op, self.natural[op.results[0]])
        else:
            layouts = list(_operand_layouts(op, plan))
        values = [self._get(v, x) for v, x in zip((a, b, acc), layouts, strict=True)]
        copy = ods.create(op.name, [values[2].type], values, dict(op.attributes.items()))
        _remember(self.frames[-1], op.results[0], copy.results[0], layouts[2])

    def _reduce(self, op: Any) -> None:
        layout = self.natural.get(op.operands[0]) or self._default(op.operands[0])
        operands = [self._get(v, layout) for v in op.operands]
        results = [self.natural.get(r) for r in op.results]
        types = [_typed(r, x) for r, x in zip(op.results, results, strict=True)]
        copy = ods.create(op.name, types, operands, dict(op.attributes.items()))
        for old, new, own in zip(op.results, copy.results, results, strict=True):
            _remember(self.frames[-1], old, new, own)

    # ------------------------------------------------------------ values on demand

    def _layout_at(self, value: Any) -> Layout | None:
        return (self.natural.get(value) or self._default(value)) if _is_tile(value) else None

    def _get(self, value: Any, layout: Layout | None) -> Any:
        """The new value of ``value``, in ``layout`` if it is a tile."""
        if not _is_tile(value):
            return self._find_plain(value)
        for frame in reversed(self.frames):
            if (value, layout) in frame.tiles:
                return frame.tiles[(value, layout)]
            if value in frame.fixed:
                return self._converted(frame, value, layout)
        made = self._make(value, layout)
        self.frames[-1].tiles[(value, layout)] = made
        return made

    def _find_plain(self, value: Any) -> Any:
        for frame in reversed(self.frames):
            if value in frame.plain:
                return frame.plain[value]
        raise KeyError(str(value))

    def _converted(self, frame: _Frame, value: Any, layout: Layout | None) -> Any:
        own = frame.tiles[(value, frame.fixed[value])]
        converted = ods.create("tile.convert", [_typed(value, layout)], [own]).result
        self.frames[-1].tiles[(value, layout)] = converted
        return converted

    def _make(self, value: Any, layout: Layout | None) -> Any:
        """Compute a flexible or elementwise value in ``layout`` here."""
        op = value.owner.operation
        type_ = _typed(value, layout)
        attributes = dict(op.attributes.items())
        with op.location:
            if op.name == "arith.constant":
                number = ir.DenseElementsAttr(attributes["value"]).get_splat_value()
                attributes = {"value": ir.DenseElementsAttr.get_splat(type_, number)}
            operands = [self._get(o, self._operand_layout(op, o, layout)) for o in op.operands]
            return ods.create(op.name, [type_], operands, attributes).result

    def _operand_layout(self, op: Any, operand: Any, layout: Layout | None) -> Layout | None:
        shape = _shape(operand)
        if not shape or layout is None:
            return None
        if op.name == "tile.broadcast":
            return sliced(layout, tile.broadcast_axes(op))
        return layout


def _remember(frame: _Frame, old: Any, new: Any, layout: Layout | None) -> None:
    if not _is_tile(old):
        frame.plain[old] = new
        return
    frame.tiles[(old, layout)] = new
    frame.fixed[old] = layout


def _typed(value: Any, layout: Layout | None) -> Any:
    """The type of ``value`` with ``layout``; rank 0 has none."""
    type_ = ir.RankedTensorType(value.type)
    return type_ if layout is None else laid_out(tuple(type_.shape), type_.element_type, layout)


def _is_tile(value: Any) -> bool:
    return isinstance(value.type, ir.RankedTensorType)


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(ir.RankedTensorType(value.type).shape) if _is_tile(value) else ()


def _vector(value: Any) -> int:
    """Elements of 128 bits."""
    element = ir.RankedTensorType(value.type).element_type
    bits = 64 if isinstance(element, ir.IndexType) else max(8, element.width)
    return max(1, VECTOR_BYTES * 8 // bits)


def _is_elementwise(op: Any) -> bool:
    return len(op.results) == 1 and _is_tile(op.results[0]) and op.name.split(".")[0] in ("arith", "math")


def contiguous_axis(access_map: Any) -> int:
    """The tile axis that moves the last coordinate of a view by one; the last axis if none does."""
    results = list(access_map.results)
    if results and isinstance(results[-1], ir.AffineDimExpr):
        return int(results[-1].position)
    return int(access_map.n_dims) - 1


def _first_load(value: Any) -> tile.Access | None:
    """The first load of a full tile that an elementwise value comes from: a copy should follow its order in memory."""
    shape, seen, waiting = _shape(value), set(), [value]
    while waiting:
        current = waiting.pop()
        if current in seen or isinstance(current.owner, ir.Block) or _shape(current) != shape:
            continue
        seen.add(current)
        op = current.owner.operation
        if op.name == "tile.load":
            return tile.load_view(op).access
        if _is_elementwise(op):
            waiting += reversed(list(op.operands))
    return None


# ---------------------------------------------------------------- contractions


def _axis_list(affine_map: Any) -> tuple[int, ...]:
    return tuple(e.position for e in affine_map.results)


def contraction_axes(op: Any) -> tuple[int, int, int] | None:
    """(row, column, k) axes of a contraction of rank-2 tiles; None for any other form."""
    a, b, c = (_axis_list(m) for m in tile.contract_maps(op))
    if not (len(a) == len(b) == len(c) == 2):
        return None
    shared = set(a) & set(b)
    if len(shared) != 1:
        return None
    (k,) = shared
    row = next(x for x in a if x != k)
    column = next(x for x in b if x != k)
    return (row, column, k) if set(c) == {row, column} else None


def fragment_plan(op: Any, warps: int) -> Fragments | None:
    """Fragments of ``mma.sync`` when both operands are 16-bit floats and the tile is large enough."""
    axes = contraction_axes(op)
    elements = [ir.RankedTensorType(v.type).element_type for v in op.operands]
    if axes is None or elements[0] != elements[1] or not isinstance(elements[0], (ir.F16Type, ir.BF16Type)):
        return None
    if not isinstance(elements[2], ir.F32Type):
        return None
    sizes = _axis_sizes(op)
    row, column, k = (sizes[a] for a in axes)
    grid = warp_grid(row, column, warps)
    if grid is None or k % 16:
        return None
    return fragments(row, column, k, grid)


def _axis_sizes(op: Any) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for value, affine_map in zip(op.operands, tile.contract_maps(op), strict=True):
        sizes.update(zip(_axis_list(affine_map), _shape(value), strict=True))
    return sizes


def _operand_layouts(op: Any, plan: Fragments) -> Sequence[Layout]:
    """Fragments in the axis order of each operand's tile."""
    axes = contraction_axes(op)
    assert axes is not None
    row, column, k = axes
    a, b, c = (_axis_list(m) for m in tile.contract_maps(op))
    return [
        sliced(plan.a, tuple({row: 0, k: 1}[x] for x in a)),
        sliced(plan.b, tuple({k: 0, column: 1}[x] for x in b)),
        sliced(plan.c, tuple({row: 0, column: 1}[x] for x in c)),
    ]


def _product_layouts(op: Any, result: Layout | None) -> list[Layout | None]:
    """Without matrix instructions: every thread multiplies what its accumulators need, k all in registers."""
    from tilewright.passes.gpu.products import operand_layouts

    assert result is not None
    maps = [_axis_list(m) for m in tile.contract_maps(op)]
    return [*operand_layouts(maps, [_shape(v) for v in op.operands], result), result]
