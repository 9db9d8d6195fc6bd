"""What the language page says, one sentence at a time: expressions and statements in source form, and their values."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.sources import typed_text

from tilewright.compiler.reference.evaluate import Evaluation, evaluate
from tilewright.compiler.reference.values import ReferenceCheckError

F = np.float32
X = F([-2.5, -1.0, 0.0, 0.5, 3.75])
K = np.int32([-7, -1, 0, 5, 2**31 - 1])


def scalar(expression: str, dtype: str = "f32", **arguments: Any) -> list[Any]:
    """The values of an expression over ``x`` (f32) and ``k`` (i32) at index ``i``."""
    text = f"kernel t[N](x: f32[N], k: i32[N]) -> (y: {dtype}[N]):\n    y[i] = {expression}"
    given = {"x": X, "k": K} | arguments
    return evaluate(typed_text(text), given).outputs["y"].tolist()


def body(head: str, lines: str, **arguments: Any) -> Evaluation:
    """A kernel with the given head and body lines."""
    text = f"kernel t{head}:\n" + "\n".join(f"    {line.strip()}" for line in lines.strip().splitlines())
    return evaluate(typed_text(text), arguments)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("i32(x[i])", [-2, -1, 0, 0, 3]),
        ("i8(k[i])", [-7, -1, 0, 5, 127]),
        ("u8(k[i])", [0, 0, 0, 5, 255]),
        ("u32(x[i] * 1e30)", [0, 0, 0, 2**32 - 1, 2**32 - 1]),
        ("k[i] // 2", [-4, -1, 0, 2, 2**30 - 1]),
        ("k[i] % 3", [2, 2, 0, 2, 1]),
        ("k[i] + 1", [-6, 0, 1, 6, -(2**31)]),
        ("k[i] * k[i]", [49, 1, 0, 25, 1]),
        ("-7 // 2 + i", [-4, -3, -2, -1, 0]),
        ("k[i] >> 1", [-4, -1, 0, 2, 2**30 - 1]),
        ("k[i] << 28", [-(7 << 28), -(2**28), 0, 5 << 28, -(2**28)]),
        ("k[i] & 0xff", [249, 255, 0, 5, 255]),
        ("k[i] | 8", [-7, -1, 8, 13, 2**31 - 1]),
        ("k[i] ^ -1", [6, 0, -1, -6, -(2**31)]),
        ("~k[i]", [6, 0, -1, -6, -(2**31)]),
        ("i32(1 <= k[i] < 6)", [0, 0, 0, 1, 0]),
        ("i32(not k[i] < 0 and (x[i] > 0 or k[i] == 0))", [0, 0, 1, 1, 1]),
        ("abs(k[i])", [7, 1, 0, 5, 2**31 - 1]),
        ("sign(k[i])", [-1, -1, 0, 1, 1]),
        ("max(k[i], 0) if x[i] < 1 else 9", [0, 0, 0, 5, 9]),
        ("bitcast(i32, x[i])", X.view(np.int32).tolist()),
        ("i32(bitcast(u32, x[i]) >> 31)", [1, 1, 0, 0, 0]),
        ("i32(argmax[j: N](x[j] if j <= i else -inf))", [0, 1, 2, 3, 4]),
        ("2 + 3 * 2 ** 2", [14] * 5),
        ("-2 ** 2", [-4] * 5),
        ("1 << 2 + 1", [8] * 5),
    ],
)
def test_integer_expressions(expression: str, expected: list[int]) -> None:
    wrapped = [((value + 2**31) % 2**32) - 2**31 if "u32(" not in expression else value for value in expected]
    dtype = "u32" if expression.startswith("u32") else "i32"
    assert scalar(expression, dtype) == wrapped


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("x[i] / 0", [-np.inf, -np.inf, np.nan, np.inf, np.inf]),
        ("k[i] / 2", [-3.5, -0.5, 0, 2.5, 2.0**30]),
        ("floor(x[i])", [-3, -1, 0, 0, 3]),
        ("ceil(x[i])", [-2, -1, 0, 1, 4]),
        ("round(x[i])", [-2, -1, 0, 0, 4]),
        ("sign(x[i])", [-1, -1, 0, 1, 1]),
        ("max(x[i], nan)", [np.nan] * 5),
        ("f16(x[i] + 2048)", [2046, 2047, 2048, 2048, 2052]),
        ("bf16(x[i] + 256)", [254, 255, 256, 256, 260]),
        ("f8e4m3(x[i] * 300)", [-448, -288, 0, 144, 448]),
        ("f32(x[i] > 0)", [0, 0, 0, 1, 1]),
        ("x[i] ** 2", [6.25, 1, 0, 0.25, 14.0625]),
        ("fma(x[i], 2, 1)", [-4, -1, 1, 2, 8.5]),
        ("(x[i - 1] else 9)", [9, -2.5, -1, 0, 0.5]),
        ("max[j where j < i](x[j])", [-np.inf, -2.5, -1, 0, 0.5]),
        ("sum[j in i .. N](x[j])", [0.75, 3.25, 4.25, 4.25, 3.75]),
        ("mean[j where j < i](x[j])", [np.nan, -2.5, -1.75, -3.5 / 3, -0.75]),
        ("prod[j where j >= 3](x[j])", [1.875] * 5),
        ("f32(sum[j](x[j] > 0))", [2] * 5),
        ("f32(any[j where j < i](x[j] == 0))", [0, 0, 0, 1, 1]),
        ("f32(all[j where j < i](x[j] < 0))", [1, 1, 1, 0, 0]),
        ("top[j](x[j], i)", [3.75, 0.5, 0, -1, -2.5]),
        ("cumsum[i](x[i])", [-2.5, -3.5, -3.5, -3, 0.75]),
        ("cummax[i](x[i])", [-2.5, -1, 0, 0.5, 3.75]),
        ("x[i] * true", [-2.5, -1, 0, 0.5, 3.75]),
    ],
)
def test_float_expressions(expression: str, expected: list[float]) -> None:
    np.testing.assert_array_equal(F(scalar(expression)), F(expected))


def test_narrow_floats_compute_in_f32() -> None:
    result = body("[N](x: f16[N]) -> (y: f16[N])", "y[i] = x[i] * 1024 - x[i] * 1024", x=np.float16([60000]))
    assert result.outputs["y"].tolist() == [0]


def test_integers_of_different_signs_meet_in_a_wider_type() -> None:
    result = body("[N](a: u32[N], b: i32[N]) -> (y: i64[N])", "y[i] = a[i] * b[i]", a=np.uint32([2**32 - 1]), b=K[:1])
    assert result.outputs["y"].tolist() == [-7 * (2**32 - 1)]


@pytest.mark.parametrize(("dtype", "numpy"), [("f8e4m3", ml_dtypes.float8_e4m3fn), ("f8e5m2", ml_dtypes.float8_e5m2)])
def test_f8_values_go_in_and_out(dtype: str, numpy: type) -> None:
    x = np.array([1.5, -0.25, 3.0], numpy)
    result = body(f"[N](x: {dtype}[N]) -> (y: {dtype}[N])", "y[i] = x[i] * 2 + 0.01", x=x)
    assert result.outputs["y"].dtype == numpy
    assert (
        result.outputs["y"].astype(float).tolist() == (x.astype(float) * 2 + 0.01).astype(numpy).astype(float).tolist()
    )


def test_tables_and_names_without_indices() -> None:
    lines = """
    weight = [[1.0, 2.0], [0.5, -1.0]]
    total = sum[j](x[j])
    y[i: 2] = weight[i, 0] * total + weight[i, 1]
    """
    assert body("[N](x: f32[N]) -> (y: f32[2])", lines, x=F([1, 2])).outputs["y"].tolist() == [5, 0.5]


def test_a_sum_then_an_accumulation() -> None:
    lines = """
    y[i] = x[i]
    y[k[j]] += 10
    """
    head = "[N, M](x: f32[N], k: i32[M]) -> (y: f32[N])"
    assert body(head, lines, x=F([1, 2]), k=np.int32([1, 1])).outputs["y"].tolist() == [1, 22]


def test_an_inout_is_read_as_it_was_and_then_as_it_is() -> None:
    lines = """
    before[i] = s[i]
    s[i] = 2 * s[i] + 1
    after[i] = s[i] - before[i]
    """
    result = body("[N](inout s: f32[N]) -> (before: f32[N], after: f32[N])", lines, s=F([3, 5]))
    assert {name: value.tolist() for name, value in result.outputs.items()} == {
        "s": [7, 11], "before": [3, 5], "after": [4, 6],
    }  # fmt: skip


def test_random_numbers_depend_on_seed_and_counter_alone() -> None:
    head = "[N](x: f32[N]; seed: i64) -> (y: f32[N])"
    first = body(head, "y[i] = rand(seed, i) + 0 * x[i]", x=F([0] * 9), seed=3).outputs["y"]
    later = body(head, "y[i] = rand(seed, i + 4) + 0 * x[i]", x=F([0] * 5), seed=3).outputs["y"]
    other = body(head, "y[i] = rand(seed, i) + 0 * x[i]", x=F([0] * 9), seed=4).outputs["y"]
    assert (first[4:] == later).all() and (first != other).all() and (0 <= first).all() and (first < 1).all()


def test_a_split_sum_equals_the_whole() -> None:
    x = np.random.default_rng(0).standard_normal((3, 12)).astype(F)
    whole = body("[M, N](x: f32[M, N]) -> (y: f32[M])", "y[i] = sum[j](x[i, j])", x=x)
    lines = "y[i] = sum[u: 3](sum[v: 4]((x[i, u * 4 + v] else 0)))"
    split = body("[M, N](x: f32[M, N]) -> (y: f32[M])", lines, x=x)
    np.testing.assert_allclose(split.exact["y"], whole.exact["y"], rtol=1e-14)


def test_requires_are_checked() -> None:
    head = "[N](x: f32[N]) -> (y: f32[N])"
    lines = """
    require N % 2 == 0
    y[i] = x[i]
    """
    assert body(head, lines, x=F([1, 2])).outputs["y"].tolist() == [1, 2]
    with pytest.raises(ReferenceCheckError) as caught:
        body(head, lines, x=F([1, 2, 3]))
    assert caught.value.span is not None


def test_a_failed_check_says_where() -> None:
    with pytest.raises(ReferenceCheckError, match=r"test.tw:2:\d+: subscript 0 of x is 9, outside 0 .. 2"):
        body("[N](x: f32[N], k: i32[N]) -> (y: f32[N])", "y[i] = x[k[i]]", x=F([1, 2]), k=np.int32([0, 9]))


def test_zero_times_nan_counts_unless_a_bound_leaves_it_out() -> None:
    x = F([[1, np.nan], [1, 1]])
    head = "[N](x: f32[N, N]) -> (y: f32[N])"
    assert np.isnan(body(head, "y[i] = sum[j](x[i, j] * (1 if j <= i else 0))", x=x).outputs["y"][0])
    assert body(head, "y[i] = sum[j where j <= i](x[i, j])", x=x).outputs["y"].tolist() == [1, 2]


def test_constants_wrap_as_values_do() -> None:
    for expression, expected in [("~u32(1)", 2**32 - 2), ("-u32(1)", 2**32 - 1), ("~i32(1)", -2), ("-i32(5)", -5)]:
        assert scalar(expression, "i64") == [expected] * len(X)
