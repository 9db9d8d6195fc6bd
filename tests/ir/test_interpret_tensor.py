"""The interpreter of the tensor level against plain NumPy, and what it must refuse."""

# ruff: noqa: E501 (lines of IR)
from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tests.ir.programs import SOFTMAX, kernel, read, result, tensor_argument
from tilewright.dialect import ods
from tilewright.dialect.interpret.faults import CheckFailed, InterpreterFault
from tilewright.dialect.interpret.tensor import run_tensor
from tilewright.dialect.printing import parse_module

X = tensor_argument("%x", "x", "f32", "()[s0] -> (s0)")
INDEX = tensor_argument("%p", "p", "i32", "()[s0] -> (s0)")


def run(text: str, arguments: dict[str, Any], dims: dict[str, int], name: str = "k", **options: Any) -> dict[str, Any]:
    with ods.session():
        return run_tensor(parse_module(text), name, arguments, dims, **options)


def fold(body: str, kind: str, types: str = "f32", reduced: str = "s0", **more: str) -> str:
    """A fold of everything over ``j`` into a scalar tensor, and its return."""
    names = ", ".join(f"%r{n}" for n in range(types.count(",") + 1))
    outs = ", ".join(f"tensor<{t.strip()}>" for t in types.split(","))
    unsigned = more.get("unsigned", "false")
    constraints = more.get("constraints", "")
    regions = f"{more.get('bounds', '{}')}, {more.get('where', '{}')}"
    left = f"{names.replace('%r0, %r1', '%r:2')} = "
    values = "%r#0, %r#1" if "," in types else "%r0"
    return f"""
  {left} "tw.fold"() ({{
  ^bb0(%j: index):
    {body}
  }}, {regions}) {{indices = ["j"], parallel = 0 : i64, kinds = ["{kind}"], unsigned = {unsigned},
     extents = affine_map<()[s0] -> ({reduced})>, constraints = affine_map<(d0)[s0] -> ({constraints})>}} : () -> ({outs})
  return {values} : {outs}"""


READ = read("%x", ["%j"], [0], "(tensor<?xf32>, index) -> f32")
YIELD = '"tw.yield"(%v) : (f32) -> ()'


def test_softmax() -> None:
    x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    expected = np.exp(x - x.max(1, keepdims=True)) / np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True)
    for precision in ("exact", "wide"):
        y = run(SOFTMAX, {"x": x}, {"M": 3, "N": 5}, "softmax", precision=precision)["y"]
        np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_no_points_give_the_start_of_a_fold() -> None:
    for kind, start in [("add", 0.0), ("mul", 1.0), ("max", -np.inf), ("min", np.inf)]:
        text = kernel(fold(f"%v = {READ}\n{YIELD}", kind), X, result("y", "tensor<f32>", "f32"))
        assert run(text, {"x": np.zeros(0, np.float32)}, {"N": 0})["y"] == start


@pytest.mark.parametrize("kind", ["add", "mul", "max", "min"])
@pytest.mark.parametrize("dtype", ["i32", "u8"])
def test_integer_folds_wrap_and_know_their_sign(kind: str, dtype: str) -> None:
    element = "i8" if dtype == "u8" else dtype
    values = np.array([3, 200, 7, 100], np.uint8 if dtype == "u8" else np.int32)
    argument = tensor_argument("%x", "x", element, "()[s0] -> (s0)", dtype)
    body = f'%v = {READ}\n"tw.yield"(%v) : ({element}) -> ()'.replace("f32", element)
    text = kernel(
        fold(body, kind, element, unsigned=str(dtype == "u8").lower()),
        argument,
        result("y", f"tensor<{element}>", dtype),
    )
    function = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}[kind]
    found = run(text, {"x": values}, {"N": 4})["y"]
    assert found == function.reduce(values, dtype=values.dtype) and found.dtype == values.dtype


def better(kind: str, a: tuple[float, int], b: tuple[float, int]) -> tuple[float, int]:
    """One merge of argmax or argmin in plain Python: NaN, then the better value, then the lower position."""
    for first, second in ((a, b), (b, a)):
        if second[1] < 0 or (np.isnan(first[0]) and not np.isnan(second[0])):
            return first
    if np.isnan(a[0]) or a[0] == b[0]:
        return min(a, b, key=lambda pair: pair[1])
    return (max if kind == "argmax" else min)(a, b, key=lambda pair: pair[0])


@pytest.mark.parametrize("kind", ["argmax", "argmin"])
def test_pair_folds(kind: str) -> None:
    body = f'%v = {READ}\n%i = arith.index_cast %j : index to i32\n"tw.yield"(%v, %i) : (f32, i32) -> ()'
    results = f"{result('y', 'tensor<f32>', 'f32')}, {result('q', 'tensor<i32>', 'i32')}"
    text = kernel(fold(body, kind, "f32, i32"), X, results)
    for values in itertools.product([1.0, 2.0, np.nan], repeat=3):
        expected = (0.0, -1)
        for place, value in enumerate(values):
            expected = better(kind, expected, (value, place))
        found = run(text, {"x": np.array(values, np.float32)}, {"N": 3})
        assert int(found["q"]) == expected[1] and np.array_equal(found["y"], expected[0], equal_nan=True)
    assert run(text, {"x": np.zeros(0, np.float32)}, {"N": 0})["q"] == -1


def test_constraints_bounds_and_where_limit_the_points() -> None:
    x = np.arange(1, 11, dtype=np.float32)
    bounds = '{\n%lo = arith.constant 2 : index\n%hi = arith.constant 99 : index\n"tw.yield"(%lo, %hi) : (index, index) -> ()\n}'
    where = """{
    ^bb0(%w: index):
      %two = arith.constant 2 : index
      %zero = arith.constant 0 : index
      %rest = arith.remui %w, %two : index
      %even = arith.cmpi eq, %rest, %zero : index
      "tw.yield"(%even) : (i1) -> ()
    }"""
    more = {"constraints": "s0 - 3 - d0", "bounds": bounds, "where": where}
    text = kernel(fold(f"%v = {READ}\n{YIELD}", "add", **more), X, result("y", "tensor<f32>", "f32"))
    assert run(text, {"x": x}, {"N": 10})["y"] == x[2] + x[4] + x[6]


def mapped(body: str, element: str = "f32", constraints: str = "") -> str:
    return f"""
  %y = "tw.map"() ({{
  ^bb0(%j: index):
    {body}
  }}, {{}}, {{}}) {{indices = ["j"], extents = affine_map<()[s0] -> (s0)>,
     constraints = affine_map<(d0)[s0] -> ({constraints})>}} : () -> tensor<?x{element}>
  return %y : tensor<?x{element}>"""


SHIFTED = '%one = arith.constant 1 : index\n%n = arith.addi %j, %one : index\n%v = {}\n"tw.yield"(%v) : (f32) -> ()'
Y = result("y", "tensor<?xf32>", "f32")
THREE = {"x": np.array([1, 2, 3], np.float32)}


def test_points_that_do_not_count_are_poison() -> None:
    y = run(kernel(mapped(f"%v = {READ}\n{YIELD}", constraints="1 - d0"), X, Y), THREE, {"N": 3})["y"]
    assert y[:2].tolist() == [1, 2] and np.isnan(y[2])


def test_a_read_outside_that_was_proved_is_a_fault_with_its_place() -> None:
    shifted = read("%x", ["%n"], [0], "(tensor<?xf32>, index) -> f32") + ' loc("y"("a.tw":7:5))'
    with pytest.raises(InterpreterFault, match=r'subscript 0 is 3, outside .* at loc\("y"\("a.tw":7:5\)\)'):
        run(kernel(mapped(SHIFTED.format(shifted)), X, Y), THREE, {"N": 3})


def test_a_guarded_read_gives_its_other_value_or_zero() -> None:
    plain = read("%x", ["%n"], [3], "(tensor<?xf32>, index) -> f32")
    assert run(kernel(mapped(SHIFTED.format(plain)), X, Y), THREE, {"N": 3})["y"].tolist() == [2, 3, 0]
    other = read("%x", ["%n"], [3], "(tensor<?xf32>, index, f32) -> f32", otherwise="%c")
    body = "%c = arith.constant 9.0 : f32\n" + SHIFTED.format(other)
    assert run(kernel(mapped(body), X, Y), THREE, {"N": 3})["y"].tolist() == [2, 3, 9]


def test_an_inactive_read_touches_nothing() -> None:
    guarded = read("%x", ["%n"], [0], "(tensor<?xf32>, index, i1) -> f32", active="%a")
    body = "%l = arith.constant 1 : index\n%a = arith.cmpi sle, %j, %l : index\n" + SHIFTED.format(guarded)
    assert run(kernel(mapped(body), X, Y), THREE, {"N": 3})["y"].tolist() == [2, 3, 0]


def test_a_gather_is_checked() -> None:
    get = read("%p", ["%j"], [0], "(tensor<?xi32>, index) -> i32")
    take = read("%x", ["%n"], [2], "(tensor<?xf32>, index) -> f32")
    body = f"%i = {get}\n%n = arith.index_cast %i : i32 to index\n%v = {take}\n{YIELD}"
    text = kernel(mapped(body), f"{X}, {INDEX}", Y)
    inside, outside = ({**THREE, "p": np.array(p, np.int32)} for p in ([2, 0, 2], [2, 7, 0]))
    assert run(text, inside, {"N": 3})["y"].tolist() == [3, 1, 3]
    with pytest.raises(CheckFailed, match="subscript 0 is 7"):
        run(text, outside, {"N": 3})
    assert run(text, outside, {"N": 3}, outside=9.5)["y"].tolist() == [3, 9.5, 1]


def test_calls_of_launches_are_followed() -> None:
    double = kernel(mapped(f"%u = {READ}\n%v = arith.addf %u, %u : f32\n{YIELD}"), X, Y).replace("@k(", "@k_0(")
    body = """
  %t = func.call @k_0(%x) : (tensor<?xf32>) -> tensor<?xf32>
  %y = func.call @k_0(%t) : (tensor<?xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>"""
    assert run(kernel(body, X, Y) + double, THREE, {"N": 3})["y"].tolist() == [4, 8, 12]


def test_tables_dims_and_scalars() -> None:
    table = '%t = "tw.table"() {values = dense<[5.0, 6.0, 7.0]> : tensor<3xf32>} : () -> tensor<3xf32>'
    body = f"""%n = "tw.dim"() {{symbol = "N"}} : () -> index
    %u = {read("%t", ["%j"], [0], "(tensor<3xf32>, index) -> f32")}
    %m = arith.index_cast %n : index to i32
    %f = arith.sitofp %m : i32 to f32
    %w = arith.addf %u, %f : f32
    %v = arith.mulf %w, %a : f32
    {YIELD}"""
    scalar = '%a: f32 {tw.name = "a", tw.dtype = "f32", tw.role = "scalar"}'
    text = kernel(table + mapped(body), scalar, Y)
    assert run(text, {"a": 2.0}, {"N": 3})["y"].tolist() == [16, 18, 20]


def test_wrong_arguments_are_told_by_name() -> None:
    text = kernel(mapped(f"%v = {READ}\n{YIELD}"), X, Y)
    with pytest.raises(InterpreterFault, match=r"argument 'x' has shape \(3,\), expected \(4,\)"):
        run(text, THREE, {"N": 4})
    with pytest.raises(InterpreterFault, match="no value for argument 'x'"):
        run(text, {}, {"N": 4})
