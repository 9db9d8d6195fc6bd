"""PyTorch tensors in and out, gradients refused, and PyTorch as a second opinion on results."""

from __future__ import annotations

import numpy as np
import pytest

import tilewright as tw

pytestmark = pytest.mark.torch

SOFTMAX = """kernel softmax<T: float>[M, N](x: T[M, N]) -> (y: T[M, N]):
    y[i, j] = exp(x[i, j] - max[j](x[i, j])) / sum[j](exp(x[i, j] - max[j](x[i, j])))
"""
GEMM = """kernel gemm<T: float>[M, N, K](a: T[M, K], b: T[K, N]) -> (y: f32[M, N]):
    y[i, j] = sum[k](a[i, k] * b[k, j])
"""


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_softmax_comes_back_as_a_tensor(dtype: str) -> None:
    import torch

    torch.manual_seed(0)
    x = torch.randn(7, 33).to(getattr(torch, dtype))
    y = tw.jit(SOFTMAX)(x)
    assert isinstance(y, torch.Tensor) and y.dtype == x.dtype
    torch.testing.assert_close(y, torch.softmax(x.float(), 1).to(x.dtype))


def test_strides_and_out() -> None:
    import torch

    torch.manual_seed(1)
    a, b = torch.randn(20, 12), torch.randn(15, 12)
    out = torch.empty(20, 15)
    assert tw.jit(GEMM)(a, b.t(), out=out) is out
    torch.testing.assert_close(out, a @ b.t())


def test_gradients_are_refused() -> None:
    import torch

    x = torch.randn(3, 4, requires_grad=True)
    kernel = tw.jit(SOFTMAX)
    with torch.no_grad():
        kernel(x)
    with pytest.raises(tw.CallError) as caught:
        kernel(x)
    assert caught.value.code == "TW1016" and caught.value.argument == "x"
    kernel(x.detach())


def test_frameworks_may_be_mixed_and_the_first_one_wins() -> None:
    import torch

    a, b = torch.ones(2, 3), np.ones((3, 4), np.float32)
    assert isinstance(tw.jit(GEMM)(a, b), torch.Tensor)
    assert isinstance(tw.jit(GEMM)(a.numpy(), torch.from_numpy(b)), np.ndarray)


def test_views_of_one_storage_that_overlap_are_refused() -> None:
    import torch

    storage = torch.zeros(64)
    x, y = storage[:12].view(3, 4), storage[8:20].view(3, 4)
    with pytest.raises(tw.CallError) as caught:
        tw.jit(SOFTMAX)(x, out=y)
    assert caught.value.code == "TW1007"
