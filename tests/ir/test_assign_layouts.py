"""The pass ``assign-layouts``: every tile gets a layout that covers it, in memory order or as fragments."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.ir import launches
from tests.ir.tensor_road import filecheck
from tests.ir.test_tile_launches import build, clean
from tilewright.dialect import functions, ods, tile
from tilewright.dialect.faults import InternalFault
from tilewright.dialect.layout import Layout
from tilewright.dialect.legality import check_level
from tilewright.dialect.mlir import ir
from tilewright.dialect.tile_gpu import laid_out, layout_of
from tilewright.passes.gpu.assign_layouts import AssignLayouts, contraction_axes, fragment_plan
from tilewright.passes.gpu.layouts import blocked, fragments, owns_once, sliced, warp_grid
from tilewright.passes.gpu.stages import shared_layout
from tilewright.passes.tile.rule import Machine

GPU = Machine(
    lanes=8, unroll=4, rows=32, columns=32, depth=16, cell_vectors=64, packs=False, keeps=False,
    wide_rows=16, wide_columns=32,
)  # fmt: skip


def assigned(case: launches.Case, warps: int) -> Any:
    module = AssignLayouts(warps).run(build(case, GPU, split=False))
    module.operation.verify()
    check_level(module, "tile-gpu")
    return module


def all_ops(operation: Any) -> Iterator[Any]:
    for region in operation.regions:
        for block in region.blocks:
            for op in ods.ops_of(block):
                yield op
                yield from all_ops(op)


def holders(layout: Layout) -> dict[tuple[int, ...], list[tuple[int, ...]]]:
    """By element, the places (register, lane, warp …) that hold it, from every index of every source."""
    places = itertools.product(*(range(source.size) for source in layout.sources))
    elements = zip(*(axis.reshape(-1).tolist() for axis in layout.table()), strict=True)
    found: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for element, place in zip(elements, places, strict=True):
        found.setdefault(element, []).append(place)
    return found


@pytest.mark.parametrize("warps", [1, 2, 4])
@pytest.mark.parametrize("case", launches.CASES, ids=lambda case: case.name)
def test_every_tile_is_held_whole(case: launches.Case, warps: int) -> None:
    with ods.session():
        seen: set[Layout] = set()
        for op in all_ops(assigned(case, warps).operation):
            for value in [v for v in op.results if isinstance(v.type, ir.RankedTensorType)]:
                layout, shape = layout_of(value.type), tile.shape_of(value)
                assert (layout is None) == (shape == ())
                if layout is not None:
                    assert layout.shape == tuple(shape)
                    seen.add(layout)
        for layout in seen:
            assert len(holders(layout)) == math.prod(layout.shape)


@pytest.mark.parametrize("case", launches.CASES, ids=lambda case: case.name)
def test_elementwise_operands_lie_as_their_result(case: launches.Case) -> None:
    with ods.session():
        for op in all_ops(assigned(case, 2).operation):
            if op.name.split(".")[0] not in ("arith", "math") or not op.results:
                continue
            if isinstance(op.results[0].type, ir.RankedTensorType):
                assert {layout_of(o.type) for o in op.operands} <= {layout_of(op.results[0].type)}


def test_rows_lie_as_memory_does() -> None:
    with ods.session():
        module = assigned(launches.SOFTMAX, 2)
        clean(module)
        filecheck(
            str(module),
            """
            CHECK: func.func @softmax
            CHECK: tile.load{{.*}} -> tensor<32xf32, #tile.layout<"register(4@1) lane(8@4 4@0) warp(2@0) -> dim0(32)">>
            CHECK: tile.reduce{{.*}} -> tensor<f32>
            CHECK: tile.store
            """,
        )


def test_what_needs_another_layout_is_converted() -> None:
    with ods.session():
        text = str(assigned(launches.LINEAR, 2))
        filecheck(text, "CHECK: tile.stage\nCHECK: tile.contract\nCHECK: tile.store")


# ---------------------------------------------------------------- questions about contractions


Order = tuple[str, str, str]


def contraction(element: Any, order: Order = ("ik", "kj", "ij"), sizes: tuple[int, ...] = (64, 64, 32)) -> Any:
    """A contraction of tiles; ``order`` names the axes of a, b and the result."""
    extents = dict(zip("ijk", sizes, strict=True))
    maps = [ir.AffineMap.get(3, 0, [ir.AffineDimExpr.get("ijk".index(c)) for c in text]) for text in order]
    types = [
        ir.RankedTensorType.get([extents[c] for c in text], kind)
        for text, kind in zip(order, (element, element, ir.F32Type.get()), strict=True)
    ]
    zeros = [ods.create("arith.constant", [t], attributes={"value": _zeros(t)}).result for t in types]
    return tile.contract(zeros[0], zeros[1], zeros[2], maps).owner


def _zeros(type_: Any) -> Any:
    return ir.DenseElementsAttr.get_splat(type_, ir.FloatAttr.get(type_.element_type, 0.0))


@pytest.mark.parametrize("order", [("ik", "kj", "ij"), ("ki", "jk", "ij"), ("ik", "jk", "ji")])
def test_half_products_become_fragments(order: tuple[str, str, str]) -> None:
    with ods.session():
        module = ir.Module.create()
        with ir.InsertionPoint(module.body), ir.Location.unknown():
            op = contraction(ir.BF16Type.get(), order)
            assert contraction_axes(op) == (0, 1, 2)
            plan = fragment_plan(op, 4)
            assert plan is not None
            assert (plan.a.shape, plan.b.shape, plan.c.shape) == ((64, 32), (32, 64), (64, 64))


@pytest.mark.parametrize(("kind", "sizes"), [("f32", (64, 64, 32)), ("bf16", (8, 64, 32)), ("bf16", (64, 64, 8))])
def test_other_products_have_no_fragments(kind: str, sizes: tuple[int, ...]) -> None:
    with ods.session():
        module = ir.Module.create()
        with ir.InsertionPoint(module.body), ir.Location.unknown():
            element = {"f32": ir.F32Type.get, "bf16": ir.BF16Type.get}[kind]()
            assert fragment_plan(contraction(element, sizes=sizes), 4) is None


# ---------------------------------------------------------------- layouts by themselves


@pytest.mark.parametrize("seed", range(60))
def test_random_blocks_have_one_owner_each(seed: int) -> None:
    """Among the places that hold an element exactly one is without a copy's digits: the one that stores it."""
    rng = random.Random(seed)
    shape = tuple(rng.choice((1, 2, 3, 4, 6, 8, 16)) for _ in range(rng.randint(1, 3)))
    layout = blocked(shape, rng.choice((1, 2, 4)), rng.choice((1, 2, 4, 8)), rng.randrange(len(shape)))
    found = holders(layout)
    assert set(found) == set(itertools.product(*map(range, shape)))
    names = [source.name for source in layout.sources]
    for places in found.values():
        owners = [p for p in places if all(_is_first(layout, name, p[names.index(name)]) for name in ("lane", "warp"))]
        assert len(owners) == 1


def _is_first(layout: Layout, place: str, index: int) -> bool:
    pairs = iter(owns_once(layout, place))
    return all(index // weight % count == 0 for weight, count in zip(pairs, pairs, strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_slices_hold_what_the_whole_holds(seed: int) -> None:
    rng = random.Random(seed)
    shape = tuple(rng.choice((2, 4, 8)) for _ in range(3))
    whole = blocked(shape, 2, rng.choice((1, 4)))
    kept = tuple(rng.sample(range(3), rng.randint(1, 2)))
    part = sliced(whole, kept)
    assert part.shape == tuple(shape[axis] for axis in kept)
    for lane, warp in itertools.product(range(32), range(2)):
        registers = np.arange(whole.size("register"))
        full = {tuple(int(c) for c in p) for p in zip(*[x.tolist() for x in np.broadcast_arrays(
            *whole(register=registers, lane=lane, warp=warp))], strict=True)}  # fmt: skip
        mine = np.arange(part.size("register"))
        held = {tuple(int(c) for c in p) for p in zip(*[x.tolist() for x in np.broadcast_arrays(
            *part(register=mine, lane=lane, warp=warp))], strict=True)}  # fmt: skip
        assert held == {tuple(p[axis] for axis in kept) for p in full}


@pytest.mark.parametrize("warps", [1, 2, 4, 8])
def test_fragments_share_the_work_of_the_warps(warps: int) -> None:
    grid = warp_grid(64, 64, warps)
    assert grid is not None and grid.rows * grid.columns == warps
    plan = fragments(64, 64, 32, grid)
    assert all(len(places) == 1 for places in holders(plan.c).values())
    assert {len(places) for places in holders(plan.a).values()} == {grid.columns}
    assert {len(places) for places in holders(plan.b).values()} == {grid.rows}


@pytest.mark.parametrize("fast", [0, 1, 2])
def test_a_shared_buffer_is_contiguous_where_it_is_filled_from(fast: int) -> None:
    shape, steps = (2, 3, 4), []
    layout = shared_layout(shape, fast, 4)
    for axis in range(3):
        index = {f"dim{k}": int(k == axis) for k in range(3)}
        steps.append(int(layout(**index)[0]))
    assert steps[fast] == 1 and sorted(steps)[1] == shape[fast]
    places = {int(layout(dim0=a, dim1=b, dim2=c)[0]) for a, b, c in itertools.product(*map(range, shape))}
    assert places == set(range(24))


def test_a_layout_of_another_shape_is_refused() -> None:
    with ods.session(), pytest.raises(InternalFault, match="shape"):
        laid_out((8, 8), ir.F32Type.get(), blocked((8, 4), 1, 4))
    assert warp_grid(16, 8, 4) is None


def test_the_schedule_says_how_many_warps() -> None:
    with ods.session():
        module = build(launches.SOFTMAX, Machine(lanes=8, packs=False, keeps=False, warps=2), split=False)
        (function,) = functions.functions_of(AssignLayouts(8).run(module))
        assert ir.IntegerAttr(function.attributes["tile.warps"]).value == 2
