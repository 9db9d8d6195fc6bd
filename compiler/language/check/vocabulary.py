"""Owns the words of the language: dtypes, type classes, built-in functions and reductions."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from tilewright.compiler.language.typed import DTYPES

FLOATS = ("f8e4m3", "f8e5m2", "f16", "bf16", "f32", "f64")
SIGNED = ("i8", "i16", "i32", "i64")
UNSIGNED = ("u8", "u16", "u32")
INTEGERS = SIGNED + UNSIGNED
CLASSES = {
    "float": ("f32", "f16", "bf16", "f64"),
    "int": ("i32", "i64", "i8", "i16"),
    "number": ("f32", "f16", "bf16", "f64", "i32", "i64", "i8", "i16", "u8", "u16", "u32"),
    "any": ("f32", "f16", "bf16", "f64", "i32", "i64", "i8", "i16", "u8", "u16", "u32", "bool", "f8e4m3", "f8e5m2"),
}
"""The dtypes of each type class, the representative first."""

CONSTANTS = frozenset({"inf", "nan", "pi", "true", "false"})
CONST_TYPES = frozenset({"int", "float", "bool"})
REDUCTIONS = frozenset({"sum", "prod", "max", "min", "mean", "any", "all", "argmax", "argmin"})
SELECTIONS = frozenset({"argtop", "top"})
CUMULATIVE = {"cumsum": "sum", "cumprod": "prod", "cummax": "max"}
INDEXED = REDUCTIONS | SELECTIONS | frozenset(CUMULATIVE)
"""What takes binders in brackets."""


@dataclass(frozen=True)
class Function:
    """A built-in: how many arguments it takes (``most`` None: any number) and over which values."""

    least: int
    most: int | None
    domain: str  # "float": computed in floats; "number": keeps integers; others are special


_UNARY_FLOAT = "exp exp2 log log2 log1p expm1 sqrt rsqrt sin cos tanh sigmoid erf floor ceil round".split()
FUNCTIONS = {
    **{name: Function(1, 1, "float") for name in _UNARY_FLOAT},
    "abs": Function(1, 1, "number"),
    "sign": Function(1, 1, "number"),
    "min": Function(2, None, "number"),
    "max": Function(2, None, "number"),
    "pow": Function(2, 2, "number"),
    "fma": Function(3, 3, "float"),
    "extent": Function(1, 1, "special"),
    "segment": Function(2, 2, "special"),
    "bitcast": Function(2, 2, "special"),
    "approx": Function(1, 1, "special"),
    "detach": Function(1, 1, "special"),
    "tf32": Function(1, 1, "special"),
    "rand": Function(2, 2, "special"),
}

RESERVED = frozenset(DTYPES) | frozenset(FUNCTIONS) | CONSTANTS | INDEXED | frozenset(CLASSES)
"""Names that a program cannot give to something of its own."""

NOT_IN_THE_LANGUAGE = {
    **dict.fromkeys(("u64", "c64", "c128", "complex", "complex64", "complex128"), "64-bit unsigned and complex types"),
    **dict.fromkeys(
        ("all_reduce", "allreduce", "all_gather", "allgather", "reduce_scatter", "all_to_all", "psum", "broadcast"),
        "collectives between devices",
    ),
    **dict.fromkeys(("sort", "argsort", "lexsort"), "sorts over several keys"),
}
"""What stays outside the language, by the names under which users look for it."""

_FOREIGN = {
    "float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64", "half": "f16", "double": "f64",
    "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64", "uint8": "u8", "uint16": "u16", "uint32": "u32",
    "fp16": "f16", "fp32": "f32", "fp64": "f64", "fp8": "f8e4m3", "f8": "f8e4m3", "int": "i32", "float": "f32",
    "log10": "log", "maximum": "max", "minimum": "min", "relu": "max", "power": "pow", "absolute": "abs", "fabs": "abs",
    "where": "a if c else b", "mod": "%", "len": "extent", "product": "prod", "average": "mean", "True": "true",
    "False": "false", "INFINITY": "inf", "NaN": "nan", "avg": "mean", "add": "sum",
}  # fmt: skip


def suggestion(name: str, known: frozenset[str] | set[str]) -> str | None:
    """The known name that was probably meant."""
    if name in _FOREIGN:
        return _FOREIGN[name]
    lower = {one.lower(): one for one in sorted(known)}
    if name.lower() in lower:
        return lower[name.lower()]
    close = get_close_matches(name, sorted(known), n=1, cutoff=0.7)
    return close[0] if close else None
