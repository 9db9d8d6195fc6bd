"""Kernels that Triton compiles when the test runs are right on the emulator, in every mode, with no false error."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.emulator.modes import assert_clean, modes
from tests.seeds import fresh_seed

from tilewright.runtime.emulator import Report, TensorMap

pytestmark = pytest.mark.triton
ARCHITECTURES = [80, 90]
TYPES: dict[str, Any] = {"fp16": np.float16, "bf16": ml_dtypes.bfloat16}
UNIT = {"fp16": 2.0**-11, "bf16": 2.0**-8}
"""Unit roundoff."""
TMA_WARNINGS = frozenset({"missing-init-fence"})
"""What a strict reading of the memory model objects to: Triton puts a barrier, but no fence, after mbarrier.init."""
TENSOR_CORE = {80: "mma.sync", 90: "wgmma.mma_async"}


def normal(rng: np.random.Generator, shape: tuple[int, ...], kind: str = "fp16") -> Any:
    return rng.normal(size=shape).astype(TYPES[kind])


def distance(found: Any, exact: Any) -> float:
    """Relative error in the Frobenius norm."""
    return float(np.linalg.norm(found.astype(np.float64) - exact) / np.linalg.norm(exact))


def ran(report: Report, prefix: str) -> bool:
    return any(opcode.startswith(prefix) for opcode in report.counters.instructions)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", ["softmax", "layernorm"])
def test_row_kernels(kernels: ModuleType, name: str, architecture: int) -> None:
    kernel = getattr(kernels, f"{name}_kernel")
    built = kernels.build(kernel, {"x": "*fp16", "y": "*fp16", "columns": "i32"}, {"block": 512}, architecture)
    seed = fresh_seed()
    x = normal(np.random.default_rng(seed), (3, 401))
    wide = x.astype(np.float64)
    if name == "softmax":
        exact = np.exp(wide - wide.max(1, keepdims=True))
        exact /= exact.sum(1, keepdims=True)
    else:
        exact = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
    for mode in modes(seed):
        y = np.full_like(x, np.nan)
        assert_clean(built.launch((3,), [x, y, 401], **mode.options), mode)
        np.testing.assert_allclose(y.astype(np.float64), exact, rtol=2 * UNIT["fp16"], atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_pipelined_matmul(kernels: ModuleType, architecture: int) -> None:
    types = {"a": "*fp16", "b": "*fp16", "c": "*fp16", "m": "i32", "n": "i32", "k": "i32"}
    built = kernels.build(kernels.matmul_kernel, types, {"rows": 64, "columns": 64, "depth": 32}, architecture)
    seed = fresh_seed()
    rng = np.random.default_rng(seed)
    m, n, k = 80, 64, 272
    a, b = normal(rng, (m, k)), normal(rng, (k, n))
    for mode in modes(seed):
        c = np.full((m, n), np.nan, np.float16)
        report = built.launch((2, 1), [a, b, c, m, n, k], **mode.options)
        assert_clean(report, mode)
        assert ran(report, TENSOR_CORE[architecture])
        assert distance(c, a.astype(np.float64) @ b.astype(np.float64)) < UNIT["fp16"]


def test_persistent_matmul_through_tensor_descriptors(kernels: ModuleType) -> None:
    """Programs take several tiles, so the ring of mbarriers is used again; edges lie outside the tensors."""
    tile = "tensordesc<fp16[64,64]>"
    types = {"a": tile, "b": tile, "c": tile, "m": "i32", "n": "i32", "k": "i32"}
    built = kernels.build(kernels.tma_matmul_kernel, types, {"rows": 64, "columns": 64, "depth": 64, "programs": 2}, 90)
    seed = fresh_seed()
    rng = np.random.default_rng(seed)
    m, n, k = 100, 136, 208
    a, b = normal(rng, (m, k)), normal(rng, (n, k))
    for mode in modes(seed):
        c = np.full((m, n), np.nan, np.float16)
        args = [*descriptor(a), *descriptor(b), *descriptor(c), m, n, k]
        report = built.launch((2,), args, **mode.options)
        assert_clean(report, mode, TMA_WARNINGS)
        assert ran(report, "cp.async.bulk.tensor.2d.shared") and ran(report, "cp.async.bulk.tensor.2d.global")
        assert distance(c, a.astype(np.float64) @ b.astype(np.float64).T) < UNIT["fp16"]


def descriptor(array: Any) -> list[Any]:
    """What Triton passes for a tensor descriptor: the map, the extents, the strides in elements."""
    strides = [stride // array.itemsize for stride in array.strides]
    return [TensorMap.tiled(array, (64, 64), swizzle=128), *array.shape, *strides]


@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_flash_attention(kernels: ModuleType, architecture: int, kind: str, causal: bool) -> None:
    types = {name: f"*{kind}" for name in "qkvo"} | {"length": "i32", "scale": "fp32"}
    constants = {"causal": causal, "rows": 64, "columns": 32, "width": 64}
    built = kernels.build(kernels.attention_kernel, types, constants, architecture, stages=2)
    seed = fresh_seed()
    rng = np.random.default_rng(seed)
    heads, length, width = 2, 99, 64
    q, k, v = (normal(rng, (heads, length, width), kind) for _ in range(3))
    exact = attention(q, k, v, causal)
    for mode in modes(seed):
        o = np.full_like(q, np.nan)
        args = [q, k, v, o, length, np.float32(width**-0.5)]
        report = built.launch((2, heads), args, **mode.options)
        assert_clean(report, mode)
        assert ran(report, TENSOR_CORE[architecture])
        assert distance(o, exact) < UNIT[kind]


def attention(q: Any, k: Any, v: Any, causal: bool) -> Any:
    """softmax(q k^T / sqrt(width)) v in float64."""
    q, k, v = (array.astype(np.float64) for array in (q, k, v))
    score = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[2])
    if causal:
        score = np.where(np.tri(q.shape[1], dtype=bool), score, -np.inf)
    powers = np.exp(score - score.max(2, keepdims=True))
    return powers / powers.sum(2, keepdims=True) @ v
