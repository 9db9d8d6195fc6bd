"""Tensor maps that Triton's kernels make on the device, field by field. Skipped where Triton is not installed."""

import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from tilewright.runtime.emulator import Module, Report, launch

triton = pytest.importorskip("triton")
tl = pytest.importorskip("triton.language")

MODES = [("in-order", "lazy", 0), ("random", "eager", 1), ("random", "random", 2), ("reverse", "lazy", 0)]
ROWS, COLUMNS, TILE = 50, 80, (32, 64)


def shift_kernel(x, y, rows, columns, high: tl.constexpr, wide: tl.constexpr):  # type: ignore[no-untyped-def]
    source = tl.make_tensor_descriptor(x, shape=[rows, columns], strides=[columns, 1], block_shape=[high, wide])
    target = tl.make_tensor_descriptor(y, shape=[rows, columns], strides=[columns, 1], block_shape=[high, wide])
    row, column = tl.program_id(0) * high, tl.program_id(1) * wide
    target.store([row, column], source.load([row, column]) + 1.0)


@lru_cache(maxsize=1)
def compiled() -> Any:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    source = ASTSource(
        fn=triton.jit(shift_kernel),
        signature={
            "x": "*fp32",
            "y": "*fp32",
            "rows": "i32",
            "columns": "i32",
            "high": "constexpr",
            "wide": "constexpr",
        },
        constexprs={"high": TILE[0], "wide": TILE[1]},
        attrs={(n,): [["tt.divisibility", 16]] for n in (0, 1, 3)},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})


def run(text: str, **options: Any) -> tuple[Report, Any, Any]:
    """The last two parameters are scratch memory for the maps, and none for profiling."""
    module = Module.parse(text)
    (entry,) = module.entries
    x = np.random.default_rng(3).normal(size=(ROWS, COLUMNS)).astype(np.float32)
    y, grid = np.zeros_like(x), (-(-ROWS // TILE[0]), -(-COLUMNS // TILE[1]))
    scratch = np.zeros(compiled().metadata.global_scratch_size * grid[0] * grid[1], np.uint8)
    args = [x, y, ROWS, COLUMNS, scratch, 0]
    shared = compiled().metadata.shared
    return launch(module, entry, grid, (128,), shared_bytes=shared, args=args, **options), x, y


@pytest.mark.parametrize(("schedule", "completion", "seed"), MODES)
def test_maps_made_on_the_device(schedule: str, completion: str, seed: int) -> None:
    text = compiled().asm["ptx"]
    assert text.count("tensormap.replace") >= 10 and "tensormap.cp_fenceproxy" in text
    report, x, y = run(text, schedule=schedule, completion=completion, seed=seed)
    assert report.errors == [], [str(f) for f in report.errors]
    np.testing.assert_array_equal(y, x + np.float32(1))


@pytest.mark.parametrize("which", [0, 1])
def test_each_acquire_fence_is_needed(which: int) -> None:
    pieces = compiled().asm["ptx"].split("fence.proxy.tensormap::generic.acquire")
    assert len(pieces) == 3
    text = pieces[0] + "".join(
        ("//" if index == which else "fence.proxy.tensormap::generic.acquire") + piece
        for index, piece in enumerate(pieces[1:])
    )
    text = text.replace("@%p2 //", "//")
    report, _, _ = run(text)
    assert {f.kind for f in report.errors} == {"missing-tensormap-fence"}
