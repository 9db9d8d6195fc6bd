"""Owns what a caller may give as a program: a path of a ``.tw`` file or the text itself; and loading it once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tilewright.compiler.collector import collector_paused
from tilewright.compiler.language.frontend import CheckedKernel, Module, load_module
from tilewright.compiler.language.read import read_source
from tilewright.compiler.language.span import Source
from tilewright.runtime.errors import CallError

STRING = "<string>"


@dataclass(frozen=True)
class Program:
    """A loaded text; ``folder`` is where its imports are looked for (None: only the library)."""

    source: Source
    folder: Path | None
    module: Module = field(compare=False, repr=False)

    @property
    def imports(self) -> dict[str, str]:
        """The texts below ``folder`` that the source imports, by their path in it."""
        if self.folder is None:
            return {}
        root = self.folder.resolve()
        return {str(Path(one.name).relative_to(root)): one.text for one in self.module.imported}

    def kernel(self, name: str | None) -> CheckedKernel:
        """The kernel called ``name``, or the only one (``CallError`` TW1014 otherwise)."""
        kernels = self.module.kernels
        if name is None and len(kernels) == 1:
            return next(iter(kernels.values()))
        if name is None or name not in kernels:
            what = "which kernel?" if name is None else f"no kernel {name!r} in {self.source.name}"
            raise CallError("TW1014", what, argument="kernel", expected=", ".join(kernels) or "a kernel",
                            found=name or f"{len(kernels)} kernels")  # fmt: skip
        return kernels[name]


def program(given: str | Path) -> Program:
    """The program of a path, or of a text: a text has a line end or a blank, which no path to a ``.tw`` file ends in.

    Raises ``SourceErrors`` for what is wrong in it, ``CallError`` TW1014 where there is no such file.
    """
    if isinstance(given, Path) or given.rstrip().endswith(".tw") and "\n" not in given:
        return from_file(Path(given))
    return from_text(given)


def source_of(path: Path) -> Source:
    """The text of a file; ``CallError`` TW1014 where there is none, ``SourceErrors`` where it is no text."""
    try:
        return read_source(path)
    except OSError as cause:
        raise CallError("TW1014", f"cannot read {path}: {cause.strerror}", argument="path") from cause


def from_file(path: Path) -> Program:
    return _loaded(source_of(path), path.resolve().parent)


def from_text(text: str, name: str = STRING, folder: Path | None = None) -> Program:
    return _loaded(Source(name, text), folder)


def _loaded(source: Source, folder: Path | None) -> Program:
    with collector_paused():
        return Program(source, folder, load_module(source, folder))
