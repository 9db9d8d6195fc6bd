"""The error bounds of the reference: f32 arithmetic stays inside, mistakes do not, exact programs have none."""

import math

import numpy as np
import pytest
from tests.unit.build_typed import (
    add,
    binary,
    call,
    cast,
    compare,
    guarded,
    idx,
    kernel,
    let,
    mul,
    num,
    read,
    reduce,
    select,
    sub,
    tensor,
)  # fmt: skip

from tilewright.compiler.language import typed
from tilewright.compiler.reference.compare import compare as check
from tilewright.compiler.reference.evaluate import evaluate

F = np.float32


def _map(value: typed.Expr, dtype: str = "f32", inputs: str = "f32") -> typed.TypedKernel:
    tensors = [tensor("x", inputs, "N"), tensor("z", inputs, "N")]
    return kernel(tensors, [tensor("y", dtype, "N", role="out")], [let("y", dtype, [("i", "N")], value)])


X, Z = read("x", "f32", "i"), read("z", "f32", "i")
HALF = num(0.5, "f32")


def _apply(value: typed.Expr, x, z=None, dtype: str = "f32"):
    x = F(x)
    return evaluate(_map(value, dtype), {"x": x, "z": np.zeros_like(x) if z is None else F(z)})


NUMPY_F32 = {
    "exp": np.exp, "exp2": np.exp2, "log": np.log, "log2": np.log2, "log1p": np.log1p, "expm1": np.expm1,
    "sqrt": np.sqrt, "rsqrt": lambda x: F(1) / np.sqrt(x), "tanh": np.tanh, "sin": np.sin, "cos": np.cos,
    "sigmoid": lambda x: F(1) / (F(1) + np.exp(-x)),
    "erf": lambda x: np.array([math.erf(v) for v in x], F),
}  # fmt: skip


@pytest.mark.parametrize("function", NUMPY_F32)
def test_built_ins_are_bound_to_four_units(function: str) -> None:
    x = F(np.random.default_rng(1).uniform(0.01, 8.0, 500))
    result = _apply(call(function, X), x)
    assert check(result, "y", NUMPY_F32[function](x)).ok
    away = F(result.exact["y"] + 10 * np.spacing(F(result.exact["y"])))
    assert not check(result, "y", away).ok


@pytest.mark.parametrize("function", NUMPY_F32)
def test_errors_of_operands_pass_through_built_ins(function: str) -> None:
    generator = np.random.default_rng(2)
    x, z = F(generator.uniform(0.1, 4.0, 300)), F(generator.uniform(0.1, 4.0, 300))
    result = _apply(call(function, mul(X, Z)), x, z)
    operand = x.astype(float) * z
    for nudged in (operand * (1 - 2.0**-24), operand * (1 + 2.0**-24)):
        value = NUMPY_F32[function](nudged)
        assert (np.abs(value - result.exact["y"]) <= result.bound["y"]).all()
    assert (result.bound["y"] > 0).all() and not result.undecided["y"].any()


@pytest.mark.parametrize("op", ["+", "-", "*", "/"])
def test_operators_are_bound_to_half_a_unit(op: str) -> None:
    generator = np.random.default_rng(3)
    x, z = F(generator.standard_normal(500)), F(generator.standard_normal(500))
    result = _apply(binary(op, X, Z), x, z)
    exact = {"+": x + z, "-": x - z, "*": x * z, "/": x / z}[op]
    assert check(result, "y", exact).ok
    assert not check(result, "y", np.nextafter(np.nextafter(exact, F(np.inf)), F(np.inf))).ok


def _sum(dtype: str = "f32", body=None) -> typed.TypedKernel:
    value = reduce("sum", [("j", "N")], body or read("x", dtype, "j"))
    return kernel([tensor("x", dtype, "N")], [tensor("y", "f32", role="out")], [let("y", "f32", [], value)])


@pytest.mark.parametrize("kind", ["normal", "positive", "cancelling"])
def test_sums_in_any_order_stay_inside(kind: str) -> None:
    generator = np.random.default_rng(4)
    x = F(generator.standard_normal(999) if kind == "normal" else generator.uniform(0, 1, 999))
    if kind == "cancelling":
        x[::2] = -x[1::2].mean()
    result = evaluate(_sum(), {"x": x})
    for order in (x, x[::-1], np.sort(x), generator.permutation(x)):
        total = F(0)
        for term in order:
            total = F(total + term)
        comparison = check(result, "y", total)
        assert comparison.ok and comparison.worst_ratio < 1
    without = F(x.astype(float).sum() - x[np.abs(x).argmax()])
    assert not check(result, "y", without).ok


def test_small_integers_have_no_error() -> None:
    generator = np.random.default_rng(5)
    a, b = generator.integers(-4, 5, (5, 33)).astype(F), generator.integers(-4, 5, (33, 4)).astype(F)
    body = mul(read("a", "f32", "i", "k"), read("b", "f32", "k", "j"))
    value = add(mul(HALF, reduce("sum", [("k", "K")], body)), num(3.0, "f32"))
    built = kernel(
        [tensor("a", "f32", "M", "K"), tensor("b", "f32", "K", "N")],
        [tensor("y", "f32", "M", "N", role="out")],
        [let("y", "f32", [("i", "M"), ("j", "N")], value)],
    )
    result = evaluate(built, {"a": a, "b": b})
    assert not result.bound["y"].any()
    exact = 0.5 * (a @ b) + 3
    assert check(result, "y", exact).ok
    exact[2, 3] = np.nextafter(exact[2, 3], F(9))
    comparison = check(result, "y", exact)
    assert not comparison.ok and comparison.first_bad_index == (2, 3) and comparison.worst_ratio == np.inf


def test_large_integers_in_f32_have_an_error() -> None:
    result = evaluate(_sum(), {"x": F([2**24, 1, 1])})
    assert result.bound["y"] > 0 and check(result, "y", F(2**24)).ok and check(result, "y", F(2**24 + 2)).ok


def test_cancellation_keeps_its_absolute_error() -> None:
    result = _apply(sub(mul(X, Z), mul(X, Z)), [3.3], [7.7])
    assert result.exact["y"] == 0 and 1e-6 < result.bound["y"][0] < 1e-5


# ---------------------------------------------------------------- decisions


def test_a_comparison_inside_the_error_is_undecided() -> None:
    condition = compare(">", mul(X, Z), num(1.0, "f32"))
    result = _apply(cast("i32", condition), [1 / 3, 0.5, 3.0], [3.0, 2.0, 3.0], "i32")
    assert result.undecided["y"].tolist() == [True, False, False]
    assert check(result, "y", np.int32([0, 0, 1])).ok and check(result, "y", np.int32([1, 0, 1])).ok
    assert not check(result, "y", np.int32([0, 1, 1])).ok
    assert check(result, "y", np.int32([0, 0, 1])).undecided_fraction == pytest.approx(1 / 3)


def test_an_approximate_result_next_to_zero_may_be_zero() -> None:
    """exp(-255.9) is 7e-112, and no f32."""
    approximate = typed.Call(X.span, "f32", "exp", (X,), True, None)
    result = _apply(call("sign", approximate), [-255.9, -80.0], [0.0, 0.0])
    assert result.bound["y"][0] >= 1 and result.bound["y"][1] == 0
    assert check(result, "y", F([0, 1])).ok and check(result, "y", F([1, 1])).ok
    assert not check(result, "y", F([1, 0])).ok


def test_tf32_of_subnormal_numbers_keeps_what_lies_on_its_grid() -> None:
    x = F([2.0**-130, 2.0**-130 + 2.0**-145, 1.0, 1.0 + 2.0**-12, 3 * 2.0**-136, 2.0**-137])
    result = _apply(call("tf32", X), x)
    assert (result.bound["y"] == 0).tolist() == [True, False, True, False, True, False]
    cut = F([2.0**-130, 2.0**-130, 1.0, 1.0, 3 * 2.0**-136, 0.0])
    assert check(result, "y", cut).ok
    assert not check(result, "y", F([2.0**-130, 2.0**-130 - 2.0**-135, 1.0, 1.0, 3 * 2.0**-136, 0.0])).ok


def test_an_undecided_condition_between_equal_sides_decides_nothing() -> None:
    product = mul(X, Z)
    difference = sub(product, num(1.0, "f32"))
    result = _apply(select(compare(">", product, num(1.0, "f32")), difference, num(0.0, "f32")), [1 / 3], [3.0])
    assert not result.undecided["y"].any() and 0 < result.bound["y"][0] < 1e-6
    far = _apply(select(compare(">", product, num(1.0, "f32")), num(5.0, "f32"), num(0.0, "f32")), [1 / 3], [3.0])
    assert far.bound["y"][0] >= 5 and check(far, "y", F([0])).ok and check(far, "y", F([5])).ok


def test_floors_near_an_integer_are_either() -> None:
    result = _apply(call("floor", mul(X, Z)), [1 / 3, 0.5], [3.0, 3.0])
    assert check(result, "y", F([0, 1])).ok and check(result, "y", F([1, 1])).ok
    assert not check(result, "y", F([3, 1])).ok and not check(result, "y", F([1, 2])).ok


def test_casts_to_integer_near_an_integer_are_either() -> None:
    result = _apply(cast("i32", mul(X, Z)), [1 / 3, 0.5], [3.0, 3.0], "i32")
    assert check(result, "y", np.int32([0, 1])).ok and check(result, "y", np.int32([1, 1])).ok
    assert not check(result, "y", np.int32([3, 1])).ok


def _argmax(body: typed.Expr) -> typed.TypedKernel:
    value = reduce("argmax", [("j", "N")], body)
    return kernel([tensor("x", "f32", "N")], [tensor("y", "i32", role="out")], [let("y", "i32", [], value)])


def test_positions_are_undecided_only_between_inexact_rivals() -> None:
    exact = evaluate(_argmax(read("x", "f32", "j")), {"x": F([1, 1, 0])})
    assert exact.outputs["y"] == 0 and not exact.undecided["y"].any()
    squared = mul(call("exp", read("x", "f32", "j")), num(1.0, "f32"))
    assert evaluate(_argmax(squared), {"x": F([1, np.nextafter(F(1), F(2)), 0])}).undecided["y"]
    assert not evaluate(_argmax(squared), {"x": F([1, 1.01, 0])}).undecided["y"]


def test_a_gather_at_an_undecided_place_is_undecided() -> None:
    place = cast("index", cast("i32", mul(X, Z)))
    result = _apply(read("x", "f32", place), [1 / 3, 0.5], [3.0, 3.0])
    assert result.undecided["y"].tolist() == [True, False]


def test_a_write_that_may_not_happen_is_undecided() -> None:
    condition = compare(">", mul(X, Z), num(1.0, "f32"))
    built = kernel(
        [tensor("x", "f32", "N"), tensor("z", "f32", "N")],
        [tensor("y", "f32", "N", role="out")],
        [let("y", "f32", [("i", "N")], X, where=condition)],
    )
    result = evaluate(built, {"x": F([1 / 3, 0.5, 3]), "z": F([3, 1, 3])})
    assert result.undecided["y"].tolist() == [True, False, False]
    assert check(result, "y", F([0, 0, 3])).ok and not check(result, "y", F([0, 0.5, 3])).ok


def test_a_guard_at_an_undecided_place_is_undecided() -> None:
    place = sub(cast("index", cast("i32", mul(X, Z))), num(1))
    result = _apply(guarded(read("x", "f32", place), num(7.0, "f32")), [1 / 3, 0.5], [3.0, 3.0])
    assert result.undecided["y"][0] and not result.undecided["y"][1]


# ---------------------------------------------------------------- ends of the range


def test_overflow_in_the_compute_type_is_infinite() -> None:
    result = _apply(binary("/", call("exp", X), call("exp", X)), [10.0, 89.0])
    assert np.isnan(result.outputs["y"][1]) and check(result, "y", F([1, np.nan])).ok
    assert not check(result, "y", F([1, 1])).ok


def test_values_at_the_edge_may_be_infinite_or_the_largest() -> None:
    edge = float(np.finfo(F).max)
    result = _apply(mul(mul(X, num(1 / 3, "f32")), num(3.0, "f32")), [edge])
    assert check(result, "y", F([edge])).ok and check(result, "y", F([np.inf])).ok


def test_a_narrow_output_overflows_by_its_bound() -> None:
    result = _apply(mul(X, Z), [65519.0, 65530.0, 1000.0], [1.0, 1.0, 1000.0], "f16")
    h = np.float16
    assert check(result, "y", h([65504, np.inf, np.inf])).ok
    assert not check(result, "y", h([65504, 65504, np.inf])).ok
    blurred = _apply(mul(mul(X, num(1 / 3, "f32")), num(3.0, "f32")), [65519.999], [0.0], "f16")
    assert check(blurred, "y", h([65504])).ok and check(blurred, "y", h([np.inf])).ok


def test_nan_and_infinity_must_match() -> None:
    result = _apply(X, [np.nan, np.inf, -np.inf, 1.0])
    assert check(result, "y", F([np.nan, np.inf, -np.inf, 1])).ok
    for wrong in ([0, np.inf, -np.inf, 1], [np.nan, -np.inf, -np.inf, 1], [np.nan, np.inf, -np.inf, np.nan]):
        assert not check(result, "y", F(wrong)).ok


def test_a_sum_that_may_overflow_on_the_way_is_undecided() -> None:
    huge = float(np.finfo(F).max)
    assert evaluate(_sum(), {"x": F([huge, huge, -huge])}).undecided["y"]
    assert evaluate(_sum(), {"x": F([huge, huge])}).outputs["y"] == np.inf
    assert not evaluate(_sum(), {"x": F([huge, huge])}).undecided["y"].any()
    assert evaluate(_sum(), {"x": F([np.inf, 1])}).outputs["y"] == np.inf


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_infinities_meet_sums_that_overflow(dtype: str) -> None:
    huge = float(np.finfo(dtype.replace("f", "float")).max)
    value = reduce("sum", [("j", "N")], read("x", dtype, "j"))
    built = kernel([tensor("x", dtype, "N")], [tensor("y", dtype, role="out")], [let("y", dtype, [], value)])

    def total(*terms: float):
        return evaluate(built, {"x": np.array(terms, dtype.replace("f", "float"))})

    for terms in ((huge, huge, -np.inf), (huge, -huge, huge), (-huge, -0.5 * huge, 0.6 * huge)):
        assert total(*terms).undecided["y"]
    for terms, expected in [
        ((huge / 2, -huge, -np.inf), -np.inf), ((np.inf, huge, huge), np.inf), ((huge, huge, np.nan), np.nan),
        ((np.inf, -np.inf, huge), np.nan), ((-huge, -huge, -huge), -np.inf),
    ]:  # fmt: skip
        result = total(*terms)
        assert not result.undecided["y"]
        np.testing.assert_array_equal(result.outputs["y"], expected)


def test_division_by_what_may_be_zero_is_undecided() -> None:
    near_zero = sub(mul(X, Z), mul(Z, X))
    result = _apply(binary("/", num(1.0, "f32"), near_zero), [1.1], [1.3])
    assert result.undecided["y"].all()
    assert not _apply(binary("/", num(1.0, "f32"), X), [0.0]).undecided["y"].any()


# ---------------------------------------------------------------- casts


def test_rounding_an_exact_value_is_exact_and_an_inexact_one_either() -> None:
    # 1 + 2^-11 is a tie of f16: exact inputs round to even, an error of one unit of f32 opens both sides.
    tie = 1 + 2.0**-11
    exact = _apply(X, [tie], None, "f16")
    assert check(exact, "y", np.float16([1])).ok and not check(exact, "y", np.float16([1 + 2.0**-10])).ok
    blurred = _apply(mul(call("exp", mul(X, num(0.0, "f32"))), num(tie, "f32")), [1.0], None, "f16")
    assert check(blurred, "y", np.float16([1])).ok and check(blurred, "y", np.float16([1 + 2.0**-10])).ok


def test_an_exponential_may_be_rounded_at_another_scale() -> None:
    rounded = cast("f32", cast("bf16", call("exp", read("x", "f32", "j"))))
    built = _sum(body=rounded)
    x = F(np.random.default_rng(6).uniform(-3, 0, 50))
    result = evaluate(built, {"x": x})
    slack = np.exp(x.astype(float)).sum() * 2.0**-8
    assert slack <= result.bound["y"] <= 4 * slack


def test_halves_of_integers_survive_f16() -> None:
    built = _map(mul(read("x", "f16", "i"), HALF), "f16", "f16")
    result = evaluate(built, {"x": np.float16([3, 5]), "z": np.float16([0, 0])})
    assert result.outputs["y"].tolist() == [1.5, 2.5] and not result.bound["y"].any()


def test_bounds_can_be_left_out() -> None:
    result = evaluate(_map(call("exp", X)), {"x": F([1.0]), "z": F([0.0])}, bound=False)
    assert result.exact["y"] == np.exp(1.0) and result.bound["y"] < 2e-7


def test_shape_and_dtype_must_match() -> None:
    result = _apply(cast("f32", idx("i")), [1.0, 2.0])
    assert not check(result, "y", np.zeros(3, F)).ok and not check(result, "y", np.array([0.0, 1.0])).ok
    assert check(result, "y", F([0, 1])).ok
