"""Owns the door of the language: from a source text to checked kernels, and from those to typed kernels.

``load_module`` reads a file with its imports and checks each kernel for one instance per type class, so that errors
show without a call. ``instantiate`` checks a kernel for one choice of types and consts, ``infer_instance`` makes that
choice from the arguments of a call.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from tilewright.compiler.language import tree, typed
from tilewright.compiler.language.check import signature
from tilewright.compiler.language.check.context import Context
from tilewright.compiler.language.check.kernel import Expanded, check_kernel
from tilewright.compiler.language.check.problems import Problems, note
from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.language.expand import Expander, ExpansionLimit
from tilewright.compiler.language.modules import KernelSource, Modules
from tilewright.compiler.language.span import Source, Span

RECURSION = 20_000
"""Python frames that checking may use: expressions are as deep as ``limits`` allow, macros inside each other."""
REPRESENTATIVES = 4
"""Instances that loading a file checks for each kernel."""
CONST_CHOICES: Mapping[str, tuple[bool | int | float, ...]] = {"bool": (True, False), "int": (2, 1), "float": (0.5,)}
"""What loading a file takes for consts without a default."""


@dataclass(frozen=True)
class CheckedKernel:
    """A kernel of a loaded file: what can be known about it without types and consts.

    ``type_params`` gives the allowed dtypes of each type parameter, the representative first.
    """

    name: str
    doc: str
    type_params: Mapping[str, tuple[str, ...]]
    dims: tuple[str, ...]
    tensors: tuple[tree.Param, ...]
    scalars: tuple[tree.Param, ...]
    consts: Mapping[str, bool | int | float | None]  # with the default, None where there is none
    outputs: tuple[tree.Param, ...]
    span: Span
    expanded: Expanded = field(compare=False, repr=False)
    schedules: tuple[tree.Schedule, ...] = field(default=(), compare=False, repr=False)

    @property
    def params(self) -> tuple[tree.Param, ...]:
        """Tensors, then scalars and consts, in declared order."""
        return (*self.tensors, *self.scalars)


@dataclass(frozen=True)
class Module:
    """A loaded file; ``imported`` are the texts below its folder that it was read with."""

    source: Source
    kernels: Mapping[str, CheckedKernel]
    imported: tuple[Source, ...] = ()


def load_module(source: Source, folder: Path | None = None) -> Module:
    """Reads ``source`` (imports are looked for below ``folder`` and in the library) and checks every kernel of it.

    Raises ``SourceErrors`` with all errors of the file and of those that it imports.
    """
    problems = Problems()
    with _deep_recursion():
        modules = Modules(problems)
        loaded = modules.load(source, folder)
        kernels = {}
        for name, found in loaded.kernels.items():
            checked = _checked(found, problems)
            if checked is not None:
                kernels[name] = checked
                _check_representatives(checked, problems)
    _drop_consequences(problems)
    problems.stop_if_any()
    return Module(source, kernels, modules.imported)


def instantiate(checked: CheckedKernel, instance: typed.Instance) -> typed.TypedKernel:
    """The typed kernel of one instance; raises ``SourceErrors`` for what only this instance shows."""
    problems = Problems()
    with _deep_recursion():
        _check_instance(checked, instance, problems)
        problems.stop_if_any()
        kernel = check_kernel(checked.expanded, instance, checked.schedules, problems)
    problems.stop_if_any()
    assert kernel is not None
    return kernel


def infer_instance(
    checked: CheckedKernel,
    dtypes: Mapping[str, str],
    consts: Mapping[str, object],
    types: Mapping[str, str] | None = None,
) -> typed.Instance:
    """The instance for arguments of the given ``dtypes`` (by parameter name), ``consts`` and explicit ``types``.

    Raises ``SourceErrors`` that name the argument when types clash, cannot be inferred, or a const is missing.
    """
    problems = Problems()
    chosen = dict(types or {})
    _check_known(checked, problems, chosen, consts)
    _bind_types(checked, problems, dtypes, chosen)
    for param in checked.expanded.kernel.type_params:
        if param.name.id not in chosen:
            message = f"no argument says what type `{param.name.id}` is"
            expected = f'types={{"{param.name.id}": …}} with one of {", ".join(checked.type_params[param.name.id])}'
            problems.add("TW0304", param.span, message, expected=expected)
    values = _const_values(checked, problems, consts)
    problems.stop_if_any()
    instance = typed.Instance(
        tuple((name, chosen[name]) for name in checked.type_params),
        tuple((name, values[name]) for name in checked.consts),
    )
    _check_instance(checked, instance, problems)
    problems.stop_if_any()
    return instance


# ---------------------------------------------------------------- loading


def _drop_consequences(problems: Problems) -> None:
    """A macro that could not be read is unknown where it is used: only the first is worth telling."""
    broken = {one.span.source.name for one in problems.found if one.code.startswith("TW01")}
    problems.found = [one for one in problems.found if one.code != "TW0209" or one.span.source.name not in broken]


def _checked(found: KernelSource, problems: Problems) -> CheckedKernel | None:
    """The kernel with its macros expanded; None if that failed."""
    kernel = found.kernel
    before = len(problems.found)
    context = Context(problems, typed.Instance())
    type_params = {p.name.id: signature.allowed_types(p, context) for p in kernel.type_params}
    consts: dict[str, bool | int | float | None] = {}
    for param in kernel.scalars:
        if param.qualifier == "const":
            consts[param.name.id] = _default(param, problems)
    statements = _expanded(found, problems)
    if statements is None or len(problems.found) > before and not all(type_params.values()):
        return None
    expanded = Expanded(kernel, statements, frozenset(found.visible))
    dims = tuple(d.id for d in kernel.dims)
    return CheckedKernel(
        kernel.name.id, kernel.doc, type_params, dims, kernel.tensors, kernel.scalars, consts, kernel.outputs,
        kernel.span, expanded, found.schedules,
    )  # fmt: skip


def _default(param: tree.Param, problems: Problems) -> bool | int | float | None:
    if param.default is None:
        return None
    value = signature.literal_value(param.default)
    if value is None:
        message = f"the default of const `{param.name.id}` is not a constant"
        problems.add("TW0310", param.default.span, message, expected="a number, true or false")
    return value


def _expanded(found: KernelSource, problems: Problems) -> tuple[tree.Statement, ...] | None:
    expander = Expander(found.visible, problems)
    statements = []
    try:
        for statement in found.kernel.statements:
            statements.append(_expanded_statement(expander, statement))
    except ExpansionLimit:
        return None
    return tuple(statements)


def _expanded_statement(expander: Expander, statement: tree.Statement) -> tree.Statement:
    where = expander.expand(statement.where) if statement.where is not None else None
    value = statement.value if isinstance(statement.value, tree.Table) else expander.expand(statement.value)
    subscripts = statement.subscripts
    if subscripts is not None:
        subscripts = tuple(
            replace(s, index=expander.expand(s.index), extent=expander.expand(s.extent) if s.extent else None)
            for s in subscripts
        )
    return replace(statement, subscripts=subscripts, value=value, where=where)


def _check_representatives(checked: CheckedKernel, problems: Problems) -> None:
    """Checks the kernel for a few instances: one per type class, and both values of bool consts."""
    before = len(problems.found)
    for instance in _representatives(checked):
        own = Problems()
        check_kernel(checked.expanded, instance, checked.schedules, own)
        problems.found += [one for one in own.found if one not in problems.found]
        if len(problems.found) > before:
            return


def _representatives(checked: CheckedKernel) -> list[typed.Instance]:
    types = tuple((name, allowed[0]) for name, allowed in checked.type_params.items())
    consts = {param.name.id: param for param in checked.scalars if param.qualifier == "const"}
    choices = [_const_choices(checked, param) for param in consts.values()]
    many = [typed.Instance(types, tuple(zip(consts, values, strict=True))) for values in product(*choices)]
    return many[:REPRESENTATIVES]


def _const_choices(checked: CheckedKernel, param: tree.Param) -> tuple[bool | int | float, ...]:
    default = checked.consts[param.name.id]
    kind = signature.const_kind(param)
    if default is None:
        return CONST_CHOICES[kind][: 2 if kind == "bool" else 1]
    if kind == "bool":
        return (default, not default)
    return (default,)


# ---------------------------------------------------------------- instances


def _check_instance(checked: CheckedKernel, instance: typed.Instance, problems: Problems) -> None:
    types, consts = dict(instance.types), dict(instance.consts)
    for param in checked.expanded.kernel.type_params:
        allowed, dtype = checked.type_params[param.name.id], types.get(param.name.id)
        if dtype not in allowed:
            message = f"type `{param.name.id}` of `{checked.name}` cannot be {dtype}"
            problems.add("TW0311", param.span, message, expected=" or ".join(allowed), found=str(dtype))
    for name in checked.consts:
        if name not in consts:
            span = next(p.span for p in checked.scalars if p.name.id == name)
            problems.add("TW0312", span, f"const `{name}` of `{checked.name}` has no value")


def _check_known(
    checked: CheckedKernel, problems: Problems, types: Mapping[str, str], consts: Mapping[str, object]
) -> None:
    for name in types:
        if name not in checked.type_params:
            known = ", ".join(checked.type_params) or "none"
            problems.add("TW0304", checked.span, f"`{checked.name}` has no type `{name}`", expected=known, found=name)
    for name in consts:
        if name not in checked.consts:
            known = ", ".join(checked.consts) or "none"
            problems.add("TW0312", checked.span, f"`{checked.name}` has no const `{name}`", expected=known, found=name)


def _bind_types(checked: CheckedKernel, problems: Problems, dtypes: Mapping[str, str], chosen: dict[str, str]) -> None:
    """Each type parameter is the dtype of the first argument declared with it; the others must agree."""
    source: dict[str, tree.Param] = {}
    for param in checked.params:
        name, dtype = param.type.id, dtypes.get(param.name.id)
        if dtype is None or param.qualifier == "const":
            continue
        expected = chosen.setdefault(name, dtype) if name in checked.type_params else name
        if dtype != expected and (param.shape is not None or name in checked.type_params):
            _refuse_dtype(problems, param, expected, dtype, source.get(name))
        source.setdefault(name, param)


def _refuse_dtype(problems: Problems, param: tree.Param, expected: str, found: str, other: tree.Param | None) -> None:
    message = f"argument `{param.name.id}` has the wrong type"
    notes = note(other.span, f"`{other.name.id}` makes `{param.type.id}` {expected}") if other is not None else ()
    problems.add("TW0311", param.span, message, expected=expected, found=found, notes=notes)


def _const_values(
    checked: CheckedKernel, problems: Problems, given: Mapping[str, object]
) -> dict[str, bool | int | float]:
    values: dict[str, bool | int | float] = {}
    for param in checked.scalars:
        if param.qualifier != "const":
            continue
        name, kind = param.name.id, signature.const_kind(param)
        value = _plain_number(given.get(name, checked.consts[name]))
        if value is None:
            message = f"const `{name}` of `{checked.name}` has no default, so it must be given"
            problems.add("TW0312", param.span, message, expected=f"{name}=…")
        elif not signature.const_fits(kind, value):
            message = f"const `{name}` needs a value of type {kind}"
            problems.add("TW0310", param.span, message, expected=kind, found=repr(value))
        else:
            assert isinstance(value, bool | int | float)
            values[name] = float(value) if kind == "float" else value
    return values


def _plain_number(value: object) -> object:
    """Numbers of array libraries as Python's."""
    item = getattr(value, "item", None)
    return item() if callable(item) else value


@contextmanager
def _deep_recursion() -> Iterator[None]:
    """Room for expressions as deep as the limits allow (frames of pure Python use no C stack)."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, RECURSION))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


__all__ = ["CheckedKernel", "Module", "SourceErrors", "infer_instance", "instantiate", "load_module"]
