"""Owns ``make demo``: five kernels at real sizes on the CPU, two more for sm_80, all through the public interface.

For each CPU kernel: the largest error in units of the reference's own bound (on a part of the output that the reference
can afford), the best time, the ratio to the same computation in NumPy on the same threads, and what the compiler chose.
For sm_80: registers and spills as ptxas reports them, and the emulator's verdict on a small launch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import tilewright as tw
from tilewright.compiler.jit import JitKernel, jit
from tilewright.compiler.reference.compare import compare
from tilewright.compiler.reference.evaluate import evaluate

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
ROUNDS = 7
SEED = 0

Array = Any
Index = tuple[slice, ...]


@dataclass(frozen=True)
class Case:
    """One kernel at one size.

    ``part`` cuts the inputs down to what one part of the output needs, ``shown`` is that part of the output.
    """

    name: str
    inputs: Mapping[str, Array]
    numpy: Callable[..., Array]
    part: Mapping[str, Index]
    shown: Index
    options: Mapping[str, Any] = field(default_factory=dict)


def main() -> None:
    """Run everything and print it."""
    console = Console()
    table = Table("kernel", "size", "error / bound", "time", "NumPy / ours", title="CPU")
    chosen = []
    for case in cases(np.random.default_rng(SEED)):
        kernel = jit(EXAMPLES / f"{case.name}.tw")
        table.add_row(*cpu_row(kernel, case))
        chosen.append(choice(kernel, case))
    console.print(table)
    console.print("What the compiler chose\n\n" + "\n".join(chosen), highlight=False)
    console.print(gpu_table())


def cases(generator: np.random.Generator) -> list[Case]:
    """The computations, in single precision."""

    def normal(*shape: int) -> Array:
        return generator.standard_normal(shape).astype(np.float32)

    whole = slice(None)
    few = slice(0, 8)
    return [
        Case("softmax", {"x": normal(8192, 1024)}, numpy_softmax, {"x": (few,)}, (few,)),
        Case(
            "linear_gelu", {"a": normal(1024, 1024), "w": normal(1024, 1024), "b": normal(1024)}, numpy_linear_gelu,
            {"a": (few,)}, (few,),
        ),
        Case(
            "conv2d", {"x": normal(4, 56, 56, 64), "w": normal(64, 3, 3, 64), "b": normal(64)}, numpy_conv2d,
            {"x": (slice(0, 1),), "w": (slice(0, 2),), "b": (slice(0, 2),)}, (slice(0, 1), whole, whole, slice(0, 2)),
            {"pad": 1},
        ),
        Case("layernorm", {"x": normal(8192, 1024), "w": normal(1024), "b": normal(1024)}, numpy_layernorm,
             {"x": (few,)}, (few,)),
        Case(
            "attention", {name: normal(1, 8, 512, 64) for name in "qkv"}, numpy_attention,
            {"q": (whole, slice(0, 1), few), "k": (whole, slice(0, 1)), "v": (whole, slice(0, 1))},
            (whole, slice(0, 1), few), {"scale": 0.125},
        ),
    ]  # fmt: skip


# ---------------------------------------------------------------- CPU


def cpu_row(kernel: JitKernel, case: Case) -> list[str]:
    """The columns of one case."""
    result = first(kernel(**case.inputs, **case.options))
    scalars = {name: value for name, value in case.options.items() if name == "scale"}
    ours, theirs = interleaved(
        lambda: kernel(**case.inputs, **case.options), lambda: case.numpy(**case.inputs, **scalars)
    )
    size = " · ".join("x".join(map(str, value.shape)) for value in case.inputs.values())
    error = error_in_bounds(kernel, case, result)
    return [case.name, size, f"{error:.2f}", f"{1e3 * ours:.1f} ms", f"{theirs / ours:.2f}"]


def first(result: Any) -> Array:
    return result[0] if isinstance(result, tuple) else result


def error_in_bounds(kernel: JitKernel, case: Case, result: Array) -> float:
    """How far a part of the output is from its exact value, in units of the bound that the reference computes."""
    inputs = {name: value[case.part.get(name, ())] for name, value in case.inputs.items()}
    typed, arguments = kernel.typed_for({**inputs, **case.options})
    comparison = compare(evaluate(typed, arguments), typed.outputs[0].name, result[case.shown])
    if not comparison.ok:
        raise SystemExit(f"{case.name}: {comparison.message}")
    return comparison.worst_ratio


def interleaved(*calls: Callable[[], Any]) -> list[float]:
    """The best time of each call, taken in turns so that a busy moment hits them alike."""
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for number, call in enumerate(calls):
            start = time.perf_counter()
            call()
            best[number] = min(best[number], time.perf_counter() - start)
    return best


def choice(kernel: JitKernel, case: Case) -> str:
    """The schedule of each launch."""
    consts = {name: value for name, value in case.options.items() if name != "scale"}
    return kernel.compile(types={"T": "f32"}, consts=consts).schedule


# ---------------------------------------------------------------- NumPy, as one writes it


def numpy_softmax(x: Array) -> Array:
    shifted = np.exp(x - x.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def numpy_linear_gelu(a: Array, w: Array, b: Array) -> Array:
    """NumPy has no erf: the usual formula with tanh stands in for it, at about the same cost."""
    y = a @ w.T + b
    return 0.5 * y * (1 + np.tanh(0.7978845608028654 * (y + 0.044715 * y * y * y)))


def numpy_conv2d(x: Array, w: Array, b: Array) -> Array:
    """One matrix product per tap of a 3x3 filter with padding 1, channels last."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = x.shape[1:3]
    y = np.broadcast_to(b, (*x.shape[:3], w.shape[0])).copy()
    for r in range(3):
        for s in range(3):
            y += padded[:, r : r + height, s : s + width] @ w[:, r, s].T
    return y


def numpy_layernorm(x: Array, w: Array, b: Array) -> Array:
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(axis=1, keepdims=True) + np.float32(1e-5)) * w + b


def numpy_attention(q: Array, k: Array, v: Array, scale: float) -> Array:
    s = np.float32(scale) * (q @ k.transpose(0, 1, 3, 2))
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    return (p / p.sum(axis=-1, keepdims=True)) @ v


# ---------------------------------------------------------------- sm_80


def gpu_table() -> Table:
    """Softmax and a matrix product for sm_80, run in the emulator on a few tiles."""
    generator = np.random.default_rng(SEED)
    x = generator.standard_normal((8, 256)).astype(np.float32)
    a, b = (generator.standard_normal((64, 64)).astype(np.float16) for _ in range(2))
    table = Table("kernel", "launch", "registers", "spills", "shared bytes", "emulator", title="sm_80")
    for name, inputs, dtype in (("softmax", {"x": x}, "f32"), ("matmul", {"a": a, "b": b}, "f16")):
        kernel = jit(EXAMPLES / f"{name}.tw")
        typed, arguments = kernel.typed_for(inputs)
        result = kernel(**inputs, target="sm_80", device="emulator")
        comparison = compare(evaluate(typed, arguments), "y", result)
        compiled = kernel.compile(types={"T": dtype}, target="sm_80")
        for launch, figures in compiled.resources.items():
            columns = (str(figures.get(key, "?")) for key in ("registers", "spills", "dynamic_shared_bytes"))
            table.add_row(name, launch, *columns, comparison.message)
        if not comparison.ok:
            raise SystemExit(f"{name} for sm_80: {comparison.message}")
    return table


if __name__ == "__main__":
    try:
        main()
    except tw.TilewrightError as error:
        raise SystemExit(str(error)) from error
