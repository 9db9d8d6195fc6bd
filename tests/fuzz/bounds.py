"""Owns generated bounds: binders of every form, ``where`` conditions, and conditions that protect a read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.fuzz.program import Draft, Index, Tensor

if TYPE_CHECKING:
    from tests.fuzz.expressions import Expressions

Scope = Sequence[Index]


def fresh_index(draft: Draft) -> Index:
    """A new index over a dim, or over a small number."""
    extent = draft.pick([*sorted(draft.sizes), *sorted(draft.sizes), "2", "3"])
    return Index(draft.fresh("j"), extent, draft.size(extent))


def with_extents(scope: Scope) -> list[Index]:
    """The indices that another reduction may use: one that ends at a value bounds no workspace (TW0901)."""
    return [index for index in scope if index.extent != "?"]


def binders(
    draft: Draft, scope: Scope, expressions: Expressions, most: int = 2, often: float = 0.2
) -> tuple[str, str, list[Index]]:
    """``(binders, where, scope inside)``: one or two bound indices (two as ``often`` as said), perhaps a condition."""
    scope = with_extents(scope)
    count = 2 if most > 1 and draft.chance(often) and len(scope) < 3 else 1
    texts, inner = [], list(scope)
    for _ in range(count):
        text, index = _binder(draft, scope)
        texts.append(text)
        inner.append(index)
    draft.use("bound: two" if count == 2 else "bound: one")
    if not draft.chance(0.35):
        return ", ".join(texts), "", inner
    return ", ".join(texts), f" where {_where(draft, inner, scope, expressions)}", inner


def _binder(draft: Draft, scope: Scope) -> tuple[str, Index]:
    index = fresh_index(draft)
    lengths = [tensor for tensor in draft.tensors if tensor.name.startswith("len") and _plain(tensor, scope)]
    form = draft.pick(["extent", "extent", "extent", "range", "range", "length"])
    if form == "length" and lengths:
        tensor = draft.pick(lengths)
        subscripts = ", ".join(_plain(tensor, scope) or [])
        if draft.chance(0.5):
            draft.use("bound: in, from a tensor")
            return f"{index.name} in {tensor.name}[{subscripts}] .. {index.extent}", Index(index.name, "?", 0)
        draft.use("bound: in, of a tensor")
        return f"{index.name} in 0 .. {tensor.name}[{subscripts}]", Index(index.name, "?", 0)
    free = [outer for outer in scope if outer.name.startswith("i")]
    if form == "range" and free:
        return _range(draft, free, index)
    draft.use(f"bound: {'dim' if index.extent in draft.sizes else 'number'}")
    return f"{index.name}: {index.extent}", index


def _plain(tensor: Tensor, scope: Scope) -> list[str] | None:
    """Indices of the scope that subscript ``tensor`` without any doubt."""
    names = []
    for extent in tensor.extents:
        own = [index.name for index in scope if index.extent == extent]
        if not own:
            return None
        names.append(own[0])
    return names


def _range(draft: Draft, scope: Scope, index: Index) -> tuple[str, Index]:
    """``in lo .. hi`` over part of a dim, so that the index may subscript that dim."""
    outer = draft.pick(scope)
    if outer.extent == "?":
        draft.use("bound: in")
        return f"{index.name} in 1 .. {outer.name} + 2", Index(index.name, "?", 0)
    form = draft.pick(["before", "after", "window"])
    draft.use(f"bound: in, {form}")
    lo, hi = {
        "before": ("0", f"{outer.name} + 1"),
        "after": (outer.name, outer.extent),
        "window": (f"max({outer.name} - 1, 0)", f"min({outer.name} + 2, {outer.extent})"),
    }[form]
    return f"{index.name} in {lo} .. {hi}", Index(index.name, outer.extent, outer.size)


def _where(draft: Draft, inner: Sequence[Index], scope: Scope, expressions: Expressions) -> str:
    bound = inner[-1].name
    form = draft.pick(["order", "parity", "value", "both", "none"])
    other = draft.pick(scope).name if scope else "1"
    draft.use(f"where: {form}")
    if form == "order":
        # `j <= i` alone would be a scan.
        return f"{bound} {draft.pick(['<= 1 +', '< 2 +', '>', '>= 1 +', '!='])} {other}".replace("> ", "> -1 + ")
    if form == "parity":
        return f"({bound} + {other}) % {draft.pick('23')} == 0"
    if form == "value":
        return expressions.boolean(inner, 0)
    if form == "both":
        return f"{bound} <= {other} + 1 {draft.pick(['and', 'or'])} {expressions.boolean(inner, 0)}"
    return f"{bound} < 0"


def protection(draft: Draft, scope: Scope) -> tuple[str, tuple[Tensor, str] | None]:
    """A condition that keeps a shifted read inside, and that read."""
    candidates = [t for t in draft.tensors if len(t.extents) == 1 and t.dtype != "bool"]
    if not candidates or not scope:
        return "true", None
    tensor = draft.pick(candidates)
    extent, step = tensor.extents[0], draft.random.randint(1, 2)
    index = draft.pick(scope)
    if draft.chance(0.5):
        return f"{index.name} + {step} < {extent}", (tensor, f"{tensor.name}[{index.name} + {step}]")
    condition = f"{index.name} >= {step} and {index.name} - {step} < {extent}"
    return condition, (tensor, f"{tensor.name}[{index.name} - {step}]")
