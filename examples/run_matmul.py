"""One source, two targets: the same kernel natively on the CPU, and as PTX for sm_80 in the emulator."""

from pathlib import Path

import numpy as np

import tilewright as tw

HERE = Path(__file__).parent


def main(rows: int = 16, columns: int = 24, depth: int = 32) -> float:
    """Print and return the largest difference between the two targets."""
    matmul = tw.load(HERE / "matmul.tw").matmul
    generator = np.random.default_rng(0)
    a, b = (generator.integers(-3, 4, s).astype(np.float16) for s in ((rows, depth), (depth, columns)))

    native = matmul(a, b)
    emulated = matmul(a, b, target="sm_80", device="emulator")

    difference = float(np.abs(native.astype(np.float64) - emulated).max())
    print(f"matmul {native.shape} of small integers: CPU and sm_80 differ by {difference:g}")
    return difference


if __name__ == "__main__":
    main()
