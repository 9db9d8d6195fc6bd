"""Owns ``compile``, which needs no data, and ``Compiled``, what all compilations hand out.

``compile`` sends its job to a child process with limits (``worker.py``), because a source may be anyone's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tilewright.compiler.assumptions import allocated
from tilewright.compiler.jobs import Job
from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.language.frontend import CheckedKernel, infer_instance
from tilewright.compiler.language.typed import Instance
from tilewright.compiler.pipeline import Settings
from tilewright.compiler.sources import Program, program
from tilewright.compiler.target import find
from tilewright.compiler.worker import compile_apart
from tilewright.runtime.artifact import Artifact
from tilewright.runtime.errors import CallError, DeviceError
from tilewright.runtime.launch import Program as Runnable
from tilewright.runtime.loading import program_for
from tilewright.runtime.plan import Plan
from tilewright.runtime.switches import Switches, read

FORMS = {
    "tensor": "tensor.mlir", "plan": "plan.mlir", "tile": "tile.mlir", "tile-gpu": "tile-gpu.mlir",
    "thread": "thread.mlir", "llvm": "llvm.ll", "ptx": "code.ptx", "sass": "code.sass",
}  # fmt: skip
"""The texts of a compilation by the names that ``ir`` and ``--emit`` take, as an artifact keeps them."""


class Compiled:
    """A compiled kernel: callable, and everything that is known about it."""

    def __init__(self, artifact: Artifact, switches: Switches | None = None) -> None:
        self.artifact = artifact
        self._switches = switches or Switches()
        self._programs: dict[str, Runnable] = {}
        self.__name__ = artifact.plan.kernel
        self.__doc__ = artifact.plan.doc

    def __call__(self, *args: Any, out: Any = None, device: str | None = None, **kwargs: Any) -> Any:
        """Run it; see ``runtime.launch.Program``."""
        return self.program(device)(*args, out=out, **kwargs)

    def program(self, device: str | None = None) -> Runnable:
        """The kernel loaded on ``device`` (default: the first one that can run its target)."""
        chosen = device or self._default_device()
        if chosen not in self._programs:
            self._programs[chosen] = program_for(self.artifact, chosen, self._switches.threads)
        return self._programs[chosen]

    def _default_device(self) -> str:
        return "cpu" if "o" in self.artifact.code else "cuda"

    @property
    def plan(self) -> Plan:
        """Launches, workspaces, checks; ``str()`` prints it."""
        return self.artifact.plan

    @property
    def schedule(self) -> str:
        """The schedule of each launch, as ``passes/schedule.py`` parses it."""
        return self.artifact.notes["schedule.txt"]

    def ir(self, level: str) -> str:
        """The IR at one of ``FORMS``; ``CallError`` TW1207 where it was not kept, or the target has no such form."""
        return self._note(FORMS.get(level, ""), level)

    @property
    def asm(self) -> str:
        """Assembly text: of the processor for ``cpu``, SASS for GPUs (PTX where no disassembler was there)."""
        for name in ("code.s", "code.sass", "code.ptx"):
            if name in self.artifact.notes:
                return self.artifact.notes[name]
        return self._note("code.s", "asm")

    @property
    def resources(self) -> dict[str, Any]:
        """Registers, spills, shared memory and the like, by launch; ``DeviceError`` TW1210 where ptxas was missing."""
        if "ptx" in self.artifact.code and "resources.json" not in self.artifact.notes:
            raise DeviceError("TW1210", f"{self.__name__} was compiled without ptxas",
                              remedy="pip install 'tilewright[cuda]'")  # fmt: skip
        return dict(json.loads(self.artifact.notes.get("resources.json", "{}")))

    def save(self, path: str | Path) -> None:
        """Write the ``.twk`` file that ``tilewright.load`` reads without the compiler."""
        self.artifact.save(Path(path))

    def _note(self, name: str, level: str) -> str:
        if name in self.artifact.notes:
            return self.artifact.notes[name]
        kept = [form for form, note in FORMS.items() if note in self.artifact.notes]
        raise CallError("TW1207", f"{self.__name__} has no {level!r} text", argument="level", expected=", ".join(kept),
                        found=level)  # fmt: skip

    def __repr__(self) -> str:
        target = self.artifact.target.get("name", "?")
        return f"<compiled {self.__name__} for {target}, {len(self.plan.launches)} launches>"


def compile(  # noqa: A001 (the public name)
    source: str | Path,
    *,
    kernel: str | None = None,
    target: str = "cpu",
    types: Mapping[str, str] | None = None,
    consts: Mapping[str, Any] | None = None,
    dims: Mapping[str, int] | None = None,
    layouts: Mapping[str, str] | None = None,
    disable: Iterable[str] = (),
    switches: Switches | None = None,
) -> Compiled:
    """Compile a kernel of a text or a ``.tw`` file without data, in a child process with limits.

    ``types`` and ``consts`` choose the instance, ``dims`` fixes some dims (the others stay dynamic), ``layouts`` says
    how tensors lie (row-major otherwise), ``disable`` leaves optional passes out. Code for GPUs takes tensors that are
    aligned to 16 bytes.

    Raises:
        SourceErrors: errors of the source. CallError: of this call. CompilerFault: of ours.
    """
    known = switches or read()
    loaded = program(source)
    return compile_loaded(
        loaded, loaded.kernel(kernel), target=target, types=types, consts=consts, dims=dims, layouts=layouts,
        disable=disable, switches=known,
    )  # fmt: skip


def compile_loaded(
    loaded: Program,
    checked: CheckedKernel,
    *,
    target: str,
    types: Mapping[str, str] | None = None,
    consts: Mapping[str, Any] | None = None,
    dims: Mapping[str, int] | None = None,
    layouts: Mapping[str, str] | None = None,
    disable: Iterable[str] = (),
    switches: Switches,
) -> Compiled:
    """``compile`` of a program that is loaded already."""
    facts = allocated(checked, find(target, switches))
    job = Job(
        loaded,
        checked.name,
        instance_of(checked, types, consts),
        target,
        tuple(sorted((layouts or {}).items())),
        tuple(sorted((dims or {}).items())),
        Settings(disabled=frozenset(disable), facts=facts, keep=True),
    )
    return Compiled(compile_apart(job, switches), switches)


def instance_of(checked: CheckedKernel, types: Mapping[str, str] | None, consts: Mapping[str, Any] | None) -> Instance:
    """The instance of explicit types and consts; errors become ``CallError``."""
    try:
        return infer_instance(checked, {}, consts or {}, types)
    except SourceErrors as errors:
        raise as_call_error(errors) from errors


def as_call_error(errors: SourceErrors, arguments: Iterable[str] = ()) -> CallError:
    """The first of ``errors`` as an error of the call that brought it up, naming which of ``arguments`` is at fault."""
    first = errors.diagnostics[0]
    named = next((name for name in arguments if f"`{name}`" in first.message), "")
    message = first.message.replace("`", "")
    return CallError(first.code, message, argument=named, expected=first.expected, found=first.found)
