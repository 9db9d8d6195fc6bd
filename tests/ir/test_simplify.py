"""Pass ``simplify``: normal forms, exactness on special floats, and unchanged meaning."""

from __future__ import annotations

import math
import operator
import re
from typing import Any

import numpy as np
import pytest

from tests.ir.tensor_road import assert_same_meaning, emitted, filecheck, program_of, run
from tilewright.dialect import ods
from tilewright.dialect.faults import IllegalOp
from tilewright.dialect.mlir import ir
from tilewright.passes.base import run_passes
from tilewright.passes.tensor.program import Constant, postorder
from tilewright.passes.tensor.simplify import Simplify
from tilewright.passes.tensor.structure import Structure


def test_arithmetic_that_does_nothing_is_gone() -> None:
    with emitted("""
        kernel plain[N](x: f32[N]) -> (y: f32[N]):
            y[i] = x[(i + 1) - 1] * 1.0 if i >= 0 else 0
    """) as module:  # fmt: skip
        filecheck(
            run_passes(module, [Simplify()]),
            """
            // CHECK: ^bb0([[I:%.*]]: index):
            // CHECK-NEXT: [[X:%.*]] = "tw.read"(%arg0, [[I]])
            // CHECK-NEXT: "tw.yield"([[X]])
        """,
        )


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("x[2*i + 1 - 1, j]", "x[i + i, j]"),
        ("x[(4*i + 6) // 2 - 3, j]", "x[i * 2, j]"),
        ("x[i, j] if j < i else 0", "x[i, j] if i > j else 0"),
        ("x[i, j] if not (j >= i) else 0", "x[i, j] if j < i else 0"),
        ("x[max(i // 2, 0), j]", "x[i // 2, j]"),
        ("(x[i * N + j, j] else 0)", "(x[N * i + j, j] else 0)"),
        ("(x[i * M - M * i + i, j] else 0)", "(x[i, j] else 0)"),
    ],
)
def test_equal_index_arithmetic_gets_one_form(left: str, right: str) -> None:
    digests = []
    for expression in (left, right):
        text = f"kernel k[M, N](x: f32[2*M, N]) -> (y: f32[M, N]):\n    y[i, j] = {expression}\n"
        with emitted(text) as module:
            program = program_of(run_passes(module, [Simplify()]))
            digests.append(Structure().source(program.comprehensions[0]))
    assert digests[0] == digests[1]


def test_a_constraint_that_the_box_implies_is_dropped() -> None:
    with emitted("kernel k[N](x: f32[N]) -> (y: f32):\n    y = sum[j where j < N and j >= 0](x[j])\n") as module:
        fold = program_of(run_passes(module, [Simplify()])).comprehensions[0]
        assert fold.is_fold and fold.domain.is_box


def test_adding_zero_stays_because_of_minus_zero() -> None:
    with emitted(
        "kernel k[N](x: f32[N]) -> (y: f32[N], z: f32[N]):\n    y[i] = x[i] + 0.0\n    z[i] = x[i] * 0.0\n"
    ) as m:
        after = run_passes(m, [Simplify()])
        found = run(after, {"x": np.array([-0.0, math.nan, math.inf], np.float32)}, {"N": 3})
        assert not np.signbit(found["y"][0])
        assert np.isnan(found["z"][1:]).all()


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("(0.5 + 0.25) * 3", [2.25]),
        ("(3 - 0.5) / 4", [0.625]),
        ("sqrt(f32(2.25))", [1.5]),
        ("f32(i32(16777216))", [2.0**24]),
        ("f64(0.1) + f64(0.2)", [0.1 + 0.2]),
        ("f32(0.1) + f32(0.2)", [float(np.float32(0.1)), float(np.float32(0.2))]),
        ("f32(1) / f32(3)", [1.0, 3.0]),
        ("f32(i32(16777217))", [2.0**24 + 1]),
    ],
)
def test_constants_are_folded_where_no_digit_is_lost(expression: str, values: list[float]) -> None:
    with emitted(f"kernel k[N](x: f64[N]) -> (y: f64[N]):\n    y[i] = x[i] + f64({expression})\n") as module:
        program = program_of(run_passes(module, [Simplify()]))
        constants = [n for n in postorder(program.comprehensions[0].body) if isinstance(n, Constant)]
        assert sorted(n.value for n in constants) == sorted(values)


@pytest.mark.parametrize("op", ["<", "<=", ">", ">=", "==", "!="])
def test_comparisons_of_constants_mean_what_they_say(op: str) -> None:
    pairs = [(f"f32({a})", f"(f32({b}) * f32(1))") for a in ("1", "2", "nan", "inf") for b in ("1", "2", "nan", "inf")]
    pairs += [(f"i32({a})", f"i32({b})") for a in (1, 2) for b in (1, 2)]
    bits = " + ".join(f"({2**k} if {left} {op} {right} else 0)" for k, (left, right) in enumerate(pairs))
    text = f"kernel k[N](x: f32[N]) -> (y: i32[N]):\n    y[i] = {bits}\n"
    with emitted(text) as module:
        before, after = (run(m, {"x": np.ones(1, np.float32)}, {"N": 1})["y"] for m in (module, _simplified(module)))
    assert before == after == sum(2**k for k, pair in enumerate(pairs) if _holds(op, *map(_number, pair)))


def _simplified(module: Any) -> Any:
    return run_passes(module, [Simplify()])


def _number(text: str) -> float:
    return float(re.findall(r"\w+", text.replace("f32", "").replace("i32", ""))[0])


def _holds(op: str, left: float, right: float) -> bool:
    relations = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq}
    return left != right if op == "!=" else bool(relations[op](left, right))


def test_the_larger_of_constants_is_nan_if_one_is() -> None:
    text = "kernel k() -> (y: f32, z: f32):\n    y = max(f32(nan), f32(1))\n    z = min(f32(1), f32(nan))\n"
    with emitted(text) as module:
        found = run(_simplified(module), {}, {})
    assert np.isnan(found["y"]) and np.isnan(found["z"])


def test_adding_what_is_negated_is_subtracting() -> None:
    text = """
        kernel k[N](x: f32[N], z: f32[N]) -> (y: f32[N], w: f32[N]):
            y[i] = x[i] + (-z[i])
            w[i] = x[i] - (-z[i])
    """
    with emitted(text) as module:
        after = str(_simplified(module))
    assert "arith.negf" not in after and "arith.subf" in after and "arith.addf" in after


def test_division_by_other_than_a_power_of_two_stays() -> None:
    with emitted("kernel k[N](x: f32[N]) -> (y: f32[N], z: f32[N]):\n    y[i] = x[i] / 4\n    z[i] = x[i] / 3\n") as m:
        filecheck(
            run_passes(m, [Simplify()]),
            """
            // CHECK: arith.mulf
            // CHECK-NOT: arith.mulf
            // CHECK: arith.divf
        """,
        )


def test_what_is_not_of_the_level_is_refused() -> None:
    with emitted("kernel k[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = x[i]\n") as module:
        with ir.InsertionPoint(module.body):
            ods.create(
                "memref.alloc",
                [ir.MemRefType.get([4], ir.F32Type.get())],
                attributes={"operandSegmentSizes": ods.segments(0, 0)},
            )
        with pytest.raises(IllegalOp, match="memref.alloc"):
            run_passes(module, [Simplify()])


PROGRAMS = (
    """
        kernel a[M, N](x: i32[M, N]) -> (y: i32[M, N]):
            y[i, j] = (x[i, j] * 3 - x[i, j]) * 2 // 4 + (7 - 2*x[i, j]) % 3
    """,
    """
        kernel b[M, N](x: f32[M, N]) -> (y: f32[M, N]):
            y[i, j] = (x[i + 1 - 1, j] / 8 - -x[i, j]) if not (j < i or i == j + 0) else x[i, j] * 1 + 0
    """,
    """
        kernel c[M, N](x: f32[M, N]) -> (y: f32[M]):
            y[i] = max[j where j <= i and j < N + 0](x[i, j]) + mean[j](x[i, j])
    """,
    """
        kernel d[N](x: u8[N]) -> (y: u32[N], z: i64[N]):
            y[i] = (u32(x[i]) << 3) - u32(x[i])
            z[i] = (i * 6 + 4) // 2 % 5 - i64(x[i])
    """,
)


@pytest.mark.parametrize("text", PROGRAMS)
@pytest.mark.parametrize("seed", [1, 2])
def test_meaning_stays(text: str, seed: int) -> None:
    assert_same_meaning(text, [Simplify()], seed)


def test_a_cast_that_undoes_a_widening_is_no_rounding() -> None:
    """`simplify` drops both; the interpreters, which hold f32 in float64, rounded at the second."""
    text = "kernel k[N](a: f32[N], b: f32[N]) -> (y: f32[N]):\n    y[i] = f64(a[i] - 0.3 * b[i])\n"
    for seed in range(3):
        assert_same_meaning(text, [Simplify()], seed)
