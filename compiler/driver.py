"""Owns one compilation from outside: cache, pipeline, crash folder; and ``compile``, which needs no data.

``artifact_of`` compiles in this process, behind the legality lists: that is what the JIT does. ``compile`` sends the
job to a child process with limits (``worker.py``), because a source may be anyone's.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import platformdirs

from tilewright.compiler import crash, pipeline
from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.language.frontend import CheckedKernel, infer_instance, instantiate
from tilewright.compiler.language.typed import Instance, TypedKernel
from tilewright.compiler.pipeline import Settings
from tilewright.compiler.sources import Program, program
from tilewright.compiler.specialise import digest, with_dims, with_layouts
from tilewright.compiler.target import Target, find
from tilewright.compiler.unsupported import refusal
from tilewright.compiler.version import versions
from tilewright.dialect import ods
from tilewright.dialect.faults import InternalFault, Unsupported
from tilewright.passes.base import Instrument
from tilewright.runtime import artifact as artifacts
from tilewright.runtime.artifact import Artifact
from tilewright.runtime.cache import DiskCache
from tilewright.runtime.errors import ArtifactError, CallError
from tilewright.runtime.facts import ALIGNMENT
from tilewright.runtime.launch import Program as Runnable
from tilewright.runtime.loading import program_for
from tilewright.runtime.plan import Plan
from tilewright.runtime.switches import Switches, read

_ONE_AT_A_TIME = threading.RLock()  # MLIR contexts belong to one thread at a time


class CompilerFault(InternalFault):
    """An internal fault as the user sees it: what failed, and the folder that repeats it."""

    def __init__(self, message: str, folder: Path | None) -> None:
        super().__init__(message)
        self.folder = folder

    def __str__(self) -> str:
        where = f"\n  everything needed to repeat it is in {self.folder}" if self.folder else ""
        return f"internal fault of the compiler: {self.args[0]}{where}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.folder)


@dataclass(frozen=True)
class Job:
    """One compilation: everything that its result depends on, besides the compiler and the switches."""

    program: Program
    kernel: str
    instance: Instance
    target: str = "cpu"
    layouts: tuple[tuple[str, str], ...] = ()
    dims: tuple[tuple[str, int], ...] = ()
    settings: Settings = field(default_factory=Settings)

    def typed(self) -> TypedKernel:
        """The kernel to compile; raises ``SourceErrors`` for what only this instance shows."""
        kernel = instantiate(self.program.kernel(self.kernel), self.instance)
        unknown = [name for name, _ in self.dims if name not in kernel.dims]
        if unknown:
            raise CallError("TW1018", f"{self.kernel} has no dim {unknown[0]}", argument="dims",
                            expected=", ".join(kernel.dims), found=unknown[0])  # fmt: skip
        return with_dims(with_layouts(kernel, dict(self.layouts)), dict(self.dims))


def artifact_of(job: Job, switches: Switches, instrument: Instrument | None = None) -> Artifact:
    """The compiled kernel: from the disk cache, or made in this process.

    Raises:
        SourceErrors: the kernel cannot be compiled as written.
        CompilerFault: a mistake of ours; a crash folder is left.
    """
    target = find(job.target, switches)
    kernel = job.typed()
    cache, key = disk_cache(switches), cache_key(job, kernel, target, switches)
    fresh = instrument is not None or job.settings.verify or switches.verify_passes
    found = None if fresh else _from_cache(cache, key)
    if found is not None:
        return found
    made = _make(job, kernel, target, switches, instrument or Instrument())
    if cache is not None and not fresh:
        cache.store(key, made.to_bytes())
    return made


def _from_cache(cache: DiskCache | None, key: str) -> Artifact | None:
    data = cache.load(key) if cache is not None else None
    try:
        return artifacts.from_bytes(data) if data is not None else None
    except ArtifactError:
        return None


def _make(job: Job, kernel: TypedKernel, target: Target, switches: Switches, instrument: Instrument) -> Artifact:
    try:
        with _ONE_AT_A_TIME:
            settings = replace(job.settings, verify=job.settings.verify or switches.verify_passes)
            built = pipeline.compile_typed(kernel, target, settings, instrument, dict(job.dims))
    except Unsupported as lacking:
        raise refusal(lacking, kernel, target.name) from lacking
    except (InternalFault, AssertionError, LookupError, AttributeError, TypeError, NotImplementedError) as fault:
        raise CompilerFault(
            f"{type(fault).__name__}: {fault}", _leave_folder(fault, job, kernel, target, switches)
        ) from fault
    return Artifact(built.plan, target.description(), built.code, built.notes, versions())


def _leave_folder(
    fault: BaseException, job: Job, kernel: TypedKernel, target: Target, switches: Switches
) -> Path | None:
    case = crash.Case(
        job.program.source.text, job.kernel, job.target, job.instance, dict(job.dims), job.settings.disabled
    )
    return crash.write(fault, case, _texts(job, kernel, target), switches, switches.crash_dir or _home() / "crashes")


def _texts(job: Job, kernel: TypedKernel, target: Target) -> dict[str, str]:
    """The IR after each pass that still works: the compilation is repeated with printing on."""
    texts: list[str] = []
    instrument = Instrument(verify=False, levels=False, print_changed=texts.append)
    try:
        with _ONE_AT_A_TIME:
            pipeline.compile_typed(kernel, target, job.settings, instrument, dict(job.dims))
    except Exception:  # the fault again, wherever it shows this time: the texts before it are what we are after
        pass
    return {f"pass-{number}": text for number, text in enumerate(texts)}


def artifact_of_ir(
    text: str, target_name: str, settings: Settings, switches: Switches, instrument: Instrument | None = None
) -> Artifact:
    """Go on from a dumped level; ``UnreadableText`` where the text is no module of ours."""
    target = find(target_name, switches)
    with _ONE_AT_A_TIME, ods.session():
        module, level = pipeline.parse_level(text)
        built = pipeline.compile_module(module, level, target, settings, instrument or Instrument())
    return Artifact(built.plan, target.description(), built.code, built.notes, versions())


def cache_key(job: Job, kernel: TypedKernel, target: Target, switches: Switches) -> str:
    """The text that names a compilation's result."""
    ingredients = {
        "kernel": digest(kernel),
        "doc": kernel.doc,
        "dims": job.dims,
        "target": target.description(),
        "machine": repr(target.machine),
        "disabled": sorted(job.settings.disabled),
        "schedules": [str(schedule) for schedule in job.settings.schedules],
        "facts": job.settings.facts,
        "keep": job.settings.keep,
        "switches": switches.cache_key(),
        "versions": versions() | {"sources": version_digest()},
    }
    return json.dumps(ingredients, sort_keys=True)


def version_digest() -> str:
    from tilewright.compiler.version import source_digest

    return source_digest()


def _home() -> Path:
    return Path(platformdirs.user_cache_dir("tilewright"))


def disk_cache(switches: Switches) -> DiskCache | None:
    """The cache that the switches ask for."""
    if not switches.cache:
        return None
    return DiskCache(switches.cache_dir or _home() / "kernels", switches.cache_bytes)


# ---------------------------------------------------------------- what is handed out


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
        """The IR at ``tensor``, ``plan``, ``tile``, ``llvm`` …; ``CallError`` TW1207 where it was not kept."""
        return self._note({"llvm": "llvm.ll", "ptx": "code.ptx", "sass": "code.sass"}.get(level, f"{level}.mlir"), level)

    @property
    def asm(self) -> str:
        """Assembly text: of the processor for ``cpu``, SASS for GPUs (PTX where no disassembler was there)."""
        for name in ("code.s", "code.sass", "code.ptx"):
            if name in self.artifact.notes:
                return self.artifact.notes[name]
        return self._note("code.s", "asm")

    @property
    def resources(self) -> dict[str, Any]:
        """Registers, spills, shared memory and the like, by launch."""
        return dict(json.loads(self.artifact.notes.get("resources.json", "{}")))

    def save(self, path: str | Path) -> None:
        """Write the ``.twk`` file that ``tilewright.load`` reads without the compiler."""
        self.artifact.save(Path(path))

    def _note(self, name: str, level: str) -> str:
        if name in self.artifact.notes:
            return self.artifact.notes[name]
        kept = sorted(note.partition(".")[0] for note in self.artifact.notes)
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
    from tilewright.compiler.worker import compile_apart

    facts = _assumed(checked, find(target, switches))
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


def _assumed(checked: CheckedKernel, target: Target) -> tuple[str, ...]:
    """What code that is compiled without data assumes of its calls: tensors lie as allocators give them."""
    if "aligned" not in target.specialises:
        return ()
    return tuple(f"align({item.name.id}) >= {ALIGNMENT}" for item in (*checked.tensors, *checked.outputs))


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
