"""The arithmetic of matrix instructions: ideal sums, or the block sums that tensor cores were observed to do.

``ideal`` rounds the exact-enough float64 sum once. ``sm80`` and ``sm90`` add a block of products and the accumulator at
the exponent of the largest term, cutting what falls below a fixed number of bits, and truncate the result (M. Fasi et
al., "Numerical behavior of NVIDIA tensor cores", 2021; F. Khattak and M. Mikaitis, arXiv 2512.07004).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilewright.runtime.emulator import numerics_formats as formats
from tilewright.runtime.emulator.scalar_types import Array

F4, F8 = np.float32, np.float64
LOWEST_EXPONENT = -133


@dataclass(frozen=True, slots=True)
class BlockSum:
    """``length`` products are added at once with ``extra`` bits below the 24 of a float32."""

    length: int
    extra: int
    kept: int = 23


MODELS: dict[tuple[str, str], BlockSum] = {
    ("sm80", "half"): BlockSum(8, 1),
    ("sm80", "tf32"): BlockSum(4, 1),
    ("sm90", "half"): BlockSum(16, 2),
    ("sm90", "tf32"): BlockSum(8, 2),
    ("sm90", "byte"): BlockSum(32, 0, 13),
}


def family(kind: str) -> str:
    return "tf32" if kind == "tf32" else "byte" if kind in ("e4m3", "e5m2") else "half"


def multiply_accumulate(a: Array, b: Array, c: Array, kind: str, model: str) -> Array:
    """a (..., M, K) times b (..., K, N) plus c (..., M, N), all float values, as float32.

    Args:
        kind: element type of a and b.
        model: ``ideal``, ``sm80`` or ``sm90``.
    """
    block = MODELS.get((model, family(kind)))
    if model == "ideal" or block is None:
        return np.asarray((np.matmul(a, b, dtype=F8) + c).astype(F4))
    total = np.asarray(c, F8)
    for start in range(0, a.shape[-1], block.length):
        part = slice(start, start + block.length)
        total = _block_sum(np.asarray(a[..., part], F8), np.asarray(b[..., part, :], F8), total, block)
    return total.astype(F4)


def _exponent(x: Array) -> Array:
    _, exponent = np.frexp(x)
    return np.where(x == 0, -10000, exponent - 1)


def _block_sum(a: Array, b: Array, c: Array, block: BlockSum) -> Array:
    """One block: terms aligned at the largest (unnormalised) exponent, cut, summed, truncated to float32."""
    left, right = a[..., :, :, None], b[..., None, :, :]
    products = left * right
    exponents = np.where(products == 0, -10000, _exponent(left) + _exponent(right))
    top = np.maximum(np.maximum(exponents.max(axis=-2), _exponent(c)), LOWEST_EXPONENT)
    unit = np.ldexp(1.0, (top - (block.kept + block.extra)).astype(int))
    total = np.trunc(products / unit[..., None, :]).sum(axis=-2) + np.trunc(c / unit)
    exact = total * unit
    single = exact.astype(F4)
    back = single.astype(F8)
    cut = np.where(np.abs(back) > np.abs(exact), np.nextafter(single, F4(0)), single)
    return np.asarray(np.where(np.isfinite(exact), cut, products.sum(axis=-2) + c).astype(F8))


def to_half(values: Array) -> Array:
    """A float16 accumulator, as bits."""
    return formats.encode(values, "f16")
