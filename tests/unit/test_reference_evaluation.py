"""The reference on typed kernels built by hand: values, demand, checks, writes, recurrences."""

import numpy as np
import pytest
from tests.unit.build_typed import (
    add,
    binary,
    both,
    call,
    cast,
    compare,
    dim,
    either,
    expr,
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
from tilewright.compiler.reference import space
from tilewright.compiler.reference.evaluate import evaluate
from tilewright.compiler.reference.values import ReferenceCheckError

F = np.float32


def _map(value: typed.Expr, dtype: str = "f32", scalars=(), where=None, op="="):
    """A kernel ``y[i] = value`` with inputs ``x`` (f32), ``k`` (i32) of extent N."""
    tensors = [tensor("x", "f32", "N"), tensor("k", "i32", "N")]
    statement = let("y", dtype, [("i", "N")], value, where=where, op=op)
    return kernel(tensors, [tensor("y", dtype, "N", role="out")], [statement], scalars=scalars)


def _run(built: typed.TypedKernel, **arguments):
    return evaluate(built, arguments)


X = read("x", "f32", "i")
K = read("k", "i32", "i")


def _index(value: typed.Expr) -> typed.Expr:
    return cast("index", value)


# ---------------------------------------------------------------- contractions


def test_a_product_of_matrices() -> None:
    body = mul(read("a", "f32", "i", "k"), read("b", "f32", "k", "j"))
    statement = let("y", "f32", [("i", "M"), ("j", "N")], reduce("sum", [("k", "K")], body))
    built = kernel(
        [tensor("a", "f32", "M", "K"), tensor("b", "f32", "K", "N")],
        [tensor("y", "f32", "M", "N", role="out")],
        [statement],
    )
    a = np.random.default_rng(0).standard_normal((7, 5), dtype=F)
    b = np.random.default_rng(1).standard_normal((5, 3), dtype=F)
    result = _run(built, a=a, b=b)
    np.testing.assert_allclose(result.exact["y"], a.astype(float) @ b.astype(float), rtol=1e-14)
    assert result.outputs["y"].dtype == F and result.dims == {"M": 7, "N": 3, "K": 5}


def test_a_space_larger_than_memory_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    body = mul(read("a", "f32", "i", "k"), read("a", "f32", "j", "k"))
    local = let("s", "f32", [("i", "M"), ("j", "M")], reduce("sum", [("k", "K")], body), local=True)
    total = let("y", "f32", [("i", "M")], reduce("sum", [("j", "M")], read("s", "f32", "i", "j")), op="+=")
    built = kernel([tensor("a", "f32", "M", "K")], [tensor("y", "f32", "M", role="out")], [local, total])
    a = np.random.default_rng(0).standard_normal((13, 11), dtype=F)
    whole = _run(built, a=a).exact["y"]
    monkeypatch.setattr("tilewright.compiler.reference.expressions.MAX_POINTS", 20)
    monkeypatch.setattr("tilewright.compiler.reference.statements.MAX_POINTS", 20)
    np.testing.assert_allclose(_run(built, a=a).exact["y"], whole, rtol=1e-12)
    assert space.MAX_POINTS > 20


# ---------------------------------------------------------------- evaluation by demand


def test_only_the_chosen_side_is_evaluated() -> None:
    shifted = read("x", "f32", add("i", 1))
    built = _map(select(compare("<", add("i", 1), "N"), shifted, num(9.0, "f32")))
    assert _run(built, x=F([1, 2, 3]), k=np.int32([0, 0, 0])).outputs["y"].tolist() == [2, 3, 9]


def test_a_read_outside_is_refused_when_it_is_needed() -> None:
    built = _map(read("x", "f32", _index(K)))
    assert _run(built, x=F([1, 2]), k=np.int32([1, 1])).outputs["y"].tolist() == [2, 2]
    with pytest.raises(ReferenceCheckError, match="subscript 0 of x is 5, outside 0 .. 2"):
        _run(built, x=F([1, 2]), k=np.int32([1, 5]))
    with pytest.raises(ReferenceCheckError, match="is -1"):
        _run(built, x=F([1, 2]), k=np.int32([1, -1]))


def test_conditions_protect_reads() -> None:
    gather = read("x", "f32", _index(K))
    inside = both(compare(">=", K, num(0, "i32")), compare("<", _index(K), "N"))
    built = _map(select(both(inside, compare(">", gather, num(0.0, "f32"))), gather, num(-1.0, "f32")))
    assert _run(built, x=F([1, -2, 3]), k=np.int32([9, 1, 2])).outputs["y"].tolist() == [-1, -1, 3]
    outside = either(compare("<", K, num(0, "i32")), compare(">", gather, num(0.0, "f32")))
    built = _map(select(outside, num(1.0, "f32"), num(0.0, "f32")))
    assert _run(built, x=F([1, -2, 3]), k=np.int32([-4, 1, 2])).outputs["y"].tolist() == [1, 0, 1]


def test_a_local_that_is_not_read_there_is_not_checked() -> None:
    gather = let("g", "f32", [("i", "N")], read("x", "f32", _index(K)), local=True)
    use = select(compare("<", "i", 1), read("g", "f32", "i"), num(0.0, "f32"))
    output = let("y", "f32", [("i", "N")], use)
    tensors = [tensor("x", "f32", "N"), tensor("k", "i32", "N")]
    built = kernel(tensors, [tensor("y", "f32", "N", role="out")], [gather, output])
    assert _run(built, x=F([1, 2]), k=np.int32([1, 77])).outputs["y"].tolist() == [2, 0]
    with pytest.raises(ReferenceCheckError):
        _run(built, x=F([1, 2]), k=np.int32([77, 0]))


def test_a_local_that_no_output_needs_is_not_computed() -> None:
    gather = let("g", "f32", [("i", "N")], read("x", "f32", _index(K)), local=True)
    tensors = [tensor("x", "f32", "N"), tensor("k", "i32", "N")]
    built = kernel(tensors, [tensor("y", "f32", "N", role="out")], [gather, let("y", "f32", [("i", "N")], X)])
    assert _run(built, x=F([1, 2]), k=np.int32([5, 77])).outputs["y"].tolist() == [1, 2]


def test_a_guard_covers_nested_gathers_but_not_what_it_gives_instead() -> None:
    inner = cast("index", read("k", "i32", add("i", 1)))
    built = _map(guarded(read("x", "f32", inner), num(7.0, "f32")))
    assert _run(built, x=F([1, 2, 3]), k=np.int32([0, 9, 1])).outputs["y"].tolist() == [7, 2, 7]
    bad = guarded(read("x", "f32", add("i", 1)), read("x", "f32", _index(K)))
    with pytest.raises(ReferenceCheckError):
        _run(_map(bad), x=F([1, 2, 3]), k=np.int32([0, 0, 9]))


def test_a_guard_does_not_hide_a_fault_of_the_value_read() -> None:
    gather = let("g", "f32", [("i", "N")], read("x", "f32", _index(K)), local=True)
    output = let("y", "f32", [("i", "N")], guarded(read("g", "f32", add("i", 1)), num(0.0, "f32")))
    tensors = [tensor("x", "f32", "N"), tensor("k", "i32", "N")]
    built = kernel(tensors, [tensor("y", "f32", "N", role="out")], [gather, output])
    assert _run(built, x=F([1, 2]), k=np.int32([50, 1])).outputs["y"].tolist() == [2, 0]
    with pytest.raises(ReferenceCheckError):
        _run(built, x=F([1, 2]), k=np.int32([0, 50]))


def test_integer_division_by_zero_is_refused_where_it_counts() -> None:
    quotient = binary("//", num(7, "i32"), K)
    built = _map(select(compare("!=", K, num(0, "i32")), quotient, num(-1, "i32")), "i32")
    assert _run(built, x=F([0, 0, 0]), k=np.int32([2, 0, -2])).outputs["y"].tolist() == [3, -1, -4]
    with pytest.raises(ReferenceCheckError, match="integer // by 0"):
        _run(_map(quotient, "i32"), x=F([0]), k=np.int32([0]))


# ---------------------------------------------------------------- reductions and selection


def _reduction(op: str, dtype: str = "f32", **options):
    value = reduce(op, [("j", "N")], read("x", "f32", "i", "j"), **options)
    return kernel(
        [tensor("x", "f32", "M", "N")],
        [tensor("y", dtype, "M", role="out")],
        [let("y", dtype, [("i", "M")], value)],
    )


@pytest.mark.parametrize(
    ("op", "expected"),
    [("sum", 0), ("prod", 1), ("max", -np.inf), ("min", np.inf), ("mean", np.nan)],
)
def test_reductions_over_no_points(op: str, expected: float) -> None:
    empty = _run(_reduction(op), x=np.zeros((2, 0), F)).outputs["y"]
    np.testing.assert_array_equal(empty, np.full(2, expected, F))
    masked = _run(_reduction(op, where=compare("<", "j", 0)), x=np.ones((2, 3), F)).outputs["y"]
    np.testing.assert_array_equal(masked, np.full(2, expected, F))


def test_a_bounded_reduction_skips_what_it_does_not_cover() -> None:
    x = F([[np.nan, 1, 2], [3, 4, np.nan]])
    below = _reduction("sum", where=compare("<=", "j", "i"))
    assert np.isnan(_run(below, x=x).outputs["y"][0])
    assert _run(below, x=x).outputs["y"][1] == 7
    span = reduce("sum", [("j", "i", add("i", 2))], read("x", "f32", "i", "j"))
    built = kernel(
        [tensor("x", "f32", "M", "N")], [tensor("y", "f32", "M", role="out")], [let("y", "f32", [("i", "M")], span)]
    )
    assert _run(built, x=F([[1, 2, 4], [8, 16, 32]])).outputs["y"].tolist() == [3, 48]


def test_nan_wins_and_ties_go_to_the_lowest() -> None:
    x = F([[1, 3, 3], [1, np.nan, np.nan], [-np.inf] * 3])
    assert _run(_reduction("argmax", "i32"), x=x).outputs["y"].tolist() == [1, 1, 0]
    assert _run(_reduction("argmin", "i32"), x=x).outputs["y"].tolist() == [0, 1, 0]
    assert np.isnan(_run(_reduction("max"), x=x).outputs["y"][1])
    assert _run(_reduction("argmax", "i32", where=compare(">", "j", 5)), x=x).outputs["y"].tolist() == [-1] * 3


def test_selection_orders_with_nan_first() -> None:
    x = F([[1, np.nan, 5, 5, -2]])
    ranks = [_run(_reduction("argtop", "i32", rank=num(r)), x=x).outputs["y"][0] for r in range(6)]
    assert ranks == [1, 2, 3, 0, 4, -1]
    values = [_run(_reduction("top", rank=num(r)), x=x).outputs["y"][0] for r in range(6)]
    np.testing.assert_array_equal(values, [np.nan, 5, 5, 1, -2, -np.inf])


def test_argmax_over_two_indices_is_the_row_major_position() -> None:
    value = reduce("argmax", [("i", "M"), ("j", "N")], read("x", "f32", "i", "j"))
    built = kernel([tensor("x", "f32", "M", "N")], [tensor("y", "i32", role="out")], [let("y", "i32", [], value)])
    x = np.random.default_rng(5).standard_normal((3, 4), dtype=F)
    assert _run(built, x=x).outputs["y"] == x.argmax()


def test_segments_skip_empty_ones() -> None:
    value = call("segment", _index(K), dtype="index", tensor="off")
    tensors = [tensor("k", "i32", "N"), tensor("off", "i32", "E")]
    built = kernel(tensors, [tensor("y", "i32", "N", role="out")], [let("y", "i32", [("i", "N")], value)])
    found = _run(built, k=np.int32([-1, 0, 1, 2, 4, 5]), off=np.int32([0, 2, 2, 5])).outputs["y"]
    assert found.tolist() == [-1, 0, 0, 2, 2, -1]


# ---------------------------------------------------------------- writes


def _scatter(op: str, where: typed.Expr | None = None):
    tensors = [tensor("x", "f32", "N"), tensor("k", "i32", "N")]
    statement = let("y", "f32", [("i", "N")], X, op=op, subscripts=[_index(K)], where=where)
    return kernel(tensors, [tensor("y", "f32", 4, role="out")], [statement])


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("+=", [5, 2, 0, 0]),
        ("max=", [4, 2, -np.inf, -np.inf]),
        ("min=", [1, 2, np.inf, np.inf]),
    ],
)
def test_scatter_combines_from_its_start_value(op: str, expected: list[float]) -> None:
    assert _run(_scatter(op), x=F([1, 2, 4]), k=np.int32([0, 1, 0])).outputs["y"].tolist() == expected


def test_scatter_checks_its_subscripts_and_single_writes() -> None:
    assert _run(_scatter("="), x=F([1, 2]), k=np.int32([3, 1])).outputs["y"].tolist() == [0, 2, 0, 1]
    with pytest.raises(ReferenceCheckError, match="2 points write y"):
        _run(_scatter("="), x=F([1, 2]), k=np.int32([3, 3]))
    with pytest.raises(ReferenceCheckError, match="outside 0 .. 4"):
        _run(_scatter("+="), x=F([1, 2]), k=np.int32([3, 4]))
    guard = compare("<", K, num(4, "i32"))
    assert _run(_scatter("+=", guard), x=F([1, 2]), k=np.int32([3, 4])).outputs["y"].tolist() == [0, 0, 0, 1]


def test_a_guarded_write_leaves_start_values_and_inouts_alone() -> None:
    even = compare("==", binary("%", "i", 2), 0)
    assert _run(_map(X, where=even), x=F([1, 2, 3]), k=np.int32([0] * 3)).outputs["y"].tolist() == [1, 0, 3]
    state = tensor("s", "f32", "N", role="inout")
    update = let("s", "f32", [("i", "N")], add(read("s", "f32", "i"), num(1.0, "f32")), where=even)
    after = let("y", "f32", [("i", "N")], mul(read("s", "f32", "i"), num(2.0, "f32")))
    built = kernel([state], [tensor("y", "f32", "N", role="out")], [update, after])
    given = F([10, 20, 30])
    result = _run(built, s=given)
    assert result.outputs["s"].tolist() == [11, 20, 31] and result.outputs["y"].tolist() == [22, 40, 62]
    assert given.tolist() == [10, 20, 30]


def test_accumulation_rounds_once() -> None:
    terms = tensor("x", "f16", "N")
    statement = let("y", "f16", [("i", "N")], read("x", "f16", "i"), op="+=", subscripts=[])
    built = kernel([terms], [tensor("y", "f16", role="out")], [statement])
    x = np.full(4096, 1.0, np.float16)
    x[0] = 2048  # one at a time, f16 would stay at 2048
    assert _run(built, x=x).outputs["y"] == 2048 + 4095 + 1


def test_reading_an_output_gives_the_rounded_value() -> None:
    first = let("y", "f16", [("i", "N")], X)
    second = let("z", "f32", [("i", "N")], read("y", "f16", "i"))
    outputs = [tensor("y", "f16", "N", role="out"), tensor("z", "f32", "N", role="out")]
    built = kernel([tensor("x", "f32", "N")], outputs, [first, second])
    x = F([1.0001, 3.3])
    assert (_run(built, x=x).outputs["z"] == x.astype(np.float16)).all()


# ---------------------------------------------------------------- recurrences


def _recurrence(direction: int):
    earlier = read("s", "f32", sub("t", direction))
    value = add(mul(num(0.5, "f32"), guarded(earlier, num(0.0, "f32"))), read("x", "f32", "t"))
    step = let("s", "f32", [("t", "N")], value, local=True, step=("t", direction), cycle=("s",))
    copy = let("y", "f32", [("t", "N")], read("s", "f32", "t"))
    return kernel([tensor("x", "f32", "N")], [tensor("y", "f32", "N", role="out")], [step, copy])


def test_recurrences_step_either_way() -> None:
    x = F([1, 2, 4])
    assert _run(_recurrence(1), x=x).outputs["y"].tolist() == [1, 2.5, 5.25]
    assert _run(_recurrence(-1), x=x).outputs["y"].tolist() == [3, 4, 4]


def test_statements_may_define_each_other() -> None:
    # a[t] = x[t] + b[t - 1]; b[t] = 2 * a[t]: at one t, b needs a.
    back = guarded(read("b", "f32", sub("t", 1)), num(0.0, "f32"))
    options = {"local": True, "step": ("t", 1), "cycle": ("a", "b")}
    a = let("a", "f32", [("t", "N")], add(read("x", "f32", "t"), back), **options)
    b = let("b", "f32", [("t", "N")], mul(num(2.0, "f32"), read("a", "f32", "t")), **options)
    copy = let("y", "f32", [("t", "N")], read("b", "f32", "t"))
    for order in ([a, b], [b, a]):
        built = kernel([tensor("x", "f32", "N")], [tensor("y", "f32", "N", role="out")], [*order, copy])
        assert _run(built, x=F([1, 2, 3])).outputs["y"].tolist() == [2, 8, 22]


def test_a_triangular_inverse_reads_every_earlier_row() -> None:
    body = mul(read("a", "f32", "i", "l"), read("m", "f32", "l", "j"))
    unit = select(compare("==", "i", "j"), num(1.0, "f32"), num(0.0, "f32"))
    value = sub(unit, reduce("sum", [("l", "Q")], body, where=compare("<", "l", "i")))
    statement = let("m", "f32", [("i", "Q"), ("j", "Q")], value, step=("i", 1), cycle=("m",))
    built = kernel([tensor("a", "f32", "Q", "Q")], [tensor("m", "f32", "Q", "Q", role="out")], [statement])
    a = np.random.default_rng(2).standard_normal((5, 5), dtype=F)
    inverse = _run(built, a=a).exact["m"]
    lower = np.tril(a.astype(float), -1) + np.eye(5)
    np.testing.assert_allclose(lower @ inverse, np.eye(5), atol=1e-12)


# ---------------------------------------------------------------- calls


def test_dims_are_solved_and_requires_checked() -> None:
    double = binary("*", "N", 2)
    built = kernel(
        [tensor("x", "f32", "N")],
        [tensor("y", "f32", "P", role="out")],
        [let("y", "f32", [("p", "P")], read("x", "f32", binary("//", "p", 2)))],
        solutions=[("P", double)],
        checks=[compare("<=", "P", 6)],
    )
    assert _run(built, x=F([1, 2])).outputs["y"].tolist() == [1, 1, 2, 2]
    with pytest.raises(ReferenceCheckError, match="the requirement does not hold"):
        _run(built, x=np.zeros(4, F))
    with pytest.raises(ReferenceCheckError, match="dim P is 3 and 4"):
        evaluate(built, {"x": F([1, 2])}, dims={"P": 3})


def test_shapes_that_disagree_are_refused() -> None:
    built = _map(add(X, cast("f32", K)))
    with pytest.raises(ReferenceCheckError, match="dim N is 2 and 3"):
        _run(built, x=F([1, 2]), k=np.int32([1, 2, 3]))


def test_empty_tensors_give_empty_outputs() -> None:
    assert _run(_map(X), x=np.zeros(0, F), k=np.zeros(0, np.int32)).outputs["y"].shape == (0,)


def test_arithmetic_on_fixed_widths_wraps() -> None:
    built = _map(binary("*", K, K), "i32")
    k = np.int32([2**31 - 1, 65536, -5])
    assert _run(built, x=np.zeros(3, F), k=k).outputs["y"].tolist() == [1, 0, 25]
    assert _run(_map(typed.Unary(K.span, "i32", "-", K), "i32"), x=F([0]), k=np.int32([-(2**31)])).outputs["y"] == -(
        2**31
    )


def test_names_of_dims_and_indices_are_integers() -> None:
    built = _map(cast("f32", add(mul(dim("N"), idx("i")), expr(3))))
    assert _run(built, x=np.zeros(3, F), k=np.zeros(3, np.int32)).outputs["y"].tolist() == [3, 6, 9]
