"""Kernels that Triton compiles at test time run right on the emulator. Skipped where Triton is not installed."""

import warnings
from typing import Any

import numpy as np
import pytest

from tilewright.runtime.emulator import Module, launch

triton = pytest.importorskip("triton")
tl = pytest.importorskip("triton.language")

MODES = [("in-order", "lazy", 0), ("random", "eager", 1), ("random", "random", 2), ("reverse", "lazy", 0)]
ARCHITECTURES = [80, 90]


def softmax_kernel(x, y, columns, block: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0)
    place = tl.arange(0, block)
    inside = place < columns
    values = tl.load(x + row * columns + place, mask=inside, other=-float("inf")).to(tl.float32)
    powers = tl.exp(values - tl.max(values, 0))
    tl.store(y + row * columns + place, (powers / tl.sum(powers, 0)).to(y.dtype.element_ty), mask=inside)


def layernorm_kernel(x, y, columns, block: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0)
    place = tl.arange(0, block)
    inside = place < columns
    values = tl.load(x + row * columns + place, mask=inside, other=0.0).to(tl.float32)
    centred = tl.where(inside, values - tl.sum(values, 0) / columns, 0.0)
    scale = tl.sqrt(tl.sum(centred * centred, 0) / columns + 1e-5)
    tl.store(y + row * columns + place, (centred / scale).to(y.dtype.element_ty), mask=inside)


def matmul_kernel(a, b, c, m, n, k, rows: tl.constexpr, columns: tl.constexpr, depth: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0) * rows + tl.arange(0, rows)
    column = tl.program_id(1) * columns + tl.arange(0, columns)
    inner = tl.arange(0, depth)
    left = a + (row[:, None] % m) * k + inner[None, :]
    right = b + inner[:, None] * n + (column[None, :] % n)
    total = tl.zeros((rows, columns), tl.float32)
    for step in range(0, tl.cdiv(k, depth)):
        rest = k - step * depth
        total = tl.dot(
            tl.load(left, mask=inner[None, :] < rest, other=0.0),
            tl.load(right, mask=inner[:, None] < rest, other=0.0),
            total,
        )
        left += depth
        right += depth * n
    tl.store(
        c + row[:, None] * n + column[None, :],
        total.to(c.dtype.element_ty),
        mask=(row[:, None] < m) & (column[None, :] < n),
    )


def build(
    function: Any, signature: dict[str, str], constants: dict[str, int], architecture: int, **options: Any
) -> Any:
    """Module, entry name and dynamic shared bytes of a kernel compiled without a GPU."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    attributes = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(signature.values()) if kind != "constexpr"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kernel = triton.compile(
            ASTSource(fn=triton.jit(function), signature=signature, constexprs=constants, attrs=attributes),
            target=GPUTarget("cuda", architecture, 32),
            options={"num_warps": 4, **options},
        )
    module = Module.parse(kernel.asm["ptx"])
    return module, next(iter(module.entries)), kernel.metadata.shared


def run(built: Any, grid: tuple[int, ...], args: list[Any], mode: tuple[str, str, int]) -> None:
    module, entry, shared = built
    padding = [0] * (len(module.entries[entry].parameters) - len(args))
    report = launch(
        module,
        entry,
        grid,
        (128,),
        shared_bytes=shared,
        args=[*args, *padding],
        schedule=mode[0],
        completion=mode[1],
        seed=mode[2],
    )
    assert report.errors == [], [str(finding) for finding in report.errors]
    assert report.completed


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", ["softmax", "layernorm"])
def test_row_kernels(name: str, architecture: int) -> None:
    function = softmax_kernel if name == "softmax" else layernorm_kernel
    built = build(
        function, {"x": "*fp16", "y": "*fp16", "columns": "i32", "block": "constexpr"}, {"block": 512}, architecture
    )
    x = np.random.default_rng(1).normal(size=(3, 400)).astype(np.float16)
    wide = x.astype(np.float64)
    if name == "softmax":
        exact = np.exp(wide - wide.max(1, keepdims=True))
        exact /= exact.sum(1, keepdims=True)
    else:
        exact = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
    for mode in MODES:
        y = np.zeros_like(x)
        run(built, (3,), [x, y, 400], mode)
        np.testing.assert_allclose(y.astype(np.float64), exact, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_pipelined_matmul(architecture: int) -> None:
    signature = {
        "a": "*fp16",
        "b": "*fp16",
        "c": "*fp16",
        "m": "i32",
        "n": "i32",
        "k": "i32",
        "rows": "constexpr",
        "columns": "constexpr",
        "depth": "constexpr",
    }
    built = build(matmul_kernel, signature, {"rows": 64, "columns": 64, "depth": 32}, architecture, num_stages=3)
    m, n, k = 80, 64, 272
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(m, k)).astype(np.float16), rng.normal(size=(k, n)).astype(np.float16)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    for mode in MODES:
        c = np.zeros((m, n), np.float16)
        run(built, (2, 1), [a, b, c, m, n, k], mode)
        assert np.linalg.norm(c - exact) / np.linalg.norm(exact) < 3e-4
