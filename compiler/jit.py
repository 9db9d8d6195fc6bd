"""Owns just-in-time kernels: ``jit`` and ``load``, what a call specialises on, and one compilation per key.

A call's key is: instance (types and consts), how each tensor lies (row-major, another axis order, or strided; outputs
that the caller gives too), the facts that the target's code may assume, target and device. Shapes are not part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.compiler import driver
from tilewright.compiler.driver import Compiled
from tilewright.compiler.jobs import Job, artifact_of
from tilewright.compiler.language import tree
from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.language.frontend import CheckedKernel, infer_instance
from tilewright.compiler.language.typed import Instance, TypedKernel
from tilewright.compiler.pipeline import Settings
from tilewright.compiler.sources import Program, program
from tilewright.compiler.target import Target, device_for, find
from tilewright.runtime import artifact as artifacts
from tilewright.runtime.arguments import bind_dims, collect, layout_of, made_elements, split_outputs
from tilewright.runtime.cache import Memo
from tilewright.runtime.errors import CallError
from tilewright.runtime.facts import ALIGNMENT, INDEX32, holds
from tilewright.runtime.launch import PREPARED_LIMIT, Fingerprints, fingerprint
from tilewright.runtime.launch import Program as Runnable
from tilewright.runtime.switches import Switches, read
from tilewright.runtime.views import TensorView, view_of

DIVISOR = 16  # elements: what keeps rows of any dtype aligned when their extents are multiples of it


@dataclass(frozen=True)
class Specialisation:
    """What one compilation of a kernel is for."""

    instance: Instance
    target: str
    layouts: tuple[tuple[str, str], ...] = ()
    facts: tuple[str, ...] = ()


class JitKernel:
    """A kernel that compiles when it is called with something new; safe to call from several threads.

    Call it with tensors and scalars as declared; consts and types that no argument binds by name; ``out=``,
    ``target=`` and ``device=`` steer the call. Raises what ``compile`` and ``runtime.launch.Program`` raise.
    """

    def __init__(self, source: Program, checked: CheckedKernel, target: str, switches: Switches) -> None:
        self._source, self._checked = source, checked
        self._target, self._switches = target, switches
        self._tensors = tuple(tensor.name.id for tensor in checked.tensors)
        scalars = tuple(item.name.id for item in checked.scalars if item.qualifier != "const")
        self._names = (*self._tensors, *scalars)
        self._outputs = tuple(output.name.id for output in checked.outputs)
        self._static = frozenset(checked.consts) | frozenset(checked.type_params)
        self._made: Memo[Compiled] = Memo()
        self._known: dict[Any, Runnable] = {}
        self.__name__ = checked.name
        self.__doc__ = checked.doc

    def __call__(self, *args: Any, out: Any = None, target: str = "", device: str | None = None, **kwargs: Any) -> Any:
        values = collect(self._checked.name, self._names, args, kwargs)
        static = {name: _constant(name, values.pop(name)) for name in self._static & kwargs.keys()} if kwargs else {}
        given = split_outputs(self._checked.name, self._outputs, out) if out is not None else {}
        seen = self._fingerprints(values)
        marks = tuple((name, fingerprint(value, name)[0]) for name, value in given.items())
        key = (seen.marks, target, device, marks, tuple(static.items()))
        runnable = self._known.get(key)
        if runnable is None:
            runnable = self._remember(key, values, static, target or self._target, device, given)
        return runnable.run(values, given or None, seen)

    def typed_for(self, values: Mapping[str, Any]) -> tuple[TypedKernel, dict[str, Any]]:
        """The typed kernel that a call with these values means, and its arguments: what the reference evaluates."""
        collect(self._checked.name, self._names, (), values)
        static = {name: value for name, value in values.items() if name in self._static}
        arguments = {name: value for name, value in values.items() if name not in self._static}
        self._fingerprints(arguments)
        instance = self._specialisation(arguments, static, find("cpu", self._switches), {}).instance
        return Job(self._source, self._checked.name, instance).typed(), arguments

    def _fingerprints(self, values: Mapping[str, Any]) -> Fingerprints:
        marks, pointers = [], []
        for name in self._tensors:
            if name not in values:
                raise CallError("TW1001", f"argument {name} is missing", argument=name, expected=", ".join(self._names),
                                found=", ".join(values) or "no arguments")  # fmt: skip
            mark, pointer = fingerprint(values[name], name)
            marks.append(mark)
            pointers.append(pointer)
        return Fingerprints(tuple(marks), pointers)

    def _remember(
        self, key: Any, values: Mapping[str, Any], static: Mapping[str, Any], target: str, device: str | None,
        given: Mapping[str, Any],
    ) -> Runnable:  # fmt: skip
        row = find(target, self._switches)
        compiled = self._suited(self._specialisation(values, static, row, given), {**values, **given})
        runnable = compiled.program(device_for(row, device))
        if len(self._known) >= PREPARED_LIMIT:
            self._known.clear()
        self._known[key] = runnable
        return runnable

    def _specialisation(
        self, values: Mapping[str, Any], static: Mapping[str, Any], target: Target, given: Mapping[str, Any]
    ) -> Specialisation:
        """What a call is compiled for; ``given`` are the outputs that the caller brings, the others are allocated."""
        views = {name: view_of(values[name], name) for name in self._tensors}
        outputs = {name: view_of(value, name) for name, value in given.items()}
        self._check_ranks(views | outputs)
        instance = self._instance({name: view.dtype for name, view in views.items()}, static)
        layouts = self._layouts(views | outputs)
        allocated = [name for name in self._outputs if name not in given]
        facts = facts_of(views | outputs, self._dims(views), target, allocated)
        return Specialisation(instance, target.name, layouts, facts)

    def _dims(self, views: Mapping[str, TensorView]) -> dict[str, int]:
        """The dims that stand alone in the shape of an input."""
        found: dict[str, int] = {}
        for tensor in self._checked.tensors:
            for size, extent in zip(tensor.shape or (), views[tensor.name.id].shape, strict=True):
                if isinstance(size, tree.Name) and size.id in self._checked.dims:
                    found.setdefault(size.id, extent)
        return found

    def _declared(self, views: Mapping[str, TensorView]) -> list[tree.Param]:
        """The declarations of the tensors in ``views``."""
        return [item for item in (*self._checked.tensors, *self._checked.outputs) if item.name.id in views]

    def _check_ranks(self, views: Mapping[str, TensorView]) -> None:
        """Before anything is compiled for tensors that cannot fit."""
        for tensor in self._declared(views):
            name, rank = tensor.name.id, len(tensor.shape or ())
            if len(views[name].shape) != rank:
                raise CallError("TW1003", f"argument {name} has the wrong rank", argument=name,
                                expected=f"rank {rank}", found=f"shape {views[name].shape}")  # fmt: skip

    def _instance(self, dtypes: Mapping[str, str], static: Mapping[str, Any]) -> Instance:
        types = {name: str(value) for name, value in static.items() if name in self._checked.type_params}
        consts = {name: value for name, value in static.items() if name in self._checked.consts}
        try:
            return infer_instance(self._checked, dtypes, consts, types)
        except SourceErrors as errors:
            raise driver.as_call_error(errors, (*self._names, *self._static)) from errors

    def _layouts(self, views: Mapping[str, TensorView]) -> tuple[tuple[str, str], ...]:
        """How the tensors lie that the declaration leaves free and that are not row-major."""
        found = {}
        for tensor in self._declared(views):
            layout = layout_of(views[tensor.name.id])
            if tensor.layout is None and layout != "row":
                found[tensor.name.id] = layout
        return tuple(sorted(found.items()))

    def _suited(self, wanted: Specialisation, values: Mapping[str, Any]) -> Compiled:
        """The compiled kernel; with wide indices where a workspace or a new output, known only now, is too large."""
        compiled = self._compiled(wanted)
        if INDEX32 not in wanted.facts:
            return compiled
        views = {name: view_of(values[name], name) for name in (*self._tensors, *self._outputs) if name in values}
        dims = bind_dims(compiled.plan, views)
        if holds(INDEX32, dims, views, made_elements(compiled.plan, dims, views)):
            return compiled
        return self._compiled(replace(wanted, facts=tuple(fact for fact in wanted.facts if fact != INDEX32)))

    def _compiled(self, wanted: Specialisation) -> Compiled:
        def make() -> Compiled:
            settings = Settings(facts=wanted.facts)
            job = Job(self._source, self._checked.name, wanted.instance, wanted.target, wanted.layouts, (), settings)
            return Compiled(artifact_of(job, self._switches), self._switches)

        return self._made.get_or_make(wanted, make)

    @property
    def compilations(self) -> int:
        """How many specialisations exist."""
        return len(self._made)

    def compile(self, *, target: str = "", **options: Any) -> Compiled:
        """``tilewright.compile`` of this kernel: ``types=``, ``consts=``, ``dims=``, ``layouts=``, ``disable=``."""
        return driver.compile_loaded(
            self._source, self._checked, target=target or self._target, switches=self._switches, **options
        )

    def __repr__(self) -> str:
        return f"<kernel {self._checked.name} of {self._source.source.name}, {self.compilations} compiled>"


def _constant(name: str, value: Any) -> bool | int | float | str:
    """A const or type as plain Python data, which keys are made of (TW1010 for anything else)."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, bool | int | float | str):
        return plain
    raise CallError("TW1010", f"argument {name} is a constant of the kernel", argument=name,
                    expected="a number, a bool or the name of a type", found=type(value).__name__)  # fmt: skip


class Namespace:
    """The kernels of a file, as attributes."""

    def __init__(self, name: str, kernels: Mapping[str, Any]) -> None:
        self._name, self._kernels = name, dict(kernels)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._kernels:
            raise AttributeError(f"{self._name} has no kernel {name!r}; it has {', '.join(self._kernels)}")
        return self._kernels[name]

    def __dir__(self) -> list[str]:
        return sorted(self._kernels)

    def __iter__(self) -> Iterator[str]:
        return iter(self._kernels)

    def __repr__(self) -> str:
        return f"<kernels of {self._name}: {', '.join(self._kernels)}>"


def facts_of(
    views: Mapping[str, TensorView], dims: Mapping[str, int], target: Target, outputs: Sequence[str] = ()
) -> tuple[str, ...]:
    """Which facts of the kinds that ``target`` specialises on are true of these tensors and dims, sorted.

    ``outputs`` are allocated by us, and so aligned.
    """
    found: list[str] = []
    if "aligned" in target.specialises:
        aligned = [name for name, view in views.items() if view.pointer % ALIGNMENT == 0]
        found += [f"align({name}) >= {ALIGNMENT}" for name in (*aligned, *outputs)]
    if "divisible" in target.specialises:
        found += [f"{name} % {DIVISOR} == 0" for name, extent in dims.items() if extent % DIVISOR == 0]
    if "index32" in target.specialises and holds(INDEX32, {}, views):
        found.append(INDEX32)
    return tuple(sorted(found))


def jit(
    source: str | Path, *, kernel: str | None = None, target: str = "cpu", switches: Switches | None = None
) -> JitKernel:
    """A kernel of a text or a ``.tw`` file that compiles on its first call; ``kernel`` where there are several.

    Raises:
        SourceErrors: all errors of the source. CallError: TW1014 for a kernel or file that is not there.
    """
    loaded = program(source)
    return JitKernel(loaded, loaded.kernel(kernel), target, switches or read())


def load(path: str | Path, *, target: str = "cpu", switches: Switches | None = None) -> Namespace | Compiled:
    """The kernels of a ``.tw`` file as attributes, or the compiled kernel of a ``.twk`` file."""
    known = switches or read()
    if str(path).endswith(".twk"):
        return Compiled(artifacts.load(Path(path)), known)
    loaded = program(Path(path))
    kernels: dict[str, Callable[..., Any]] = {
        name: JitKernel(loaded, checked, target, known) for name, checked in loaded.module.kernels.items()
    }
    return Namespace(str(path), kernels)
