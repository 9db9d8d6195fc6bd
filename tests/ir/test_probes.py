"""One test for each behaviour of the MLIR bindings that we rely on: an upgrade is a list of red and green lines.

The traps come first (what must be avoided, and still must be), then what works.
"""

# ruff: noqa: E501 (lines of IR)
from __future__ import annotations

import subprocess
import sys
import textwrap
import time
import types
from typing import Any

import pytest

from tilewright.dialect import ods
from tilewright.dialect.affine import exact
from tilewright.dialect.mlir import PREFIX, SWITCH, dialect, ext, ir, new_context, passmanager


def f32() -> Any:
    return ir.F32Type.get()


def parse(text: str) -> Any:
    return ir.Module.parse(text)


def first_block(module: Any) -> Any:
    return ods.ops_of(module.body)[0].regions[0].blocks[0]


# ---------------------------------------------------------------- the seam


def test_the_heavy_parent_package_is_not_loaded() -> None:
    code = "import sys, tilewright.dialect.mlir; print('numba_cuda_mlir.cuda' in sys.modules, 'numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_switch_names_another_package_and_its_absence_is_told() -> None:
    code = "import tilewright.dialect.mlir"
    environment = {SWITCH: "no_such_mlir.bindings", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode != 0 and "no_such_mlir" in done.stderr


def test_contexts_are_single_threaded_so_python_verifiers_cannot_deadlock() -> None:
    code = """
        from tilewright.dialect import ods
        from tilewright.dialect.mlir import ir, passmanager
        body = '%t = "tile.splat"(%a) : (f32) -> tensor<2xf32> return'.replace(" return", chr(10) + " return")
        with ods.session():
            module = ir.Module.parse(chr(10).join("func.func @f%d(%%a: f32) { %s }" % (n, body) for n in range(40)))
            passmanager.PassManager.parse("builtin.module(func.func(cse))").run(module.operation)
        print("done")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "done", done.stderr


def test_a_stub_module_stops_the_search_for_dialect_modules() -> None:
    """Without the stub every op view costs an import attempt (30-60 us)."""
    with ods.session():
        assert isinstance(sys.modules[f"{PREFIX}.dialects.tile"], types.ModuleType)
        lines = "\n".join(f'%t{n} = "tile.splat"(%a) : (f32) -> tensor<2xf32>' for n in range(2000))
        module = parse(f"func.func @f(%a: f32) {{ {lines}\n return }}")
        block = first_block(module)
        best = min(_seconds(lambda: list(block.operations)) for _ in range(5))
    assert best / 2000 < 15e-6


def _seconds(action: Any) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def test_a_dialect_loads_again_in_a_second_context() -> None:
    from tilewright.dialect.tile_gpu import TileDialect

    with ods.session():
        pass
    with new_context(), ir.Location.unknown():
        ods.register(TileDialect)
        assert parse(
            'func.func @f(%a: f32) { %t = "tile.splat"(%a) : (f32) -> tensor<2xf32>\n return }'
        ).operation.verify()
    with ods.session():
        assert parse(
            'func.func @f(%a: f32) { %t = "tile.splat"(%a) : (f32) -> tensor<2xf32>\n return }'
        ).operation.verify()


# ---------------------------------------------------------------- traps that we step around


def test_erasing_an_op_with_uses_is_refused_before_the_bindings_crash() -> None:
    with ods.session():
        module = parse("func.func @f(%a: f32) -> f32 { %b = arith.addf %a, %a : f32\n return %b : f32 }")
        op, end = ods.ops_of(first_block(module))
        with pytest.raises(ValueError, match="still has uses"):
            ods.erase(op)
        ods.erase(end)
        ods.erase(op)
        assert ods.ops_of(first_block(module)) == []


def test_lists_of_ops_survive_edits_of_the_block() -> None:
    with ods.session():
        module = parse("func.func @f(%a: f32) { %b = arith.addf %a, %a : f32\n %c = arith.mulf %a, %a : f32\n return }")
        for op in ods.ops_of(first_block(module))[:-1]:
            ods.erase(op)
        assert [op.name for op in ods.ops_of(first_block(module))] == ["func.return"]


def test_one_variable_group_holds_one_type_so_mixed_values_take_several() -> None:
    text = 'func.func @f(%a: tensor<2xf32>, %b: tensor<2xi32>) {{ %r:2 = "tile.reduce"(%a, %b) {{kinds = ["argmax"], axes = array<i64: 0>, unsigned = false, operandSegmentSizes = array<i32: {0}, 0, 0, 0, 0, 0, 0>, resultSegmentSizes = array<i32: {0}, 0, 0, 0, 0, 0, 0>}} : (tensor<2xf32>, tensor<2xi32>) -> (tensor<f32>, tensor<i32>)\n return }}'
    with ods.session():
        assert parse(text.format("1, 1")).operation.verify()
        with pytest.raises(ir.MLIRError, match="expected 'tensor<2xf32>' but got 'tensor<2xi32>'"):
            parse(text.format("2, 0"))


def test_affine_operators_give_a_class_that_lies_and_exact_mends_it() -> None:
    with ods.session():
        folded = ir.AffineConstantExpr.get(2) + ir.AffineConstantExpr.get(3)
        assert not isinstance(folded, ir.AffineConstantExpr)
        assert isinstance(exact(folded), ir.AffineConstantExpr) and exact(folded).value == 5


def test_dense_bf16_cannot_be_read_as_a_buffer() -> None:
    import numpy as np

    with ods.session():
        attribute = ir.Attribute.parse("dense<[1.0, 2.0]> : tensor<2xbf16>")
        with pytest.raises(TypeError):
            np.array(attribute)


def test_a_python_op_cannot_anchor_a_pipeline() -> None:
    with ods.session():
        module = parse(
            'func.func @f(%n: index) { "tile.grid"(%n) ({\n^bb0(%i: index):\n"tile.yield"() : () -> ()\n}) {tiles = array<i64: 4>} : (index) -> ()\n return }'
        )
        with pytest.raises((ir.MLIRError, ValueError)):
            passmanager.PassManager.parse("builtin.module(func.func(tile.grid(cse)))").run(module.operation)


def test_upstream_does_not_hoist_our_pure_ops() -> None:
    text = """func.func @f(%a: f32, %n: index) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      scf.for %i = %c0 to %n step %c1 {
        %t = "tile.splat"(%a) : (f32) -> tensor<2xf32>
        "tile.unknown"(%t) : (tensor<2xf32>) -> ()
      }
      return
    }""".replace('"tile.unknown"(%t) : (tensor<2xf32>) -> ()', "func.call @g(%t) : (tensor<2xf32>) -> ()")
    with ods.session():
        module = parse("func.func private @g(tensor<2xf32>)\n" + text)
        passmanager.PassManager.parse("builtin.module(func.func(loop-invariant-code-motion))").run(module.operation)
        loop = next(op for op in ods.ops_of(ods.ops_of(module.body)[1].regions[0].blocks[0]) if op.name == "scf.for")
        assert [op.name for op in ods.ops_of(loop.regions[0].blocks[0])][0] == "tile.splat"


# ---------------------------------------------------------------- what works


def test_verifier_errors_carry_message_and_location() -> None:
    text = 'func.func @f(%a: f32) { %t = "tile.splat"(%a) : (f32) -> tensor<2xf64> loc("t"("a.tw":3:7))\n return }'
    with ods.session(), pytest.raises(ir.MLIRError) as caught:
        parse(text)
    (diagnostic, *_) = caught.value.error_diagnostics
    assert "'tile.splat' of f32" in diagnostic.message and '"a.tw":3:7' in str(diagnostic.location)


def test_an_exception_in_a_verifier_comes_out_as_itself() -> None:
    class Probe(ext.Dialect, name="twprobe"):  # type: ignore[misc,call-arg]
        pass

    class Bad(Probe.Operation, name="bad"):  # type: ignore[name-defined,misc,call-arg]
        @staticmethod
        def verify_invariants(op: Any) -> bool:
            raise ArithmeticError("seven")

    with new_context(), ir.Location.unknown():
        ods.register(Probe)
        with pytest.raises(ArithmeticError, match="seven"):
            parse('"twprobe.bad"() : () -> ()').operation.verify()


@pytest.mark.parametrize(("passes", "left"), [("cse", 1), ("canonicalize", 0)])
def test_pure_ops_are_merged_and_dropped(passes: str, left: int) -> None:
    text = 'func.func @f(%a: f32) { %t = "tile.splat"(%a) : (f32) -> tensor<2xf32>\n %u = "tile.splat"(%a) : (f32) -> tensor<2xf32>\n'
    text += "%v = arith.addf %t, %u : tensor<2xf32>\n func.call @g(%v) : (tensor<2xf32>) -> ()\n" if left else ""
    with ods.session():
        module = parse("func.func private @g(tensor<2xf32>)\n" + text + " return }")
        passmanager.PassManager.parse(f"builtin.module(func.func({passes}))").run(module.operation)
        names = [op.name for op in ods.ops_of(ods.ops_of(module.body)[1].regions[0].blocks[0])]
    assert names.count("tile.splat") == left


def test_reads_are_not_merged_across_a_store() -> None:
    access = "map = affine_map<(d0) -> (d0)>, gather_dims = array<i64>, limit_axes = array<i64>, guarded = array<i64>"
    load = f'"tile.load"(%v, %i) {{{access}, checked = array<i64>, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0>}} : (memref<?xf32>, index) -> tensor<4xf32>'
    store = f'"tile.store"(%a, %v, %i) {{{access}, combine = "none", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0>}} : (tensor<4xf32>, memref<?xf32>, index) -> ()'
    use = "func.call @g({0}) : (tensor<4xf32>) -> ()"
    counts = []
    for between in ("", store):
        body = (
            f"%a = {load}\n{between}\n%b = {load}\n %c = arith.addf %a, %b : tensor<4xf32>\n{use.format('%c')}\n return"
        )
        with ods.session():
            module = parse(
                f"func.func private @g(tensor<4xf32>)\nfunc.func @f(%v: memref<?xf32>, %i: index) {{ {body} }}"
            )
            passmanager.PassManager.parse("builtin.module(func.func(cse))").run(module.operation)
            counts.append(str(module).count("tile.load"))
    assert counts == [1, 2]


def test_loops_carry_tiles_and_upstream_simplifies_them() -> None:
    text = """func.func @f(%t: tensor<4xf32>, %n: index) -> tensor<4xf32> {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %r:2 = scf.for %i = %c0 to %n step %c1 iter_args(%a = %t, %b = %t) -> (tensor<4xf32>, tensor<4xf32>) {
        %s = arith.addf %a, %t : tensor<4xf32>
        scf.yield %s, %b : tensor<4xf32>, tensor<4xf32>
      }
      return %r#0 : tensor<4xf32>
    }"""
    with ods.session():
        module = parse(text)
        passmanager.PassManager.parse("builtin.module(func.func(canonicalize))").run(module.operation)
        assert "iter_args(%arg3 = %arg0) -> (tensor<4xf32>)" in str(module)


def test_values_and_types_are_keys_equal_by_identity() -> None:
    with ods.session():
        module = parse("func.func @f(%a: f32, %b: f32) -> f32 { %c = arith.addf %a, %b : f32\n return %c : f32 }")
        block = first_block(module)
        add, end = ods.ops_of(block)
        assert {add.results[0]: 1}[end.operands[0]] == 1 and add.operands[0] == block.arguments[0]
        assert add.operands[0] != add.operands[1] and {f32(): 1}[add.results[0].type] == 1
        assert isinstance(add.operands[0], ir.BlockArgument) and end.operands[0].owner.operation == add


def test_unknown_attributes_of_functions_round_trip() -> None:
    text = 'func.func @f(%a: f32 {tw.name = "a"}) attributes {tw.dims = ["M"], tw.grid = {extents = affine_map<()[s0] -> (s0 floordiv 4)>}} { return }'
    with ods.session():
        module = parse(text)
        assert str(parse(str(module))) == str(module) and 'tw.name = "a"' in str(module)


def test_locations_name_a_value_and_a_place() -> None:
    with ods.session():
        location = ir.Location.name("acc", ir.Location.file("a.tw", 2, 7))
        assert str(location) == 'loc("acc"("a.tw":2:7))'
        with location:
            module = parse("func.func @f() { return }")
        again = ir.Location.from_attr(location.attr)
        assert isinstance(again, ir.NameLoc) and again.name_str == "acc" and str(module)


def test_a_pass_manager_refuses_unknown_passes_when_it_is_made() -> None:
    with ods.session(), pytest.raises((ir.MLIRError, ValueError)):
        passmanager.PassManager.parse("builtin.module(no-such-pass)")


def test_ops_are_made_fast() -> None:
    """`create` costs a few microseconds; the constructors of `ext` cost five to nine times that."""
    with ods.session():
        module = parse("func.func @f(%a: f32) { return }")
        block = first_block(module)
        tile_type = ir.RankedTensorType.get([2], f32())
        with ir.InsertionPoint.at_block_begin(block):
            made = _seconds(lambda: [ods.create("tile.splat", [tile_type], [block.arguments[0]]) for _ in range(2000)])
    assert made / 2000 < 40e-6


def test_the_dialects_that_are_needed_exist() -> None:
    for name in ("arith", "math", "scf", "func", "memref", "vector", "llvm", "nvvm", "gpu", "tensor"):
        assert dialect(name) is not None
