"""Each rule of the verifiers, by a module that breaks it: the message stands at the line of the source."""

# ruff: noqa: E501 (lines of IR)
from __future__ import annotations

import re

import pytest

from tests.ir.programs import kernel, load, read, result, spelled, store, tensor_argument
from tilewright.dialect import ods
from tilewright.dialect.printing import UnreadableText, parse_module

PLACE = ' loc("v"("a.tw":12:5))'
X = tensor_argument("%x", "x", "f32", "()[s0] -> (s0)")
Y = result("y", "tensor<?xf32>", "f32")
READ = "%v = " + read("%x", ["%j"], [0], "(tensor<?xf32>, index) -> f32")
YIELD = '"tw.yield"(%v) : (f32) -> ()'


def refused(text: str) -> str:
    with ods.session(), pytest.raises(UnreadableText) as caught:
        parse_module(text)
    assert '"a.tw":12:5' in str(caught.value), caught.value
    return str(caught.value)


def domain_op(
    head: str = "%j: index",
    body: str = f"{READ}\n{YIELD}",
    bounds: str = "{}",
    where: str = "{}",
    indices: str = '"j"',
    extents: str = "(s0)",
    dims: str = "d0",
    type_: str = "tensor<?xf32>",
    fold: str = "",
) -> str:
    name = "tw.fold" if fold else "tw.map"
    return kernel(
        f"""
  %y = "{name}"() ({{
  ^bb0({head}):
    {body}
  }}, {bounds}, {where}) {{indices = [{indices}], {fold}extents = affine_map<()[s0] -> {extents}>,
     constraints = affine_map<({dims})[s0] -> ()>}} : () -> {type_}{PLACE}
  return""",
        X,
        Y,
    ).replace(f"-> ({Y})", "")


FOLD = 'parallel = 0 : i64, unsigned = false, kinds = ["{}"], '


def test_the_program_that_the_others_break_is_valid() -> None:
    with ods.session():
        parse_module(domain_op())
        parse_module(domain_op(fold=FOLD.format("add"), type_="tensor<f32>"))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"extents": "(s0, s0)"}, "has 1 indices but 2 extents"),
        ({"dims": "d0, d1"}, "constraints have 2 dims, expected 1"),
        ({"head": "%j: index, %k: index"}, "needs a body with 1 index arguments"),
        ({"type_": "tensor<?x?xf32>"}, "does not fit rank 1"),
        ({"type_": "tensor<?xf64>"}, "does not fit rank 1 of 'f32'|does not fit rank 1 of f32"),
        ({"where": '{\n^bb0(%w: index):\n"tw.yield"(%w) : (index) -> ()\n}'}, "region where yields"),
        ({"bounds": '{\n^bb0(%w: index):\n"tw.yield"(%w) : (index) -> ()\n}'}, "region bounds yields"),
        ({"fold": FOLD.format("argmax"), "type_": "tensor<f32>"}, "yields 1 values for 1 results, expected 2"),
        ({"fold": FOLD.format("add")}, "does not fit rank 0"),
    ],
)
def test_maps_and_folds(parts: dict[str, str], message: str) -> None:
    assert re.search(message, refused(domain_op(**parts)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (read("%x", ["%j", "%j"], [0, 0], "(tensor<?xf32>, index, index) -> f32"), "rank 1 has 2 subscripts"),
        (read("%x", ["%j"], [0, 0], "(tensor<?xf32>, index) -> f32"), "1 subscripts and 2 modes"),
        (read("%x", ["%j"], [0], "(tensor<?xf32>, index, index) -> f32", active="%j"), "active by index, expected i1"),
        (read("%x", ["%j"], [0], "(tensor<?xf32>, index, index) -> f32", otherwise="%j"), "'tw.read' of f32 has"),
        (read("%x", ["%j"], [0], "(tensor<?xf32>, index) -> f64"), "'tw.read' of f32 has"),
    ],
)
def test_reads(text: str, message: str) -> None:
    body = f"%v = {text}{PLACE}\n" + YIELD.replace("f32", text.rpartition(" ")[2])
    type_ = f"tensor<?x{text.rpartition(' ')[2]}>"
    assert message in refused(domain_op(body=body, type_=type_).replace(f"{type_}{PLACE}", type_))


TILES = "%v: memref<?xf32>, %i: index, %t: tensor<4xf32>, %u: tensor<4x2xf32>, %d: tensor<4xf64>, %g: tensor<2xindex>"
MAP = "(d0) -> (d0)"
IN = "(memref<?xf32>, index) -> tensor<4xf32>"
OUT = "(tensor<4xf32>, memref<?xf32>, index) -> ()"


def contract(types: str, *maps: str) -> str:
    listed = ", ".join(f"affine_map<(d0, d1) -> ({m})>" for m in maps)
    return f'%r = "tile.contract"(%t, %u, %t) {{maps = [{listed}]}} : {types}'


def reduce(axes: str, kind: str, type_: str) -> str:
    return f'%r = "tile.reduce"(%u) {{axes = array<i64: {axes}>, kinds = ["{kind}"], unsigned = false}} : (tensor<4x2xf32>) -> {type_}'


CONTRACTED = "(tensor<4xf32>, tensor<4x2xf32>, tensor<4xf32>) -> tensor<4xf32>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '"tile.grid"(%i) ({\n^bb0:\n"tile.yield"() : () -> ()\n}) {tiles = array<i64: 4>} : (index) -> ()',
            "one argument per axis",
        ),
        ("%r = " + load("%v", ["%i", "%i"], MAP, IN.replace("index", "index, index")), "rank 1 has 2 offsets"),
        ("%r = " + load("%v", ["%i"], "(d0, d1) -> (d0)", IN), "access map has 2 axes, the tile has 1"),
        ("%r = " + load("%v", ["%i"], MAP, IN.replace("4xf32", "4xf64")), "moves f64 and the view holds f32"),
        (
            "%r = " + load("%v", ["%i"], MAP, IN.replace("index)", "index, tensor<2xindex>)"), gathers={0: "%g"}),
            "has a gather or active",
        ),
        ("%r = " + load("%v", ["%i"], MAP, IN, guarded=[1]), "outside of the view or the tile"),
        ("%r = " + load("%v", ["%i"], MAP, IN, checked=[2]), "outside of the view or the tile"),
        (
            store("%t", "%v", ["%i"], MAP, OUT.replace("index)", "index, index)"), limits={1: "%i"}),
            "outside of the view or the tile",
        ),
        (
            '%r = "tile.stage"(%i) ({\n^bb0(%b: memref<4xf32>):\n"tile.yield"() : () -> ()\n}) {space = "cell"} : (index) -> memref<4xf32>',
            "1 sizes for 0 dynamic dims",
        ),
        (
            '%r = "tile.stage"() ({\n^bb0:\n"tile.yield"() : () -> ()\n}) {space = "cell"} : () -> memref<4xf32>',
            "argument is its buffer",
        ),
        (contract(CONTRACTED, "d0", "d1, d0", "d0"), "does not fit size"),
        (contract(CONTRACTED, "d0", "d0", "d0"), "for an operand"),
        (contract(CONTRACTED.replace("-> tensor<4xf32>", "-> tensor<2xf32>"), "d0", "d0, d1", "d0"), "and accumulates"),
        (reduce("2", "add", "tensor<4x2xf32>"), "over axes (2,)"),
        (reduce("1", "add", "tensor<2xf32>"), "gives shape (4,)"),
        (reduce("1", "argmax", "tensor<4xf32>"), "folds 2 values"),
        ('%r = "tile.broadcast"(%t) {axes = array<i64: 2>} : (tensor<4xf32>) -> tensor<4x2xf32>', "do not place"),
        ('%r = "tile.broadcast"(%t) {axes = array<i64: 1>} : (tensor<4xf32>) -> tensor<4x2xf32>', "does not fit shape"),
        ('%r = "tile.iota"() {axis = 1 : i64} : () -> tensor<4xindex>', "axis 1 of a tile of rank 1"),
        ('%r = "tile.splat"(%i) : (index) -> tensor<4xf32>', "'tile.splat' of index"),
    ],
)
def test_tiles(text: str, message: str) -> None:
    assert message in refused(spelled(f"func.func @f({TILES}) {{ {text}{PLACE}\n return }}"))
