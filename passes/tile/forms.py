"""Owns linear forms of index values: what a scalar of a tile program is in terms of dims, cells and loop variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tilewright.dialect import functions
from tilewright.dialect.affine import coefficients
from tilewright.dialect.mlir import ir


@dataclass(frozen=True)
class Form:
    """``constant + sum of coefficient * SSA value``; no coefficient is 0."""

    constant: int = 0
    terms: Mapping[Any, int] = field(default_factory=dict)

    @staticmethod
    def of(value: Any) -> Form:
        return Form(0, {value: 1})

    def plus(self, other: Form, factor: int) -> Form:
        terms = dict(self.terms)
        for value, coefficient in other.terms.items():
            terms[value] = terms.get(value, 0) + factor * coefficient
        return Form(self.constant + factor * other.constant, {v: c for v, c in terms.items() if c})

    def __add__(self, other: Form) -> Form:
        return self.plus(other, 1)

    def __sub__(self, other: Form) -> Form:
        return self.plus(other, -1)


def form_of(value: Any) -> Form:
    """The form of an index scalar; what is no sum is an atom."""
    owner = value.owner
    if isinstance(owner, ir.Block):
        return Form.of(value)
    if owner.name == "arith.constant":
        return Form(int(ir.IntegerAttr(owner.attributes["value"]).value))
    if owner.name in ("arith.addi", "arith.subi"):
        return form_of(owner.operands[0]).plus(form_of(owner.operands[1]), 1 if owner.name == "arith.addi" else -1)
    return Form.of(value)


def is_not_negative(form: Form) -> bool:
    """Whether a form is provably at least 0: dims and cells are, and so is what only adds them up."""
    return form.constant >= 0 and all(c > 0 and _is_dim_or_cell(value) for value, c in form.terms.items())


def _is_dim_or_cell(value: Any) -> bool:
    owner = value.owner
    return isinstance(owner, ir.Block) and owner.owner.operation.name in ("func.func", "tile.grid")


def size_forms(view: Any) -> list[Form] | None:
    """The sizes of an argument view over the dims of its function; None where they are no forms, and for buffers."""
    function = view.owner.owner.operation if isinstance(view.owner, ir.Block) else None
    if function is None or function.name != "func.func":
        return None
    described = functions.arguments_of(function, "tile")
    values = {a.name: v for a, v in zip(described, view.owner.arguments, strict=True) if a.role == "dim"}
    dims = [values[name] for name in functions.dims_of(function, "tile")]
    found = [_size_form(size, dims) for size in described[view.arg_number].shape.results]
    return None if None in found else [form for form in found if form is not None]


def _size_form(expression: Any, dims: list[Any]) -> Form | None:
    known = coefficients(expression, 0, len(dims))
    if known is None:
        return None
    _, symbols, constant = known
    return Form(constant, {dim: c for dim, c in zip(dims, symbols, strict=True) if c})
