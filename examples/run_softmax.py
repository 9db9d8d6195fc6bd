"""Call a kernel of a file with NumPy arrays, let it write into an array of ours, and compare with NumPy."""

from pathlib import Path

import numpy as np

import tilewright as tw

HERE = Path(__file__).parent


def main(rows: int = 64, columns: int = 1000) -> float:
    """Print and return the largest difference to NumPy."""
    kernels = tw.load(HERE / "softmax.tw")
    x = np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32)

    y = kernels.softmax(x)  # compiles here; later calls, of any shape, run the same code
    kernels.softmax(x[:1], out=y[:1])

    powers = np.exp(x - x.max(axis=1, keepdims=True))
    difference = float(np.abs(y - powers / powers.sum(axis=1, keepdims=True)).max())
    print(f"softmax {x.shape}: at most {difference:.1e} from NumPy, {kernels.softmax.compilations} compilation")
    return difference


if __name__ == "__main__":
    main()
