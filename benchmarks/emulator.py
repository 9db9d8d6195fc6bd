"""Owns the speed check of the PTX emulator: the kernels of ``tests/emulator/fixtures`` against fixed limits.

``python -m benchmarks.emulator`` runs every row on one thread, parsing and decoding included, takes the best CPU time
of some rounds, and prints it with limit and verdict. The exit status is 1 when a limit is broken.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import ml_dtypes  # noqa: E402  (threads are limited before NumPy loads its BLAS)
import numpy as np  # noqa: E402

from tilewright.runtime.emulator import Module, TensorMap, launch  # noqa: E402

FIXTURES = Path(__file__).resolve().parents[1] / "tests" / "emulator" / "fixtures"
PLAIN = ("memory",)
RACES = ("memory", "races", "barriers")
LINES = 3000
WGMMA_SHARED = 3 * 24576 + 48


@dataclass(frozen=True)
class Row:
    """One measurement: ``run`` does the work once; ``limit`` in seconds of CPU time."""

    name: str
    limit: float
    run: Callable[[], None]
    scale: float = 1.0

    def seconds(self, rounds: int) -> float:
        """Best of some rounds."""
        return min(self._once() for _ in range(rounds)) * self.scale

    def _once(self) -> float:
        start = time.process_time()
        self.run()
        return time.process_time() - start


def _clean(report: Any) -> None:
    if report.findings:
        raise SystemExit(f"the benchmark kernel is faulty: {report.findings[0]}")


def wgmma_tma(m: int, n: int, k: int, check: tuple[str, ...]) -> Callable[[], None]:
    """A warp-specialised TMA and ``wgmma`` matmul, f16 in and f32 out."""
    text = (FIXTURES / "hopper.ptx").read_text()
    a, b = np.ones((m, k), np.float16), np.ones((n, k), np.float16)
    c = np.zeros((m, n), np.float32)
    maps = [TensorMap.tiled(a, box=(64, 128), swizzle=128), TensorMap.tiled(b, box=(64, 64), swizzle=128)]

    def run() -> None:
        grid = (n // 64, m // 128)
        args = [*maps, c, m, n, k]
        _clean(
            launch(Module.parse(text), "specialised", grid, (384,), shared_bytes=WGMMA_SHARED, args=args, check=check)
        )

    return run


def mma_sync(m: int, n: int, k: int, check: tuple[str, ...]) -> Callable[[], None]:
    """A ``cp.async`` and ``mma.sync`` pipeline, bf16 in and f32 out."""
    text = (FIXTURES / "pipeline.ptx").read_text()
    a, b = np.ones((m, k), ml_dtypes.bfloat16), np.ones((k, n), ml_dtypes.bfloat16)
    c = np.zeros((m, n), np.float32)

    def run() -> None:
        args = [a, b, c, m, n, k]
        _clean(launch(Module.parse(text), "mma_pipeline", (n // 64, m // 64), (128,), args=args, check=check))

    return run


def fp32(m: int, n: int, k: int, check: tuple[str, ...]) -> Callable[[], None]:
    """A matmul in shared memory with f32 fused multiply-adds."""
    text = (FIXTURES / "basic.ptx").read_text()
    a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
    c = np.zeros((m, n), np.float32)

    def run() -> None:
        args = [a, b, c, m, n, k]
        _clean(launch(Module.parse(text), "tiled_matmul", (n // 64, m // 64), (256,), args=args, check=check))

    return run


def parsing() -> Row:
    """Parsing of the fixtures, scaled to the number of lines that the limit speaks of."""
    texts = [path.read_text() for path in sorted(FIXTURES.glob("*.ptx"))]
    lines = sum(text.count("\n") for text in texts)

    def run() -> None:
        for text in texts:
            Module.parse(text)

    return Row(f"parse {LINES} lines", 0.050, run, LINES / lines)


def rows() -> list[Row]:
    """Every measurement with its limit; products are one 128x128x256 tile unless they say otherwise."""
    tile = (128, 128, 256)
    return [
        Row("wgmma + TMA", 0.10, wgmma_tma(*tile, PLAIN)),
        Row("wgmma + TMA, races", 0.30, wgmma_tma(*tile, RACES)),
        Row("mma.sync", 0.20, mma_sync(*tile, PLAIN)),
        Row("mma.sync, races", 0.35, mma_sync(*tile, RACES)),
        Row("FP32 FMA", 0.40, fp32(*tile, PLAIN)),
        Row("FP32 FMA, races", 1.20, fp32(*tile, RACES)),
        Row("wgmma + TMA 512x512x512", 1.50, wgmma_tma(512, 512, 512, PLAIN)),
        parsing(),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 when a limit is broken."""
    parser = argparse.ArgumentParser(description="Speed of the PTX emulator against its limits.")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    broken = 0
    for row in rows():
        seconds = row.seconds(options.rounds)
        verdict = "pass" if seconds <= row.limit else "FAIL"
        broken += verdict == "FAIL"
        print(f"{verdict}  {row.name:<26} {1e3 * seconds:8.1f} ms   limit {1e3 * row.limit:6.0f} ms")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
