"""How long compiling takes: a softmax in a new process, in proportion to the kernel, and once for many shapes.

Times are CPU times, the least of a few: a busy machine makes them longer, never shorter.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilewright as tw
from tests.cpu.long_kernels import KINDS
from tests.documents import ROOT
from tests.library_cases import FOLDER
from tilewright.compiler import pipeline, sources
from tilewright.compiler.collector import collector_paused
from tilewright.compiler.emit import emit
from tilewright.compiler.jobs import Job
from tilewright.compiler.language.typed import Instance
from tilewright.compiler.specialise import digest
from tilewright.compiler.target import find
from tilewright.dialect import ods
from tilewright.passes.base import run_passes
from tilewright.passes.cpu import lower, native
from tilewright.runtime.cpu import NativeLibrary
from tilewright.runtime.switches import Switches

# ---------------------------------------------------------------- the first compilation of a process

SOFTMAX, YARDSTICK = 0.1, 0.0085
"""Seconds from ``jit`` to the first result, in a process that has imported everything and compiled nothing, where
Python compiles its own ``argparse`` in so many. On a slower or busier machine both take longer alike."""
SOURCE = ROOT / "examples" / "softmax.tw"
PROCESSES = 8

CHILD = """
import argparse, contextlib, importlib, inspect, json, sys, time
known, cache, path = sys.argv[1:]
for name in json.loads(known):
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
from dataclasses import replace
from pathlib import Path
import numpy as np
import tilewright as tw
from tilewright.runtime.switches import read

x = np.ones((4, 8), np.float32)
switches = replace(read(), cache=bool(cache), cache_dir=Path(cache or "."))
started = time.process_time()
y = tw.jit(path, kernel="softmax", switches=switches)(x)
seconds = time.process_time() - started
assert np.allclose(y, 1 / 8)
text, yardstick = inspect.getsource(argparse), 1.0
for _ in range(5):
    started = time.process_time()
    compile(text, "argparse", "exec")
    yardstick = min(yardstick, time.process_time() - started)
print(json.dumps([seconds, yardstick, list(sys.modules)]))
"""


def _first(modules: list[str], cache: Path | None) -> tuple[float, list[str]]:
    """The first compilation of a new process that has imported ``modules``: its share of the bound, and what it has
    imported then."""
    arguments = [json.dumps(modules), "" if cache is None else str(cache), str(SOURCE)]
    done = subprocess.run([sys.executable, "-c", CHILD, *arguments], capture_output=True, text=True, check=True)
    seconds, yardstick, found = json.loads(done.stdout)
    return seconds / (SOFTMAX * max(1.0, yardstick / YARDSTICK)), found


@pytest.mark.parametrize("cached", [False, True], ids=["no cache", "empty cache"])
def test_the_first_softmax_of_a_process_compiles_quickly(cached: bool, tmp_path: Path) -> None:
    _, modules = _first([], None)
    shares: list[float] = []
    while len(shares) < PROCESSES and min(shares, default=math.inf) > 1:
        shares.append(_first(modules, tmp_path / str(len(shares)) if cached else None)[0])
    assert min(shares) <= 1, shares


# ---------------------------------------------------------------- long kernels

SMALL, LARGE, LONGEST = 150, 2400, 5000
"""Operations. Sixteen times apart, because LLVM and MLIR take up to a third more for each where their memory leaves a
cache: over a factor of four that alone is an exponent of 1.2."""
ROOM = 0.2
"""By how much the exponent of growth may be above 1 in one step: three quarters more than linear is refused."""
NOTICEABLE = 0.02
"""Seconds at the large size below which a step is not judged."""
TRIES = 3


class Clock:
    """CPU seconds by the name of a step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, step: str, work: Callable[..., Any], *given: Any) -> Any:
        started = time.process_time()
        result = work(*given)
        self.seconds[step] = time.process_time() - started
        return result


def _steps(text: str) -> dict[str, float]:
    """Seconds of each step from a text to a loaded kernel, and of all together."""
    clock, target = Clock(), find("cpu", Switches())
    assert target.cpu is not None
    program = clock("parse and check", sources.from_text, text)
    with collector_paused(), ods.session():
        kernel = clock("instantiate", Job(program, program.kernel(None).name, Instance()).typed)
        clock("key", digest, kernel)
        module = clock("emit", emit, kernel)
        for level, passes in pipeline.road(target, pipeline.Settings()):
            module = clock(level, run_passes, module, passes)
        lowered = clock("lower", lower.lower, module, target.cpu)
        llvm_ir = clock("convert", native.to_llvm_ir, lowered.module)
        code = clock("generate code", native.object_code, llvm_ir, target.cpu)
        clock("load", NativeLibrary, code, lowered.launches)
    return {**clock.seconds, "all": sum(clock.seconds.values())}


def _too_steep(small: dict[str, float], large: dict[str, float], ratio: float, room: float) -> dict[str, float]:
    """The exponents of the steps that grow too fast."""
    exponents = {step: math.log(large[step] / small[step], ratio) for step in large if large[step] > NOTICEABLE}
    return {step: exponent for step, exponent in exponents.items() if exponent > 1 + room}


def _grows_linearly(make: Callable[[int], str], few: int, many: int, room: float) -> None:
    """Each step in proportion to the operations; what seems steep is measured again."""
    _steps(make(few // 4))
    small, large = _steps(make(few)), _steps(make(many))
    for _ in range(TRIES):
        steep = _too_steep(small, large, many / few, room)
        if not steep:
            return
        small, large = ({s: min(old[s], new[s]) for s in old}
                        for old, new in ((small, _steps(make(few))), (large, _steps(make(many)))))  # fmt: skip
    steep = _too_steep(small, large, many / few, room)
    assert not steep, f"exponents {steep} from {few} to {many} operations: {small}, {large}"


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_compile_time_grows_linearly(make: Callable[[int], str]) -> None:
    _grows_linearly(make, SMALL, LARGE, ROOM)


@pytest.mark.soak
@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_compile_time_grows_linearly_to_5000_operations(make: Callable[[int], str]) -> None:
    _grows_linearly(make, 2 * SMALL, LONGEST, ROOM)


# ---------------------------------------------------------------- many shapes


def test_shapes_do_not_cause_compilations() -> None:
    """1,000 random shapes of a product, the factors row-major or transposed: one compilation for each layout."""
    generator = np.random.default_rng(7)
    matmul = tw.jit(FOLDER / "linear.tw", kernel="matmul")
    for _ in range(1000):
        m, n, k = generator.integers(0, 24, 3)
        a = generator.integers(-4, 5, (m, k)).astype(np.float32)
        b = generator.integers(-4, 5, (k, n)).astype(np.float32)
        np.testing.assert_array_equal(matmul(a, b), a @ b)
    assert matmul.compilations <= 4
    before = matmul.compilations
    for size in generator.integers(2, 24, 20):
        a = generator.integers(-4, 5, (size, 2 * size)).astype(np.float32)
        np.testing.assert_array_equal(matmul(a.T, a), a.T @ a)
        np.testing.assert_array_equal(matmul(a[:, ::2], a[:, :size]), a[:, ::2] @ a[:, :size])
    assert matmul.compilations <= before + 4
