"""Owns the list of forms that the generator must keep producing; a form left out here is one nobody notices missing."""

from __future__ import annotations

from tests.fuzz.expressions import FLOATS, INTEGERS


def _named(prefix: str, names: str) -> set[str]:
    return {f"{prefix}{name}" for name in names.split()}


REQUIRED = frozenset(
    _named("float ", "+ - * / ** neg min max")
    | _named("int ", "+ - * / // % ** neg min max abs sign & | ^ << >> ~ if")
    | _named("compare ", "< <= > >= == != chain")
    | _named("bool ", "and or not")
    | _named("call: ", "exp exp2 log log2 log1p expm1 sqrt rsqrt sin cos tanh sigmoid erf")
    | _named("call: ", "abs sign floor ceil round detach")
    | {"odd: fma", "odd: pow", "odd: bitcast", "odd: bitcast 16", "odd: bitcast 32", "odd: count", "odd: extent"}
    | {"odd: inf", "odd: nan", "odd: from bool", "approx", "if", "table"}
    | {"odd: tf32", "int ** of data", "extreme of three", "reduce: mean of integers", "position: of two"}
    | {"layout: order", "layout: strided", "int contraction", "macro: type", "const: int", "bound: in, from a tensor"}
    | _named("reduce: ", "sum prod max min mean any all argmax argmin")
    | _named("int reduce: ", "sum prod max min")
    | {"contraction", "macro: value", "macro: index", "macro: extent"}
    | {f"input: {dtype}" for dtype in (*FLOATS, *INTEGERS, "bool", "T")}
    | {f"output: {dtype}" for dtype in (*FLOATS, *INTEGERS, "bool")}
    | {f"cast: to {dtype}" for dtype in (*FLOATS, *INTEGERS, "bool")}
    | {"cast: from float", "cast: from int", "cast: from bool"}
    | {"guard: read", "guard: zero", "guard: other value", "guard: gather", "guard: if", "guard: other extent"}
    | {"bound: dim", "bound: number", "bound: one", "bound: two", "bound: in, of a tensor"}
    | {"bound: in, before", "bound: in, after", "bound: in, window"}
    | _named("where: ", "order parity value both none triangle")
    | {f"subscript: {form}" for form in ("plain", "number", "reversed", "half", "clamped low", "clamped high")}
    | {"subscript: shifted", "subscript: scaled", "subscript: wrapped", "read: gather", "read: rank 0"}
    | {f"output: rank {rank}" for rank in range(4)}
    | {f"local: rank {rank}" for rank in range(4)}
    | {"local: float", "local: int", "local: bool", "outputs: one", "outputs: several"}
    | {"scalar: float", "scalar: int", "const: bool", "value: dim", "value: index"}
    | _named("literal: ", "float integer hex whole pi")
    | _named("data: ", "integers random positive cancelling tiny huge special")
)  # fmt: skip
