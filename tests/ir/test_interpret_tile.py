"""The interpreter of the neutral tile level against plain NumPy, and what it must refuse."""

# ruff: noqa: E501 (lines of IR)
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ir.programs import GEMM, dim, launch, load, store, view
from tilewright.dialect import ods
from tilewright.dialect.interpret.faults import CheckFailed, InterpreterFault
from tilewright.dialect.interpret.tile import run_tile
from tilewright.dialect.printing import parse_module

X = view("%x", "x", "in", "f32", "()[s0] -> (s0)")
Y = view("%y", "y", "out", "f32", "()[s0] -> (s0)")
MAP = "(d0) -> (d0)"
IN = "(memref<?xf32>, index) -> tensor<4xf32>"
OUT = "(tensor<4xf32>, memref<?xf32>, index) -> ()"


def run(text: str, arguments: dict[str, Any], dims: dict[str, int], **options: Any) -> dict[str, Any]:
    with ods.session():
        module = parse_module(text)
        order = ["gemm"] if "@gemm" in text else ["l"]
        return run_tile(module, order, arguments, dims, **options)


def cells(body: str, size: int = 4) -> str:
    """A grid over N in cells of `size`, with ``%left`` positions left."""
    return f"""
  "tile.grid"(%N) ({{
  ^bb0(%i: index):
    %left = arith.subi %N, %i : index
    {body}
    "tile.yield"() : () -> ()
  }}) {{tiles = array<i64: {size}>}} : (index) -> ()"""


def limited(types: str) -> str:
    return types.replace("index)", "index, index)")


LOAD = "%v = " + load("%x", ["%i"], MAP, limited(IN), limits={0: "%left"})
STORE = store("%v", "%y", ["%i"], MAP, limited(OUT), limits={0: "%left"})
ARGUMENTS = [X, Y, dim("N")]
SEVEN = {"x": np.arange(7, dtype=np.float32)}


@pytest.mark.parametrize("shape", [(9, 11, 5), (4, 8, 2), (1, 1, 1), (5, 3, 0), (0, 3, 4)])
@pytest.mark.parametrize("shuffle", [None, 3])
def test_gemm_with_a_staged_panel(shape: tuple[int, int, int], shuffle: int | None) -> None:
    m, n, k = shape
    generator = np.random.default_rng(1)
    a, b = generator.normal(size=(m, k)).astype(np.float32), generator.normal(size=(k, n)).astype(np.float32)
    c = run(GEMM, {"a": a, "b": b}, {"M": m, "N": n, "K": k}, shuffle=shuffle)["c"]
    np.testing.assert_allclose(c, a.astype(np.float64) @ b, rtol=1e-4, atol=1e-5)


def test_limits_keep_edges_untouched() -> None:
    y = run(launch(cells(LOAD + "\n" + STORE), ARGUMENTS), SEVEN, {"N": 7})["y"]
    assert y.tolist() == SEVEN["x"].tolist()


def test_a_load_outside_is_a_fault_with_its_place() -> None:
    bad = "%v = " + load("%x", ["%i"], MAP, IN) + ' loc("v"("a.tw":3:9))\n'
    with pytest.raises(InterpreterFault, match=r'coordinate 0 is 7, outside .* at loc\("v"\("a.tw":3:9\)\)'):
        run(launch(cells(bad + STORE), ARGUMENTS), SEVEN, {"N": 7})


def test_guards_give_the_other_value() -> None:
    c = "%c = arith.constant dense<9.0> : tensor<4xf32>\n%one = arith.constant 1 : index\n%n = arith.addi %i, %one : index\n"
    types = IN.replace("index)", "index, tensor<4xf32>)")
    body = c + "%v = " + load("%x", ["%n"], MAP, types, guarded=[0], otherwise="%c") + "\n" + STORE
    assert run(launch(cells(body), ARGUMENTS), SEVEN, {"N": 7})["y"].tolist() == [1, 2, 3, 4, 5, 6, 9]


def test_a_checked_coordinate_fails_or_gives_the_stand_in() -> None:
    body = "%one = arith.constant 1 : index\n%n = arith.addi %i, %one : index\n"
    body += "%v = " + load("%x", ["%n"], MAP, limited(IN), limits={0: "%left"}, checked=[0]) + "\n" + STORE
    text = launch(cells(body), ARGUMENTS)
    with pytest.raises(CheckFailed, match="coordinate 0 is 7"):
        run(text, SEVEN, {"N": 7})
    assert run(text, SEVEN, {"N": 7}, outside=9.5)["y"].tolist() == [1, 2, 3, 4, 5, 6, 9.5]


def test_gathers_add_to_coordinates() -> None:
    index = view("%p", "p", "in", "i32", "()[s0] -> (s0)")
    ints = load("%p", ["%i"], MAP, limited(IN).replace("f32", "i32"), limits={0: "%left"})
    types = "(memref<?xf32>, index, tensor<4xindex>, index) -> tensor<4xf32>"
    take = load("%x", ["%z"], "(d0) -> (0)", types, gathers={0: "%g"}, limits={0: "%left"}, checked=[0])
    body = f"%q = {ints}\n%g = arith.index_cast %q : tensor<4xi32> to tensor<4xindex>\n"
    body += f"%z = arith.constant 0 : index\n%v = {take}\n{STORE}"
    places = np.array([6, 5, 4, 3, 2, 1, 0], np.int32)
    found = run(launch(cells(body), [X, index, Y, dim("N")]), {**SEVEN, "p": places}, {"N": 7})["y"]
    assert found.tolist() == SEVEN["x"][places].tolist()


def test_active_masks_loads_and_stores() -> None:
    mask = '%p = "tile.iota"() {axis = 0 : i64} : () -> tensor<4xindex>\n%two = arith.constant dense<2> : tensor<4xindex>\n'
    mask += "%a = arith.cmpi slt, %p, %two : tensor<4xindex>\n"
    body = mask + "%v = " + load("%x", ["%i"], MAP, IN.replace("index)", "index, tensor<4xi1>)"), active="%a")
    plain = store("%v", "%y", ["%i"], MAP, OUT)
    found = run(launch(cells(f"{body}\n{plain}"), ARGUMENTS), {"x": np.arange(8, dtype=np.float32)}, {"N": 8})["y"]
    assert found.tolist() == [0, 1, 0, 0, 4, 5, 0, 0]
    masked = store("%v", "%y", ["%i"], MAP, OUT.replace("index)", "index, tensor<4xi1>)"), active="%a")
    found = run(launch(cells(f"{body}\n{masked}"), ARGUMENTS), {"x": np.arange(8, dtype=np.float32)}, {"N": 8})["y"]
    assert found[[0, 1, 4, 5]].tolist() == [0, 1, 4, 5] and np.isnan(found[[2, 3, 6, 7]]).all()


def test_two_cells_may_not_store_one_element() -> None:
    whole = store("%v", "%y", ["%z"], MAP, OUT)
    body = "%z = arith.constant 0 : index\n%v = " + load("%x", ["%z"], MAP, IN) + "\n" + whole
    with pytest.raises(InterpreterFault, match="cells 0 and 1 store the same element"):
        run(launch(cells(body), ARGUMENTS), {"x": np.arange(8, dtype=np.float32)}, {"N": 8})


def test_a_cell_may_not_read_what_another_stores() -> None:
    back = load("%y", ["%z"], MAP, IN)
    body = f"%z = arith.constant 0 : index\n%o = {back}\n{LOAD}\n{STORE}"
    with pytest.raises(InterpreterFault, match="reads what another cell"):
        run(launch(cells(body), ARGUMENTS), {"x": np.arange(8, dtype=np.float32)}, {"N": 8})


def test_one_tile_may_not_store_twice_to_one_place() -> None:
    body = LOAD + "\n" + store("%v", "%y", ["%i"], "(d0) -> (0)", OUT)
    with pytest.raises(InterpreterFault, match="two elements of a tile to one place"):
        run(launch(cells(body), ARGUMENTS), SEVEN, {"N": 7})


def test_what_was_never_written_is_poison() -> None:
    stage = f"""%b = "tile.stage"() ({{
    ^bb0(%s: memref<4xf32>):
      %z = arith.constant 0 : index
      {store("%v", "%s", ["%z"], MAP, limited(OUT).replace("?", "4"), limits={0: "%left"})}
      "tile.yield"() : () -> ()
    }}) {{space = "cell"}} : () -> memref<4xf32>
    %o = arith.constant 0 : index
    %w = {load("%b", ["%o"], MAP, IN.replace("?", "4"))}
    %t = "tile.reduce"(%w) {{kinds = ["add"], axes = array<i64: 0>, unsigned = false}} : (tensor<4xf32>) -> tensor<f32>
    %u = "tile.broadcast"(%t) {{axes = array<i64>}} : (tensor<f32>) -> tensor<4xf32>
    {STORE.replace("%v", "%u")}"""
    y = run(launch(cells(LOAD + "\n" + stage), ARGUMENTS), SEVEN, {"N": 7})["y"]
    assert y[:4].tolist() == [6] * 4 and np.isnan(y[4:]).all()


def test_a_filled_stage_is_read_only() -> None:
    stage = f"""%b = "tile.stage"() ({{
    ^bb0(%s: memref<4xf32>):
      "tile.yield"() : () -> ()
    }}) {{space = "cell"}} : () -> memref<4xf32>
    %o = arith.constant 0 : index
    {store("%v", "%b", ["%o"], MAP, OUT.replace("?", "4"))}"""
    with pytest.raises(InterpreterFault, match="stage that is filled"):
        run(launch(cells(LOAD + "\n" + stage), ARGUMENTS), SEVEN, {"N": 7})


def test_stores_that_combine_may_share_elements() -> None:
    first = f"""%c = arith.constant dense<1.0> : tensor<4xf32>
    {store("%c", "%y", ["%i"], MAP, OUT)}"""
    add = f"%z = arith.constant 0 : index\n{LOAD}\n{store('%v', '%y', ['%z'], MAP, OUT, combine='add')}"
    sums = view("%y", "y", "workspace", "f32", "()[s0] -> (4)")
    out = sums.replace("workspace", "out")
    fill = f'func.func @f({sums}, {dim("N")}) attributes {{tile.dims = ["N"]}} {{ %i = arith.constant 0 : index\n{first}\nreturn }}'
    text = launch(cells(add), [X, out, dim("N")]).rstrip()[:-1] + fill + "}"
    with ods.session():
        found = run_tile(parse_module(text), ["f", "l"], {"x": np.arange(8, dtype=np.float32)}, {"N": 8}, shuffle=0)
    assert found["y"].tolist() == [5, 7, 9, 11]


def test_tiles_move_axes() -> None:
    out = view("%y", "y", "out", "f32", "()[s0] -> (2, 3)")
    body = """
    %p = "tile.iota"() {axis = 1 : i64} : () -> tensor<3x2xindex>
    %q = "tile.iota"() {axis = 0 : i64} : () -> tensor<3x2xindex>
    %ten = arith.constant 10 : index
    %t = "tile.splat"(%ten) : (index) -> tensor<3x2xindex>
    %r = arith.muli %p, %t : tensor<3x2xindex>
    %s = arith.addi %r, %q : tensor<3x2xindex>
    %i = arith.index_cast %s : tensor<3x2xindex> to tensor<3x2xi32>
    %f = arith.sitofp %i : tensor<3x2xi32> to tensor<3x2xf32>
    %b = "tile.broadcast"(%f) {axes = array<i64: 1, 0>} : (tensor<3x2xf32>) -> tensor<2x3xf32>
    %z = arith.constant 0 : index
    """
    types = "(tensor<2x3xf32>, memref<?x?xf32>, index, index) -> ()"
    text = launch(body + store("%b", "%y", ["%z", "%z"], "(d0, d1) -> (d0, d1)", types), [out, dim("N")])
    assert run(text, {}, {"N": 1})["y"].tolist() == [[0, 1, 2], [10, 11, 12]]


def test_branches_and_loaded_bounds() -> None:
    body = f"""
    %z = arith.constant 0 : index
    %one = arith.constant 1 : index
    %s = {load("%n", [], "() -> ()", "(memref<i32>) -> tensor<i32>")}
    %h = tensor.extract %s[] : tensor<i32>
    %high = arith.index_cast %h : i32 to index
    %c = arith.constant dense<0.0> : tensor<4xf32>
    %d = arith.constant dense<1.0> : tensor<4xf32>
    %big = arith.cmpi sgt, %high, %one : index
    %v = scf.if %big -> (tensor<4xf32>) {{
      %w = scf.for %k = %z to %high step %one iter_args(%a = %c) -> (tensor<4xf32>) {{
        %next = arith.addf %a, %d : tensor<4xf32>
        scf.yield %next : tensor<4xf32>
      }}
      scf.yield %w : tensor<4xf32>
    }} else {{
      scf.yield %c : tensor<4xf32>
    }}
    {store("%v", "%y", ["%z"], MAP, OUT)}"""
    text = launch(body, [view("%n", "n", "in", "i32", "()[s0] -> ()"), Y, dim("N")])
    for bound, expected in [(5, 5.0), (1, 0.0)]:
        assert run(text, {"n": np.array(bound, np.int32)}, {"N": 4})["y"].tolist() == [expected] * 4


def test_bytes_are_bools_again_at_the_end() -> None:
    x, y = (view(f"%{n}", n, role, "i8", "()[s0] -> (s0)", "bool") for n, role in (("x", "in"), ("y", "out")))
    text = launch(cells((LOAD + "\n" + STORE).replace("f32", "i8")), [x, y, dim("N")])
    found = run(text, {"x": np.array([True, False, True])}, {"N": 3})["y"]
    assert found.dtype == np.bool_ and found.tolist() == [True, False, True]


def test_tables_come_with_the_launch() -> None:
    table = (
        view("%x", "x", "table", "f32", "()[s0] -> (3)")[:-1]
        + ", tile.values = dense<[1.0, 2.0, 3.0]> : tensor<3xf32>}"
    )
    assert run(launch(cells(LOAD + "\n" + STORE), [table, Y, dim("N")]), {}, {"N": 3})["y"].tolist() == [1, 2, 3]
