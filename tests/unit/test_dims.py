"""Dims: what binds them, what solves them, what is checked at launch, and the instance of a call."""

from __future__ import annotations

import pytest
from tests.unit.typed_kernels import checked, codes, kernel

from tilewright.compiler.language import typed
from tilewright.compiler.language.check.printed import printed
from tilewright.compiler.language.check.values import value_of
from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.language.frontend import infer_instance


def test_plain_axes_bind_first() -> None:
    found = kernel("kernel f[E](off: f32[E + 1], x: f32[E]) -> (y: f32[E]):\n    y[i] = x[i] + off[i + 1]\n")
    assert found.bindings == (typed.DimBinding("E", "x", 0, 1, 0),)


@pytest.mark.parametrize(
    ("axis", "scale", "offset"),
    [("E + 1", 1, 1), ("1 + E", 1, 1), ("E - 2", 1, -2), ("2 * E", 2, 0), ("E * 3 + 1", 3, 1)],
)
def test_affine_axes_bind(axis: str, scale: int, offset: int) -> None:
    found = kernel(f"kernel f[E](x: f32[{axis}]) -> (y: f32[E]):\n    y[i] = (x[i] else 0)\n")
    assert found.bindings == (typed.DimBinding("E", "x", 0, scale, offset),)


def test_requires_solve_in_order() -> None:
    header = "kernel f[N, P, Q](x: f32[N]; const c: int = 3) -> (y: f32[P, Q]):\n"
    found = kernel(f"{header}    require P == N + c\n    require 2 * P == Q\n    y[i, j] = 1\n")
    assert [(s.dim, printed(s.value)) for s in found.solutions] == [("P", "N + 3"), ("Q", "2 * P")]
    assert found.checks == ()


def test_a_multiple_is_solved_and_checked() -> None:
    header = "kernel f[K, B](x: f32[K]) -> (y: f32[B]):\n"
    found = kernel(f"{header}    require K == B * 32\n    y[b] = max[e: 32](x[b * 32 + e])\n")
    assert [(s.dim, printed(s.value)) for s in found.solutions] == [("B", "K // 32")]
    assert [value_of(c.condition, {"K": 33, "B": 1}) for c in found.checks] == [False]


def test_a_solution_that_may_be_negative_is_checked() -> None:
    found = kernel("kernel f[N, P](x: f32[N]) -> (y: f32[P]):\n    require P == N - 2\n    y[i] = x[i + 2]\n")
    assert [c.code for c in found.checks] == ["TW0508"]
    assert value_of(found.checks[0].condition, {"N": 1}) is False


def test_consts_that_satisfy_a_require_leave_no_check() -> None:
    text = "kernel f[N](x: f32[N]; const c: int = 4) -> (y: f32[N]):\n    require c % 2 == 0\n    y[i] = x[i]\n"
    assert kernel(text).checks == ()
    with pytest.raises(SourceErrors):
        kernel(text, c=3)


def test_an_index_over_two_dims_is_checked_at_launch() -> None:
    found = kernel("kernel f[K, L](a: f32[K], b: f32[L]) -> (y: f32):\n    y = sum[k](a[k] * b[k])\n")
    [check] = found.checks
    assert (check.code, printed(check.condition)) == ("TW0506", "K == L")


def test_equal_dims_need_no_check() -> None:
    text = "kernel f[K, L](a: f32[K], b: f32[L]) -> (y: f32):\n    require K == L\n    y = sum[k](a[k] * b[k])\n"
    assert [c.code for c in kernel(text).checks] == ["TW0507"]


def test_a_written_extent_wins() -> None:
    found = kernel("kernel f[N](x: f32[N]) -> (y: f32):\n    s[i: 3] = (x[i] else 0)\n    y = sum[i](s[i])\n")
    assert printed(found.statements[0].indices[0].extent) == "3"


def test_guarded_reads_and_self_reads_have_no_vote() -> None:
    text = "kernel f[N, M](x: f32[N], v: f32[M]) -> (y: f32[N]):\n    s[i] = x[i] + (v[i] else 0) + (s[i - 1] else 0)\n"
    found = kernel(text + "    y[i] = s[i]\n")
    assert printed(found.statements[0].indices[0].extent) == "N"
    assert found.checks == ()


def test_a_name_over_dims_is_its_expression() -> None:
    found = kernel("kernel f[N](x: f32[N]) -> (y: f32[N]):\n    half = (N + 1) // 2\n    y[i] = x[min(i, half - 1)]\n")
    assert len(found.statements) == 1
    assert found.checks == ()


TYPED = (
    "kernel f<T: float>[N](x: T[N], w: T[N], id: i32[N]; a: f32, const c: int, const d: bool = true) -> (y: T[N]):\n"
    "    y[i] = a * c * x[i] + w[i]\n"
)


def test_an_instance_is_inferred() -> None:
    found = infer_instance(checked(TYPED), {"x": "f16", "w": "f16", "id": "i32"}, {"c": 3})
    assert found == typed.Instance((("T", "f16"),), (("c", 3), ("d", True)))


@pytest.mark.parametrize(
    ("dtypes", "consts", "types", "code"),
    [
        ({"x": "f16", "w": "f32"}, {"c": 3}, {}, "TW0311"),
        ({"x": "i32", "w": "i32"}, {"c": 3}, {}, "TW0311"),
        ({"x": "f16", "w": "f16", "id": "i64"}, {"c": 3}, {}, "TW0311"),
        ({"x": "f16", "w": "f16"}, {}, {}, "TW0312"),
        ({"x": "f16", "w": "f16"}, {"c": 1.5}, {}, "TW0310"),
        ({"x": "f16", "w": "f16"}, {"c": True}, {}, "TW0310"),
        ({"x": "f16", "w": "f16"}, {"c": 3, "e": 1}, {}, "TW0312"),
        ({"x": "f16", "w": "f16"}, {"c": 3}, {"S": "f32"}, "TW0304"),
        ({}, {"c": 3}, {}, "TW0304"),
        ({"x": "f16", "w": "f16"}, {"c": 3}, {"T": "f32"}, "TW0311"),
    ],
)
def test_bad_instances_are_refused(
    dtypes: dict[str, str], consts: dict[str, object], types: dict[str, str], code: str
) -> None:
    with pytest.raises(SourceErrors) as raised:
        infer_instance(checked(TYPED), dtypes, consts, types)
    assert {d.code for d in raised.value.diagnostics} == {code}


def test_errors_of_all_kernels_are_told_together() -> None:
    one = "kernel {0}[N](x: f32[N]) -> (y: f32[N]):\n    a[i: N] = x[i + 1]\n    y[i] = beta * a[i] + x[i, i]\n"
    assert codes(one.format("f") + one.format("g")) == ["TW0501", "TW0201", "TW0401"] * 2
