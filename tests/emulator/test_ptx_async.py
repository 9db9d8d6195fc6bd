"""Pipelines, TMA, wgmma and clusters under every completion policy and several schedules."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tilewright.runtime.emulator import Module, Report, TensorMap, launch

FOLDER = Path(__file__).parent / "fixtures"
MODES = [("in-order", 0), ("reverse", 0), ("random", 1), ("random", 2), ("random", 3)]
COMPLETIONS = ["eager", "lazy", "random"]
STAGES, STAGE_BYTES = 3, 24576


@lru_cache(maxsize=4)
def text(name: str) -> str:
    return (FOLDER / f"{name}.ptx").read_text()


@lru_cache(maxsize=4)
def fixture_module(name: str) -> Module:
    return Module.parse(text(name))


def run_pipeline(module: Module, m: int, n: int, k: int, **options: Any) -> tuple[Report, float]:
    rng = np.random.default_rng(7)
    a, b = (rng.normal(size=shape).astype(ml_dtypes.bfloat16) for shape in ((m, k), (k, n)))
    c = np.full((m, n), np.nan, np.float32)
    report = launch(module, "mma_pipeline", (-(-n // 64), -(-m // 64)), (128,), args=[a, b, c, m, n, k], **options)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    scale = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    return report, float((np.abs(c - exact) / scale).max())


@pytest.mark.parametrize("completion", COMPLETIONS)
@pytest.mark.parametrize(("schedule", "seed"), MODES)
def test_mma_pipeline(schedule: str, seed: int, completion: str) -> None:
    report, error = run_pipeline(
        fixture_module("pipeline"), 72, 64, 200, schedule=schedule, seed=seed, completion=completion
    )
    assert report.findings == []
    assert error < 16 * 2.0**-24


def run_specialised(module: Module, m: int, n: int, k: int, **options: Any) -> tuple[Report, float]:
    rng = np.random.default_rng(8)
    a, b = (rng.normal(size=shape).astype(np.float16) for shape in ((m, k), (n, k)))
    c = np.full((m, n), np.nan, np.float32)
    maps = [TensorMap.tiled(a, box=(64, 128), swizzle=128), TensorMap.tiled(b, box=(64, 64), swizzle=128)]
    report = launch(
        module,
        "specialised",
        (-(-n // 64), -(-m // 128)),
        (384,),
        shared_bytes=STAGES * STAGE_BYTES + 48,
        args=[*maps, c, m, n, k],
        **options,
    )
    exact = a.astype(np.float64) @ b.astype(np.float64).T
    scale = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64).T
    return report, float((np.abs(c - exact) / scale).max())


@pytest.mark.parametrize("completion", COMPLETIONS)
@pytest.mark.parametrize(("schedule", "seed"), MODES)
def test_warp_specialised_matmul(schedule: str, seed: int, completion: str) -> None:
    report, error = run_specialised(
        fixture_module("hopper"), 100, 64, 456, schedule=schedule, seed=seed, completion=completion
    )
    assert report.findings == [], [str(f) for f in report.findings]
    assert error < 16 * 2.0**-24


@pytest.mark.parametrize("completion", COMPLETIONS)
@pytest.mark.parametrize(("schedule", "seed"), MODES)
def test_cluster_sum(schedule: str, seed: int, completion: str) -> None:
    values = np.arange(3000, dtype=np.float32)
    output = np.zeros(2, np.float32)
    report = launch(
        fixture_module("hopper"),
        "cluster_sum",
        (8,),
        (128,),
        args=[values, output, 3000],
        schedule=schedule,
        seed=seed,
        completion=completion,
    )
    assert report.findings == [], [str(f) for f in report.findings]
    assert output.sum() == values.sum()


@pytest.mark.parametrize("completion", COMPLETIONS)
@pytest.mark.parametrize(("schedule", "seed"), MODES[:3])
def test_tile_through_tma(schedule: str, seed: int, completion: str) -> None:
    x = np.random.default_rng(9).normal(size=(50, 40)).astype(np.float32)
    y = np.full_like(x, np.nan)
    maps = [TensorMap.tiled(array, box=(32, 32)) for array in (x, y)]
    report = launch(
        fixture_module("hopper"),
        "tile_add",
        (2, 2),
        (64,),
        args=[*maps, np.float32(1.5)],
        schedule=schedule,
        seed=seed,
        completion=completion,
    )
    assert report.findings == [], [str(f) for f in report.findings]
    np.testing.assert_array_equal(y, x + np.float32(1.5))


def mutated(name: str, entry: str, old: str, new: str, which: int = 0) -> Module:
    source = text(name)
    position = source.index(f".entry {entry}")
    for _ in range(which + 1):
        position = source.index(old, position + 1)
    return Module.parse(source[:position] + new + source[position + len(old) :])


PIPELINE_MUTANTS = [
    ("cp.async.wait_group 1", "cp.async.wait_group 2"),
    ("bar.sync", "//"),
    (".m8n8.x4.trans", ".m8n8.x4"),
]


@pytest.mark.parametrize(("old", "new"), PIPELINE_MUTANTS)
def test_pipeline_mutants_are_caught(old: str, new: str) -> None:
    report, error = run_pipeline(mutated("pipeline", "mma_pipeline", old, new), 64, 64, 256)
    assert report.errors or not error < 1e-5


HOPPER_MUTANTS = [
    ("mbarrier.arrive.shared::cta.b64 _", "//", "deadlock"),
    ("wgmma.wait_group.sync.aligned 0", "wgmma.wait_group.sync.aligned 1", "race"),
    ("mbarrier.arrive.expect_tx", "//", "deadlock"),
    ("fence.proxy.async;", "", None),
    ("bar.sync", "//", None),
]


@pytest.mark.parametrize(("old", "new", "kind"), HOPPER_MUTANTS)
def test_specialised_mutants_are_caught(old: str, new: str, kind: str | None) -> None:
    report, error = run_specialised(mutated("hopper", "specialised", old, new), 64, 64, 456)
    kinds = {finding.kind for finding in report.findings}
    if kind is not None:
        assert kind in kinds or not error < 1e-5, kinds
    elif old == "bar.sync":
        assert kinds


def test_tma_store_needs_the_proxy_fence_and_the_wait() -> None:
    x = np.ones((32, 32), np.float32)
    y = np.zeros_like(x)
    maps = [TensorMap.tiled(array, box=(32, 32)) for array in (x, y)]

    def kinds(old: str, new: str) -> set[str]:
        module = mutated("hopper", "tile_add", old, new)
        return {f.kind for f in launch(module, "tile_add", (1,), (64,), args=[*maps, np.float32(1)]).findings}

    assert "missing-proxy-fence" in kinds("fence.proxy.async.shared::cta;", "")
    assert "bulk-store" in kinds("cp.async.bulk.wait_group.read", "//")


def test_deadlock_says_who_waits_for_which_phase() -> None:
    report, _ = run_specialised(
        mutated("hopper", "specialised", "mbarrier.arrive.shared::cta.b64 _", "//"), 64, 64, 456
    )
    waits = [f for f in report.findings if f.kind == "deadlock" and f.other and "mbarrier" in f.other]
    assert waits and "arrivals" in str(waits[0].other)
    assert not report.completed
