"""Owns a kernel's first line: the names it declares, the types and consts of the instance, tensors and their shapes."""

from __future__ import annotations

from tilewright.compiler.language import limits, tree, typed
from tilewright.compiler.language.check.context import Context, Scope, Shaped
from tilewright.compiler.language.check.dtypes import ERROR, convert, is_float, is_integer
from tilewright.compiler.language.check.lower import Lowering
from tilewright.compiler.language.check.problems import note, replaced
from tilewright.compiler.language.check.vocabulary import (
    CLASSES,
    CONST_TYPES,
    CONSTANTS,
    NOT_IN_THE_LANGUAGE,
    suggestion,
)
from tilewright.compiler.language.check.walk import reads_values
from tilewright.compiler.language.span import Span

TYPE_PARAM, DIM, TENSOR, OUTPUT = "a type", "a dim", "a tensor", "an output"
SCALAR, CONST, STATEMENT, WORD = "a scalar", "a const", "a statement", "a word of the language"


def declare_names(context: Context, kernel: tree.Kernel) -> None:
    """Enters every name of the kernel once, and reports those that are taken."""
    for type_param in kernel.type_params:
        _declare(context, type_param.name, TYPE_PARAM)
    for dim in kernel.dims:
        _declare(context, dim, DIM)
        context.dims.setdefault(dim.id, dim.span)
    kinds = [(TENSOR, kernel.tensors), (None, kernel.scalars), (OUTPUT, kernel.outputs)]
    for kind, params in kinds:
        for param in params:
            _declare(context, param.name, kind or (CONST if param.qualifier == "const" else SCALAR))
    for statement in kernel.statements:
        taken = context.taken.get(statement.name.id)
        if taken is None:
            _declare(context, statement.name, STATEMENT)
        elif taken[0] not in (STATEMENT, OUTPUT, TENSOR, WORD):
            _refuse_taken(context, statement.name, taken)


def _declare(context: Context, name: tree.Name, kind: str) -> bool:
    taken = context.taken.get(name.id)
    if taken is not None:
        _refuse_taken(context, name, taken)
        return False
    if name.id in typed.DTYPES or name.id in CONSTANTS or name.id in CONST_TYPES:
        context.problems.add("TW0204", name.span, f"`{name.id}` is a word of the language", expected="another name")
        context.taken[name.id] = (WORD, name.span)
        return False
    context.taken[name.id] = (kind, name.span)
    return True


def _refuse_taken(context: Context, name: tree.Name, taken: tuple[str, Span]) -> None:
    message = f"`{name.id}` is already the name of {taken[0]}"
    notes = note(taken[1], f"`{name.id}` is declared here")
    context.problems.add("TW0202", name.span, message, expected="another name", notes=notes)


def allowed_types(param: tree.TypeParam, context: Context) -> tuple[str, ...]:
    """The dtypes that a type parameter may be, the representative first."""
    allowed: list[str] = []
    for name in param.classes:
        if name.id in CLASSES:
            allowed += CLASSES[name.id]
        elif name.id in typed.DTYPES:
            allowed.append(name.id)
        else:
            _unknown_type(context, name, frozenset(CLASSES) | frozenset(typed.DTYPES))
    return tuple(dict.fromkeys(allowed))


def _unknown_type(context: Context, name: tree.Name, known: frozenset[str]) -> None:
    if name.id in NOT_IN_THE_LANGUAGE:
        message = f"{NOT_IN_THE_LANGUAGE[name.id]} are not in the language"
        context.problems.add("TW0903", name.span, message, expected="one of " + ", ".join(typed.DTYPES))
        return
    meant = suggestion(name.id, known)
    fix = replaced(name.span, meant) if meant else None
    context.problems.add("TW0302", name.span, f"there is no type `{name.id}`", fix=fix)


def resolve_type(context: Context, name: tree.Name) -> str:
    """The dtype that a written type means; ``ERROR`` after an error."""
    if name.id in context.types:
        return context.types[name.id]
    if name.id in typed.DTYPES:
        return name.id
    _unknown_type(context, name, frozenset(context.types) | frozenset(typed.DTYPES))
    return ERROR


# ---------------------------------------------------------------- scalars and consts


def declare_scalars(context: Context, kernel: tree.Kernel) -> tuple[typed.ScalarParam, ...]:
    """The run-time scalars; the types of consts are checked against the instance."""
    scalars = []
    for param in kernel.scalars:
        if param.qualifier == "const":
            _check_const(context, param)
            continue
        dtype = _scalar_type(context, param)
        context.scalars[param.name.id] = dtype
        default = literal_value(param.default) if param.default is not None else None
        if param.default is not None and not _default_fits(default, dtype):
            message = f"the default of `{param.name.id}` is no constant of type {dtype}"
            context.problems.add("TW0310", param.default.span, message, found=f"`{param.default.span.text}`")
        if default is not None and is_float(dtype):
            default = float(default)
        scalars.append(typed.ScalarParam(param.span, param.name.id, dtype, default))
    return tuple(scalars)


def _scalar_type(context: Context, param: tree.Param) -> str:
    if param.type.id in CONST_TYPES and param.type.id != "bool":
        meant = {"int": "i32", "float": "f32"}[param.type.id]
        message = f"a run-time scalar needs a type of memory, not `{param.type.id}`"
        notes = note(param.name.span, f"or write `const {param.name.id}: {param.type.id}` for a compile-time value")
        context.problems.add("TW0303", param.type.span, message, notes=notes, fix=replaced(param.type.span, meant))
        return ERROR
    return resolve_type(context, param.type)


def const_kind(param: tree.Param) -> str:
    """``int``, ``float`` or ``bool``: what a const of the written type holds."""
    name = param.type.id
    if name in CONST_TYPES:
        return name
    return "float" if is_float(name) else "int"


def const_fits(kind: str, value: object) -> bool:
    if kind == "bool":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    return isinstance(value, int) if kind == "int" else isinstance(value, int | float)


def _check_const(context: Context, param: tree.Param) -> None:
    if param.type.id not in CONST_TYPES:
        resolve_type(context, param.type)
    value = context.consts.get(param.name.id)
    kind = const_kind(param)
    if not const_fits(kind, value):
        message = f"const `{param.name.id}` needs a value of type {kind}"
        span = param.default.span if param.default is not None else param.span
        context.problems.add("TW0310", span, message, expected=kind, found=repr(value))
    elif kind == "float":
        context.consts[param.name.id] = float(value)  # type: ignore[arg-type]


def _default_fits(value: object, dtype: str) -> bool:
    if dtype == ERROR:
        return True
    kind = "bool" if dtype == "bool" else "int" if is_integer(dtype) else "float"
    return const_fits(kind, value)


def literal_value(expr: tree.Expr) -> bool | int | float | None:
    """The value of a written constant: a number, its negative, true, false, inf, nan, pi."""
    match expr:
        case tree.Number(value=value):
            return value
        case tree.Unary(op="-", operand=operand):
            inner = literal_value(operand)
            return None if inner is None or isinstance(inner, bool) else -inner
        case tree.Name(id=name):
            named: dict[str, bool | float] = {"true": True, "false": False, "inf": float("inf"), "nan": float("nan")}
            return named.get(name, 3.141592653589793 if name == "pi" else None)
    return None


# ---------------------------------------------------------------- tensors


def declare_tensors(context: Context, lowering: Lowering, params: tuple[tree.Param, ...], role: str) -> None:
    """Enters tensors (``role`` "in", which ``inout`` overrides) or outputs ("out") with their shapes."""
    for param in params:
        dtype = resolve_type(context, param.type)
        shape = tuple(_axis(lowering, axis) for axis in param.shape or ())
        if len(shape) > limits.RANK:
            message = f"`{param.name.id}` has more than {limits.RANK} dimensions"
            context.problems.add("TW0812", param.span, message, found=str(len(shape)))
        own = "inout" if param.qualifier == "inout" else role
        context.shaped[param.name.id] = Shaped(param.name.id, dtype, shape, own, param.name.span)


def _axis(lowering: Lowering, expr: tree.Expr) -> typed.Expr:
    axis = lowering.index(expr, Scope())
    if axis.dtype != ERROR and reads_values(axis):
        return lowering.arithmetic.refuse(
            "TW0411",
            expr.span,
            "the size of a tensor cannot depend on values",
            expected="an expression over dims and consts",
            notes=note(None, "give a capacity dim, and a count as an output"),
        )
    return convert(axis, typed.INDEX)


def tensors_of(context: Context, params: tuple[tree.Param, ...]) -> tuple[typed.Tensor, ...]:
    """The typed tensors of ``params``, which ``declare_tensors`` entered."""
    result = []
    for param in params:
        shaped = context.shaped[param.name.id]
        layout = _layout(context, param, len(shaped.shape))
        result.append(typed.Tensor(param.span, shaped.name, shaped.dtype, shaped.shape, layout, shaped.role))
    return tuple(result)


def _layout(context: Context, param: tree.Param, rank: int) -> typed.Layout:
    if param.layout is None:
        return typed.Layout(tuple(range(rank)))
    if param.layout.order is None:
        return typed.Layout(None, strided=True)
    if sorted(param.layout.order) != list(range(rank)):
        message = f"`order` names each axis of `{param.name.id}` once, from the slowest to the fastest"
        expected = f"a permutation of {', '.join(map(str, range(rank)))}"
        found = f"order({', '.join(map(str, param.layout.order))})"
        context.problems.add("TW0418", param.layout.span, message, expected=expected, found=found)
    return typed.Layout(param.layout.order)
