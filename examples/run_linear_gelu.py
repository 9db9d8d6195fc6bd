"""Compile without data, look at what the compiler chose, and run what was compiled."""

from math import erf
from pathlib import Path

import numpy as np

import tilewright as tw

HERE = Path(__file__).parent


def main(rows: int = 37, columns: int = 48, depth: int = 64) -> float:
    """Print and return the largest difference to NumPy."""
    compiled = tw.compile(HERE / "linear_gelu.tw", types={"T": "f32"})
    print(compiled.plan)  # one launch: bias and gelu are part of the product
    print(compiled.schedule)

    generator = np.random.default_rng(0)
    a, w, b = (generator.standard_normal(s).astype(np.float32) for s in ((rows, depth), (columns, depth), (columns,)))
    y = compiled(a, w, b)

    z = a.astype(np.float64) @ w.T.astype(np.float64) + b
    difference = float(np.abs(y - 0.5 * z * (1 + np.vectorize(erf)(z / np.sqrt(2)))).max())
    print(f"linear_gelu {y.shape}: at most {difference:.1e} from NumPy")
    return difference


if __name__ == "__main__":
    main()
