"""Macros: substitution, hygiene, bounds, extents, and the way an error finds the use."""

from __future__ import annotations

import pytest
from tests.unit.typed_kernels import codes, kernel, reductions, walk

from tilewright.compiler.language import limits, typed
from tilewright.compiler.language.check.printed import printed
from tilewright.compiler.language.errors import SourceErrors, call_sites
from tilewright.compiler.language.frontend import load_module
from tilewright.compiler.language.span import Source

HEADER = "kernel f[M, N](x: f32[M, N], v: f32[N]) -> (y: f32[M, N]):\n    "


def test_a_macros_own_index_does_not_capture_the_callers() -> None:
    found = kernel(f"def scaled(e) = sum[k: 2](e * k)\n{HEADER}y[i, j] = sum[k](scaled(x[i, k]))\n")
    outer, inner = reductions(found)
    [read] = [e for e in walk(inner.body) if isinstance(e, typed.Read)]
    assert isinstance(read.subscripts[1], typed.Index)
    assert read.subscripts[1].name == outer.binders[0].index != inner.binders[0].index


def test_a_bound_goes_to_every_reduction_over_the_index() -> None:
    macro = "def lse[j](s) = max[j](s) + log(sum[j](exp(s - max[j](s))))\n"
    found = kernel(f"{macro}{HEADER}y[i, j] = lse[k where k <= i](x[i, k])\n")
    assert [r.op for r in reductions(found)] == ["max", "sum", "max"]
    assert all(r.where is not None and printed(r.where) == "k <= i" for r in reductions(found))


def test_a_range_goes_to_the_reductions() -> None:
    found = kernel(f"def total[j](s) = sum[j](s)\n{HEADER}y[i, j] = total[k in 1 .. N](x[i, k])\n")
    [one] = reductions(found)
    assert (printed(one.binders[0].lo), printed(one.binders[0].hi)) == ("1", "N")


def test_one_index_parameter_takes_several_binders() -> None:
    found = kernel(f"def total[j](s) = sum[j](s) / extent(j)\n{HEADER}y[i, j] = total[p, q](x[p, q])\n")
    [one] = reductions(found)
    assert len(one.binders) == 2
    value = found.statements[0].value
    assert isinstance(value, typed.Binary)
    assert printed(value.right) == "M * N"


def test_extent_ignores_where_and_counts_a_range() -> None:
    found = kernel(
        f"def part[j](s) = sum[j](s) / extent(j)\n{HEADER}"
        "y[i, j] = part[k where k < 2](x[i, k]) + part[k in 1 .. N](x[i, k])\n"
    )
    divisors = [e.right for e in walk(found.statements[0].value) if isinstance(e, typed.Binary) and e.op == "/"]
    assert [printed(d) for d in divisors] == ["N", "N - 1"]


def test_the_bound_of_a_body_joins_the_callers() -> None:
    found = kernel(f"def low[j](s, n) = sum[j where j < n](s)\n{HEADER}y[i, j] = low[k where k > i](x[i, k], 7)\n")
    [one] = reductions(found)
    assert one.where is not None
    assert printed(one.where) == "k > i and k < 7"


def test_types_are_arguments() -> None:
    found = kernel(f"def rounded(e, T) = T(e)\n{HEADER}y[i, j] = rounded(x[i, j], bf16)\n")
    assert [e.dtype for e in walk(found.statements[0].value) if isinstance(e, typed.Cast)] == ["f32", "bf16"]


def test_tensors_are_arguments_by_name() -> None:
    found = kernel(f"def at(t, k) = t[k]\n{HEADER}y[i, j] = at(v, j)\n")
    assert isinstance(found.statements[0].value, typed.Read)


def test_macros_use_macros_and_pass_bounds_on() -> None:
    text = "def total[j](s) = sum[j](s)\ndef twice[j](s) = 2 * total[j](s)\n"
    [one] = reductions(kernel(f"{text}{HEADER}y[i, j] = twice[k where k < i](x[i, k])\n"))
    assert one.where is not None


def test_a_bound_is_refused_through_an_inner_macro_too() -> None:
    text = "def share[j](s) = s / sum[j](s)\ndef twice[j](s) = 2 * share[j](s)\n"
    assert codes(f"{text}{HEADER}y[i, j] = twice[j where j < i](x[i, j])\n") == ["TW0704"]


def test_cumsum_in_a_macro_runs_along_the_callers_index() -> None:
    found = kernel(f"def run[t](s) = cumsum[t](s)\n{HEADER}y[i, j] = run[j](x[i, j])\n")
    [one] = reductions(found)
    assert one.scan == found.statements[0].indices[1].index


def test_an_error_in_a_body_names_the_use() -> None:
    text = f"def bad(e) = e % 2\n{HEADER}y[i, j] = bad(x[i, j])\n"
    with pytest.raises(SourceErrors) as raised:
        load_module(Source("<test>", text))
    [error] = raised.value.diagnostics
    assert error.span.text == "e % 2"
    assert [site.text for site in call_sites(error.span)] == ["bad(x[i, j])"]


def test_an_error_in_an_argument_points_at_the_argument() -> None:
    text = f"def same(e) = e\n{HEADER}y[i, j] = same(x[i, j] % 2)\n"
    with pytest.raises(SourceErrors) as raised:
        load_module(Source("<test>", text))
    [error] = raised.value.diagnostics
    assert error.span.text == "x[i, j] % 2"
    assert not call_sites(error.span)


@pytest.mark.parametrize("depth", [20, 40])
def test_what_doubles_at_every_step_is_refused(depth: int) -> None:
    macros = "def d0(x) = x + x\n" + "".join(f"def d{k}(x) = d{k - 1}(x) + d{k - 1}(x)\n" for k in range(1, depth))
    assert codes(f"{macros}{HEADER}y[i, j] = d{depth - 1}(x[i, j])\n") == ["TW0809"]


def test_what_doubles_in_its_arguments_is_refused() -> None:
    nested = "d(" * 40 + "x[i, j]" + ")" * 40
    assert codes(f"def d(x) = x * x\n{HEADER}y[i, j] = {nested}\n") == ["TW0809"]


def test_macros_inside_each_other_are_limited() -> None:
    count = limits.EXPANSION_DEPTH + 2
    macros = "def d0(x) = x\n" + "".join(f"def d{k}(x) = d{k - 1}(x)\n" for k in range(1, count))
    assert codes(f"{macros}{HEADER}y[i, j] = d{count - 1}(x[i, j])\n") == ["TW0810"]
