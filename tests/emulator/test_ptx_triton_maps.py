"""Tensor maps that Triton's kernels make on the device, field by field."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.emulator.modes import assert_clean, modes
from tests.seeds import fresh_seed

pytestmark = pytest.mark.triton
ROWS, COLUMNS, TILE = 50, 80, (32, 64)
GRID = (-(-ROWS // TILE[0]), -(-COLUMNS // TILE[1]))
ACQUIRE = "fence.proxy.tensormap::generic.acquire"


@pytest.fixture(scope="module")
def shift(kernels: ModuleType) -> Any:
    types = {"x": "*fp32", "y": "*fp32", "rows": "i32", "columns": "i32"}
    return kernels.build(kernels.shift_kernel, types, {"high": TILE[0], "wide": TILE[1]}, 90)


def arrays(seed: int) -> tuple[Any, Any]:
    x = np.random.default_rng(seed).normal(size=(ROWS, COLUMNS)).astype(np.float32)
    return x, np.full_like(x, np.nan)


def test_maps_made_on_the_device(shift: Any) -> None:
    assert shift.ptx.count("tensormap.replace") >= 10 and "tensormap.cp_fenceproxy" in shift.ptx
    seed = fresh_seed()
    for mode in modes(seed):
        x, y = arrays(seed)
        assert_clean(shift.launch(GRID, [x, y, ROWS, COLUMNS], **mode.options), mode)
        np.testing.assert_array_equal(y, x + np.float32(1))


@pytest.mark.parametrize("which", [0, 1])
def test_each_acquire_fence_is_needed(shift: Any, which: int) -> None:
    pieces = shift.ptx.split(ACQUIRE)
    assert len(pieces) == 3
    text = pieces[0] + "".join(("//" if n == which else ACQUIRE) + piece for n, piece in enumerate(pieces[1:]))
    broken = shift.changed(text.replace("@%p2 //", "//"))
    x, y = arrays(fresh_seed())
    report = broken.launch(GRID, [x, y, ROWS, COLUMNS])
    assert {finding.kind for finding in report.errors} == {"missing-tensormap-fence"}
