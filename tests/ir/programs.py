"""Small programs of both levels, as text, for the tests of what works on them."""

# ruff: noqa: E501 (lines of IR)
from __future__ import annotations

import itertools
import re


def spelled(text: str) -> str:
    """`text` with the segment sizes of ops whose values may have mixed types, which its types imply."""
    text = re.sub(r'("tw.yield"\([^)]*\)) : \(([^)]*)\)', _with_operand_sizes, text)
    text = re.sub(r"\{(indices = .*?\} : \(\) -> )(\([^)]*\)|tensor<[^>]*>)", _with_result_sizes, text, flags=re.DOTALL)
    return re.sub(
        r"(kinds = [^}]*)\} : \(tensor",
        rf"\1, operandSegmentSizes = {_ONE}, resultSegmentSizes = {_ONE}}} : (tensor",
        text,
    )


def _with_operand_sizes(match: re.Match[str]) -> str:
    return f"{match[1]} {{operandSegmentSizes = {_sizes(match[2])}}} : ({match[2]})"


def _with_result_sizes(match: re.Match[str]) -> str:
    return f"{{resultSegmentSizes = {_sizes(match[2].strip('()'))}, {match[1]}{match[2]}"


def _sizes(types: str) -> str:
    runs = [len(list(group)) for _, group in itertools.groupby(t.strip() for t in types.split(","))]
    return f"array<i32: {', '.join(map(str, [*runs, *[0] * (8 - len(runs))]))}>"


_ONE = _sizes("f32")

SOFTMAX = """
func.func @softmax(%x: tensor<?x?xf32> {tw.name = "x", tw.dtype = "f32", tw.role = "in", tw.shape = affine_map<()[s0, s1] -> (s0, s1)>})
    -> (tensor<?x?xf32> {tw.name = "y", tw.dtype = "f32", tw.role = "out"}) attributes {tw.dims = ["M", "N"]} {
  %m = "tw.fold"() ({
  ^bb0(%i: index, %j: index):
    %v = "tw.read"(%x, %i, %j) {modes = array<i64: 0, 0>, operandSegmentSizes = array<i32: 1, 2, 0, 0>} : (tensor<?x?xf32>, index, index) -> f32
    "tw.yield"(%v) : (f32) -> ()
  }, {}, {}) {indices = ["i", "j"], parallel = 1 : i64, kinds = ["max"], unsigned = false,
     extents = affine_map<()[s0, s1] -> (s0, s1)>, constraints = affine_map<(d0, d1)[s0, s1] -> ()>} : () -> tensor<?xf32>
  %e = "tw.map"() ({
  ^bb0(%i: index, %j: index):
    %v = "tw.read"(%x, %i, %j) {modes = array<i64: 0, 0>, operandSegmentSizes = array<i32: 1, 2, 0, 0>} : (tensor<?x?xf32>, index, index) -> f32
    %t = "tw.read"(%m, %i) {modes = array<i64: 0>, operandSegmentSizes = array<i32: 1, 1, 0, 0>} : (tensor<?xf32>, index) -> f32
    %d = arith.subf %v, %t : f32
    %p = math.exp %d : f32
    "tw.yield"(%p) : (f32) -> ()
  }, {}, {}) {indices = ["i", "j"], extents = affine_map<()[s0, s1] -> (s0, s1)>, constraints = affine_map<(d0, d1)[s0, s1] -> ()>} : () -> tensor<?x?xf32>
  %s = "tw.fold"() ({
  ^bb0(%i: index, %j: index):
    %v = "tw.read"(%e, %i, %j) {modes = array<i64: 0, 0>, operandSegmentSizes = array<i32: 1, 2, 0, 0>} : (tensor<?x?xf32>, index, index) -> f32
    "tw.yield"(%v) : (f32) -> ()
  }, {}, {}) {indices = ["i", "j"], parallel = 1 : i64, kinds = ["add"], unsigned = false,
     extents = affine_map<()[s0, s1] -> (s0, s1)>, constraints = affine_map<(d0, d1)[s0, s1] -> ()>} : () -> tensor<?xf32>
  %y = "tw.map"() ({
  ^bb0(%i: index, %j: index):
    %v = "tw.read"(%e, %i, %j) {modes = array<i64: 0, 0>, operandSegmentSizes = array<i32: 1, 2, 0, 0>} : (tensor<?x?xf32>, index, index) -> f32
    %t = "tw.read"(%s, %i) {modes = array<i64: 0>, operandSegmentSizes = array<i32: 1, 1, 0, 0>} : (tensor<?xf32>, index) -> f32
    %q = arith.divf %v, %t : f32
    "tw.yield"(%q) : (f32) -> ()
  }, {}, {}) {indices = ["i", "j"], extents = affine_map<()[s0, s1] -> (s0, s1)>, constraints = affine_map<(d0, d1)[s0, s1] -> ()>} : () -> tensor<?x?xf32>
  return %y : tensor<?x?xf32>
}
"""
SOFTMAX = spelled(SOFTMAX)


def read(
    tensor: str, subscripts: list[str], modes: list[int], types: str, active: str = "", otherwise: str = ""
) -> str:
    """The text of a ``tw.read``; `types` is its function type."""
    operands = ", ".join([tensor, *subscripts, *(v for v in (active, otherwise) if v)])
    sizes = f"1, {len(subscripts)}, {int(bool(active))}, {int(bool(otherwise))}"
    listed = f"array<i64: {', '.join(map(str, modes))}>"
    return f'"tw.read"({operands}) {{modes = {listed}, operandSegmentSizes = array<i32: {sizes}>}} : {types}'


def kernel(body: str, arguments: str, results: str, dims: str = '"N"') -> str:
    """A kernel ``@k`` at the tensor level around the text of its ops."""
    return spelled(f"func.func @k({arguments}) -> ({results}) attributes {{tw.dims = [{dims}]}} {{\n{body}\n}}")


def tensor_argument(value: str, name: str, element: str, shape: str, dtype: str = "") -> str:
    """An argument; `shape` is an affine map over the dim symbols such as ``()[s0] -> (s0)``."""
    rank = 0 if shape.endswith("()") else shape.rpartition("(")[2].count(",") + 1
    type_ = f"tensor<{'?x' * rank}{element}>"
    attributes = f'tw.name = "{name}", tw.dtype = "{dtype or element}", tw.role = "in", tw.shape = affine_map<{shape}>'
    return f"{value}: {type_} {{{attributes}}}"


def result(name: str, type_: str, dtype: str) -> str:
    return f'{type_} {{tw.name = "{name}", tw.dtype = "{dtype}", tw.role = "out"}}'


GEMM = """
module attributes {tile.plan = ["gemm"]} {
func.func @gemm(
    %a: memref<?x?xf32> {tile.name = "a", tile.role = "in", tile.dtype = "f32", tile.shape = affine_map<()[s0, s1, s2] -> (s0, s2)>},
    %b: memref<?x?xf32> {tile.name = "b", tile.role = "in", tile.dtype = "f32", tile.shape = affine_map<()[s0, s1, s2] -> (s2, s1)>},
    %c: memref<?x?xf32> {tile.name = "c", tile.role = "out", tile.dtype = "f32", tile.shape = affine_map<()[s0, s1, s2] -> (s0, s1)>},
    %M: index {tile.name = "M", tile.role = "dim"}, %N: index {tile.name = "N", tile.role = "dim"},
    %K: index {tile.name = "K", tile.role = "dim"}) attributes {tile.dims = ["M", "N", "K"]} {
  "tile.grid"(%M, %N) ({
  ^bb0(%i0: index, %j0: index):
    %z = arith.constant dense<0.0> : tensor<4x8xf32>
    %c0 = arith.constant 0 : index
    %c2 = arith.constant 2 : index
    %left = arith.subi %M, %i0 : index
    %right = arith.subi %N, %j0 : index
    %panel = "tile.stage"(%K) ({
    ^bb0(%buffer: memref<?x8xf32>):
      scf.for %k = %c0 to %K step %c2 {
        %rest = arith.subi %K, %k : index
        %t = "tile.load"(%b, %k, %j0, %rest, %right) {map = affine_map<(d0, d1) -> (d0, d1)>, gather_dims = array<i64>, limit_axes = array<i64: 0, 1>,
          guarded = array<i64>, checked = array<i64>, operandSegmentSizes = array<i32: 1, 2, 0, 2, 0, 0>} : (memref<?x?xf32>, index, index, index, index) -> tensor<2x8xf32>
        "tile.store"(%t, %buffer, %k, %c0, %rest) {map = affine_map<(d0, d1) -> (d0, d1)>, gather_dims = array<i64>, limit_axes = array<i64: 0>,
          guarded = array<i64>, combine = "none", operandSegmentSizes = array<i32: 1, 1, 2, 0, 1, 0>} : (tensor<2x8xf32>, memref<?x8xf32>, index, index, index) -> ()
      }
      "tile.yield"() : () -> ()
    }) {space = "cell"} : (index) -> memref<?x8xf32>
    %sum = scf.for %k = %c0 to %K step %c2 iter_args(%acc = %z) -> (tensor<4x8xf32>) {
      %rest = arith.subi %K, %k : index
      %x = "tile.load"(%a, %i0, %k, %left, %rest) {map = affine_map<(d0, d1) -> (d0, d1)>, gather_dims = array<i64>, limit_axes = array<i64: 0, 1>,
        guarded = array<i64>, checked = array<i64>, operandSegmentSizes = array<i32: 1, 2, 0, 2, 0, 0>} : (memref<?x?xf32>, index, index, index, index) -> tensor<4x2xf32>
      %y = "tile.load"(%panel, %k, %c0, %rest) {map = affine_map<(d0, d1) -> (d0, d1)>, gather_dims = array<i64>, limit_axes = array<i64: 0>,
        guarded = array<i64>, checked = array<i64>, operandSegmentSizes = array<i32: 1, 2, 0, 1, 0, 0>} : (memref<?x8xf32>, index, index, index) -> tensor<2x8xf32>
      %next = "tile.contract"(%x, %y, %acc) {maps = [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d2, d1)>,
        affine_map<(d0, d1, d2) -> (d0, d1)>]} : (tensor<4x2xf32>, tensor<2x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
      scf.yield %next : tensor<4x8xf32>
    }
    "tile.store"(%sum, %c, %i0, %j0, %left, %right) {map = affine_map<(d0, d1) -> (d0, d1)>, gather_dims = array<i64>, limit_axes = array<i64: 0, 1>,
      guarded = array<i64>, combine = "none", operandSegmentSizes = array<i32: 1, 1, 2, 0, 2, 0>} : (tensor<4x8xf32>, memref<?x?xf32>, index, index, index, index) -> ()
    "tile.yield"() : () -> ()
  }) {tiles = array<i64: 4, 8>} : (index, index) -> ()
  return
}
}
"""


def view(value: str, name: str, role: str, element: str, shape: str, dtype: str = "") -> str:
    """A view argument of a launch at the tile level."""
    rank = 0 if shape.endswith("()") else shape.rpartition("(")[2].count(",") + 1
    attributes = f'tile.name = "{name}", tile.role = "{role}", tile.dtype = "{dtype or element}", tile.shape = affine_map<{shape}>'
    return f"{value}: memref<{'?x' * rank}{element}> {{{attributes}}}"


def dim(name: str) -> str:
    return f'%{name}: index {{tile.name = "{name}", tile.role = "dim"}}'


def launch(body: str, arguments: list[str], dims: str = '"N"') -> str:
    """A module with one launch ``@l``."""
    head = f"func.func @l({', '.join(arguments)}) attributes {{tile.dims = [{dims}]}}"
    return spelled(f'module attributes {{tile.plan = ["l"]}} {{ {head} {{\n{body}\nreturn }} }}')


def load(view_: str, offsets: list[str], map_: str, types: str, **parts: object) -> str:
    """The text of a ``tile.load``; `parts`: gathers, limits (axis to value), active, otherwise, guarded, checked."""
    return _access("tile.load", [view_], offsets, map_, types, parts)


def store(tile: str, view_: str, offsets: list[str], map_: str, types: str, **parts: object) -> str:
    """The text of a ``tile.store``; `parts` as for `load`, and combine."""
    return _access("tile.store", [tile, view_], offsets, map_, types, parts)


def _access(name: str, first: list[str], offsets: list[str], map_: str, types: str, parts: dict[str, object]) -> str:
    gathers, limits = dict(parts.get("gathers", {})), dict(parts.get("limits", {}))  # type: ignore[call-overload]
    active, otherwise = [[parts[key]] if key in parts else [] for key in ("active", "otherwise")]
    groups = [offsets, list(gathers.values()), list(limits.values()), active]
    attributes = [f"map = affine_map<{map_}>", f"gather_dims = {_array(gathers)}", f"limit_axes = {_array(limits)}"]
    attributes.append(f"guarded = {_array(parts.get('guarded', ()))}")
    if name == "tile.load":
        groups.append(otherwise)
        attributes.append(f"checked = {_array(parts.get('checked', ()))}")
    else:
        attributes.append(f'combine = "{parts.get("combine", "none")}"')
    sizes = ", ".join(map(str, [*(1 for _ in first), *(len(group) for group in groups)]))
    attributes.append(f"operandSegmentSizes = array<i32: {sizes}>")
    operands = ", ".join([*first, *(str(value) for group in groups for value in group)])
    return f'"{name}"({operands}) {{{", ".join(attributes)}}} : {types}'


def _array(values: object) -> str:
    listed = ", ".join(str(value) for value in values)  # type: ignore[attr-defined]
    return f"array<i64: {listed}>" if listed else "array<i64>"
