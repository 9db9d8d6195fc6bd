"""Legality lists, and dumps that are read back as the same module."""

from __future__ import annotations

import pytest

from tests.ir.programs import GEMM, SOFTMAX
from tilewright.dialect import layout_library as layouts
from tilewright.dialect import ods, tile_gpu
from tilewright.dialect.faults import IllegalOp, InternalFault
from tilewright.dialect.interpret.operations import OPERATIONS
from tilewright.dialect.legality import LEVELS, check_level
from tilewright.dialect.mlir import dialect, ir
from tilewright.dialect.printing import UnreadableText, dump, parse_module, same_text
from tilewright.passes.gpu.ptx import to_ptx


@pytest.mark.parametrize(("text", "level"), [(SOFTMAX, "tensor"), (GEMM, "tile")])
def test_programs_are_legal_at_their_level_alone(text: str, level: str) -> None:
    with ods.session():
        module = parse_module(text)
        check_level(module, level)
        for other in {"tensor", "tile", "cpu", "thread", "llvm"} - {level}:
            with pytest.raises(IllegalOp, match=f"may not exist at the {other} level"):
                check_level(module, other)


def test_an_illegal_op_is_told_with_its_place() -> None:
    text = "func.func @f(%x: f32) { %y = math.sincos %x : f32\n return }"
    text = 'func.func @f(%a: i32) { %r = llvm.add %a, %a : i32 loc("r"("a.tw":4:9))\n return }'
    with (
        ods.session(),
        pytest.raises(IllegalOp, match=r'llvm.add may not exist at the tensor level, at loc\("r"\("a.tw":4:9'),
    ):
        check_level(parse_module(text), "tensor")


def test_nesting_is_part_of_a_level() -> None:
    inner = SOFTMAX.replace(
        "%p = math.exp %d : f32",
        '%p = math.exp %d : f32\n%no = "tw.table"() {values = dense<1.0> : tensor<1xf32>} : () -> tensor<1xf32>',
    )
    with ods.session(), pytest.raises(IllegalOp, match="tw.table may not stand inside tw.map"):
        check_level(parse_module(inner), "tensor")


def test_every_scalar_op_of_the_levels_has_a_meaning() -> None:
    for level in ("tensor", "tile"):
        scalar = {n for n in LEVELS[level].operations if n.partition(".")[0] in ("arith", "math")}
        assert scalar == set(OPERATIONS)


KERNEL = """
module attributes {gpu.container_module} {
  gpu.module @kernels [#nvvm.target<O = 2, chip = "sm_80", features = "+ptx80">] {
    llvm.func @k(%p: !llvm.ptr<1>) attributes {nvvm.kernel} {
      %v = llvm.load %p : !llvm.ptr<1> -> TYPE
      %r = "OP"(OPERANDS) : (TYPES) -> TYPE
      llvm.store %r, %p : TYPE, !llvm.ptr<1>
      llvm.return
    }
  }
}
"""


def thread_kernel(op: str, type_: str) -> str:
    """A kernel of one thread with one op on what it loads."""
    count = {"math.copysign": 2, "math.fma": 3}.get(op, 1)
    text = KERNEL.replace("OPERANDS", ", ".join(["%v"] * count)).replace("TYPES", ", ".join([type_] * count))
    return text.replace("OP", op).replace("TYPE", type_)


MATH = sorted(name for name in LEVELS["thread"].operations if name.startswith("math."))
OF_INTEGERS = {"math.absi", "math.ctlz", "math.ctpop", "math.cttz"}


@pytest.mark.parametrize("op", MATH)
def test_every_math_op_of_the_thread_level_becomes_instructions(op: str) -> None:
    """LLVM ends the process on one that it has no instructions for: this list is all that stands in front of it."""
    for type_ in ("i32", "i64") if op in OF_INTEGERS else ("f32", "f64"):
        with ods.session():
            load_gpu_dialects()
            assert "call" not in to_ptx(parse_module(thread_kernel(op, type_)))


def test_other_math_ops_are_refused_before_llvm_sees_them() -> None:
    known = {name for name in OPERATIONS if name.startswith("math.")}
    assert known > set(MATH) and {"math.exp", "math.tan", "math.powf"} <= known - set(MATH)
    with ods.session():
        load_gpu_dialects()
        with pytest.raises(IllegalOp, match=r"math.tan may not exist at the thread level"):
            to_ptx(parse_module(thread_kernel("math.tan", "f32")))


def load_gpu_dialects() -> None:
    for name in ("gpu", "nvvm", "llvm", "math"):
        dialect(name)


def test_a_level_that_does_not_exist() -> None:
    with ods.session(), pytest.raises(InternalFault, match="no level 'tensors'"):
        check_level(parse_module(GEMM), "tensors")


@pytest.mark.parametrize("text", [SOFTMAX, GEMM])
def test_a_dump_is_read_back_as_the_same_module(text: str) -> None:
    with ods.session():
        module = parse_module(text)
        again = parse_module(dump(module, locations=True))
        assert same_text(module, again)
        assert dump(parse_module(dump(module))) == dump(module)


def test_values_are_named_after_the_source() -> None:
    text = 'func.func @f(%a: f32) -> f32 { %0 = arith.addf %a, %a : f32 loc("twice"("a.tw":4:9))\n return %0 : f32 }'
    with ods.session():
        assert "%twice = arith.addf" in dump(parse_module(text))


def test_long_types_stand_once() -> None:
    with ods.session():
        layout = layouts.FRAGMENTS["m16n8k16.c"]
        type_ = tile_gpu.laid_out((16, 8), ir.F32Type.get(), layout)
        body = f'%b = arith.addf %a, %a {{note = "tensor<16x8xf32>"}} : {type_}\n return %b : {type_}'
        module = parse_module(f"func.func @f(%a: {type_}) -> {type_} {{ {body} }}")
        text = dump(module)
        assert text.count("#tile.layout") == 1 and "%arg0: !t0" in text and same_text(module, module)
        again = parse_module(text)
        assert dump(again) == text
        found = ods.ops_of(again.body)[0].regions[0].blocks[0].arguments[0].type
        assert found == type_ and tile_gpu.layout_of(found) == layout


def test_a_type_inside_a_string_keeps_its_text() -> None:
    type_ = "tensor<123456x123456x123456x123456xf32>"
    with ods.session():
        text = dump(parse_module(f'func.func @f(%a: {type_}) attributes {{note = "{type_}"}} {{ return }}'))
        assert f'note = "{type_}"' in text and "!t0" in text


def test_text_that_is_no_module_is_refused_with_line_and_column() -> None:
    with ods.session():
        with pytest.raises(UnreadableText, match=":1:"):
            parse_module("func.func @f(")
        with pytest.raises(UnreadableText, match="'tile.splat' of f32"):
            parse_module('func.func @f(%a: f32) { %t = "tile.splat"(%a) : (f32) -> tensor<2xf64>\n return }')


def test_layouts_as_encodings() -> None:
    with ods.session():
        layout = layouts.FRAGMENTS["m16n8k16.c"]
        with pytest.raises(InternalFault, match="shape"):
            tile_gpu.laid_out((8, 16), ir.F32Type.get(), layout)
        assert tile_gpu.layout_of(ir.Type.parse("tensor<16x8xf32>")) is None
        first = tile_gpu.laid_out((16, 16), ir.F32Type.get(), layouts.FRAGMENTS["m16n8k16.a"])
        body = "%c = arith.addf %a, %b : tensor<16x16xf32>"
        with pytest.raises(UnreadableText, match="expects different type"):
            parse_module(f"func.func @f(%a: {first}, %b: tensor<16x16xf32>) {{ {body}\n return }}")
