"""Scans, recurrences, in-place statements and scatters: what is recognised, and what is refused for compilation."""

from __future__ import annotations

import pytest
from tests.unit.typed_kernels import codes, kernel, reductions

from tilewright.compiler.language.support import uncompiled_features

SCANS = [
    ("sum[u where u <= t](x[u])", True),
    ("max[u where t > u](x[u])", True),
    ("mean[u where u >= t](x[u] * w[u])", True),
    ("sum[u where u <= t](x[u] * x[t])", False),
    ("sum[u where u <= t and u > 2](x[u])", False),
    ("sum[u where u != t](x[u])", False),
    ("sum[u, v where u <= t](x[u] * w[v])", False),
    ("sum[u where u <= t](exp(x[u] - max[v where v <= t](x[v])))", True),
    ("cumsum[t](x[t] * w[t])", True),
    ("cumprod[t](x[t])", True),
    ("cummax[t](exp(x[t]))", True),
]


@pytest.mark.parametrize(("value", "scan"), SCANS, ids=[s[0] for s in SCANS])
def test_scan_is_recognised(value: str, scan: bool) -> None:
    found = kernel(f"kernel f[N](x: f32[N], w: f32[N]) -> (y: f32[N]):\n    y[t] = {value}\n")
    index = found.statements[0].indices[0].index
    assert reductions(found)[0].scan == (index if scan else None)


def steps(body: str, more: str = "") -> list[tuple[tuple[str, int] | None, tuple[str, ...]]]:
    text = f"kernel f[L, N](x: f32[L, N], v: f32[L]{more}) -> (y: f32[L, N]):\n{body}"
    return [(s.step, s.cycle) for s in kernel(text).statements]


def test_a_recurrence_steps_forward() -> None:
    found = steps("    s[t, n] = x[t, n] + 0.5 * (s[t - 1, n] else 0)\n    y[t, n] = s[t, n]\n")
    assert found == [(("t", 1), ("s",)), (None, ())]


def test_a_recurrence_steps_backward() -> None:
    assert steps("    y[t, n] = x[t, n] + (y[t + 2, n] else 0)\n") == [(("t", -1), ("y",))]


def test_a_bound_steps() -> None:
    assert steps("    y[t, n] = x[t, n] - sum[l where l < t](v[l] * y[l, n])\n") == [(("t", 1), ("y",))]
    assert steps("    y[t, n] = x[t, n] - sum[l in t + 1 .. L](v[l] * y[l, n])\n") == [(("t", -1), ("y",))]


def test_the_other_subscripts_are_free() -> None:
    assert steps("    y[t, n] = x[t, n] + sum[m](x[t, m] * (y[t - 1, m] else 0))\n") == [(("t", 1), ("y",))]


def test_statements_define_each_other() -> None:
    body = "    a[t, n] = x[t, n] + (b[t - 1, n] else 0)\n    b[t, n] = a[t, n] * x[t, n]\n    y[t, n] = b[t, n]\n"
    assert steps(body)[:2] == [(("t", 1), ("a", "b")), (("t.1", 1), ("a", "b"))]


def test_a_constant_count_is_an_index() -> None:
    body = "    c[n: 20, i] = 0.5 * (c[n - 1, i] else x[i])\n    y[i] = c[19, i]\n"
    found = kernel(f"kernel f[N](x: f32[N]) -> (y: f32[N]):\n{body}")
    assert found.statements[0].step == ("n", 1)


def test_a_recurrence_carries_f32_or_f64() -> None:
    text = "kernel f[N](x: {0}[N]) -> (y: {0}[N]):\n    s[i] = x[i] + (s[i - 1] else 0)\n    y[i] = s[i]\n"
    assert kernel(text.format("f16")).statements[0].dtype == "f32"
    assert kernel(text.format("f64")).statements[0].dtype == "f64"


def test_an_inout_reads_its_own_element() -> None:
    body = "    x[i] = x[i] - lr * g[i]\n    n = sum[i](x[i])\n"
    found = kernel(f"kernel f[N](inout x: f32[N], g: f32[N]; lr: f32) -> (n: f32):\n{body}")
    assert [s.step for s in found.statements] == [None, None]


def test_an_inout_is_its_old_value_before_its_statement() -> None:
    text = "kernel f[N](inout x: f32[N]) -> (y: f32[N]):\n    y[i] = x[N - 1 - i]\n    x[i] = 2 * x[i]\n"
    assert codes(text) == []


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        ("scatter", "kernel f[M](x: f32[M], id: i32[M]) -> (y: f32[2 * M]):\n    y[id[i]] += x[i]\n"),
        ("guarded write", "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = x[i] where i > 2\n"),
        ("accumulating", "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[i] += x[i]\n"),
        ("inout", "kernel f[N](inout x: f32[N]) -> (y: f32[N]):\n    x[i] = 1\n    y[i] = x[i]\n"),
        ("scan", "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[t] = cumsum[t](x[t])\n"),
        ("recurrence", "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[t] = x[t] + (y[t - 1] else 0)\n"),
        ("selection", "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[t] = top[k](x[k], t)\n"),
        ("segment", "kernel f[N](x: f32[N], off: i32[N]) -> (y: f32[N]):\n    y[t] = segment(off, t) * x[t]\n"),
        ("rand", "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[t] = rand(1, t) * x[t]\n"),
        ("f8e4m3", "kernel f[N](x: f8e4m3[N]) -> (y: f32[N]):\n    y[t] = x[t]\n"),
        ("f8e5m2", "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[t] = f8e5m2(x[t])\n"),
    ],
    ids=lambda one: one[:12],
)
def test_what_is_not_compiled_yet_is_said(feature: str, text: str) -> None:
    found = uncompiled_features(kernel(text))
    assert {d.code for d in found} == {"TW0901"}
    assert any(feature in d.message for d in found)
