"""The step from typed kernels to the tensor level: what the ops look like, what is refused, and what they compute."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fuzz.generate import generate
from tests.ir.tensor_road import emitted, filecheck, run
from tests.sources import typed_text
from tilewright.compiler.emit import emit
from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.reference.compare import compare
from tilewright.compiler.reference.evaluate import evaluate
from tilewright.dialect import ods
from tilewright.dialect.functions import statement_name
from tilewright.dialect.interpret.tensor import run_tensor

FUZZ_SEEDS = range(0, 60)


def test_a_reduction_is_a_fold_before_the_map_that_reads_it() -> None:
    with emitted("""
        kernel rows<T: float>[M, N](x: T[M, N]) -> (y: T[M]):
            y[i] = sum[j where j <= i](x[i, j])
    """, {"T": "f16"}) as module:  # fmt: skip
        filecheck(
            module,
            """
            // CHECK: [[SET:#map[0-9]*]] = affine_map<(d0, d1)[s0, s1] -> ({{.*}})>
            // CHECK: func.func @rows({{.*}} {tw.dtype = "f16"
            // CHECK: [[FOLD:%.*]] = "tw.fold"()
            // CHECK: "tw.read"(%arg0
            // CHECK: arith.extf
            // CHECK: {constraints = [[SET]]{{.*}}kinds = ["add"], parallel = 1
            // CHECK: "tw.map"()
            // CHECK: "tw.read"([[FOLD]]
            // CHECK: arith.truncf
        """,
        )


@pytest.mark.parametrize(
    ("dtype", "value", "stored"),
    [("u8", 200, "-56"), ("u8", 255, "-1"), ("u8", 256, None), ("i8", -128, "-128"), ("i8", 128, None), ("i8", 1, "1")],
)
def test_a_guarded_read_holds_its_other_value_in_the_stored_type_where_it_fits(
    dtype: str, value: int, stored: str | None
) -> None:
    with emitted(f"kernel k[N](x: {dtype}[N]) -> (y: i32[N]):\n    y[i] = (x[i - 1] else {value})\n") as module:
        text = str(module)
        assert ("arith.select" in text) is (stored is None)
        assert stored is None or f"arith.constant {stored} : i8" in text


def test_every_op_carries_the_place_of_its_text() -> None:
    with emitted("kernel twice[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = x[i] * 2\n") as module:
        function = module.body.operations[0].operation
        comprehension = function.regions[0].blocks[0].operations[0].operation
        assert statement_name(comprehension) == "y"
        product = next(op for op in comprehension.regions[0].blocks[0].operations if op.operation.name == "arith.mulf")
        assert "test.tw" in str(product.operation.location) and ":2:12" in str(product.operation.location)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("kernel k[N](x: f32[N], at: i32[N]) -> (y: f32[N]):\n    y[at[i]] += x[i]\n", "computed subscripts"),
        ("kernel k[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = x[i] where i > 1\n", "guarded write"),
        ("kernel k[N](inout x: f32[N]) -> (y: f32[N]):\n    x[i] = x[i] + 1\n    y[i] = x[i]\n", "inout"),
        ("kernel k[N](x: f32[N]) -> (y: f32[N]):\n    y[t] = sum[u where u <= t](x[u])\n", "scan"),
        ("kernel k[N](x: f32[N]) -> (y: f32[N]):\n    y[t] = (y[t-1] else 0) + x[t]\n", "recurrence"),
        ("kernel k[N](x: f32[N]) -> (y: i32[N]):\n    y[i] = i32(argtop[j](x[j], i))\n", "argtop"),
        ("kernel k[N](x: f8e4m3[N]) -> (y: f32[N]):\n    y[i] = x[i]\n", "f8e4m3"),
        ("kernel k[N](x: f32[N]; s: i32) -> (y: f32[N]):\n    y[i] = x[i] * rand(s, i)\n", "rand"),
    ],
)
def test_what_is_not_compiled_is_refused_with_one_code(text: str, what: str) -> None:
    try:
        kernel = typed_text(text)
    except SourceErrors as error:
        pytest.fail(str(error))
    with ods.session(), pytest.raises(SourceErrors) as caught:
        emit(kernel)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "TW0901"
    assert what in diagnostic.message and diagnostic.span.source.name == "test.tw"


def test_integer_division_cannot_trap() -> None:
    with emitted("""
        kernel divide[N](a: i32[N], b: i32[N]) -> (q: i32[N], r: i32[N]):
            q[i] = a[i] // b[i]
            r[i] = a[i] % b[i]
    """) as module:  # fmt: skip
        least = -(2**31)
        a, b = np.array([7, -7, 5, least], np.int32), np.array([-2, 2, 0, -1], np.int32)
        found = run(module, {"a": a, "b": b}, {"N": 4})
        assert found["q"].tolist() == [-4, -4, 0, least]
        assert found["r"].tolist() == [-1, 1, 0, 0]


def test_float_to_integer_saturates_and_nan_is_zero() -> None:
    with emitted("""
        kernel convert[N](x: f32[N]) -> (a: i8[N], b: u32[N], c: i64[N]):
            a[i] = i8(x[i])
            b[i] = u32(x[i])
            c[i] = i64(x[i])
    """) as module:  # fmt: skip
        x = np.array([np.nan, 1e30, -1e30, 127.9, -0.5, 126.9, 128, -127.9, -128.9, -129], np.float32)
        found = run(module, {"x": x}, {"N": 10})
        assert found["a"].tolist() == [0, 127, -128, 127, 0, 126, 127, -127, -128, -128]
        assert found["b"].tolist() == [0, 2**32 - 1, 0, 127, 0, 126, 128, 0, 0, 0]
        assert found["c"].tolist() == [0, 2**63 - 1, -(2**63), 127, 0, 126, 128, -127, -128, -129]


def test_tf32_keeps_eleven_significant_bits() -> None:
    with emitted("kernel k[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = tf32(x[i])\n") as module:
        ends = np.array([1 + 2**-10, 1 + 2**-11, 1 + 2**-23, -2 + 2**-23, np.inf, 3e-39], np.float32)
        found = run(module, {"x": ends}, {"N": ends.size})["y"]
    kept = (ends.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)
    np.testing.assert_array_equal(found, kept)
    assert found[0] == ends[0] and (found[1:3] == 1).all()


def test_bounds_that_values_decide_are_a_region() -> None:
    with emitted("""
        kernel ragged[B, L](x: f32[B, L], len: i32[B]) -> (y: f32[B]):
            y[b] = sum[j in 0 .. len[b]](x[b, j])
    """) as module:  # fmt: skip
        filecheck(
            module,
            """
            // CHECK: "tw.fold"()
            // CHECK: modes = array<i64: 0, 2>
            // CHECK: "tw.yield"
            // CHECK: ^bb0(%{{.*}}: index):
            // CHECK: arith.index_cast
        """,
        )
        x = np.arange(6, dtype=np.float32).reshape(2, 3)
        found = run(module, {"x": x, "len": np.array([2, 0], np.int32)}, {"B": 2, "L": 3})
        assert found["y"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("seed", FUZZ_SEEDS)
def test_random_programs_mean_what_the_reference_says(seed: int) -> None:
    program = generate(seed)
    kernel = typed_text(program.source, "fuzz", program.types, program.consts)
    dims = {name: program.dims[name] for name in kernel.dims}
    expected = evaluate(kernel, program.arguments, dims=dims)
    with ods.session():
        try:
            module = emit(kernel)
        except SourceErrors as error:
            pytest.skip(str(error.diagnostics[0].message))
        found = run_tensor(module, "fuzz", program.arguments, dims)
    for output in kernel.outputs:
        told = compare(expected, output.name, found[output.name])
        assert told.ok, f"seed {seed}: {told.message}\n{program.source}"
