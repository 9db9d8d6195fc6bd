"""Constants of a kernel are chosen at the call: stride, padding and dilation of a convolution."""

from pathlib import Path
from typing import Any

import numpy as np

import tilewright as tw

HERE = Path(__file__).parent


def by_taps(x: Any, w: Any, b: Any, stride: int, pad: int) -> Any:
    """The same in NumPy: one matrix product per tap of the filter."""
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    height, width = (
        1 + (size + 2 * pad - taps) // stride for size, taps in zip(x.shape[1:3], w.shape[1:3], strict=True)
    )
    y = np.zeros((x.shape[0], height, width, w.shape[0])) + b
    for r in range(w.shape[1]):
        for s in range(w.shape[2]):
            y += padded[:, r : r + stride * height : stride, s : s + stride * width : stride] @ w[:, r, s].T
    return y[:, :height, :width]


def main(size: int = 14, channels: int = 8, filters: int = 16) -> float:
    """Print and return the largest difference to NumPy."""
    conv2d = tw.load(HERE / "conv2d.tw").conv2d
    generator = np.random.default_rng(0)
    x = generator.standard_normal((2, size, size, channels)).astype(np.float32)
    w = generator.standard_normal((filters, 3, 3, channels)).astype(np.float32)
    b = generator.standard_normal(filters).astype(np.float32)

    worst = 0.0
    for stride, pad in ((1, 1), (2, 0)):
        y = conv2d(x, w, b, stride=stride, pad=pad)
        difference = float(np.abs(y - by_taps(x, w, b, stride, pad)).max())
        print(f"conv2d stride {stride}, pad {pad} -> {y.shape}: at most {difference:.1e} from NumPy")
        worst = max(worst, difference)
    return worst


if __name__ == "__main__":
    main()
