"""Owns macros: a use is replaced by the macro's body, with the arguments put in unevaluated.

Hygiene: a body sees only its parameters, built-ins and macros, and the indices that it binds itself get fresh names
(``k@3``), so that nothing in an argument can be captured. The index parameters of ``def f[j](x)`` are the caller's
binders; their bounds go to the reductions over them. Arguments are expanded once and shared, so that the work is
linear in the result, which ``limits`` bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from tilewright.compiler.language import limits, tree
from tilewright.compiler.language.check.problems import Problems, note, replaced
from tilewright.compiler.language.check.vocabulary import CONSTANTS, CUMULATIVE, FUNCTIONS, INDEXED
from tilewright.compiler.language.span import Span
from tilewright.compiler.language.typed import DTYPES

Change = Callable[[tree.Expr], tree.Expr]

POISON = "@error"
"""The name that stands for an expression that an error was reported for."""


@dataclass(frozen=True)
class Definition:
    """A macro with the macros that its own file sees (the mapping grows while the file is loaded)."""

    macro: tree.Macro
    visible: Mapping[str, Definition] = field(compare=False, repr=False, hash=False)
    broken: bool = False  # an error was reported where it is defined or imported; its uses are not expanded


@dataclass(frozen=True)
class Use:
    """One use of a macro: what its names stand for. ``own`` renames the indices that the body binds."""

    definition: Definition
    site: Span
    params: Mapping[str, tree.Expr]
    binders: Mapping[str, tuple[tree.Binder, ...]]
    where: tree.Expr | None
    arguments: tuple[tree.Expr, ...]
    depth: int
    own: Mapping[str, str] = field(default_factory=dict)
    reduced: frozenset[str] = frozenset()

    @property
    def bounded(self) -> bool:
        return self.where is not None or any(b.lo is not None for bs in self.binders.values() for b in bs)

    def callers(self) -> frozenset[str]:
        """The names of the caller's binders."""
        return frozenset(b.name.id for bs in self.binders.values() for b in bs)


class ExpansionLimit(Exception):
    """The expanded kernel is too large; the error was reported."""


class Expander:
    """Expands the macros of one kernel."""

    def __init__(self, visible: Mapping[str, Definition], problems: Problems) -> None:
        self.visible = visible
        self.problems = problems
        self.nodes = 0
        self._fresh = 0
        self._sizes: dict[int, tuple[tree.Node, int]] = {}

    # ------------------------------------------------------------ what the kernel wrote

    def expand(self, expr: tree.Expr) -> tree.Expr:
        """``expr`` without macros."""
        self._count(expr.span)
        match expr:
            case tree.Call(name=name) if name.id in self.visible and name.id not in FUNCTIONS:
                return self._use(self.visible[name.id], expr, tuple(map(self.expand, expr.arguments)), (), None, 0)
            case tree.Reduce(name=name) if name.id in self.visible and name.id not in INDEXED:
                parts = self._parts(expr)
                return self._use(self.visible[name.id], expr, parts.arguments, parts.binders, parts.where, 0)
            case tree.Reduce():
                return self._parts(expr)
        return mapped(expr, self.expand)

    def _parts(self, expr: tree.Reduce) -> tree.Reduce:
        binders = tuple(map_binder(b, self.expand) for b in expr.binders)
        where = self.expand(expr.where) if expr.where else None
        return replace(expr, binders=binders, where=where, arguments=tuple(map(self.expand, expr.arguments)))

    def _count(self, span: Span, amount: int = 1) -> None:
        self.nodes += amount
        if self.nodes > limits.EXPANDED_NODES:
            message = f"this kernel has more than {limits.EXPANDED_NODES} operations once its macros are expanded"
            self.problems.add("TW0809", span, message)
            raise ExpansionLimit

    # ------------------------------------------------------------ one use

    def _use(
        self,
        definition: Definition,
        site: tree.Call | tree.Reduce,
        arguments: tuple[tree.Expr, ...],
        binders: tuple[tree.Binder, ...],
        where: tree.Expr | None,
        depth: int,
    ) -> tree.Expr:
        macro = definition.macro
        if definition.broken:
            return poison(site.span)
        if not self._fits(macro, site, arguments, binders):
            return poison(site.span)
        if depth >= limits.EXPANSION_DEPTH:
            self.problems.add("TW0810", site.span, f"macros are nested deeper than {limits.EXPANSION_DEPTH} uses")
            raise ExpansionLimit
        single = len(macro.indices) == 1
        groups = (binders,) if single else tuple((b,) for b in binders)
        formal = {index.id: group for index, group in zip(macro.indices, groups, strict=True)} if macro.indices else {}
        params = {p.id: a for p, a in zip(macro.params, arguments, strict=True)}
        use = Use(definition, site.span, params, formal, where, arguments, depth + 1)
        return self._body(macro.body, use)

    def _fits(
        self,
        macro: tree.Macro,
        site: tree.Call | tree.Reduce,
        arguments: tuple[tree.Expr, ...],
        binders: tuple[tree.Binder, ...],
    ) -> bool:
        name, here = macro.name.id, note(macro.span, f"`{macro.name.id}` is defined here")
        if len(arguments) != len(macro.params):
            self.problems.add(
                "TW0701",
                site.span,
                f"`{name}` takes {_many(len(macro.params), 'argument')}",
                expected=f"{name}{_indices(macro)}({', '.join(p.id for p in macro.params)})",
                found=_many(len(arguments), "argument"),
                notes=here,
            )
            return False
        many = len(macro.indices)
        if len(binders) != many and not (many == 1 and binders):
            self._wrong_indices(macro, site, binders)
            return False
        return True

    def _wrong_indices(
        self, macro: tree.Macro, site: tree.Call | tree.Reduce, binders: tuple[tree.Binder, ...]
    ) -> None:
        name = macro.name.id
        expected, found = f"{name}{_indices(macro)}(…)", _many(len(binders), "index", "indices")
        message = f"`{name}` takes {_many(len(macro.indices), 'index', 'indices')} in brackets"
        here = note(macro.span, f"`{name}` is defined here")
        self.problems.add("TW0702", site.name.span, message, expected=expected, found=found, notes=here)

    # ------------------------------------------------------------ a body

    def _body(self, expr: tree.Expr, use: Use) -> tree.Expr:
        span = expr.span.used_at(use.site)
        self._count(use.site)
        match expr:
            case tree.Name():
                return self._name(expr, span, use)
            case tree.Number():
                return replace(expr, span=span)
            case tree.Read():
                return self._read(expr, span, use)
            case tree.Guarded():
                read = self._body(expr.read, use)
                otherwise = self._body(expr.otherwise, use)
                return tree.Guarded(span, read, otherwise) if isinstance(read, tree.Read) else read
            case tree.Call():
                return self._call(expr, span, use)
            case tree.Reduce():
                return self._reduce(expr, span, use)
        return replace(mapped(expr, lambda e: self._body(e, use)), span=span)

    def _name(self, expr: tree.Name, span: Span, use: Use) -> tree.Expr:
        name = expr.id
        if name in use.own:
            return tree.Name(span, use.own[name])
        if name in use.params:
            return self._argument(name, span, use)
        if name in use.binders:
            return self._index(name, span, use)
        if name in CONSTANTS or name in DTYPES:
            return tree.Name(span, name)
        return poison(span)  # reported where the macro is defined

    def _argument(self, name: str, span: Span, use: Use) -> tree.Expr:
        argument = use.params[name]
        outside = frozenset(use.binders) - use.reduced
        if use.bounded and outside and free_names(argument) & use.callers():
            self._refuse_bounds(span, use)
        self._count(use.site, self._size(argument))
        return argument

    def _size(self, argument: tree.Node) -> int:
        """The nodes of an argument: it is shared by its uses, and every later stage meets each of them."""
        known = self._sizes.get(id(argument))
        if known is not None:
            return known[1]
        values = vars(argument).values()
        parts = (part for value in values for part in (value if isinstance(value, tuple) else (value,)))
        size = 1 + sum(self._size(part) for part in parts if isinstance(part, tree.Node))
        self._sizes[id(argument)] = (argument, size)
        return size

    def _index(self, name: str, span: Span, use: Use) -> tree.Expr:
        group = use.binders[name]
        if use.bounded and name not in use.reduced:
            self._refuse_bounds(span, use)
        if len(group) > 1:
            message = f"`{name}` stands for {len(group)} indices here, so it has no value of its own"
            self.problems.add("TW0705", span, message)
            return poison(span)
        return tree.Name(span, next(iter(group)).name.id)

    def _refuse_bounds(self, span: Span, use: Use) -> None:
        macro = use.definition.macro
        name = macro.name.id
        binders = ", ".join(b.name.id.split("@")[0] for bs in use.binders.values() for b in bs)
        condition = use.where.span.text if use.where else _range_text(use)
        first = use.arguments[0].span.text if use.arguments else "x"
        self.problems.add(
            "TW0704",
            use.site,
            f"`{name}` uses its index outside a reduction, so it cannot be bounded",
            expected=f"{name}[{binders}](…) without bounds: put the bound into the argument",
            notes=note(span, "the index is used here, outside a reduction over it"),
            fix=replaced(use.site, f"{name}[{binders}]({first} if {condition} else -inf)"),
        )

    def _read(self, expr: tree.Read, span: Span, use: Use) -> tree.Expr:
        target = self._body(expr.name, use) if expr.name.id in use.params else None
        if target is None:
            return poison(span)
        if not isinstance(target, tree.Name):
            message = f"`{expr.name.id}` is read with subscripts in the macro, so it must be given the name of a tensor"
            self.problems.add("TW0707", target.span, message, found=f"`{target.span.text}`")
            return poison(span)
        name = tree.Name(span, target.id)
        return tree.Read(span, name, tuple(self._body(s, use) for s in expr.subscripts))

    def _call(self, expr: tree.Call, span: Span, use: Use) -> tree.Expr:
        name = expr.name.id
        if name == "extent" and len(expr.arguments) == 1:
            extent = self._extent(expr.arguments[0], span, use)
            if extent is not None:
                return extent
        arguments = tuple(self._body(a, use) for a in expr.arguments)
        called = tree.Name(expr.name.span.used_at(use.site), name)
        if name in use.params:
            target = self._type_argument(name, use)
            return poison(span) if target is None else tree.Call(span, target, arguments)
        if name in use.definition.visible and name not in FUNCTIONS:
            nested = tree.Call(span, called, arguments)
            return self._use(use.definition.visible[name], nested, arguments, (), None, use.depth)
        if name not in FUNCTIONS and name not in INDEXED and name not in DTYPES:
            return poison(span)  # reported where the macro is defined
        return tree.Call(span, called, arguments)

    def _type_argument(self, name: str, use: Use) -> tree.Name | None:
        target = use.params[name]
        if not isinstance(target, tree.Name) or "@" in target.id:
            message = f"`{name}` is called in the macro `{use.definition.macro.name.id}`, so it must be given a type"
            self.problems.add("TW0707", target.span, message, expected="a type", found=f"`{target.span.text}`")
            return None
        if target.id in use.definition.visible or target.id in FUNCTIONS or target.id in INDEXED:
            message = "functions as arguments are not in the language: only values and types can be passed to a macro"
            self.problems.add("TW0903", target.span, message, expected="a type", found=f"the function `{target.id}`")
            return None
        return target

    def _extent(self, argument: tree.Expr, span: Span, use: Use) -> tree.Expr | None:
        """``extent(j)`` of an index parameter: the extents of the caller's binders, found from the arguments."""
        if not isinstance(argument, tree.Name) or argument.id not in use.binders:
            return None
        self._count(use.site, len(use.arguments))
        name = tree.Name(span, "extent")
        return tree.Reduce(span, name, use.binders[argument.id], None, use.arguments)

    def _reduce(self, expr: tree.Reduce, span: Span, use: Use) -> tree.Expr:
        if expr.name.id in CUMULATIVE:
            return self._cumulative(expr, span, use)
        binders, where, inner = self._binders(expr, use)
        if expr.where is not None:
            own = self._body(expr.where, inner)
            where = own if where is None else tree.Binary(span, "and", where, own)
        ranked = expr.name.id in ("argtop", "top")
        arguments = tuple(self._body(a, use if ranked and at else inner) for at, a in enumerate(expr.arguments))
        name = tree.Name(expr.name.span.used_at(use.site), expr.name.id)
        result = tree.Reduce(span, name, binders, where, arguments)
        if name.id in use.definition.visible and name.id not in INDEXED:
            return self._use(use.definition.visible[name.id], result, arguments, binders, where, use.depth)
        return result if name.id in INDEXED or name.id in FUNCTIONS else poison(span)

    def _binders(self, expr: tree.Reduce, use: Use) -> tuple[tuple[tree.Binder, ...], tree.Expr | None, Use]:
        """The binders of a reduction in a body, the caller's bound on them, and the use inside the reduction."""
        binders: list[tree.Binder] = []
        where: tree.Expr | None = None
        own, reduced = dict(use.own), set(use.reduced)
        for binder in expr.binders:
            name = binder.name.id
            if name in use.binders and name not in use.own:
                binders += [self._callers_binder(binder, one, use) for one in use.binders[name]]
                where = use.where
                reduced.add(name)
            else:
                own[name] = self._fresh_name(name)
                renamed = tree.Name(binder.name.span.used_at(use.site), own[name])
                binders.append(replace(map_binder(binder, lambda e: self._body(e, use)), name=renamed))
        return tuple(binders), where, replace(use, own=own, reduced=frozenset(reduced))

    def _callers_binder(self, binder: tree.Binder, given: tree.Binder, use: Use) -> tree.Binder:
        """The caller's binder; where it says no extent, the one that the body writes."""
        if given.extent is not None or given.lo is not None:
            return given
        own = map_binder(binder, lambda e: self._body(e, use))
        return replace(given, extent=own.extent, lo=own.lo, hi=own.hi)

    def _cumulative(self, expr: tree.Reduce, span: Span, use: Use) -> tree.Expr:
        binders = []
        for binder in expr.binders:
            name = self._name(binder.name, binder.name.span.used_at(use.site), use)
            if not isinstance(name, tree.Name):
                return poison(span)
            binders.append(replace(binder, name=name))
        arguments = tuple(self._body(a, use) for a in expr.arguments)
        return tree.Reduce(span, replace(expr.name, span=span), tuple(binders), None, arguments)

    def _fresh_name(self, name: str) -> str:
        self._fresh += 1
        return f"{name}@{self._fresh}"


def poison(span: Span) -> tree.Name:
    return tree.Name(span, POISON)


def mapped(expr: tree.Expr, change: Change) -> tree.Expr:
    """``expr`` with ``change`` applied to the expressions directly inside it (a reduction is the caller's affair)."""
    match expr:
        case tree.Read():
            return replace(expr, subscripts=tuple(map(change, expr.subscripts)))
        case tree.Guarded():
            read = change(expr.read)
            return replace(expr, read=read, otherwise=change(expr.otherwise)) if isinstance(read, tree.Read) else read
        case tree.Unary():
            return replace(expr, operand=change(expr.operand))
        case tree.Binary():
            return replace(expr, left=change(expr.left), right=change(expr.right))
        case tree.Compare():
            return replace(expr, operands=tuple(map(change, expr.operands)))
        case tree.IfElse():
            return replace(
                expr, condition=change(expr.condition), then=change(expr.then), otherwise=change(expr.otherwise)
            )
        case tree.Call():
            return replace(expr, arguments=tuple(map(change, expr.arguments)))
    return expr


def map_binder(binder: tree.Binder, change: Change) -> tree.Binder:
    """``binder`` with ``change`` applied to its extent and bounds."""

    def optional(expr: tree.Expr | None) -> tree.Expr | None:
        return None if expr is None else change(expr)

    return replace(binder, extent=optional(binder.extent), lo=optional(binder.lo), hi=optional(binder.hi))


def children(expr: tree.Expr) -> tuple[tree.Expr, ...]:
    """The expressions directly inside ``expr``, a reduction's bounds included, names that are called not."""
    match expr:
        case tree.Read(subscripts=subscripts):
            return subscripts
        case tree.Guarded(read=read, otherwise=otherwise):
            return (read, otherwise)
        case tree.Unary(operand=operand):
            return (operand,)
        case tree.Binary(left=left, right=right):
            return (left, right)
        case tree.Compare(operands=operands):
            return operands
        case tree.IfElse(condition=condition, then=then, otherwise=otherwise):
            return (condition, then, otherwise)
        case tree.Call(arguments=arguments):
            return arguments
        case tree.Reduce(binders=binders, where=where, arguments=arguments):
            bounds = tuple(e for b in binders for e in (b.extent, b.lo, b.hi) if e is not None)
            return (*bounds, *((where,) if where is not None else ()), *arguments)
    return ()


def free_names(expr: tree.Expr) -> frozenset[str]:
    """The names that ``expr`` mentions and does not bind itself (tensors that are read excluded)."""
    if isinstance(expr, tree.Name):
        return frozenset({expr.id})
    inner = frozenset(name for child in children(expr) for name in free_names(child))
    if isinstance(expr, tree.Reduce) and expr.name.id not in CUMULATIVE:
        return inner - {b.name.id for b in expr.binders}
    return inner


def _range_text(use: Use) -> str:
    """The range of the caller's binder as a condition."""
    for group in use.binders.values():
        for binder in group:
            if binder.lo is not None and binder.hi is not None:
                return f"{binder.lo.span.text} <= {binder.name.id} < {binder.hi.span.text}"
    return "…"


def _many(number: int, singular: str, plural: str | None = None) -> str:
    return f"{number} {singular if number == 1 else plural or singular + 's'}" if number else f"no {singular}"


def _indices(macro: tree.Macro) -> str:
    return f"[{', '.join(i.id for i in macro.indices)}]" if macro.indices else ""
