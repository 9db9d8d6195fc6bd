"""Golden corpus: bits that a device computed for micro-kernels, replayed by the emulator.

    python tests/emulator/golden_ptx.py record corpus.npz --device cuda       # on a machine with a GPU
    python tests/emulator/golden_ptx.py replay corpus.npz

A corpus holds, per micro-kernel, the seeded inputs and the output bits, and says which chip and driver made them. One
recorded with ``--device emulator`` says so: replaying it only tests this program.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.runtime.emulator import Module, launch

LANES = 256
TYPES: dict[str, tuple[str, Any]] = {
    "u32": ("b32", np.uint32),
    "s32": ("b32", np.int32),
    "u64": ("b64", np.uint64),
    "s64": ("b64", np.int64),
    "f32": ("b32", np.float32),
    "f64": ("b64", np.float64),
    "f16": ("b16", np.float16),
    "b16": ("b16", np.uint16),
    "b32": ("b32", np.uint32),
    "b64": ("b64", np.uint64),
}
EXACT = (
    [
        f"{op}.{t} {t} {t} {t}"
        for op in ("add", "sub", "mul.lo", "div", "rem", "min", "max")
        for t in ("u32", "s32", "u64", "s64")
    ]
    + [f"{op}.{r}.f32 f32 f32 f32" for op in ("add", "mul", "div") for r in ("rn", "rz", "rm", "rp")]
    + [f"fma.{r}.{t} {t} {t} {t} {t}" for r in ("rn", "rz") for t in ("f32", "f64")]
    + [f"{op}.{t} {t} {t} {t}" for op in ("min", "max") for t in ("f32", "f64", "f16")]
    + [f"cvt.{r}.{t}.f32 {t} f32" for r in ("rni", "rzi", "rmi", "rpi") for t in ("s32", "u32", "s64", "u64")]
    + [f"cvt.{r}.f32.{t} f32 {t}" for r in ("rn", "rz", "rm", "rp") for t in ("s32", "u32", "s64", "u64")]
    + [f"cvt.{r}.{t}.f32 b16 f32" for r in ("rn", "rz") for t in ("f16", "bf16")]
    + ["cvt.rn.satfinite.e4m3x2.f32 b16 f32 f32", "cvt.rn.satfinite.e5m2x2.f32 b16 f32 f32", "cvt.rna.tf32.f32 b32 f32"]
    + [f"bfe.{t} {t} {t} u32 u32" for t in ("u32", "s32", "u64", "s64")]
    + ["prmt.b32 b32 b32 b32 b32", "shf.l.wrap.b32 b32 b32 b32 u32"]
    + [
        "shl.b32 b32 b32 u32",
        "shr.s32 s32 s32 u32",
        "shr.u64 u64 u64 u32",
        "popc.b32 u32 b32",
        "clz.b64 u32 b64",
        "brev.b32 b32 b32",
    ]
)
"""Opcode, result type, source types; results must be equal bit for bit (any NaN equals any NaN)."""


@dataclass(frozen=True)
class Case:
    """One micro-kernel with its arrays; the last array is the output."""

    opcode: str
    ptx: str
    arrays: tuple[Any, ...]


def build_case(line: str, seed: int) -> Case:
    opcode, result, *sources = line.split()
    rng = np.random.default_rng(seed)
    arrays = [_draw(rng, TYPES[kind][1]) for kind in sources] + [np.zeros(LANES, TYPES[result][1])]
    body = []
    for index, kind in enumerate([*sources, result]):
        size = np.dtype(TYPES[kind][1]).itemsize
        body += [f"ld.param.u64 %a{index}, [p{index}];", f"mad.wide.u32 %a{index}, %t, {size}, %a{index};"]
        body += [f"ld.global.b{8 * size} v{index}, [%a{index}];"] if index < len(sources) else []
    last = len(sources)
    body.append(f"{opcode} v{last}, " + ", ".join(f"v{i}" for i in range(last)) + ";")
    body.append(f"st.global.{TYPES[result][0]} [%a{last}], v{last};")
    registers = "".join(f".reg .{TYPES[kind][0]} v{i}; .reg .b64 %a{i};\n" for i, kind in enumerate([*sources, result]))
    parameters = ", ".join(f".param .u64 p{i}" for i in range(last + 1))
    text = (
        f".version 8.0\n.target sm_90\n.address_size 64\n.visible .entry k({parameters})\n{{\n{registers}"
        ".reg .b32 %t;\nmov.u32 %t, %tid.x;\n" + "\n".join(body) + "\nret;\n}\n"
    )
    return Case(opcode, text, tuple(arrays))


def _draw(rng: np.random.Generator, kind: Any) -> Any:
    """Half random bits (every NaN, subnormal and corner of the format), half ordinary values."""
    size = np.dtype(kind).itemsize
    raw = np.frombuffer(rng.bytes(size * LANES), f"u{size}").view(kind).copy()
    ordinary = rng.normal(size=LANES) * 100
    with np.errstate(all="ignore"):
        values = np.abs(ordinary).astype(kind) if np.dtype(kind).kind == "u" else ordinary.astype(kind)
    return np.where(np.arange(LANES) % 2, raw, np.where(values == 0, np.ones((), kind), values)).astype(kind)


Device = Callable[[Case], Any]


def emulator_device(case: Case) -> Any:
    arrays = [array.copy() for array in case.arrays]
    report = launch(Module.parse(case.ptx), "k", (1,), (LANES,), args=arrays)
    assert report.findings == [], [str(finding) for finding in report.findings]
    return arrays[-1]


def cuda_device(case: Case) -> Any:
    """Run on the first GPU through the driver."""
    from cuda.bindings import driver

    def check(result: tuple[Any, ...]) -> Any:
        if int(result[0]):
            raise RuntimeError(f"{result[0]} for {case.opcode}")
        return result[1] if len(result) == 2 else result[1:]

    module = check(driver.cuModuleLoadData(case.ptx.encode() + b"\0"))
    function = check(driver.cuModuleGetFunction(module, b"k"))
    pointers = [check(driver.cuMemAlloc(array.nbytes)) for array in case.arrays]
    for pointer, array in zip(pointers, case.arrays, strict=True):
        check(driver.cuMemcpyHtoD(pointer, array.ctypes.data, array.nbytes))
    packed = [np.array([int(pointer)], np.uint64) for pointer in pointers]
    table = np.array([argument.ctypes.data for argument in packed], np.uint64)
    check(driver.cuLaunchKernel(function, 1, 1, 1, LANES, 1, 1, 0, 0, table.ctypes.data, 0))
    output = np.empty_like(case.arrays[-1])
    check(driver.cuMemcpyDtoH(output.ctypes.data, pointers[-1], output.nbytes))
    for pointer in pointers:
        check(driver.cuMemFree(pointer))
    check(driver.cuModuleUnload(module))
    return output


def cuda_origin() -> dict[str, Any]:
    """Start the driver; the chip and driver that a recording names."""
    from cuda.bindings import driver

    driver.cuInit(0)
    error, device = driver.cuDeviceGet(0)
    if int(error):
        raise SystemExit("no CUDA device here")
    context = driver.cuDevicePrimaryCtxRetain(device)[1]
    driver.cuCtxSetCurrent(context)
    name = driver.cuDeviceGetName(128, device)[1]
    return {"device": name.rstrip(b"\0").decode(), "driver": int(driver.cuDriverGetVersion()[1])}


def record(path: Path, device: Device, origin: dict[str, Any], seed: int = 0) -> int:
    """Run every micro-kernel and write the corpus; returns the number of recorded values."""
    stored: dict[str, Any] = {}
    names = []
    for index, line in enumerate(EXACT):
        case = build_case(line, seed + index)
        names.append(line)
        for position, array in enumerate(case.arrays[:-1]):
            stored[f"{index}.{position}"] = array.view(f"u{array.itemsize}")
        output = device(case)
        stored[f"{index}.out"] = output.view(f"u{output.itemsize}")
    stored["header"] = np.frombuffer(json.dumps({"origin": origin, "cases": names, "seed": seed}).encode(), np.uint8)
    np.savez_compressed(path, **stored)
    return len(EXACT) * LANES


def replay(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The origin of a corpus and the cases where the emulator's bits differ."""
    with np.load(path, allow_pickle=False) as data:
        header = json.loads(data["header"].tobytes())
        wrong = []
        for index, line in enumerate(header["cases"]):
            case = build_case(line, header["seed"] + index)
            inputs = [data[f"{index}.{i}"].view(array.dtype) for i, array in enumerate(case.arrays[:-1])]
            output = emulator_device(Case(case.opcode, case.ptx, (*inputs, case.arrays[-1])))
            if not _equal(output, data[f"{index}.out"].view(output.dtype)):
                wrong.append(line)
    return header["origin"], wrong


def _equal(left: Any, right: Any) -> bool:
    if left.dtype.kind == "f":
        both = np.isnan(left) & np.isnan(right)
        return bool((both | (left.view(f"u{left.itemsize}") == right.view(f"u{right.itemsize}"))).all())
    return bool((left == right).all())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("record", "replay"))
    parser.add_argument("path", type=Path)
    parser.add_argument("--device", choices=("cuda", "emulator"), default="cuda")
    options = parser.parse_args()
    if options.action == "record":
        gpu = options.device == "cuda"
        origin = cuda_origin() if gpu else {"device": "emulator"}
        print(record(options.path, cuda_device if gpu else emulator_device, origin), "values from", origin)
        return
    origin, wrong = replay(options.path)
    print(f"recorded on {origin}: {len(wrong)} of {len(EXACT)} cases differ {wrong}")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
