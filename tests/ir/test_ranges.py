"""The pass ``ranges``: what loops on two sides of a bound compute, and that each side is as plain as it can be."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tests.sources import typed_text
from tilewright.compiler.emit import emit
from tilewright.compiler.pipeline import Settings, road
from tilewright.compiler.target import find
from tilewright.dialect import functions, ods, tile
from tilewright.dialect.interpret.tile import run_tile
from tilewright.passes.base import run_passes
from tilewright.passes.semantics import plan_of
from tilewright.passes.tile.ranges import SplitRanges
from tilewright.runtime.switches import Switches

BESIDE = """
kernel beside[R, M, N](a: f32[R, M], b: f32[R, N]) -> (y: f32[R, M + N]):
    y[i, j] = a[i, j] if j < M else b[i, j - M]
"""
TURNED = """
kernel turned[M, N](a: f32[M], b: f32[N]) -> (y: f32[M + N]):
    y[j] = b[j - M] if j >= M else a[j]
"""
MARKED = """
kernel marked[M, N](a: f32[M], b: f32[N]) -> (y: f32[M + N]):
    y[j] = 1.0 if j {} M else 2.0
"""
LONG = """
kernel long[M, N](a: f32[M], b: f32[N]) -> (y: f32[M + N]):
    y[j] = exp(a[j]) if j < M else b[j - M]
"""
EXTENTS = (0, 1, 2, 7, 8, 31, 32, 33, 64, 70)


def tiled(text: str, disabled: frozenset[str] = frozenset()) -> Any:
    module = emit(typed_text(text))
    for _, passes in road(find("cpu", Switches()), Settings(disabled=disabled)):
        module = run_passes(module, passes)
    return module


def loops_of(operation: Any) -> list[Any]:
    found = []
    for region in operation.operation.regions:
        for block in region.blocks:
            for op in ods.ops_of(block):
                found += [op] if op.name == "scf.for" else []
                found += loops_of(op)
    return found


def expected(name: str, a: Any, b: Any) -> Any:
    j = np.arange(a.shape[-1] + b.shape[-1])
    below = {"<": j < len(a), "<=": j <= len(a), ">": j > len(a), ">=": j >= len(a)}
    return np.where(below[name], 1.0, 2.0) if name in below else np.concatenate([a, b], axis=-1)


@pytest.mark.parametrize("name", ["beside", "turned", "<", "<=", ">", ">="])
def test_both_sides_of_a_bound_are_what_they_were(name: str) -> None:
    text = {"beside": BESIDE, "turned": TURNED}.get(name, MARKED.format(name))
    with ods.session():
        module = tiled(text)
        for m, n in itertools.product(EXTENTS, EXTENTS):
            rows = (2,) if name == "beside" else ()
            a = np.arange(m * 2, dtype=np.float32)[: m * (2 if rows else 1)].reshape(*rows, m)
            b = -1 - np.arange(n * 2, dtype=np.float32)[: n * (2 if rows else 1)].reshape(*rows, n)
            y = run_tile(module, plan_of(module), {"a": a, "b": b}, {"R": 2, "M": m, "N": n}, shuffle=1)["y"]
            np.testing.assert_array_equal(y, expected(name, a, b), err_msg=f"M={m}, N={n}")


def test_each_side_is_a_plain_copy() -> None:
    """Below the bound and above it no stored value is chosen, guarded or masked."""
    with ods.session():
        module = tiled(BESIDE)
        loops = loops_of(functions.functions_of(module)[0])
        stores = [op for loop in loops for op in ods.ops_of(loop.regions[0].blocks[0]) if op.name == "tile.store"]
        origins = [store.operands[0].owner for store in stores]
        plain = [op for op in origins if op.name == "tile.load" and not tile.load_view(op).access.guarded]
        assert [op.name for op in origins] == ["tile.load", "arith.select", "tile.load", "tile.load"]
        assert len(plain) == 3, "whole tiles below, whole tiles above, the last one above"


def test_loops_over_long_computations_are_left_alone() -> None:
    with ods.session():
        with_pass, without = (tiled(LONG, frozenset(off)) for off in ((), (SplitRanges.name,)))
        assert str(with_pass) == str(without)
