"""Index arithmetic beyond 2^31 elements: tensors in memory that is reserved and never touched elsewhere."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tilewright as tw

FAR = (1 << 31) + 1000
NORESERVE = 0x4000  # Linux: pages exist when they are touched


@pytest.fixture
def far() -> NDArray[Any]:
    """Bytes, more than a signed 32-bit number counts; zero but for the last ones."""
    memory = mmap.mmap(-1, 2 * FAR, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NORESERVE)
    tensor = np.frombuffer(memory, np.uint8)
    tensor[-4:] = [1, 2, 3, 4]
    return tensor


def test_gathers(far: NDArray[Any]) -> None:
    kernel = tw.jit("kernel k[N, K](x: u8[N], at: i64[K]) -> (y: u8[K]):\n    y[i] = x[at[i]]\n")
    size = far.size
    np.testing.assert_array_equal(kernel(far, np.array([size - 1, 0, size - 3, FAR])), [4, 0, 2, 0])


def test_affine_reads_of_rows_that_lie_far_apart(far: NDArray[Any]) -> None:
    kernel = tw.jit("kernel k[M, N, K](x: u8[M, N], w: u8[K]) -> (y: i32[M, K]):\n    require K <= N\n"
                    "    y[i, j] = i32(x[i, N - K + j]) + i32(w[j])\n")  # fmt: skip
    found = kernel(far.reshape(2, FAR), np.zeros(4, np.uint8))
    np.testing.assert_array_equal(found, [[0] * 4, [1, 2, 3, 4]])


def test_strides_beyond_32_bits(far: NDArray[Any]) -> None:
    kernel = tw.jit("kernel k[M, N](x: u8[M, N]) -> (y: i32[M]):\n    y[i] = sum[j](i32(x[i, j]))\n")
    rows = np.lib.stride_tricks.as_strided(far[FAR - 4 :], (2, 4), (FAR, 1))
    np.testing.assert_array_equal(kernel(rows), [0, 10])


def test_writes(far: NDArray[Any]) -> None:
    kernel = tw.jit("kernel k[M, N](x: u8[M, N]) -> (y: u8[M, N]):\n    y[i, j] = u8(x[i, j] + 1)\n")
    out = np.lib.stride_tricks.as_strided(far[FAR - 4 :], (2, 4), (FAR, 1))
    kernel(np.array([[9] * 4, [19] * 4], np.uint8), out=out)
    np.testing.assert_array_equal(far[[FAR - 5, FAR - 4, FAR - 1, FAR, -5, -4, -1]], [0, 10, 10, 0, 0, 20, 20])
