"""Owns the entries for calls and launches, artifacts, tools."""

from __future__ import annotations

from tilewright.compiler.language.catalogue.entry import Entry, Stage

SETUP = """import numpy as np
import tilewright as tw

k = tw.jit(
    "kernel add<T: float>[M, N](x: T[M, N], b: T[N]; a: f32) -> (y: T[M, N]):\\n"
    "    y[i, j] = a * x[i, j] + b[j]\\n"
)
x, b = np.ones((3, 4), np.float32), np.ones(4, np.float32)
"""


def _call(code: str, title: str, explanation: str, bad: str, good: str) -> Entry:
    """An entry whose examples are calls of ``k`` above."""
    return Entry(code, title, explanation, f"{SETUP}{bad}\n", f"{SETUP}{good}\n", "call")


def _tool(code: str, title: str, explanation: str, bad: str = "", good: str = "", stage: Stage = "tool") -> Entry:
    return Entry(code, title, explanation, bad, good, stage)


CALLS = (
    _call(
        "TW1001",
        "an argument is missing, unknown or given twice",
        "Tensors and scalars are passed by position in declared order or by name; consts, and types that no tensor "
        "binds, by name. A scalar with a default may be left out.",
        "k(x, b)",
        "k(x, b, a=2.0)",
    ),
    _call(
        "TW1002",
        "an argument is not a tensor",
        "A tensor is a NumPy array, a PyTorch tensor on the CPU, or any object with `__dlpack__`.",
        "k([[1.0, 2.0]], b, a=2.0)",
        "k(np.array([[1.0, 2.0, 3.0, 4.0]], np.float32), b, a=2.0)",
    ),
    _call(
        "TW1003",
        "an argument has the wrong rank",
        "The number of axes is part of the declaration; nothing is broadcast.",
        "k(x[0], b, a=2.0)",
        "k(x[:1], b, a=2.0)",
    ),
    _call(
        "TW1004",
        "an argument has the wrong dtype",
        "Tensors are not converted on the way in. Dtypes that the language lacks (complex, big-endian, u64) cannot be "
        "passed at all.",
        "k(x.astype(np.complex64), b, a=2.0)",
        "k(x.astype(np.float32), b, a=2.0)",
    ),
    _call(
        "TW1005",
        "shapes clash",
        "A dim has one value in a call. The message says which argument gave it and which one disagrees.",
        "k(x, np.ones(5, np.float32), a=2.0)",
        "k(x, np.ones(x.shape[1], np.float32), a=2.0)",
    ),
    _tool(
        "TW1006",
        "a `require` does not hold for these shapes",
        "The kernel's author stated a condition on dims and consts; this call does not meet it.",
        stage="call",
    ),
    _call(
        "TW1007",
        "a written argument overlaps another one",
        "Outputs and inouts need memory of their own; two arguments may share memory only if both are only read.",
        "k(x, b, a=2.0, out=x)",
        "k(x, b, a=2.0, out=np.empty_like(x))",
    ),
    _call(
        "TW1008",
        "strides that the kernel does not take",
        "Just-in-time kernels take any strides of inputs that are not negative. Compiled files and outputs are "
        "row-major unless the declaration says `order(...)` or `strided`; elements of an output may not overlap.",
        "k(x[:, ::-1], b, a=2.0)",
        "k(np.ascontiguousarray(x[:, ::-1]), b, a=2.0)",
    ),
    _call(
        "TW1009",
        "a written argument is read-only",
        "Outputs given with `out=` and inouts are written.",
        "y = np.empty_like(x)\ny.flags.writeable = False\nk(x, b, a=2.0, out=y)",
        "y = np.empty_like(x)\nk(x, b, a=2.0, out=y)",
    ),
    _call(
        "TW1010",
        "a scalar does not fit its type",
        "Integers must be integers within the range of the type; floats must stay finite when they are rounded.",
        "k(x, b, a=1e39)",
        "k(x, b, a=1e38)",
    ),
    _call(
        "TW1011",
        "`out=` does not match the outputs",
        "One output takes a tensor, several take a tuple in declared order or a mapping by name.",
        "k(x, b, a=2.0, out=(x.copy(), x.copy()))",
        "k(x, b, a=2.0, out=x.copy())",
    ),
    _call(
        "TW1012",
        "the tensors lie on another device, or the device cannot run the target's code",
        "Targets say which devices can run them: `cpu` runs on `cpu`; `sm_80` on `cuda` and in the `emulator`.",
        'k(x, b, a=2.0, device="emulator")',
        'k(x, b, a=2.0, device="cpu")',
    ),
    _tool(
        "TW1014",
        "no such file or kernel",
        "A file with several kernels needs the name of one: `kernel=` in Python, `FILE:KERNEL` on the command line.",
        "tilewright run missing.tw",
        "tilewright run examples/softmax.tw --arg x=randn:f32[4,8]",
    ),
    _tool(
        "TW1015",
        "a gather left its tensor",
        "A subscript that depends on values was outside. On the CPU and in the emulator this is always checked.",
        stage="call",
    ),
    _tool(
        "TW1016",
        "a tensor records gradients",
        "Kernels record none, so a result would silently be cut off from the graph. Pass `x.detach()` or call under "
        "`torch.no_grad()`.",
        stage="call",
    ),
    _tool(
        "TW1017",
        "a compiled file was made for other calls",
        "Its code assumes facts such as `K % 8 == 0` or an alignment that this call does not have.",
        stage="call",
    ),
    _tool(
        "TW1018",
        "a fixed dim has another value",
        "`dims=` of a compilation fixed a dim; a call must have that value, and the name must be one of the kernel's.",
        stage="call",
    ),
    _call(
        "TW1019",
        "an unknown target",
        "Targets are `cpu` and `sm_80`.",
        'k(x, b, a=2.0, target="sm_10")',
        'k(x, b, a=2.0, target="cpu")',
    ),
    _tool(
        "TW1020",
        "the emulator found a fault in generated code",
        "A race, a bad address or a deadlock in code that this compiler made: please report it.",
        stage="call",
    ),
)

ARTIFACTS = (
    _tool(
        "TW1101",
        "a damaged artifact",
        "Every member of a `.twk` file is verified by its digest. Compile the kernel again.",
    ),
    _tool(
        "TW1102",
        "an artifact of another format",
        "The file was written by a version with another format. Compile the kernel again.",
    ),
    _tool(
        "TW1103",
        "an artifact for another machine",
        "Native code runs on the processor family and features that it was compiled for.",
    ),
    _tool("TW1104", "an artifact that cannot be read", "The file is not there, or may not be read."),
)

TOOLS = (
    _tool(
        "TW1203",
        "there is no CUDA device",
        "No driver or no device was found. `--device emulator` runs the same code without one.",
        "tilewright run examples/softmax.tw --target sm_80 --arg x=randn:f32[4,8]",
        "tilewright run examples/softmax.tw --target sm_80 --device emulator --arg x=randn:f32[4,8]",
    ),
    _tool(
        "TW1204",
        "a bad environment switch",
        "Names that begin with `TILEWRIGHT_` must be known switches with valid values: see `docs/switches.md`.",
        "TILEWRIGHT_CACHE=maybe tilewright check examples/softmax.tw",
        "TILEWRIGHT_CACHE=off tilewright check examples/softmax.tw",
    ),
    _tool(
        "TW1205",
        "the compiler process failed",
        "Compilation without data runs in a child process with limits on time and memory; it exceeded one, or ended.",
    ),
    _tool(
        "TW1206",
        "the CUDA driver reported an error",
        "Some errors poison the context of the whole process: nothing is launched after them.",
    ),
    _tool(
        "TW1207",
        "no such form, pass or level",
        "What can be printed depends on the target; passes that results depend on cannot be switched off.",
        "tilewright compile examples/softmax.tw --type T=f32 --disable partition",
        "tilewright compile examples/softmax.tw --type T=f32 --disable fuse",
    ),
    _tool(
        "TW1208",
        "an option that cannot be read",
        "`--arg NAME=VALUE` takes a generator with dtype and shape, a NumPy file, or a number.",
        "tilewright run examples/softmax.tw --arg x=randn:f99[4]",
        "tilewright run examples/softmax.tw --arg x=randn:f32[4,8]",
    ),
    _tool("TW1209", "a file is no IR file", "A dumped level can be compiled further; other text cannot."),
    _tool(
        "TW1210",
        "there is no assembler for GPUs",
        "Registers, spills and SASS are known once ptxas has assembled the PTX: `pip install 'tilewright[cuda]'`. The "
        "emulator needs the PTX alone.",
    ),
)

ENTRIES: tuple[Entry, ...] = (*CALLS, *ARTIFACTS, *TOOLS)
