"""The CPU benchmark measures what it says, and its table can be read."""

from __future__ import annotations

import numpy as np
from benchmarks.cpu import difference, measure, table


def test_a_kernel_is_measured_and_shown() -> None:
    record = measure("embedding", rounds=1)
    (row,) = record["rows"]
    assert row["kernel"] == "embedding" and row["difference"] == 0.0
    assert row["ratios"]["numpy"] > 0 and row["ms"]["ours"] > 0
    assert "| `embedding` | 5000x256, 4096 |" in table(record)


def test_the_difference_is_relative_to_the_largest_value() -> None:
    assert difference(np.array([1.0, 12.0]), np.array([1.0, 10.0])) == 0.2
