"""Owns reductions: each ``Reduce`` becomes one ``tw.fold`` that stands before the statement that reads it.

The fold's result axes are the indices that it uses and does not bind, in the order of the kernel; its reduced indices
are its binders. Inner reductions come first: the outer one reads them like any tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tilewright.compiler.emit_convert import convert
from tilewright.compiler.emit_domain import (
    UNBOUNDED,
    Affine,
    Bounds,
    bounds_of,
    concrete,
    conjuncts,
    unguarded_axis,
)
from tilewright.compiler.emit_refuse import refuse
from tilewright.compiler.emit_scalar import INDEX_STORAGE, FoldValue, Locations, Names, Path, Scalars, both
from tilewright.compiler.emit_types import constant, kind_of
from tilewright.compiler.emit_walk import FreeIndices, children, has_checked_read
from tilewright.compiler.language.typed import (
    INDEX,
    Compare,
    Expr,
    Index,
    Literal,
    Logical,
    Reduce,
    Select,
)
from tilewright.dialect import tensor as tw
from tilewright.dialect.faults import InternalFault
from tilewright.dialect.folds import FoldKind
from tilewright.dialect.mlir import arith, ir

_KINDS = {
    "sum": FoldKind.ADD,
    "mean": FoldKind.ADD,
    "prod": FoldKind.MUL,
    "max": FoldKind.MAX,
    "min": FoldKind.MIN,
    "any": FoldKind.OR,
    "all": FoldKind.AND,
    "argmax": FoldKind.ARGMAX,
    "argmin": FoldKind.ARGMIN,
}
POSITION = INDEX_STORAGE
"""The dtype in which positions and index values are folded."""


@dataclass
class Folds:
    """Emits the reductions of one statement; ``scope`` are the indices in order, outermost first."""

    names: Names
    dims: tuple[str, ...]
    free: FreeIndices
    locations: Locations

    def hoist(self, expr: Expr, scope: tuple[str, ...], path: Path = ()) -> None:
        """Emit every reduction below ``expr`` at the current insertion point, inner ones first."""
        if isinstance(expr, Reduce):
            self._reduce(expr, scope, path)
            return
        for child, child_path in _with_paths(expr, path):
            self.hoist(child, scope, child_path)

    def _reduce(self, expr: Reduce, scope: tuple[str, ...], path: Path) -> None:
        if id(expr) in self.names.folds:
            return
        if expr.op not in _KINDS or expr.scan is not None:
            raise refuse(expr.span, f"`{expr.op}`" + (" as a scan" if expr.scan is not None else ""))
        for binder in expr.binders:
            self.hoist(binder.lo, scope, path)
            self.hoist(binder.hi, scope, path)
        bounds = self._register(expr, scope)
        inner = (*scope, *(binder.index for binder in expr.binders))
        protected = (*path, *((c, True) for c in _value_bounds(expr, bounds)))
        condition = _conjunction(conjuncts(expr.where))
        if condition is not None:
            self.hoist(condition, inner, protected)
            protected = (*protected, (condition, True))
        self.hoist(expr.body, inner, protected)
        with self.locations.at(expr.span):
            self.names.folds[id(expr)] = _Reduction(self, expr, scope, bounds, path).emit()

    def _register(self, expr: Reduce, scope: tuple[str, ...]) -> tuple[Bounds, ...]:
        """Settle what each binder runs over, so that inner reductions can have it as an axis."""
        chosen = []
        for binder in expr.binders:
            affine = self.affine(scope)
            bounds = bounds_of(binder, affine, expr.body, self._axis_extent)
            self.names.ranges[binder.index] = bounds.range
            chosen.append(bounds)
        return tuple(chosen)

    def affine(self, order: Sequence[str]) -> Affine:
        """Affine forms over the indices of ``order``, numbered by position."""
        return Affine(self.dims, self.names.ranges, {name: k for k, name in enumerate(order)})

    def _axis_extent(self, index: str, body: Expr) -> Any | None:
        place = unguarded_axis(index, body)
        if place is None:
            return None
        tensor, axis = place
        return self.affine(()).expression(self.names.shapes[tensor][axis])


@dataclass
class _Reduction:
    """One reduction on its way to a ``tw.fold``."""

    folds: Folds
    expr: Reduce
    scope: tuple[str, ...]
    bounds: tuple[Bounds, ...]
    path: Path

    def emit(self) -> FoldValue:
        if self.expr.op == "mean":
            return self._mean()
        return self._fold(_KINDS[self.expr.op], self.expr.body)

    def _mean(self) -> FoldValue:
        """A sum and the number of points: a product of lengths, or another fold where a condition selects points."""
        total = self._fold(FoldKind.ADD, self.expr.body)
        dtype = self.expr.dtype
        if not conjuncts(self.expr.where):
            return FoldValue(total.results, total.indices, lambda s, v: arith.divf(v[0], self._length(s, dtype)))
        one = Literal(self.expr.span, POSITION, 1)
        count = self._fold(FoldKind.ADD, one)

        def finish(scalars: Scalars, values: tuple[Any, ...]) -> Any:
            return arith.divf(values[0], convert(_read_all(scalars, count)[0], POSITION, dtype))

        return FoldValue(total.results, total.indices, finish)

    def _length(self, scalars: Scalars, dtype: str) -> Any:
        """The number of points of the bounds, as ``dtype``."""
        length: Any = None
        for binder in self.expr.binders:
            size = arith.maxsi(_extent(scalars, binder.lo, binder.hi), constant(INDEX, 0))
            length = size if length is None else arith.muli(length, size)
        return convert(length, INDEX, dtype)

    # ------------------------------------------------------------ the fold

    def _fold(self, kind: FoldKind, element: Expr) -> FoldValue:
        parallel = self._parallel(element)
        binders = tuple(binder.index for binder in self.expr.binders)
        order = (*parallel, *binders)
        affine = self.folds.affine(order)
        constraints, rest = self._split_condition(affine, order)
        domain = tw.Domain(order, len(parallel), self._extents(order), self._map(order, constraints))
        path = self._body_path(element)
        results = tw.fold(
            domain,
            [kind],
            self._region(order, lambda s: self._element(s, kind, element, path)),
            unsigned=kind_of(element.dtype).unsigned,
            bounds=self._bounds_region(parallel) if any(b.values for b in self.bounds) else None,
            where=self._region(order, lambda s: [_all(s, rest, self.path)]) if rest else None,
            loc=self.folds.locations.at(self.expr.span),
        )
        return FoldValue(tuple(results), parallel, self._finish(kind, element.dtype))

    def _parallel(self, element: Expr) -> tuple[str, ...]:
        """The free indices, those of the path included where a read may only happen under it."""
        parts = [element, *(e for b in self.expr.binders for e in (b.lo, b.hi))]
        if self.expr.where is not None:
            parts.append(_conjunction(conjuncts(self.expr.where)) or self.expr.where)
        if has_checked_read(*parts):
            parts += [condition for condition, _ in self.path]
        bound = {binder.index for binder in self.expr.binders}
        used = frozenset[str]().union(*(self.folds.free(part) for part in parts)) - bound
        needed = self._needed_by(used | bound)
        return tuple(name for name in self.scope if name in used | needed)

    def _needed_by(self, names: frozenset[str] | set[str]) -> frozenset[str]:
        """Indices that the shifts and constraints of ``names`` mention, transitively."""
        found: set[str] = set()
        todo = list(names)
        while todo:
            range_ = self.folds.names.ranges[todo.pop()]
            mentioned = [*range_.constraints, *([] if range_.shift is None else [range_.shift])]
            new = frozenset[str]().union(*(self.folds.free(e) for e in mentioned)) - found
            found |= new
            todo += new
        return frozenset(found)

    def _split_condition(self, affine: Affine, order: Sequence[str]) -> tuple[list[Any], list[Expr]]:
        """The affine part of the condition, those of the indices included, and the conjuncts that must be evaluated."""
        wanted = [c for name in order for c in self.folds.names.ranges[name].constraints]
        wanted += conjuncts(self.expr.where)
        constraints: list[Any] = []
        rest: list[Expr] = []
        for condition in wanted:
            found = affine.constraints(condition)
            if found is None:
                rest.append(condition)
            else:
                constraints += found
        return constraints, rest

    def _extents(self, order: Sequence[str]) -> Any:
        bound = {binder.index for binder in self.expr.binders}
        extents = [self._extent(name, name in bound) for name in order]
        return ir.AffineMap.get(0, len(self.folds.dims), extents)

    def _extent(self, name: str, is_bound: bool) -> Any:
        range_ = self.folds.names.ranges[name]
        if range_.extent is not None:
            return range_.extent
        if is_bound:
            return ir.AffineExpr.get_constant(UNBOUNDED)
        if range_.storage is not None:
            return range_.storage
        raise refuse(
            self.expr.span, f"a reduction inside one whose index `{name}` ends at a value",
            f"bound `{name}` by a dim and put the rest into `where`",
        )  # fmt: skip

    def _map(self, order: Sequence[str], results: Sequence[Any]) -> Any:
        return ir.AffineMap.get(len(order), len(self.folds.dims), list(results))

    def _body_path(self, element: Expr) -> Path:
        if not has_checked_read(element):
            return ()
        condition = _conjunction(conjuncts(self.expr.where))
        return self.path if condition is None else (*self.path, (condition, True))

    def _end_path(self, end: Expr) -> Path:
        return self.path if has_checked_read(end) else ()

    def _element(self, scalars: Scalars, kind: FoldKind, element: Expr, path: Path) -> list[Any]:
        value = scalars.emit(element, path)
        if element.dtype == INDEX:
            value = convert(value, INDEX, POSITION)
        if kind not in (FoldKind.ARGMAX, FoldKind.ARGMIN):
            return [value]
        return [value, convert(self._position(scalars), INDEX, POSITION)]

    def _position(self, scalars: Scalars) -> Any:
        """The index itself, before its shift, or the row-major number of several: each counts to where it ends."""
        if len(self.expr.binders) == 1:
            return scalars.arguments[self.expr.binders[0].index]
        position: Any = None
        for binder in self.expr.binders:
            at = scalars.emit(Index(self.expr.span, INDEX, binder.index))
            if position is not None:
                at = arith.addi(arith.muli(position, scalars.emit(binder.hi, self._end_path(binder.hi))), at)
            position = at
        return position

    def _finish(self, kind: FoldKind, dtype: str) -> Callable[[Scalars, tuple[Any, ...]], Any]:
        """How the values of the fold become the value of the expression, where they are read."""
        if kind in (FoldKind.ARGMAX, FoldKind.ARGMIN):
            return self._position_read
        if dtype == INDEX:
            return lambda scalars, values: convert(values[0], POSITION, INDEX)
        return lambda scalars, values: values[0]

    def _position_read(self, scalars: Scalars, values: tuple[Any, ...]) -> Any:
        """The position in the language's index: shifted, and still -1 over no points."""
        position = convert(values[1], POSITION, INDEX)
        shift = self.folds.names.ranges[self.expr.binders[0].index].shift
        if shift is None or len(self.expr.binders) > 1:
            return position
        found = arith.cmpi(arith.CmpIPredicate.sge, position, constant(INDEX, 0))
        return arith.select(found, arith.addi(position, scalars.emit(shift)), constant(INDEX, -1))

    def _region(self, order: Sequence[str], build: Callable[[Scalars], list[Any]]) -> Callable[..., list[Any]]:
        def fill(*arguments: Any) -> list[Any]:
            return build(Scalars(self.folds.names, dict(zip(order, arguments, strict=True)), self.folds.locations))

        return fill

    def _bounds_region(self, parallel: Sequence[str]) -> Callable[..., list[Any]]:
        def ends(scalars: Scalars) -> list[Any]:
            values = []
            for binder, bounds in zip(self.expr.binders, self.bounds, strict=True):
                values += self._ends_of(scalars, binder.index, bounds)
            return values

        return self._region(parallel, ends)

    def _ends_of(self, scalars: Scalars, index: str, bounds: Bounds) -> list[Any]:
        if bounds.values is not None:
            return [scalars.emit(end, self._end_path(end)) for end in bounds.values]
        raise_free = self.folds.names.ranges[index].extent
        return [constant(INDEX, 0), affine_value(raise_free, self.folds.dims)]


def _read_all(scalars: Scalars, fold: FoldValue) -> tuple[Any, ...]:
    at = [scalars.arguments[name] for name in fold.indices]
    return tuple(tw.read(result, at, [tw.ReadMode.PROVED] * len(at)) for result in fold.results)


def _extent(scalars: Scalars, lo: Expr, hi: Expr) -> Any:
    return arith.subi(scalars.emit(hi), scalars.emit(lo))


def _all(scalars: Scalars, conditions: Sequence[Expr], path: Path) -> Any:
    """The conjunction of ``conditions``, each protected by those before it."""
    result: Any = None
    for condition in conditions:
        result = both(result, scalars.emit(condition, path))
        path = (*path, (condition, True))
    return result


def _conjunction(conditions: Sequence[Expr]) -> Expr | None:
    result: Expr | None = None
    for condition in conditions:
        result = condition if result is None else Logical(condition.span, "bool", "and", result, condition)
    return result


def _value_bounds(expr: Reduce, bounds: Sequence[Bounds]) -> list[Expr]:
    """The bounds that only values know, as conditions: what a point of an inner reduction is protected by."""
    conditions: list[Expr] = []
    for binder, chosen in zip(expr.binders, bounds, strict=True):
        if chosen.values is not None:
            index = Index(binder.lo.span, INDEX, binder.index)
            conditions.append(Compare(binder.lo.span, "bool", "<=", binder.lo, index))
            conditions.append(Compare(binder.hi.span, "bool", "<", index, binder.hi))
    return conditions


def _with_paths(expr: Expr, path: Path) -> list[tuple[Expr, Path]]:
    """The operands of an expression, each with the conditions that protect it."""
    match expr:
        case Select():
            return [
                (expr.condition, path),
                (expr.then, (*path, (expr.condition, True))),
                (expr.otherwise, (*path, (expr.condition, False))),
            ]
        case Logical():
            return [(expr.left, path), (expr.right, (*path, (expr.left, expr.op == "and")))]
    return [(child, path) for child in children(expr)]


def affine_value(expr: Any, dims: Sequence[str]) -> Any:
    """An affine expression of dims as ``arith`` on ``tw.dim``."""
    expr = concrete(expr)
    if isinstance(expr, ir.AffineConstantExpr):
        return constant(INDEX, expr.value)
    if isinstance(expr, ir.AffineSymbolExpr):
        return tw.dim(dims[int(expr.position)])
    left, right = affine_value(expr.lhs, dims), affine_value(expr.rhs, dims)
    if isinstance(expr, ir.AffineAddExpr):
        return arith.addi(left, right)
    if isinstance(expr, ir.AffineMulExpr):
        return arith.muli(left, right)
    safe = arith.maxsi(right, constant(INDEX, 1))
    if isinstance(expr, ir.AffineFloorDivExpr):
        return arith.floordivsi(left, safe)
    if isinstance(expr, ir.AffineModExpr):
        return arith.subi(left, arith.muli(safe, arith.floordivsi(left, safe)))
    raise InternalFault(f"no value for the affine expression {expr}")
