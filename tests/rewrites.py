"""Rewrites of a kernel's source tree that keep its meaning: what an author might as well have written.

``rewritten`` applies a seeded series of them: other names, commuted operands, binders and axes of locals in another
order, expressions that become locals, locals that become expressions, independent statements in another order. Sums
are never re-associated. A step that the checker refuses (a read outside of its protection, an index whose extent is
no longer known) is not taken.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tilewright.compiler.language import frontend, tree, typed
from tilewright.compiler.language.check.order import names_read
from tilewright.compiler.language.check.vocabulary import CUMULATIVE
from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.language.expand import children, free_names, map_binder, mapped

STEPS = 6
ONCE = ("rename", "commute")
"""Steps that need no repetition."""
ATTEMPTS = 60
ORDERED = frozenset({"argmax", "argmin", "argtop", "top", *CUMULATIVE})
"""Reductions whose result or meaning depends on the order of their binders."""


@dataclass(frozen=True)
class Rewritten:
    """The typed kernel of a rewritten tree, and which steps led to it."""

    kernel: typed.TypedKernel
    steps: tuple[str, ...]


def rewritten(checked: frontend.CheckedKernel, instance: typed.Instance, seed: int, steps: int = STEPS) -> Rewritten:
    """``checked`` after ``steps`` rewrites that changed it and that the checker takes."""
    generator = random.Random(seed)
    taken: list[str] = []
    kernel = frontend.instantiate(checked, instance)
    for _ in range(ATTEMPTS):
        if len(taken) == steps:
            break
        name = generator.choice([name for name in REWRITES if name not in ONCE or name not in taken])
        changed = REWRITES[name](_Source.of(checked), generator)
        if changed is None:
            continue
        candidate = changed.into(checked)
        try:
            kernel = frontend.instantiate(candidate, instance)
        except SourceErrors:
            continue
        checked = candidate
        taken.append(name)
    return Rewritten(kernel, tuple(taken))


@dataclass(frozen=True)
class _Source:
    """A kernel and its statements without macros."""

    kernel: tree.Kernel
    statements: tuple[tree.Statement, ...]

    @classmethod
    def of(cls, checked: frontend.CheckedKernel) -> _Source:
        return cls(checked.expanded.kernel, checked.expanded.statements)

    def into(self, checked: frontend.CheckedKernel) -> frontend.CheckedKernel:
        return replace(checked, expanded=replace(checked.expanded, kernel=self.kernel, statements=self.statements))

    @property
    def outputs(self) -> frozenset[str]:
        return frozenset(output.name.id for output in self.kernel.outputs)

    @property
    def arguments(self) -> frozenset[str]:
        return frozenset(p.name.id for p in (*self.kernel.tensors, *self.kernel.scalars))

    @property
    def locals(self) -> list[tree.Statement]:
        """Plain definitions of local names."""
        return [s for s in self.statements if s.name.id not in self.outputs and _is_plain(s)]

    def used(self) -> frozenset[str]:
        """Every name in the kernel."""
        names = {n.id for s in self.statements for root in _roots(s) for n in _names(root)}
        names |= {s.name.id for s in self.statements} | self.outputs | self.arguments
        return frozenset(names | {d.id for d in self.kernel.dims} | {p.name.id for p in self.kernel.type_params})

    def fresh(self, stem: str, generator: random.Random) -> str:
        used = self.used()
        while (name := f"{stem}{generator.randrange(1000)}") in used:
            continue
        return name


Rewrite = Callable[[_Source, random.Random], "_Source | None"]
Change = Callable[[tree.Expr], tree.Expr]


# ---------------------------------------------------------------- trees


def _is_plain(statement: tree.Statement) -> bool:
    """``t[i, j] = value`` with distinct indices."""
    if statement.op != "=" or statement.where is not None or isinstance(statement.value, tree.Table):
        return False
    names = [s.index.id for s in statement.subscripts or () if isinstance(s.index, tree.Name)]
    return len(set(names)) == len(statement.subscripts or ())


def _indices(statement: tree.Statement) -> list[str]:
    return [s.index.id for s in statement.subscripts or () if isinstance(s.index, tree.Name)]


def _roots(statement: tree.Statement) -> list[tree.Expr]:
    """The expressions of a statement, left subscripts and extents included."""
    roots = [e for s in statement.subscripts or () for e in (s.index, s.extent) if e is not None]
    return roots + [e for e in (statement.value, statement.where) if isinstance(e, tree.Expr)]


def _names(expr: tree.Expr) -> Iterator[tree.Name]:
    """Every name in an expression: read, called-with or bound."""
    yield from names_read(expr)
    for node in _nodes(expr):
        if isinstance(node, tree.Reduce):
            yield from (b.name for b in node.binders)


def _nodes(expr: tree.Expr) -> Iterator[tree.Expr]:
    yield expr
    for child in children(expr):
        yield from _nodes(child)


def _inside(expr: tree.Expr, change: Change) -> tree.Expr:
    """``expr`` with ``change`` applied to the expressions directly inside it."""
    if not isinstance(expr, tree.Reduce):
        return mapped(expr, change)
    where = None if expr.where is None else change(expr.where)
    binders = tuple(map_binder(b, change) for b in expr.binders)
    return replace(expr, binders=binders, where=where, arguments=tuple(map(change, expr.arguments)))


def _bottom_up(expr: tree.Expr, change: Change) -> tree.Expr:
    return change(_inside(expr, lambda inner: _bottom_up(inner, change)))


def _everywhere(source: _Source, change: Change) -> _Source:
    """Every expression of the statements changed, from the inside out."""
    return replace(source, statements=tuple(_changed(s, lambda e: _bottom_up(e, change)) for s in source.statements))


def _changed(statement: tree.Statement, change: Change) -> tree.Statement:
    def optional(expr: tree.Expr | None) -> tree.Expr | None:
        return None if expr is None else change(expr)

    subscripts = statement.subscripts
    if subscripts is not None:
        subscripts = tuple(replace(s, index=change(s.index), extent=optional(s.extent)) for s in subscripts)
    value = statement.value if isinstance(statement.value, tree.Table) else change(statement.value)
    return replace(statement, subscripts=subscripts, value=value, where=optional(statement.where))


# ---------------------------------------------------------------- names


def _rename(source: _Source, generator: random.Random) -> _Source:
    """Locals, indices and dims under new names."""
    dims = [d.id for d in source.kernel.dims]
    bound = {b.name.id for s in source.statements for e in _roots(s) for n in _nodes(e)
             if isinstance(n, tree.Reduce) for b in n.binders}  # fmt: skip
    own = {n for s in source.statements for n in _indices(s)} | bound | {s.name.id for s in source.locals}
    names: dict[str, str] = {}
    for old in sorted((own | set(dims)) - source.arguments - source.outputs):
        stem = generator.choice("ABEGHLPQ" if old in dims else "abeghlpq")
        while (new := f"{stem}{generator.randrange(10_000)}") in names.values() or new in source.used():
            continue
        names[old] = new
    return _renamed(source, names)


def _renamed(source: _Source, names: dict[str, str]) -> _Source:
    def name(node: tree.Name) -> tree.Name:
        return replace(node, id=names.get(node.id, node.id))

    def change(node: tree.Expr) -> tree.Expr:
        if isinstance(node, tree.Name):
            return name(node)
        if isinstance(node, tree.Read):
            return replace(node, name=name(node.name))
        if isinstance(node, tree.Reduce):
            return replace(node, binders=tuple(replace(b, name=name(b.name)) for b in node.binders))
        return node

    def deep(expr: tree.Expr) -> tree.Expr:
        return _bottom_up(expr, change)

    def param(item: tree.Param) -> tree.Param:
        return replace(item, shape=None if item.shape is None else tuple(map(deep, item.shape)))

    changed = _everywhere(source, change)
    kernel = source.kernel
    return _Source(
        replace(
            kernel,
            dims=tuple(map(name, kernel.dims)),
            tensors=tuple(map(param, kernel.tensors)),
            outputs=tuple(map(param, kernel.outputs)),
            requires=tuple(replace(r, condition=deep(r.condition)) for r in kernel.requires),
        ),
        tuple(replace(s, name=name(s.name)) for s in changed.statements),
    )


# ---------------------------------------------------------------- operands and orders

_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def _commute(source: _Source, generator: random.Random) -> _Source:
    """Operands of sums, products and comparisons exchanged, each with an even chance."""

    def change(node: tree.Expr) -> tree.Expr:
        if generator.random() < 0.5:
            return node
        if isinstance(node, tree.Binary) and node.op in ("+", "*", "&", "|", "^"):
            return replace(node, left=node.right, right=node.left)
        if isinstance(node, tree.Compare):
            turned = tuple(_TURNED[op] for op in reversed(node.ops))
            return replace(node, ops=turned, operands=tuple(reversed(node.operands)))
        return node

    return _everywhere(source, change)


def _permute_binders(source: _Source, generator: random.Random) -> _Source | None:
    """The indices of reductions in another order."""
    changed = 0

    def change(node: tree.Expr) -> tree.Expr:
        nonlocal changed
        if not isinstance(node, tree.Reduce) or len(node.binders) < 2 or node.name.id in ORDERED:
            return node
        changed += 1
        return replace(node, binders=tuple(generator.sample(node.binders, len(node.binders))))

    result = _everywhere(source, change)
    return result if changed else None


def _permute_axes(source: _Source, generator: random.Random) -> _Source | None:
    """The axes of a local in another order."""
    found = [s for s in source.locals if len(s.subscripts or ()) > 1]
    if not found:
        return None
    chosen = generator.choice(found)
    order = generator.sample(range(len(chosen.subscripts or ())), len(chosen.subscripts or ()))

    def change(node: tree.Expr) -> tree.Expr:
        if isinstance(node, tree.Read) and node.name.id == chosen.name.id:
            return replace(node, subscripts=tuple(node.subscripts[k] for k in order))
        return node

    turned = _everywhere(source, change)
    statements = [
        replace(s, subscripts=tuple((s.subscripts or ())[k] for k in order)) if s.name.id == chosen.name.id else s
        for s in turned.statements
    ]
    return replace(turned, statements=tuple(statements))


def _reorder(source: _Source, generator: random.Random) -> _Source | None:
    """The statements in another order that defines before it reads."""
    if len({s.name.id for s in source.statements}) < len(source.statements) or len(source.statements) < 2:
        return None
    waiting = list(source.statements)
    order: list[tree.Statement] = []
    while waiting:
        open_names = {s.name.id for s in waiting}
        ready = [s for s in waiting if not any(n.id in open_names for e in _roots(s) for n in names_read(e))]
        if not ready:
            return None
        order.append(generator.choice(ready))
        waiting.remove(order[-1])
    return replace(source, statements=tuple(order))


# ---------------------------------------------------------------- locals


def _split(source: _Source, generator: random.Random) -> _Source | None:
    """Some value inside a statement becomes a local."""
    number = generator.randrange(len(source.statements))
    statement = source.statements[number]
    if not _is_plain(statement):
        return None
    assert isinstance(statement.value, tree.Expr)
    extents = {s.index.id: s.extent for s in statement.subscripts or () if isinstance(s.index, tree.Name)}
    places = list(_values(statement.value, extents))
    if not places:
        return None
    chosen, known = generator.choice(places)
    local = source.fresh("local", generator)
    free = [name for name in known if name in free_names(chosen)]
    if any(known[name] is None and len(_dims_read(source, chosen, name)) > 1 for name in free):
        return None  # a local of its own would ask these dims to agree
    generator.shuffle(free)
    read = _read(chosen, local, free)
    value = _replaced(statement.value, chosen, read)
    subscripts = tuple(tree.Subscript(chosen.span, tree.Name(chosen.span, n), known[n]) for n in free)
    name = tree.Name(chosen.span, local)
    definition = tree.Statement(chosen.span, name, subscripts if free else None, "=", chosen, None)
    statements = list(source.statements)
    statements[number : number + 1] = [definition, replace(statement, value=value)]
    return replace(source, statements=tuple(statements))


def _dims_read(source: _Source, expr: tree.Expr, index: str) -> set[str]:
    """The dims of arguments that an index alone subscripts in an expression."""
    shapes = {param.name.id: param.shape or () for param in source.kernel.tensors}
    found, pending = set(), [expr]
    while pending:
        node = pending.pop()
        pending += children(node)
        if isinstance(node, tree.Read):
            pairs = zip(node.subscripts, shapes.get(node.name.id, ()), strict=False)
            found |= {size.span.text for at, size in pairs if isinstance(at, tree.Name) and at.id == index}
    return found


def _read(at: tree.Expr, local: str, free: Sequence[str]) -> tree.Expr:
    name = tree.Name(at.span, local)
    return tree.Read(at.span, name, tuple(tree.Name(at.span, n) for n in free)) if free else name


def _values(
    expr: tree.Expr, known: dict[str, tree.Expr | None]
) -> Iterator[tuple[tree.Expr, dict[str, tree.Expr | None]]]:
    """The expressions that compute values from tensors, with the extents of the indices around them; not what stands
    in subscripts, conditions and bounds, and nothing below a reduction over part of a range."""
    if isinstance(expr, tree.Binary | tree.Unary | tree.Call | tree.Reduce | tree.Guarded) and _reads_tensor(expr):
        yield expr, known
    match expr:
        case tree.Binary(left=left, right=right):
            inner: tuple[tree.Expr, ...] = (left, right)
        case tree.Unary(operand=operand):
            inner = (operand,)
        case tree.IfElse(then=then, otherwise=otherwise):
            inner = (then, otherwise)
        case tree.Call(arguments=arguments):
            inner = arguments
        case tree.Reduce(binders=binders, arguments=arguments):
            inner = arguments if all(b.lo is None for b in binders) else ()
            known = {**known, **{b.name.id: b.extent for b in binders}}
        case _:
            inner = ()
    for child in inner:
        yield from _values(child, known)


def _reads_tensor(expr: tree.Expr) -> bool:
    return any(isinstance(node, tree.Read) for node in _nodes(expr))


def _replaced(expr: tree.Expr, old: tree.Expr, new: tree.Expr) -> tree.Expr:
    """``expr`` with the very node ``old`` exchanged."""
    return new if expr is old else _inside(expr, lambda inner: _replaced(inner, old, new))


def _inline(source: _Source, generator: random.Random) -> _Source | None:
    """A local's value in place of each of its reads."""
    found = [s for s in source.locals if s.value is not None]
    if not found:
        return None
    chosen = generator.choice(found)
    assert isinstance(chosen.value, tree.Expr)
    value, indices = chosen.value, _indices(chosen)

    def change(node: tree.Expr) -> tree.Expr:
        if isinstance(node, tree.Name) and node.id == chosen.name.id and not indices:
            return _with_own_binders(value, {}, source, generator)
        if isinstance(node, tree.Read) and node.name.id == chosen.name.id:
            given = dict(zip(indices, node.subscripts, strict=True))
            return _with_own_binders(value, given, source, generator)
        return node

    rest = replace(source, statements=tuple(s for s in source.statements if s is not chosen))
    return _everywhere(rest, change)


def _with_own_binders(
    expr: tree.Expr, given: dict[str, tree.Expr], source: _Source, generator: random.Random
) -> tree.Expr:
    """``expr`` over the ``given`` subscripts, its reductions over indices of new names."""
    if isinstance(expr, tree.Name):
        return given.get(expr.id, expr)
    if isinstance(expr, tree.Reduce) and expr.name.id not in CUMULATIVE:
        names = {b.name.id: f"{source.fresh('v', generator)}_{generator.randrange(1000)}" for b in expr.binders}
        given = given | {old: tree.Name(expr.span, new) for old, new in names.items()}
        expr = replace(expr, binders=tuple(replace(b, name=replace(b.name, id=names[b.name.id])) for b in expr.binders))
    return _inside(expr, lambda inner: _with_own_binders(inner, given, source, generator))


REWRITES: dict[str, Rewrite] = {
    "rename": _rename,
    "commute": _commute,
    "permute binders": _permute_binders,
    "permute axes": _permute_axes,
    "reorder": _reorder,
    "split": _split,
    "inline": _inline,
}


def checked_of(module: frontend.Module, name: str, types: dict[str, str], consts: dict[str, Any]) -> Any:
    """A kernel of a module with the instance of these types and consts."""
    checked = module.kernels[name]
    wanted = {key: dtype for key, dtype in types.items() if key in checked.type_params}
    return checked, frontend.infer_instance(checked, {}, consts, wanted)
