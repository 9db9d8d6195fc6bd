"""The compute rule: dtypes, conversions, constants; and the promises that every typed kernel keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.typed_kernels import checked, expressions, kernel, reads

from tilewright.compiler.language import typed
from tilewright.compiler.language.check.dtypes import is_float
from tilewright.compiler.language.frontend import instantiate, load_module
from tilewright.compiler.language.modules import LIBRARY
from tilewright.compiler.language.span import Source

DTYPED = ["bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "f8e4m3", "f8e5m2", "f16", "bf16", "f32", "f64"]
HEADER = "kernel f[N](" + ", ".join(f"t_{d}: {d}[N]" for d in DTYPED) + "; s: f32, const c: int = 3) -> (y: {0}[N]):\n"


def value(expression: str, dtype: str = "f32") -> typed.Expr:
    """The value of a statement that stores ``expression``, under the rounding to what is stored."""
    stored = kernel(f"{HEADER.format('f64')}    r[i: N] = {expression}\n    y[i] = f64(r[i])\n").statements[0]
    return stored.value


RULES = [
    ("t_f16[i] + t_f16[i]", "f32"),
    ("t_f16[i] * t_bf16[i]", "f32"),
    ("t_f8e4m3[i] * t_f8e5m2[i]", "f32"),
    ("t_f32[i] + t_f64[i]", "f64"),
    ("t_f16[i] + t_f64[i]", "f64"),
    ("t_i8[i] + t_i8[i]", "i32"),
    ("t_u8[i] + t_i16[i]", "i32"),
    ("t_u16[i] * t_u16[i]", "i32"),
    ("t_i32[i] + t_i64[i]", "i64"),
    ("t_u32[i] + t_i32[i]", "i64"),
    ("t_u32[i] + t_u8[i]", "i64"),
    ("t_u32[i] + t_u32[i]", "u32"),
    ("t_u32[i] + 1", "u32"),
    ("t_i64[i] + t_f16[i]", "f32"),
    ("t_i32[i] + t_f64[i]", "f64"),
    ("t_bool[i] + t_bool[i]", "i32"),
    ("t_bool[i] * t_f32[i]", "f32"),
    ("t_i32[i] / t_i32[i]", "f32"),
    ("t_i32[i] // t_i32[i]", "i32"),
    ("t_i32[i] * 0.5", "f32"),
    ("t_f64[i] * 0.1", "f64"),
    ("t_f64[i] * (0.1 + i)", "f64"),
    ("t_f64[i] * (N / 3)", "f64"),
    ("t_f16[i] * i", "f32"),
    ("i * 2", "i64"),
    ("i / 2", "f32"),
    ("0.5", "f32"),
    ("N", "i64"),
    ("exp(i)", "f32"),
    ("exp(t_i32[i])", "f32"),
    ("exp(t_f64[i])", "f64"),
    ("abs(t_i8[i])", "i32"),
    ("max(t_i32[i], 0)", "i32"),
    ("max(t_i32[i], 0.5)", "f32"),
    ("f16(t_f32[i])", "f32"),
    ("i8(t_f32[i])", "i32"),
    ("u32(t_f32[i])", "u32"),
    ("bitcast(u16, t_bf16[i])", "i32"),
    ("bitcast(f32, t_i32[i])", "f32"),
    ("t_i32[i] > 0", "bool"),
    ("t_f32[i] if t_bool[i] else t_f64[i]", "f64"),
    ("t_bool[i] if i > 3 else true", "bool"),
    ("sum[k](t_bool[k])", "i32"),
    ("sum[k](t_f16[k])", "f32"),
    ("sum[k: 4](k)", "i64"),
    ("mean[k](t_i32[k])", "f32"),
    ("mean[k](t_f64[k])", "f64"),
    ("max[k](t_u8[k])", "i32"),
    ("any[k](t_bool[k])", "bool"),
    ("argmax[k](t_f32[k])", "i64"),
    ("top[k](t_f16[k], 0)", "f32"),
    ("t_i32[i] ** 2", "i32"),
    ("t_f32[i] ** 2", "f32"),
    ("t_u8[i] << 2", "i32"),
    ("~t_i32[i]", "i32"),
    ("t_bool[i] & t_bool[i]", "bool"),
    ("rand(7, i)", "f32"),
    ("(t_f16[i - 1] else 0)", "f32"),
    ("c * 2", "i64"),
    ("s * 2", "f32"),
    ("tf32(t_f32[i])", "f32"),
    ("detach(t_f64[i])", "f64"),
]


@pytest.mark.parametrize(("expression", "dtype"), RULES, ids=[rule[0] for rule in RULES])
def test_compute_rule(expression: str, dtype: str) -> None:
    found = kernel(f"{HEADER.format('f64')}    r[i: N] = {expression}\n    y[i] = f64(r[i])\n")
    assert found.statements[0].dtype == dtype


def test_a_cast_rounds_and_widens_again() -> None:
    match value("f16(t_f32[i])"):
        case typed.Cast(dtype="f32", operand=typed.Cast(dtype="f16", operand=typed.Read())):
            return
    pytest.fail("no rounding")


def test_a_cast_to_the_own_type_is_nothing() -> None:
    match value("bf16(t_bf16[i])"):
        case typed.Cast(dtype="f32", operand=typed.Read(dtype="bf16")):
            return
    pytest.fail("a cast too many")


def test_a_stored_value_is_rounded_to_the_output() -> None:
    found = kernel("kernel f<T: float>[N](x: T[N]) -> (y: T[N]):\n    y[i] = 2 * x[i]\n", {"T": "bf16"})
    stored = found.statements[0].value
    assert isinstance(stored, typed.Cast)
    assert (stored.dtype, stored.operand.dtype) == ("bf16", "f32")


def test_an_accumulating_statement_rounds_once() -> None:
    found = kernel("kernel f[N](x: f16[N]) -> (y: f16[N]):\n    y[i] += 2 * x[i]\n")
    assert (found.statements[0].value.dtype, found.statements[0].dtype) == ("f32", "f16")


def test_a_const_condition_folds_away() -> None:
    header = "kernel f[N](x: f32[N]; const c: bool = true) -> (y: f32[N]):\n"
    text = f"{header}    y[i] = sum[k where not c or k <= i](x[k]) if c else x[i]\n"
    on, off = kernel(text), kernel(text, c=False)
    assert isinstance(on.statements[0].value, typed.Reduce)
    assert isinstance(on.statements[0].value.where, typed.Compare)
    assert isinstance(off.statements[0].value, typed.Read)


def test_values_are_compared_with_indices_exactly() -> None:
    found = value("t_u8[i] < i")
    assert isinstance(found, typed.Compare)
    assert found.left.dtype == found.right.dtype == "index"


def test_subscripts_are_computed_in_indices() -> None:
    [found] = reads(kernel(HEADER.format("f32") + "    y[i] = (t_f32[t_i8[i] * 300 + i] else 0)\n"), "t_f32")
    [subscript] = found.subscripts
    assert isinstance(subscript, typed.Binary)
    assert subscript.dtype == subscript.left.dtype == "index"


# ---------------------------------------------------------------- promises


def library_files() -> list[Path]:
    return sorted(LIBRARY.glob("*.tw")) + sorted((LIBRARY.parent.parent / "examples").glob("*.tw"))


@pytest.mark.parametrize("path", library_files(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_promises_hold_for_every_instance_of_the_library(path: Path) -> None:
    for found in load_module(Source(path.name, path.read_text()), path.parent).kernels.values():
        allowed = max((len(types) for types in found.type_params.values()), default=1)
        for which in range(allowed):
            types = tuple((name, dtypes[which]) for name, dtypes in found.type_params.items())
            consts = tuple((name, value) for name, value in found.consts.items() if value is not None)
            check_promises(instantiate(found, typed.Instance(types, consts)))


def check_promises(found: typed.TypedKernel) -> None:
    dtypes = {*typed.DTYPES, typed.INDEX}
    names = [i.index for s in found.statements for i in s.indices]
    names += [b.index for e in expressions(found) if isinstance(e, typed.Reduce) for b in e.binders]
    assert len(names) == len(set(names))
    for expr in expressions(found):
        assert expr.dtype in dtypes
        check_operands(expr)
    for statement in found.statements:
        assert statement.op != "=" or statement.value.dtype == statement.dtype


def check_operands(expr: typed.Expr) -> None:
    match expr:
        case typed.Binary(op=op, left=left, right=right):
            assert left.dtype == right.dtype == expr.dtype
            assert op != "/" or is_float(expr.dtype)
        case typed.Compare(left=left, right=right):
            assert (expr.dtype, left.dtype) == ("bool", right.dtype)
        case typed.Logical(left=left, right=right):
            assert expr.dtype == left.dtype == right.dtype == "bool"
        case typed.Select(condition=condition, then=then, otherwise=otherwise):
            assert (condition.dtype, then.dtype, otherwise.dtype) == ("bool", expr.dtype, expr.dtype)
        case typed.Guarded(read=read, otherwise=otherwise):
            assert read.dtype == otherwise.dtype == expr.dtype
        case typed.Read(subscripts=subscripts, access=access):
            assert all(s.dtype == typed.INDEX for s in subscripts)
            assert len(access) == len(subscripts)
        case typed.Cast(operand=operand):
            assert operand.dtype != expr.dtype


def test_checked_kernels_say_what_they_take() -> None:
    header = "# Twice.\nkernel f<T: f16 | bf16>[N](x: T[N]; a: f32, const c: int = 2) -> (y: T[N]):\n"
    found = checked(f"{header}    y[i] = a * c * x[i]\n")
    assert (found.name, found.doc, found.dims) == ("f", "Twice.", ("N",))
    assert found.type_params == {"T": ("f16", "bf16")}
    assert found.consts == {"c": 2}
    assert [p.name.id for p in found.params] == ["x", "a", "c"]
