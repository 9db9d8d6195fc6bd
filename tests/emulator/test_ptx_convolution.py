"""A convolution compiled by nvcc: im2col tiles of TMA feed wgmma, in every mode; what breaks it is noticed."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tilewright.runtime.emulator import Module, Report, TensorMap, launch

SOURCE = Path(__file__).parent / "fixtures" / "hopper_conv.ptx"
MODES = [(s, c) for s in ("in-order", "reverse", "random") for c in ("eager", "lazy", "random")]
SHARED = 2 * 16384 + 16


@lru_cache(maxsize=1)
def original() -> str:
    return SOURCE.read_text()


def convolution(images: Any, weights: Any, step: int, pad: int) -> Any:
    """The definition; images NHWC, weights (outputs, size, size, channels)."""
    size = weights.shape[1]
    padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    height, width = ((extent + 2 * pad - size) // step + 1 for extent in images.shape[1:3])
    out = np.zeros((images.shape[0], height, width, weights.shape[0]))
    for n, h, w in np.ndindex(*out.shape[:3]):
        window = padded[n, h * step : h * step + size, w * step : w * step + size]
        out[n, h, w] = np.tensordot(weights, window, 3)
    return out


def run(text: str, size: int, step: int, pad: int, channels: int = 64, **options: Any) -> tuple[Report, bool]:
    rng = np.random.default_rng(4)
    images = rng.integers(-3, 4, (3, 6, 7, channels)).astype(np.float16)
    weights = rng.integers(-3, 4, (64, size, size, channels)).astype(np.float16)
    exact = convolution(images.astype(np.float64), weights.astype(np.float64), step, pad)
    _, height, width, _ = exact.shape
    pixels = exact.size // 64
    far = pad - (size - 1)
    maps = [
        TensorMap.im2col(images, (-pad, -pad), (far, far), 64, 64, swizzle=128, element_strides=(1, step, step, 1)),
        TensorMap.tiled(weights.reshape(64, -1), (64, 64), swizzle=128),
    ]
    y = np.full((pixels, 64), np.nan, np.float32)
    args = [*maps, y, pixels, width, height, channels, size, step, pad]
    module = Module.parse(text)
    report = launch(module, "convolution", (-(-pixels // 64),), (128,), shared_bytes=SHARED, args=args, **options)
    return report, bool((y == exact.reshape(pixels, 64)).all())


@pytest.mark.parametrize(("schedule", "completion"), MODES)
def test_padded_convolution(schedule: str, completion: str) -> None:
    report, right = run(original(), 3, 1, 1, schedule=schedule, completion=completion, seed=1)
    assert report.findings == [], [str(f) for f in report.findings]
    assert right


@pytest.mark.parametrize(("size", "step", "pad", "channels"), [(3, 2, 1, 64), (2, 1, 0, 128), (1, 1, 0, 64)])
def test_other_filters(size: int, step: int, pad: int, channels: int) -> None:
    report, right = run(original(), size, step, pad, channels)
    assert report.findings == [], [str(f) for f in report.findings]
    assert right


BREAKS = [
    ("wgmma.wait_group.sync.aligned 0", "wgmma.wait_group.sync.aligned 1"),
    ("mbarrier.arrive.expect_tx.shared::cta.b64 _", "//"),
    ("bar.sync \t0;", "//"),
]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("old", "new"), BREAKS)
def test_breaks_are_noticed(old: str, new: str, last: bool) -> None:
    text = original()
    place = text.rindex(old) if last else text.index(old)
    report, right = run(text[:place] + new + text[place + len(old) :], 3, 1, 1)
    assert report.findings or not right
