"""Owns one compilation: what it depends on, the cache in front of it, the pipeline, the crash folder behind it.

``artifact_of`` compiles in this process, behind the legality lists: the JIT calls it, and so does the child process of
``worker.py``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import platformdirs

from tilewright.compiler import crash, pipeline
from tilewright.compiler.collector import collector_paused
from tilewright.compiler.language.frontend import instantiate
from tilewright.compiler.language.typed import Instance, TypedKernel
from tilewright.compiler.pipeline import Settings
from tilewright.compiler.sources import Program
from tilewright.compiler.specialise import digest, with_dims, with_layouts
from tilewright.compiler.target import Target, find
from tilewright.compiler.unsupported import oversized, refusal, unused
from tilewright.compiler.version import source_digest, versions
from tilewright.dialect import ods
from tilewright.dialect.faults import ExceedsTarget, InternalFault, Unsupported
from tilewright.passes.base import Instrument
from tilewright.passes.tile.written import UnusedSetting
from tilewright.runtime import artifact as artifacts
from tilewright.runtime.artifact import Artifact
from tilewright.runtime.cache import DiskCache
from tilewright.runtime.errors import ArtifactError, CallError
from tilewright.runtime.switches import Switches

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
    fresh = instrument is not None or job.settings.verify or switches.verify_passes
    cache = None if fresh else disk_cache(switches)
    with collector_paused():
        kernel = job.typed()

        def make() -> Artifact:
            return _make(job, kernel, target, switches, instrument or Instrument())

        return make() if cache is None else _through(cache, cache_key(job, kernel, target, switches), make)


def _through(cache: DiskCache, key: str, make: Callable[[], Artifact]) -> Artifact:
    """The artifact under ``key``, made and stored if it is not there."""
    found = _from_cache(cache, key)
    if found is not None:
        return found
    made = make()
    cache.store(key, made.to_bytes())
    return made


def _from_cache(cache: DiskCache, key: str) -> Artifact | None:
    data = cache.load(key)
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
    except UnusedSetting as lost:
        raise unused(lost.settings, kernel, target.name) from lost
    except ExceedsTarget as excess:
        raise oversized(excess, kernel, target.name) or _fault(excess, job, kernel, target, switches) from excess
    except (InternalFault, AssertionError, LookupError, AttributeError, TypeError, NotImplementedError) as fault:
        raise _fault(fault, job, kernel, target, switches) from fault
    return Artifact(built.plan, target.description(), built.code, built.notes, versions())


def _fault(fault: BaseException, job: Job, kernel: TypedKernel, target: Target, switches: Switches) -> CompilerFault:
    """A mistake of ours, with the folder that repeats it."""
    case = crash.Case(
        job.program.source.text, job.kernel, job.target, job.instance, dict(job.dims), job.settings.disabled,
        job.program.imports,
    )  # fmt: skip
    home = switches.crash_dir or _home() / "crashes"
    folder = crash.write(fault, case, _texts(job, kernel, target), switches, home)
    return CompilerFault(f"{type(fault).__name__}: {fault}", folder)


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
    with _ONE_AT_A_TIME, ods.session(), collector_paused():
        module, level = pipeline.parse_level(text)
        try:
            built = pipeline.compile_module(module, level, target, settings, instrument or Instrument())
        except Unsupported as lacking:
            raise CallError("TW1207", f"this IR cannot be compiled for {target.name}: {lacking}") from lacking
        except UnusedSetting as lost:
            raise CallError("TW0611", f"for {target.name}, {lost}") from lost
        except ExceedsTarget as excess:
            raise CallError("TW0612", str(excess)) from excess
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
        "versions": versions() | {"sources": source_digest()},
    }
    return json.dumps(ingredients, sort_keys=True)


def _home() -> Path:
    return Path(platformdirs.user_cache_dir("tilewright"))


def disk_cache(switches: Switches) -> DiskCache | None:
    """The cache that the switches ask for."""
    if not switches.cache:
        return None
    return DiskCache(switches.cache_dir or _home() / "kernels", switches.cache_bytes)
