"""Schedule blocks and facts on sm_80: any tile sizes and warps give right kernels, and what copies ahead is told."""

from __future__ import annotations

import random
import secrets

import numpy as np
import pytest

import tilewright as tw
from tilewright.compiler.language.errors import SourceErrors

MATMUL = """
kernel matmul<T: float>[M, N, K](a: T[M, K], b: T[K, N]) -> (c: T[M, N]):
    {require}
    c[i, j] = sum[k](a[i, k] * b[k, j])

schedule matmul for sm_80:
    {schedule}
"""
SIZES = (45, 56, 40)


def matmul(schedule: str, require: str = "require K >= 0") -> str:
    return MATMUL.format(schedule=schedule, require=require)


def drawn(seed: int) -> str:
    """A schedule of any sizes, powers of two or not."""
    choice = random.Random(seed)
    i, j = (choice.choice((1, 3, 16, 17, 32, 40, 48, 64, 96)) for _ in "ij")
    k = choice.choice((1, 2, 5, 7, 8, 12, 16, 24, 32))
    return f"tile i={i}, j={j}, k={k}\n    warps {choice.choice((1, 2, 3, 4, 8))}\n    stages {choice.randint(1, 4)}"


def assert_right(text: str, dtype: str) -> None:
    """Small whole numbers: every product and sum is exact. The emulator looks for races and bad addresses."""
    generator = np.random.default_rng(7)
    m, n, k = SIZES
    a, b = (generator.integers(-4, 5, shape).astype(dtype) for shape in ((m, k), (k, n)))
    found = tw.jit(text)(a, b, target="sm_80", device="emulator")
    np.testing.assert_array_equal(found, (a.astype(np.float64) @ b.astype(np.float64)).astype(dtype))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("schedule", ["tile k=7", "tile i=96, j=80, k=48", "tile i=33, j=17, k=5"])
def test_sizes_that_are_no_powers_of_two(schedule: str, dtype: str) -> None:
    assert_right(matmul(schedule), dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("number", range(4))
def test_random_schedules(number: int, dtype: str) -> None:
    seed = secrets.randbelow(1 << 30)
    print(f"seed {seed}: {drawn(seed)}")
    assert_right(matmul(drawn(seed)), dtype)


@pytest.mark.soak
def test_many_random_schedules() -> None:
    for seed in range(300):
        print(f"seed {seed}: {drawn(seed)}")
        assert_right(matmul(drawn(seed)), ("float16", "float32")[seed % 2])


@pytest.mark.parametrize(
    ("require", "dims", "copies"),
    [
        ("require K % 8 == 0 and N % 8 == 0", {}, "4 buffers, filled 3 steps ahead by copies of 16, 16 bytes"),
        ("require K >= 0", {"K": 40, "N": 56}, "4 buffers, filled 3 steps ahead by copies of 16, 16 bytes"),
        ("require K >= 0", {"K": 40}, "b is copied by 2 bytes"),
        ("require K >= 0", {}, "a is copied by 2 bytes"),
    ],
)
def test_what_is_stated_of_sizes_decides_what_is_copied_ahead(require: str, dims: dict[str, int], copies: str) -> None:
    text = matmul("stages 4\n    tile i=64, j=64, k=32", require)
    compiled = tw.compile(text, target="sm_80", types={"T": "f16"}, dims=dims)
    assert copies in compiled.artifact.notes["remarks.txt"]
    assert ("cp.async" in compiled.ir("ptx")) == ("ahead" in copies)
    m, n, k = SIZES
    a, b = np.ones((m, k), np.float16), np.ones((k, n), np.float16)
    np.testing.assert_array_equal(compiled(a, b, device="emulator"), np.full((m, n), k, np.float16))


def test_a_call_that_breaks_a_stated_size_is_refused() -> None:
    compiled = tw.compile(matmul("warps 4", "require K % 8 == 0"), target="sm_80", types={"T": "f16"})
    with pytest.raises(tw.CallError):
        compiled(np.ones((8, 12), np.float16), np.ones((12, 8), np.float16), device="emulator")


@pytest.mark.parametrize(
    ("schedule", "found"), [("warps 64", "2,048"), ("stages 100", "bytes"), ("tile i=256, k=256", "bytes")]
)
def test_what_the_chip_lacks_is_an_error_at_the_schedule(schedule: str, found: str) -> None:
    text = matmul(schedule, "require K % 16 == 0 and N % 16 == 0")
    with pytest.raises(SourceErrors, match="TW0612") as error:
        tw.compile(text, target="sm_80", types={"T": "f16"})
    (diagnostic,) = error.value.diagnostics
    assert diagnostic.span.line == 7 and found in f"{diagnostic.expected} {diagnostic.found}"


def test_products_that_miss_the_tensor_cores_are_told() -> None:
    for warps, told in ((1, False), (2, True)):
        compiled = tw.compile(matmul(f"tile i=48, j=48\n    warps {warps}"), target="sm_80", types={"T": "f16"})
        assert ("multiply-adds" in compiled.artifact.notes["remarks.txt"]) == told
        assert ("mma.sync" in compiled.ir("ptx")) != told


@pytest.mark.parametrize("setting", ["stages 2", "vector 4", "cluster 2"])
def test_a_setting_without_a_place_is_refused(setting: str) -> None:
    text = f"kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = 2 * x[i]\nschedule f for sm_80:\n    {setting}\n"
    with pytest.raises(SourceErrors, match="TW0611"):
        tw.compile(text, target="sm_80")


@pytest.mark.parametrize("warps", [1, 2, 3, 6, 8])
def test_rows_are_reduced_over_any_number_of_warps(warps: int) -> None:
    """Values, and positions, which are 64 bits wide."""
    rows = f"""
kernel rows[M, N](x: f32[M, N]) -> (total: f32[M], best: i64[M]):
    total[i] = sum[j](x[i, j])
    best[i]  = argmax[j](x[i, j])

schedule rows for sm_80:
    warps {warps}
"""
    x = np.random.default_rng(warps).integers(-50, 50, (3, 777)).astype(np.float32)
    total, best = tw.jit(rows)(x, target="sm_80", device="emulator")
    np.testing.assert_array_equal(total, x.sum(1))
    np.testing.assert_array_equal(best, x.argmax(1))
