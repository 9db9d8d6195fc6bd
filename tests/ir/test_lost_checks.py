"""A pass that loses a run-time check which an output needs is found; one that leaves out a dead one is not blamed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.ir.tensor_road import ROAD, emitted
from tilewright.dialect.faults import PassFault
from tilewright.dialect.printing import dump, parse_module
from tilewright.passes.base import Instrument, Pass, run_passes
from tilewright.passes.semantics import Case, Semantics, semantics_of
from tilewright.passes.tensor.fuse import Fuse
from tilewright.passes.tile.tile import TileLaunches

NEEDED = "kernel k[N](x: f32[N], at: i32[N]) -> (y: f32[N]):\n    y[i] = x[at[i]]\n"
DEAD_TOO = """kernel k[N](x: f32[N], at: i32[N]) -> (y: f32[N]):
    v[i: 2, j: N] = x[at[j] * i + 9 * i]
    y[j] = (v[0, j] else 0) * 0 + x[at[j]]
"""
CASE = Case({"N": 4}, {"x": np.arange(1, 5, dtype=np.float32), "at": np.array([2, 0, 7, 1], np.int32)})
TENSOR_CHECK, TILE_CHECK = "modes = array<i64: 2>", "checked = array<i64: 0>"
GUARDED_LOAD = "checked = array<i64>, gather_dims = array<i64: 0>, guarded = array<i64: 0>"


@dataclass(frozen=True)
class Edit(Pass):
    """Writes other text into the module."""

    name: ClassVar[str] = "edit"
    old: str = ""
    new: str = ""

    def run(self, module: Any) -> Any:
        text = dump(module)
        assert self.old in text, text
        return parse_module(text.replace(self.old, self.new))


def judge() -> Semantics:
    return semantics_of("k", [CASE])


@pytest.mark.parametrize("text", [NEEDED, DEAD_TOO], ids=["needed", "dead too"])
@pytest.mark.parametrize("mode", [0, 3], ids=["taken for proved", "taken for guarded"])
def test_a_check_lost_at_the_tensor_level_is_found(text: str, mode: int) -> None:
    lose = Edit(old=TENSOR_CHECK, new=f"modes = array<i64: {mode}>")
    with emitted(text) as module, pytest.raises(PassFault, match="pass edit .*(run-time check failed|outside)"):
        run_passes(module, [lose], Instrument(semantics=judge()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"{TILE_CHECK}, gather_dims = array<i64: 0>, guarded = array<i64>", GUARDED_LOAD),
        (TILE_CHECK, "checked = array<i64>"),
    ],
    ids=["guarded", "trusted"],
)
def test_a_check_lost_at_the_tile_level_is_found(old: str, new: str) -> None:
    with emitted(NEEDED) as module:
        tiled = run_passes(module, [*ROAD, TileLaunches()])
        with pytest.raises(PassFault, match="pass edit .*(run-time check failed|outside)"):
            run_passes(tiled, [Edit(old=old, new=new)], Instrument(semantics=judge()))


def test_a_dead_check_may_go_and_the_one_that_is_needed_stays() -> None:
    with emitted(DEAD_TOO) as module:
        behaviour = judge().behaviour
        before = behaviour(module)
        after = behaviour(run_passes(module, [Fuse()], Instrument(semantics=judge())))
        assert before[0].failed and after[0].failed
        outputs = after[0].outputs["y"]
    np.testing.assert_array_equal(outputs, [3.0, 1.0, 2.625, 2.0])


def test_a_check_that_nothing_asked_for_is_found() -> None:
    text = "kernel k[N](x: f32[N], at: i32[N]) -> (y: f32[N]):\n    y[i] = (x[at[i]] else 5)\n"
    with emitted(text) as module, pytest.raises(PassFault, match="a result before, a run-time check failed after"):
        edit = Edit(old="modes = array<i64: 3>", new=TENSOR_CHECK)
        run_passes(module, [edit], Instrument(semantics=judge()))
