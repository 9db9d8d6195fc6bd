"""Several outputs come as a named tuple; a compiled kernel can be stored and runs later without the compiler."""

import tempfile
from pathlib import Path

import numpy as np

import tilewright as tw

HERE = Path(__file__).parent


def main(rows: int = 33, columns: int = 200) -> float:
    """Print and return the largest difference to NumPy."""
    generator = np.random.default_rng(0)
    x, w, b = (generator.standard_normal(s).astype(np.float32) for s in ((rows, columns), (columns,), (columns,)))

    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "layernorm.twk"
        tw.compile(HERE / "layernorm.tw", types={"T": "f32"}).save(stored)
        layernorm = tw.load(stored)
        outputs = layernorm(x, w, b, eps=1e-5)

    centred = x - x.mean(axis=1, keepdims=True)
    scale = 1 / np.sqrt((centred**2).mean(axis=1) + 1e-5)
    difference = float(np.abs(outputs.y - (centred * scale[:, None] * w + b)).max())
    print(f"layernorm {outputs.y.shape}: at most {difference:.1e} from NumPy; r of the first row is {outputs.r[0]:.4f}")
    return difference


if __name__ == "__main__":
    main()
