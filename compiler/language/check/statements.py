"""Owns statements: the left side, the extents of its indices, the value, and what is stored."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tilewright.compiler.language import limits, tree, typed
from tilewright.compiler.language.check.bounds import Place, access
from tilewright.compiler.language.check.context import Context, Range, Scope, Shaped
from tilewright.compiler.language.check.dtypes import ERROR, compute, is_float, is_integer, named, plain, poison
from tilewright.compiler.language.check.extents import elected
from tilewright.compiler.language.check.lower import Lowering
from tilewright.compiler.language.check.printed import printed
from tilewright.compiler.language.check.problems import note, replaced
from tilewright.compiler.language.check.reductions import bounded
from tilewright.compiler.language.check.walk import reads_values
from tilewright.compiler.language.expand import children, free_names

OPERATORS = {"+=": "a sum", "max=": "a maximum", "min=": "a minimum"}


@dataclass(frozen=True)
class Left:
    """The left side of a statement: its indices with their unique names and ranges, as a scope."""

    ranges: tuple[Range, ...]
    scope: Scope


def left_side(lowering: Lowering, statement: tree.Statement, shaped: Shaped | None) -> Left | None:
    """The indices of a left side with their extents; None after an error. ``shaped`` is None for a local name."""
    subscripts = statement.subscripts or ()
    if not _form_fits(lowering, statement, shaped):
        return None
    scope, ranges, complete = Scope(), [], True
    for index in _indices(lowering, subscripts):
        extent = _extent(lowering, statement, index, shaped)
        if extent is None or not lowering.may_be_index(index) or extent.dtype == ERROR:
            complete = False
            continue
        range_ = Range(lowering.context.unique(index.id), typed.Literal(index.span, typed.INDEX, 0), extent)
        scope = lowering.context.renamed(scope, index.id, range_)
        ranges.append(range_)
    return Left(tuple(ranges), scope) if complete else None


def _form_fits(lowering: Lowering, statement: tree.Statement, shaped: Shaped | None) -> bool:
    subscripts = statement.subscripts or ()
    if len(subscripts) > limits.RANK:
        message = f"`{statement.name.id}` has more than {limits.RANK} dimensions"
        lowering.arithmetic.refuse("TW0812", statement.span, message, found=str(len(subscripts)))
        return False
    if shaped is None:
        return _local_form_fits(lowering, statement)
    if len(subscripts) != len(shaped.shape):
        shape = ", ".join(map(printed, shaped.shape))
        lowering.arithmetic.refuse(
            "TW0401",
            statement.name.span,
            f"`{shaped.name}` has rank {len(shaped.shape)}",
            expected=f"`{shaped.name}[{shape}]`" if shape else f"`{shaped.name}` without subscripts",
            found=f"{len(subscripts)} subscript{'s' if len(subscripts) != 1 else ''}",
            notes=note(shaped.span, f"`{shaped.name}` is declared here"),
        )
        return False
    return all(
        _is_whole(lowering, s, extent) or _refuse_partial(lowering, statement, s)
        for s, extent in zip(subscripts, shaped.shape, strict=True)
    )


def _is_whole(lowering: Lowering, subscript: tree.Subscript, extent: typed.Expr) -> bool:
    """A constant on the left writes a part of the axis, unless the axis has one place."""
    one = isinstance(extent, typed.Literal) and extent.value == 1
    return one or not isinstance(subscript.index, tree.Number)


def _refuse_partial(lowering: Lowering, statement: tree.Statement, subscript: tree.Subscript) -> bool:
    name = statement.name.id
    others = ", ".join("z" if s is subscript else s.span.text for s in statement.subscripts or ())
    written = f"{name}[{others}] = a if z == {subscript.index.span.text} else b"
    message = f"a statement defines all of `{name}`: a part of it cannot stand on the left"
    lowering.arithmetic.refuse("TW0413", subscript.span, message, expected=f"`{written}`")
    return False


def _local_form_fits(lowering: Lowering, statement: tree.Statement) -> bool:
    seen: set[str] = set()
    for subscript in statement.subscripts or ():
        index = subscript.index
        if isinstance(index, tree.Number):
            return _refuse_partial(lowering, statement, subscript)
        if not isinstance(index, tree.Name) or index.id in seen:
            message = f"`{statement.name.id}` is not an output, so plain indices stand on its left, each once"
            notes = note(None, "only outputs and inouts can be written at computed places")
            lowering.arithmetic.refuse("TW0412", subscript.span, message, expected="an index", notes=notes)
            return False
        seen.add(index.id)
    return True


def _indices(lowering: Lowering, subscripts: tuple[tree.Subscript, ...]) -> list[tree.Name]:
    """The names on the left that are indices, in order of appearance."""
    found: dict[str, tree.Name] = {}
    for subscript in subscripts:
        for name in _names(subscript.index):
            if isinstance(subscript.index, tree.Name) or not lowering.knows(name.id):
                found.setdefault(name.id, name)
    return list(found.values())


def _names(expr: tree.Expr) -> list[tree.Name]:
    bound = free_names(expr)
    own = [expr] if isinstance(expr, tree.Name) else [n for child in children(expr) for n in _names(child)]
    return [name for name in own if name.id in bound]


def _extent(
    lowering: Lowering, statement: tree.Statement, index: tree.Name, shaped: Shaped | None
) -> typed.Expr | None:
    subscripts = statement.subscripts or ()
    for axis, subscript in enumerate(subscripts):
        if not isinstance(subscript.index, tree.Name) or subscript.index.id != index.id:
            continue
        if subscript.extent is not None:
            return _written(lowering, subscript.extent)
        if shaped is not None:
            return shaped.shape[axis]
    inside = [s.index for s in subscripts if not isinstance(s.index, tree.Name)]
    inside += [e for e in (statement.value, statement.where) if isinstance(e, tree.Expr)]
    context = lowering.context
    extent = elected(context, index, lowering.ballot.of(index.id, inside), context.defining)
    if extent is not None:
        return extent
    place = index.span
    lowering.arithmetic.refuse(
        "TW0405",
        place,
        f"nothing says how far index `{index.id}` runs",
        expected=f"a read in which `{index.id}` alone is a subscript, or a written extent",
        notes=note(None, "guarded reads and subscripts like `i + 1` do not determine an extent"),
        fix=replaced(place, f"{index.id}: N"),
    )
    return None


def _written(lowering: Lowering, expr: tree.Expr) -> typed.Expr:
    extent = lowering.index(expr, Scope())
    if extent.dtype == ERROR or not reads_values(extent):
        return extent
    notes = note(None, "give a capacity dim, and a count as an output")
    message = "the size of a result cannot depend on values"
    return lowering.arithmetic.refuse("TW0411", expr.span, message, expected="dims and consts", notes=notes)


# ---------------------------------------------------------------- the whole statement


def lowered(
    lowering: Lowering, statement: tree.Statement, left: Left, shaped: Shaped, stored: str | None
) -> typed.Statement | None:
    """The typed statement; ``stored`` is the dtype of what is stored, None for the value's own."""
    assert isinstance(statement.value, tree.Expr)
    where, scope = bounded(lowering, statement.where, left.scope)
    subscripts = _left_subscripts(lowering, statement, shaped, scope)
    value = lowering.value(statement.value, scope)
    if ERROR in (value.dtype, where.dtype if where else "", *(s.dtype for s in subscripts)):
        return None
    local = shaped.role == "local"
    dtype = stored or plain(value.dtype)
    kept = dtype if statement.op == "=" else compute(dtype)
    value = _stored(lowering, statement, value, dtype, kept)
    if value.dtype == ERROR:
        return None
    return typed.Statement(
        statement.span,
        statement.name.id,
        tuple(typed.IndexExtent(r.index, r.hi) for r in left.ranges),
        subscripts,
        statement.op,
        value,
        where,
        dtype,
        _scatters(lowering.context, subscripts, left, shaped),
        shaped.shape if local else None,
    )


def _left_subscripts(
    lowering: Lowering, statement: tree.Statement, shaped: Shaped, scope: Scope
) -> tuple[typed.Expr, ...]:
    """The left subscripts, each shown to stay inside the output or inout."""
    result = []
    for axis, subscript in enumerate(statement.subscripts or ()):
        expr = lowering.index(subscript.index, scope)
        result.append(expr)
        if shaped.role != "local" and expr.dtype != ERROR:
            extent = shaped.shape[axis]
            access(lowering.context, Place(shaped.name, axis, expr, extent, subscript.span, writes=True), scope)
    return tuple(result)


def _scatters(context: Context, subscripts: tuple[typed.Expr, ...], left: Left, shaped: Shaped) -> bool:
    names = [s.name if isinstance(s, typed.Index) else None for s in subscripts]
    if names != [r.index for r in left.ranges]:
        return True
    pairs = zip(left.ranges, shaped.shape, strict=True)
    return not all(
        context.prover.proves_equal(context.atoms.of(r.hi), context.atoms.of(extent), context.facts)
        for r, extent in pairs
    )


def _stored(lowering: Lowering, statement: tree.Statement, value: typed.Expr, dtype: str, kept: str) -> typed.Expr:
    """``value`` rounded as it is stored; what would change its nature must be written."""
    arithmetic, span = lowering.arithmetic, statement.value.span
    if dtype == ERROR:
        return poison(span)
    if dtype == "bool" and value.dtype != "bool":
        message = f"`{statement.name.id}` holds bools"
        return arithmetic.refuse("TW0305", span, message, expected="bool", found=named(value.dtype))
    if is_integer(dtype) and is_float(value.dtype):
        text = span.text if span.line == span.end_line else "…"
        return arithmetic.refuse(
            "TW0306",
            span,
            f"a float is not stored in `{statement.name.id}: {dtype}` without a cast",
            expected=f"an integer, or `{dtype}(…)` to truncate",
            found=named(value.dtype),
            fix=replaced(span, f"{dtype}({text})") if text != "…" and span.call_site is None else None,
        )
    return arithmetic.fit(value, kept)


# ---------------------------------------------------------------- tables


def table(context: Context, statement: tree.Statement) -> typed.Table | None:
    """A constant tensor; ragged rows and floats among integers are settled here."""
    assert isinstance(statement.value, tree.Table)
    shape: list[int] = []
    numbers: list[tree.Number] = []
    if not _flattened(context, statement.value, 0, shape, numbers):
        return None
    if len(numbers) > limits.TABLE_ELEMENTS:
        message = f"this table has more than {limits.TABLE_ELEMENTS} numbers"
        context.problems.add("TW0813", statement.span, message, found=str(len(numbers)))
        return None
    floats = any(isinstance(n.value, float) for n in numbers)
    for number in numbers:
        if not floats and not -(2**31) <= number.value < 2**31:
            message = f"{number.text} does not fit in i32, the type of a table of integers"
            context.problems.add("TW0307", number.span, message)
            return None
    values = tuple(float(n.value) if floats else n.value for n in numbers)
    return typed.Table(statement.span, statement.name.id, "f32" if floats else "i32", tuple(shape), values)


def _flattened(context: Context, row: tree.Table, depth: int, shape: list[int], numbers: list[tree.Number]) -> bool:
    """Appends the numbers of ``row`` to ``numbers``; False after an error. ``shape`` is what earlier rows gave."""
    if depth == len(shape):
        if numbers:
            return _refuse_ragged(context, row, "numbers")
        shape.append(len(row.items))
    if len(row.items) != shape[depth]:
        return _refuse_ragged(context, row, f"{shape[depth]} entries")
    for item in row.items:
        if isinstance(item, tree.Table):
            if not _flattened(context, item, depth + 1, shape, numbers):
                return False
        elif depth + 1 < len(shape):
            return _refuse_ragged(context, row, "rows")
        else:
            numbers.append(item)
    return True


def _refuse_ragged(context: Context, row: tree.Table, expected: str) -> bool:
    message = "the rows of a table have one length"
    context.problems.add("TW0414", row.span, message, expected=expected, found=f"{len(row.items)} entries")
    return False


def with_steps(statement: typed.Statement, step: tuple[str, int], names: tuple[str, ...]) -> typed.Statement:
    return replace(statement, step=step, cycle=names)
