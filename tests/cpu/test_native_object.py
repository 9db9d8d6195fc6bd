"""From machine-level functions to object code and back into a process; what is refused on the way."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cpu import native_kernels as kernels
from tests.cpu.native_programs import build, constant, identity, map_kernel, program, tensor
from tilewright.dialect import ods, tile
from tilewright.dialect.faults import IllegalOp, InternalFault
from tilewright.dialect.mlir import arith, ir
from tilewright.passes.cpu import native
from tilewright.passes.cpu.bounds import UPPER, Bounds
from tilewright.passes.cpu.target import from_features, host
from tilewright.runtime import cpu

RELOAD = """
import pickle, sys
import numpy as np
from tilewright.runtime import cpu
objects, launches = pickle.load(open(sys.argv[1], "rb"))
x, y = np.linspace(-3, 3, 45, dtype=np.float32), np.zeros(45, np.float32)
library = cpu.NativeLibrary(objects, launches)
cpu.launch(library.entries["k"], cpu.Slots([x.ctypes.data, y.ctypes.data, 45]))
assert np.allclose(y, np.tanh(x), rtol=1e-6), y
assert not [m for m in sys.modules if "mlir" in m], "the runtime must not load MLIR"
"""


def test_object_code_runs_in_a_process_without_mlir(tmp_path: Path) -> None:
    code = map_kernel("math.tanh", ("f32",), "f32").code
    stored = tmp_path / "kernel.pickle"
    stored.write_bytes(pickle.dumps((code.object_bytes, code.launches)))
    subprocess.run([sys.executable, "-c", RELOAD, str(stored)], check=True, timeout=60)


def test_compilation_is_deterministic() -> None:
    module = map_kernel("math.erf", ("f32",), "f32").module
    with ods.session():
        first, second = (native.compile_native(module, host()) for _ in range(2))
    assert first.object_bytes == second.object_bytes and first.llvm_ir == second.llvm_ir


def test_buffers_on_the_stack_are_aligned_to_a_cache_line() -> None:
    """A vector of 64 bytes that straddles two lines is loaded twice."""
    text = kernels.matmul().code.llvm_ir
    buffers = [line for line in text.splitlines() if "alloca i8" in line]
    assert buffers and all(line.endswith("align 64") for line in buffers)


def test_assembly_shows_the_launch() -> None:
    asm = map_kernel("arith.addf", ("f32", "f32"), "f32").code.asm
    assert "k_cells:" in asm and "k_scratch:" in asm


@pytest.mark.skipif(not host().fma or host().lanes != 8, reason="reads AVX2 assembly")
def test_the_inner_loop_of_a_product_keeps_its_sums_in_registers() -> None:
    """12 accumulators: 12 FMAs and 6 broadcasts a step, no store in the loop that holds them."""
    loops = blocks_of(kernels.matmul().code.asm)
    inner = max(loops, key=lambda lines: sum("vfmadd" in line for line in lines))
    fmas = sum("vfmadd" in line for line in inner)
    assert fmas == 12 * 4
    assert sum("vbroadcastss" in line for line in inner) == 6 * 4
    stores = [line for line in inner if line.startswith("vmov") and line.endswith(")") and "%ymm" in line]
    assert not stores


def blocks_of(asm: str) -> list[list[str]]:
    """The instructions between labels."""
    blocks: list[list[str]] = [[]]
    for line in map(str.strip, asm.splitlines()):
        if line.endswith(":"):
            blocks.append([])
        elif line and not line.startswith((".", "#")):
            blocks[-1].append(line)
    return blocks


def test_unknown_externals_are_refused() -> None:
    call = "define double @f(double %x) {\n %y = call double @nobody(double %x)\n ret double %y\n}"
    text = f"declare double @nobody(double)\n{call}"
    machine = native._target_machine(host())
    with pytest.raises(InternalFault, match="nobody"):
        native.check_externals(native._parse(text, host(), machine))


def test_the_loader_provides_what_code_may_call() -> None:
    assert native.MATH_SYMBOLS == cpu.MATH_SYMBOLS
    assert set(cpu._math_addresses()) == set(cpu.MATH_SYMBOLS)


def test_ops_without_machine_form_are_refused() -> None:
    def body(x: Any, n: Any) -> None:
        ods.create("tw.dim", [ods.index_type()], [], {"symbol": ir.StringAttr.get("N")})

    with ods.session():
        module = program(["N"], [tensor("x", "f32", ["N"])], body)
        with pytest.raises(IllegalOp, match="tw.dim"):
            native.compile_native(module, host())


def test_what_is_not_llvm_is_refused_before_translation() -> None:
    with ods.session():
        module = program([], [], lambda: None)
        with pytest.raises(IllegalOp):
            native.check_level(module, "llvm")


def test_scratch_is_enough_for_the_largest_cell() -> None:
    """min(16, N - i) + N % 5 + 3 (N / 4) f32, over all cells."""
    arguments = [tensor("x", "f32", ["N"]), tensor("y", "f32", ["N"], "out")]

    def body(x: Any, y: Any, n: Any) -> None:
        def cell(i: Any) -> None:
            first = arith.minsi(constant(16), arith.subi(n, i))
            third = arith.muli(constant(3), arith.divui(n, constant(4)))
            size = arith.addi(arith.addi(first, arith.remui(n, constant(5))), third)
            buffer = tile.stage([size], ir.F32Type.get(), lambda b: None)
            access = tile.Access(buffer, (constant(0),), identity(1), limits=((0, size),))
            limits = ((0, arith.subi(n, i)),)
            tile.store(tile.load(access, [16]), tile.Access(y, (i,), identity(1), limits=limits))

        tile.grid([n], [16], cell)

    kernel = build(["N"], arguments, body)
    y = np.zeros(1, np.float32)
    for n in (1, 15, 16, 100):
        needed = max(4 * (min(16, n - i) + n % 5 + 3 * (n // 4)) for i in range(0, n, 16))
        given = kernel.entry.scratch(kernel.slots(y, y, n).address)
        assert needed <= given <= needed + 4 * 16 + 128 and given % 64 == 0


SIZES: dict[str, tuple[Callable[[Any, Any, Any], Any], Callable[[int], int]]] = {
    "the coordinate of a cell": (lambda n, i, k: arith.addi(i, constant(16)), lambda n: n - 1 + 16),
    "the index of a loop": (lambda n, i, k: arith.addi(k, constant(1)), lambda n: n + 2),
    "what a loop has left": (lambda n, i, k: arith.subi(arith.addi(n, constant(3)), k), lambda n: n + 3 - 2),
    "what a cell leaves": (lambda n, i, k: arith.subi(constant(30), i), lambda n: 30),
    "what a remainder leaves": (lambda n, i, k: arith.subi(constant(9), arith.remui(n, constant(5))), lambda n: 9),
    "a remainder": (lambda n, i, k: arith.remui(n, constant(5)), lambda n: 4),
    "one of two": (
        lambda n, i, k: arith.select(arith.cmpi(arith.CmpIPredicate.slt, k, i), n, constant(7)),
        lambda n: max(n, 7),
    ),
    "the other of two": (
        lambda n, i, k: arith.select(arith.cmpi(arith.CmpIPredicate.slt, k, i), constant(7), n),
        lambda n: max(n, 7),
    ),
    "what the smaller of two leaves": (
        lambda n, i, k: arith.subi(
            constant(40), arith.select(arith.cmpi(arith.CmpIPredicate.slt, k, i), n, constant(7))
        ),
        lambda n: 40 - min(n, 7),
    ),
}


@pytest.mark.parametrize("name", SIZES)
def test_scratch_is_bounded_by_intervals(name: str) -> None:
    """A stage whose rows of 512 bytes depend on the cell at ``i`` and on a loop over ``k`` from 2 to N + 2."""
    size_of, largest = SIZES[name]
    arguments = [tensor("x", "f32", ["N"]), tensor("y", "f32", ["N"], "out")]

    def body(x: Any, y: Any, n: Any) -> None:
        def cell(i: Any) -> None:
            def step(k: Any) -> list[Any]:
                tile.stage([size_of(n, i, k), 128], ir.F32Type.get(), lambda b: None)
                return []

            kernels.loop(constant(2), arith.addi(n, constant(2)), 1, [], step)

        tile.grid([n], [1], cell)

    kernel = build(["N"], arguments, body)
    y = np.zeros(1, np.float32)
    for n in (1, 6, 23):
        given = kernel.entry.scratch(kernel.slots(y, y, n).address)
        assert given // 512 == largest(n)


def test_a_stage_whose_size_has_no_bound_is_refused() -> None:
    bounds = Bounds.__new__(Bounds)
    bounds.entry, bounds._known = {}, {}
    with ods.session():
        module = ir.Module.create()
        with ir.InsertionPoint(module.body):
            number = arith.fptosi(ir.IntegerType.get_signless(64), arith.constant(ir.F32Type.get(), 1.0))
        with pytest.raises(InternalFault, match="fptosi"):
            bounds.of(number, UPPER)


@pytest.mark.parametrize(
    ("flags", "lanes", "fma"),
    [({"avx2": True, "fma": True}, 8, True), ({"avx512f": True, "avx512vl": True, "fma": True}, 16, True),
     ({"sse2": True}, 4, False), ({"avx512f": True, "avx2": True}, 8, False)],
)  # fmt: skip
def test_targets_from_features(flags: dict[str, bool], lanes: int, fma: bool) -> None:
    target = from_features("generic", "x86_64-unknown-linux-gnu", flags)
    assert (target.lanes, target.fma) == (lanes, fma)
    assert from_features("generic", "aarch64-unknown-linux-gnu", {}).fma


def test_code_for_a_baseline_machine_runs() -> None:
    """No FMA, no AVX: the same programs in two instructions for one."""
    flags = dict.fromkeys(("sse2", "fxsr", "cx8", "cmov", "64bit"), True)
    if not host().triple.startswith("x86_64"):
        pytest.skip("an x86 baseline")
    baseline = from_features("x86-64", host().triple, flags)
    for op in ("math.exp", "math.log", "math.tanh", "math.sin", "math.floor", "math.trunc"):
        with ods.session():
            code = native.compile_native(map_kernel(op, ("f32",), "f32").module, baseline)
        library = cpu.NativeLibrary(code.object_bytes, code.launches)
        x, y = np.linspace(0.1, 5, 77, dtype=np.float32), np.zeros(77, np.float32)
        cpu.launch(library.entries["k"], cpu.Slots([x.ctypes.data, y.ctypes.data, 77]))
        function = getattr(np, op.removeprefix("math."))
        np.testing.assert_allclose(y, function(x.astype(np.float64)), rtol=1e-6, atol=1e-7)


def test_targets_differ_by_what_they_generate() -> None:
    with ods.session():
        module = map_kernel("arith.addf", ("f32", "f32"), "f32").module
        narrow = native.compile_native(module, replace(host(), lanes=4)).llvm_ir
    assert "<4 x float>" in narrow and "<8 x float>" not in narrow
