"""Tile programs as the pass ``tile`` makes them, run as native code: they give what the launch means."""

from __future__ import annotations

import functools
import random
from typing import Any

import numpy as np
import pytest

from tests.cpu.native_programs import NUMPY
from tests.ir import launches
from tilewright.dialect import functions, ods
from tilewright.dialect.mlir import ir, passmanager
from tilewright.passes.cpu.native import compile_native
from tilewright.passes.cpu.target import host
from tilewright.passes.tile.bounds import SplitEdges
from tilewright.passes.tile.rule import Machine
from tilewright.passes.tile.tile import TileLaunches
from tilewright.runtime import cpu

MACHINES = {
    "host": Machine(lanes=host().lanes, columns=2 * host().lanes),
    "small": Machine(
        lanes=4, unroll=2, rows=3, columns=4, depth=2, row_block=6, column_block=8, cell_rows=12, cell_vectors=16
    ),
    "odd": Machine(
        lanes=2, unroll=3, rows=5, columns=12, depth=3, row_block=10, column_block=24, cell_rows=20, cell_vectors=12
    ),
}
SHAPES = [1, 2, 5, 8, 13, 31, 33]


class Tiled:
    """One compiled launch, all variants of it, and what its slots are."""

    def __init__(self, case: launches.Case, machine: Machine, split: bool) -> None:
        with ods.session():
            module = ir.Module.create()
            with ir.InsertionPoint(module.body):
                case.build()
            tiled = TileLaunches(machine).run(module)
            if split:
                SplitEdges().run(tiled)
            passmanager.PassManager.parse("builtin.module(canonicalize,cse)").run(tiled.operation)
            self.arguments = functions.arguments_of(functions.functions_of(tiled)[0], "tile")
            code = compile_native(tiled, host())
        self.library = cpu.NativeLibrary(code.object_bytes, code.launches)

    def __call__(self, case: launches.Case, seed: int) -> None:
        dims = {d: random.Random(f"{seed}{d}").choice(SHAPES) for d in case.dims}
        inputs = case.inputs(np.random.default_rng(seed), dims)
        expected = case.expected(inputs, dims)
        tensors = [a for a in self.arguments if a.role not in ("dim", "scalar")]
        for variant, entry in self.library.entries.items():
            told = f"{variant}, seed {seed}, dims {dims}"
            arrays = {a.name: self._array(a, inputs, expected) for a in tensors}
            slots = [dims[a.name] if a.role == "dim" else arrays[a.name].ctypes.data for a in self.arguments]
            cpu.launch(entry, cpu.Slots(slots))
            for name, value in expected.items():
                np.testing.assert_allclose(arrays[name], value, rtol=1e-5, atol=1e-5, err_msg=told)

    def _array(self, argument: functions.Argument, inputs: Any, expected: Any) -> Any:
        if argument.role == "in":
            return np.ascontiguousarray(inputs[argument.name], NUMPY[argument.dtype])
        return np.zeros(expected[argument.name].shape, NUMPY[argument.dtype])


@functools.cache
def tiled(case_name: str, machine: str, split: bool) -> Tiled:
    case = next(c for c in launches.CASES if c.name == case_name)
    return Tiled(case, MACHINES[machine], split)


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("case", launches.CASES, ids=lambda c: c.name)
def test_native_code_gives_what_the_launch_means(case: launches.Case, machine: str, split: bool) -> None:
    compiled = tiled(case.name, machine, split)
    for seed in range(6):
        compiled(case, seed)
