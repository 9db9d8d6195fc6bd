"""Owns generated reads: plain subscripts, ones that are proved, guarded ones, gathers."""

from __future__ import annotations

from collections.abc import Sequence

from tests.fuzz.program import Draft, Index, Tensor

Scope = Sequence[Index]


def readable(draft: Draft, scope: Scope, dtypes: str) -> list[Tensor]:
    """Tensors whose dtype is a ``float``, ``int`` or ``bool``."""
    return [tensor for tensor in draft.tensors if kind_of(tensor.dtype) == dtypes]


def kind_of(dtype: str) -> str:
    if dtype == "bool":
        return "bool"
    return "int" if dtype[0] in "iu" else "float"


def read(draft: Draft, scope: Scope, tensor: Tensor, otherwise: str, depth: int = 1) -> str:
    """A read of ``tensor``, guarded with ``otherwise`` where it can leave."""
    subscripts, safe = [], True
    for extent in tensor.extents:
        text, proved = subscript(draft, scope, extent, depth)
        subscripts.append(text)
        safe = safe and proved
    if not subscripts:
        draft.use("read: rank 0")
        return tensor.name
    text = f"{tensor.name}[{', '.join(subscripts)}]"
    if safe and not draft.chance(0.03):
        return text
    draft.use("guard: read", "guard: other value" if otherwise not in ("0", "false") else "guard: zero")
    return f"({text} else {otherwise})"


def subscript(draft: Draft, scope: Scope, extent: str, depth: int) -> tuple[str, bool]:
    """``(text, whether it is inside for every shape)`` for an axis of the given extent."""
    own = [index for index in scope if index.extent == extent]
    if own and draft.chance(0.75):
        draft.use("subscript: plain")
        return draft.pick(own).name, True
    if depth > 0 and draft.chance(0.35):
        gathered = _gather(draft, scope, extent)
        if gathered is not None:
            return gathered
    if own:
        return _moved(draft, scope, draft.pick(own).name, extent)
    if scope and draft.chance(0.7):
        draft.use("guard: other extent")
        return draft.pick(scope).name, False
    draft.use("subscript: number")
    return str(draft.random.randint(0, 2)), False


def _moved(draft: Draft, scope: Scope, index: str, extent: str) -> tuple[str, bool]:
    forms = ["reversed", "half", "clamped low", "clamped high", "shifted", "shifted", "scaled", "wrapped"]
    if len(scope) > 3:  # the prover gives up on minima below many bounds
        forms.remove("clamped high")
    form = draft.pick(forms)
    draft.use(f"subscript: {form}")
    step = draft.random.randint(1, 2)
    text = {
        "reversed": f"{extent} - 1 - {index}",
        "half": f"{index} // 2",
        "clamped low": f"max({index} - {step}, 0)",
        "clamped high": f"min({index} + {step}, {extent} - 1)",
        "shifted": f"{index} {draft.pick('+-')} {step}",
        "scaled": f"{index} * 2 - {step}",
        "wrapped": f"({index} + {step}) % {extent}",
    }[form]
    return text, form not in ("shifted", "scaled")


def _gather(draft: Draft, scope: Scope, extent: str) -> tuple[str, bool] | None:
    """A subscript read from an integer tensor that holds valid ones."""
    sources = [tensor for tensor in draft.tensors if tensor.into == extent]
    if not sources or not draft.size(extent):
        return None
    source = draft.pick(sources)
    parts = [[index.name for index in scope if index.extent == own] for own in source.extents]
    if not all(parts):
        return None
    text = f"{source.name}[{', '.join(draft.pick(names) for names in parts)}]"
    if draft.chance(0.3):
        draft.use("guard: gather")
        return f"{text} {draft.pick('+-')} 1", False
    draft.use("read: gather")
    return text, True
