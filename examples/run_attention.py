"""Attention with grouped heads: a bound in the reduction is a mask that costs nothing where it excludes."""

from pathlib import Path

import numpy as np

import tilewright as tw

HERE = Path(__file__).parent


def main(queries: int = 17, keys: int = 40, width: int = 16) -> float:
    """Print and return the largest difference to NumPy."""
    attention = tw.load(HERE / "attention.tw").attention
    generator = np.random.default_rng(0)
    q = generator.standard_normal((1, 4, queries, width)).astype(np.float32)
    k, v = (generator.standard_normal((1, 2, keys, width)).astype(np.float32) for _ in range(2))

    result = attention(q, k, v, scale=width**-0.5, causal=True)

    s = width**-0.5 * q @ k.repeat(2, axis=1).swapaxes(2, 3)
    s = np.where(np.arange(keys) <= np.arange(queries)[:, None] + keys - queries, s, -np.inf)
    powers = np.exp(s - s.max(axis=-1, keepdims=True))
    expected = powers / powers.sum(axis=-1, keepdims=True) @ v.repeat(2, axis=1)
    difference = float(np.abs(result.o - expected).max())
    print(f"attention {result.o.shape}: at most {difference:.1e} from NumPy; lse has shape {result.lse.shape}")
    return difference


if __name__ == "__main__":
    main()
