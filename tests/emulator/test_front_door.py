"""The front doors with a GPU target: ``target="sm_80", device="emulator"``, plans, resources, refusals; no GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilewright as tw

SOFTMAX = """kernel softmax<T: float>[M, N](x: T[M, N]) -> (y: T[M, N]):
    y[i, j] = exp(x[i, j] - max[j](x[i, j])) / sum[j](exp(x[i, j] - max[j](x[i, j])))
"""
GEMM = """kernel gemm<T: float>[M, N, K](a: T[M, K], b: T[K, N]) -> (y: f32[M, N]):
    y[i, j] = sum[k](a[i, k] * b[k, j])
"""


def data(*shape: int, dtype: Any = np.float32) -> Any:
    return np.random.default_rng(2).integers(-4, 5, shape).astype(dtype)


@pytest.mark.parametrize("shape", [(4, 256), (3, 37), (1, 1)])
def test_softmax(shape: tuple[int, int]) -> None:
    x = data(*shape)
    expected = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    y = tw.jit(SOFTMAX)(x, target="sm_80", device="emulator")
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("shape", [(64, 64, 64), (50, 33, 40)])
def test_gemm_on_small_integers_is_exact(shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    a, b = data(m, k, dtype=np.float16), data(k, n, dtype=np.float16)
    y = tw.jit(GEMM)(a, b, target="sm_80", device="emulator")
    np.testing.assert_array_equal(y, a.astype(np.float32) @ b.astype(np.float32))


def test_alignment_and_divisibility_are_part_of_the_key() -> None:
    kernel = tw.jit(SOFTMAX, target="sm_80")
    for shape in ((2, 32), (2, 33), (4, 32), (5, 35)):
        kernel(data(*shape), device="emulator")
    assert kernel.compilations == 2


def test_compiled_for_a_gpu_shows_its_forms_and_resources() -> None:
    compiled = tw.compile(SOFTMAX, types={"T": "f32"}, target="sm_80")
    assert ".entry softmax_0" in compiled.ir("ptx") and "tile.layout" in compiled.ir("tile-gpu")
    assert "gpu.module" in compiled.ir("thread")
    (launch,) = compiled.plan.launches
    assert launch.block[0] % 32 == 0 and launch.cells[0].evaluate({"M": 7, "N": 5}) == 7
    assert compiled.resources[launch.name]["registers"] > 0
    y = compiled(data(2, 16), device="emulator")
    np.testing.assert_allclose(y.sum(1), 1, rtol=1e-5)


def test_no_driver_is_a_clear_error() -> None:
    pytest.importorskip("cuda.bindings")
    try:
        tw.jit(SOFTMAX)(data(2, 4), target="sm_80")
    except tw.TilewrightError as error:
        assert error.code in ("TW1203", "TW1012")  # no driver here; with one, NumPy arrays lie on the wrong device
    else:
        raise AssertionError("NumPy arrays went to a GPU")


def test_cpu_code_does_not_go_to_the_emulator() -> None:
    with pytest.raises(tw.CallError) as caught:
        tw.jit(SOFTMAX)(data(2, 4), device="emulator")
    assert caught.value.code == "TW1012"
