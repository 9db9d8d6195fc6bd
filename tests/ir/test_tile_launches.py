"""The pass ``tile`` and ``bounds``: what the tile programs mean, what they look like, and what is refused."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.ir import launches
from tilewright.dialect import functions, ods
from tilewright.dialect.faults import InternalFault
from tilewright.dialect.interpret.tile import run_tile
from tilewright.dialect.legality import check_level
from tilewright.dialect.mlir import ir, passmanager
from tilewright.passes.schedule import Block, Limit, Nest, Schedule, Where
from tilewright.passes.semantics import plan_of
from tilewright.passes.tile.bounds import SplitEdges
from tilewright.passes.tile.rule import Machine, default_schedule
from tilewright.passes.tile.tile import TileLaunches
from tilewright.passes.tile.written import Setting, UnusedSetting

SMALL = Machine(
    lanes=4, unroll=2, rows=3, columns=4, depth=2, row_block=6, column_block=8, cell_rows=12, cell_vectors=16
)
MACHINES = {"panels": SMALL, "direct": Machine(lanes=2, unroll=1, rows=2, columns=4, depth=3, packs=False)}
SHAPES = [1, 2, 5, 8, 13]


def build(case: launches.Case, machine: Machine, schedules: tuple[Schedule, ...] = (), split: bool = True) -> Any:
    module = ir.Module.create()
    with ir.InsertionPoint(module.body):
        case.build()
    module.operation.verify()
    tiled = TileLaunches(machine, schedules).run(module)
    clean(tiled)
    if split:
        SplitEdges().run(tiled)
        clean(tiled)
    check_level(tiled, "tile")
    return tiled


def clean(module: Any) -> None:
    module.operation.verify()
    passmanager.PassManager.parse("builtin.module(canonicalize,cse)").run(module.operation)


def run(case: launches.Case, module: Any, seed: int, order: Sequence[str] = ()) -> None:
    rng = np.random.default_rng(seed)
    dims = {d: random.Random(f"{seed}{d}").choice(SHAPES) for d in case.dims}
    inputs = case.inputs(rng, dims)
    actual = run_tile(module, order or plan_of(module), inputs, dims, shuffle=seed)
    for name, expected in case.expected(inputs, dims).items():
        np.testing.assert_allclose(actual[name], expected, rtol=1e-5, atol=1e-5, err_msg=f"seed {seed}, dims {dims}")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("case", launches.CASES, ids=lambda c: c.name)
def test_tile_programs_mean_what_the_launch_means(case: launches.Case, machine: str) -> None:
    with ods.session():
        for split in (False, True):
            module = build(case, MACHINES[machine], split=split)
            for seed in range(4):
                run(case, module, seed)


@pytest.mark.parametrize("case", launches.CASES, ids=lambda c: c.name)
def test_random_schedules_change_nothing_but_rounding(case: launches.Case) -> None:
    with ods.session():
        for seed in range(3):
            rng = random.Random(seed)
            module = ir.Module.create()
            with ir.InsertionPoint(module.body):
                launch = case.build()
            schedule = _shuffled(default_schedule(launch, SMALL), rng)
            run(case, build(case, SMALL, (schedule,)), seed)


def _shuffled(schedule: Schedule, rng: random.Random) -> Schedule:
    """Other sizes for every index, all blocks of an index multiples of its tile; panels keep their places."""
    nests = []
    for nest in schedule.nests:
        base = {b.index: rng.choice([1, 2, 3, 4, 8]) for b in nest.blocks}
        factor = {b.index: 4 for b in nest.blocks}
        blocks = []
        for block in nest.blocks:
            if block.where is Where.GRID and block.size == 1:
                blocks.append(block)
                base[block.index] = 1
                factor[block.index] = 1
                continue
            size = base[block.index] * (factor[block.index] if block.where is not Where.TILE else 1)
            blocks.append(Block(block.index, size, block.where))
            factor[block.index] = max(1, factor[block.index] // 2)
        nests.append(Nest(nest.name, tuple(blocks), nest.stages))
    return Schedule(schedule.launch, tuple(nests))


def test_row_statistics_are_computed_once_a_cell() -> None:
    with ods.session():
        module = build(launches.SOFTMAX, SMALL, split=False)
        grid = next(op for op in _all_ops(module) if op.name == "tile.grid")
        loops = [op for op in ods.ops_of(grid.regions[0].blocks[0]) if op.name == "scf.for"]
        assert len(loops) == 3, "max, sum, and the result"
        assert not any(op.name == "scf.for" for loop in loops for op in _all_ops(loop))


def test_powers_are_computed_once_and_kept() -> None:
    with ods.session():
        for machine, powers in ((SMALL, 1), (replace(SMALL, keeps=False), 2)):
            module = build(launches.SOFTMAX, machine, split=False)
            assert sum(op.name == "math.exp" for op in _all_ops(module)) == powers


def test_inner_tiles_have_no_limits() -> None:
    with ods.session():
        module = build(launches.SOFTMAX, SMALL)
        loads = [op for op in _all_ops(module) if op.name == "tile.load"]
        limited = [op for op in loads if ods.i64_list(op.attributes["limit_axes"])]
        assert len(loads) == 8 and len(limited) == 4


def test_a_bounded_fold_skips_whole_tiles() -> None:
    with ods.session():
        module = build(launches.TRIANGLE, SMALL, split=False)
        loop = next(op for op in _all_ops(module) if op.name == "scf.for")
        high = loop.operands[1].owner
        assert high.name == "arith.minsi", "the loop ends where the constraint ends"


def test_the_schedule_stands_in_the_program() -> None:
    with ods.session():
        module = build(launches.LINEAR, SMALL)
        function = functions.functions_of(module)[-1]
        text = ir.StringAttr(function.attributes["tile.schedule"]).value
        assert "stage right above" in text and "tile k=2" in text


def test_each_variant_alone_means_what_the_launch_means() -> None:
    """Conditions choose what is fast: every variant is right for every shape."""
    with ods.session():
        module = build(launches.LINEAR, SMALL)
        names = plan_of(module)
        assert names == ["linear_v1", "linear_v2", "linear"]
        for function in functions.functions_of(module):
            if functions.condition_of(function) is not None:
                del function.attributes["tile.when"]
            for seed in range(4):
                run(launches.LINEAR, module, seed, [functions.name_of(function)])


def test_the_interpreter_runs_the_variant_that_holds() -> None:
    """The first variant is emptied: what it holds for is never written, everything else is."""
    with ods.session():
        module = build(launches.LINEAR, SMALL)
        grid = next(op for op in _all_ops(functions.functions_of(module)[0]) if op.name == "tile.grid")
        ods.erase(grid)
        for rows in (1, SMALL.thin_along, SMALL.thin_along + 1):
            dims = {"M": rows, "N": 9, "K": 3}
            inputs = launches.LINEAR.inputs(np.random.default_rng(rows), dims)
            written = ~np.isnan(run_tile(module, plan_of(module), inputs, dims)["y"])
            assert written.all() if rows > SMALL.thin_along else not written.any()


def test_variants_say_when_they_hold() -> None:
    with ods.session():
        module = build(launches.LINEAR, SMALL)
        conditions = [functions.condition_of(function) for function in functions.functions_of(module)]
        told = [None if c is None else (str(c.extents), c.most) for c in conditions]
        assert told == [
            ("()[s0, s1, s2] -> (s0)", (SMALL.thin_along,)),
            ("()[s0, s1, s2] -> (s1)", (SMALL.thin_along,)),
            None,
        ]


def test_given_schedules_of_one_launch_are_its_variants_and_the_last_must_hold_always() -> None:
    with ods.session():
        module = ir.Module.create()
        with ir.InsertionPoint(module.body):
            launch = launches.LINEAR.build()
        general = default_schedule(launch, SMALL)
        small = replace(general, when=(Limit("i", 3), Limit("j", 2)))
        tiled = TileLaunches(SMALL, (small, general)).run(module)
        assert plan_of(tiled) == ["linear_v1", "linear"]
        with pytest.raises(InternalFault, match="no schedule of linear holds for every shape"):
            TileLaunches(SMALL, (small,)).run(module)


@pytest.mark.parametrize("cell", [1, 3, 8, 20])
def test_sums_are_kept_for_cells_of_any_size(cell: int) -> None:
    """Also for cells that are smaller than a tile of sums, or no multiple of one."""
    loops = (Block("i", 2, Where.GRID), Block("j", cell, Where.GRID), Block("i", 1, Where.LOOP))
    tile = Block("j", 2, Where.TILE)
    square = tuple(replace(b, index={"i": "r", "j": "c"}[b.index]) for b in (*loops, tile))
    sums = (Block("k", 3, Where.TILE), Block("j", 8, Where.TILE))
    nests = (Nest("value", (*loops, tile)), Nest("value/fold", sums), Nest("value.2", square))
    with ods.session():
        module = build(launches.TWICE, SMALL, (Schedule("twice", nests),))
        for seed in range(4):
            run(launches.TWICE, module, seed)


def test_results_that_are_blocked_alike_share_one_nest() -> None:
    """Two results of one product: it is summed up once, not once for each."""
    with ods.session():
        module = build(launches.TWICE, SMALL, split=False)
        contracts = [op for op in _all_ops(functions.functions_of(module)[-1]) if op.name == "tile.contract"]
        assert len(contracts) == 1


def test_a_schedule_without_a_nest_is_refused() -> None:
    with ods.session(), pytest.raises(InternalFault, match="has no nest"):
        build(launches.SOFTMAX, SMALL, (Schedule("softmax", ()),))


def _all_ops(operation: Any) -> list[Any]:
    found = []
    for region in operation.operation.regions:
        for block in region.blocks:
            for op in ods.ops_of(block):
                found += [op, *_all_ops(op)]
    return found


@pytest.mark.parametrize(
    "settings",
    [[("tile", "i", 24)], [("tile", "i", 5), ("tile", "j", 8)], [("tile", "k", 3)], [("tile", "y", "j", 12)]],
    ids=str,
)
def test_written_tiles_change_the_schedule_and_not_the_result(settings: list[tuple[Any, ...]]) -> None:
    written = tuple(Setting(tuple(s[:-1]), s[-1]) for s in settings)
    with ods.session():
        module = ir.Module.create()
        with ir.InsertionPoint(module.body):
            launches.LINEAR.build()
        tiled = TileLaunches(SMALL, written=tuple(_for_nest(s) for s in written)).run(module)
        clean(tiled)
        (function,) = functions.functions_of(tiled)
        text = ir.StringAttr(function.attributes["tile.schedule"]).value
        for setting in written:
            assert f"{setting.key[-1]}={setting.value}" in text
        for seed in range(3):
            run(launches.LINEAR, tiled, seed)


def _for_nest(setting: Setting) -> Setting:
    """Launches built by hand have no statement names: the nest of ``y`` is called ``value``."""
    return Setting(tuple("value" if part == "y" else part for part in setting.key), setting.value)


def test_a_setting_without_a_place_is_refused() -> None:
    with ods.session(), pytest.raises(UnusedSetting, match="no launch has a place for: tile q=8") as caught:
        module = ir.Module.create()
        with ir.InsertionPoint(module.body):
            launches.LINEAR.build()
        TileLaunches(SMALL, written=(Setting(("tile", "q"), 8), Setting(("tile", "i"), 6))).run(module)
    assert caught.value.settings == (Setting(("tile", "q"), 8),)
