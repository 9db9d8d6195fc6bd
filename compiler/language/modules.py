"""Owns imports: which file a module name means, and the macros and kernels that a file sees.

Modules are found below the folder of the importing file, then in the library, and nowhere else: names hold no ``..``,
links that lead out of either folder are refused, and so are cycles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tilewright.compiler.language import limits, tree
from tilewright.compiler.language.check.problems import Problems, note, replaced
from tilewright.compiler.language.check.vocabulary import CONSTANTS, FUNCTIONS, INDEXED, suggestion
from tilewright.compiler.language.definitions import check_definitions
from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.language.expand import Definition
from tilewright.compiler.language.parse import parse_items
from tilewright.compiler.language.read import read_source
from tilewright.compiler.language.span import Source, Span
from tilewright.compiler.language.typed import DTYPES

LIBRARY = Path(__file__).resolve().parent.parent / "library"
"""The folder of the standard library."""


@dataclass(frozen=True)
class KernelSource:
    """A kernel with the macros that its file sees and the schedules written for it."""

    kernel: tree.Kernel
    visible: Mapping[str, Definition]
    schedules: tuple[tree.Schedule, ...]


@dataclass(frozen=True)
class LoadedFile:
    """A parsed file: the macros that it sees, its own and imported ones, which it passes on, and its kernels."""

    source: Source
    visible: Mapping[str, Definition]
    kernels: Mapping[str, KernelSource]


class Modules:
    """Loads files with their imports, each file once; errors go to ``problems``."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self._loaded: dict[Path, LoadedFile] = {}
        self._open: list[Path] = []

    def load(self, source: Source, folder: Path | None) -> LoadedFile:
        """The file of ``source``; its imports are looked for below ``folder``."""
        parsed = parse_items(source)
        self.problems.found += parsed.errors
        file = parsed.file
        visible: dict[str, Definition] = {}
        kernels: dict[str, KernelSource] = {}
        for one in file.imports:
            self._import(one, folder, visible, kernels)
        visible.update(self._macros(file, visible))
        self._kernels(file, visible, kernels)
        return LoadedFile(source, visible, kernels)

    @property
    def imported(self) -> tuple[Source, ...]:
        """The texts of the imported files that are not the library's."""
        return tuple(file.source for path, file in self._loaded.items() if not path.is_relative_to(LIBRARY))

    # ------------------------------------------------------------ what a file defines

    def _macros(self, file: tree.File, imported: Mapping[str, Definition]) -> dict[str, Definition]:
        macros: dict[str, Definition] = {}
        visible: dict[str, Definition] = dict(imported)
        for macro in file.macros:
            name = macro.name.id
            if name in FUNCTIONS or name in INDEXED or name in DTYPES or name in CONSTANTS:
                message = f"`{name}` is built in, so no macro can have its name"
                self.problems.add("TW0204", macro.name.span, message, expected="another name")
            elif name in macros:
                self._twice(macro.name, macros[name].macro.name.span, "macro")
            else:
                self._check_parameters(macro)
                macros[name] = visible[name] = Definition(macro, visible)
        for name in check_definitions(macros, self.problems):
            macros[name] = visible[name] = replace(macros[name], broken=True)
        return macros

    def _check_parameters(self, macro: tree.Macro) -> None:
        seen: dict[str, Span] = {}
        for name in (*macro.indices, *macro.params):
            if name.id in seen:
                self._twice(name, seen[name.id], "parameter")
            seen.setdefault(name.id, name.span)

    def _twice(self, name: tree.Name, first: Span, what: str) -> None:
        message = f"{what} `{name.id}` is defined twice"
        notes = note(first, f"`{name.id}` is defined here")
        self.problems.add("TW0202", name.span, message, expected="another name", notes=notes)

    def _kernels(self, file: tree.File, visible: Mapping[str, Definition], kernels: dict[str, KernelSource]) -> None:
        own: dict[str, Span] = {}
        for kernel in file.kernels:
            name = kernel.name.id
            if name in own:
                self._twice(kernel.name, own[name], "kernel")
                continue
            own[name] = kernel.name.span
            schedules = tuple(s for s in file.schedules if s.kernel.id == name)
            kernels[name] = KernelSource(kernel, visible, schedules)
        for schedule in file.schedules:
            if schedule.kernel.id not in own:
                meant = suggestion(schedule.kernel.id, frozenset(own))
                fix = replaced(schedule.kernel.span, meant) if meant else None
                message = f"no kernel `{schedule.kernel.id}` in this file"
                self.problems.add("TW0213", schedule.kernel.span, message, fix=fix)

    # ------------------------------------------------------------ imports

    def _import(
        self,
        one: tree.Import,
        folder: Path | None,
        visible: dict[str, Definition],
        kernels: dict[str, KernelSource],
    ) -> None:
        found = self._find(one, folder)
        loaded = self._load_path(found, one) if found is not None else None
        if loaded is None:
            visible.update((name.id, _broken(name)) for name in one.names)
            return
        if not one.names:
            visible.update(loaded.visible)
            return
        for name in one.names:
            if name.id in loaded.visible:
                visible[name.id] = loaded.visible[name.id]
            if name.id in loaded.kernels:
                kernels[name.id] = loaded.kernels[name.id]
            if name.id not in loaded.visible and name.id not in loaded.kernels:
                self._not_there(one, name, loaded)
                visible[name.id] = _broken(name)

    def _not_there(self, one: tree.Import, name: tree.Name, loaded: LoadedFile) -> None:
        module = ".".join(part.id for part in one.module)
        meant = suggestion(name.id, frozenset(loaded.visible) | frozenset(loaded.kernels))
        fix = replaced(name.span, meant) if meant else None
        self.problems.add("TW0206", name.span, f"module `{module}` defines no `{name.id}`", fix=fix)

    def _find(self, one: tree.Import, folder: Path | None) -> Path | None:
        """The file of a module: below the importing file's folder, else in the library."""
        parts = [part.id for part in one.module]
        roots = [root for root in (folder, LIBRARY) if root is not None]
        for root in roots:
            path = root.joinpath(*parts).with_suffix(".tw")
            if not path.is_file():
                continue
            real = path.resolve()
            if real.is_relative_to(root.resolve()):
                return real
            message = f"module `{'.'.join(parts)}` is a link that leads out of its folder"
            self.problems.add("TW0208", _module_span(one), message)
            return None
        where = "in the library" if folder is None else "below this file's folder or in the library"
        message = f"there is no module `{'.'.join(parts)}` {where}"
        meant = suggestion(parts[0], frozenset(p.stem for root in roots for p in root.glob("*.tw")))
        fix = replaced(_module_span(one), meant) if meant and len(parts) == 1 else None
        self.problems.add("TW0205", _module_span(one), message, fix=fix)
        return None

    def _load_path(self, path: Path, one: tree.Import) -> LoadedFile | None:
        if path in self._loaded:
            return self._loaded[path]
        if path in self._open:
            message = f"module `{path.stem}` imports itself in a circle"
            chain = " -> ".join(p.stem for p in (*self._open[self._open.index(path) :], path))
            self.problems.add("TW0207", _module_span(one), message, found=chain)
            return None
        if len(self._loaded) + len(self._open) >= limits.IMPORTED_FILES:
            message = f"this file reaches more than {limits.IMPORTED_FILES} files through imports"
            self.problems.add("TW0814", _module_span(one), message)
            return None
        source = self._read(path, one)
        if source is None:
            return None
        self._open.append(path)
        loaded = self._loaded[path] = self.load(source, path.parent)
        self._open.pop()
        return loaded

    def _read(self, path: Path, one: tree.Import) -> Source | None:
        try:
            return read_source(path)
        except OSError as error:
            reason = str(error)
        except SourceErrors as error:
            reason = error.diagnostics[0].message
        message = f"module `{path.stem}` cannot be read"
        self.problems.add("TW0205", _module_span(one), message, notes=note(None, reason))
        return None


def _broken(name: tree.Name) -> Definition:
    """What stands for a name that could not be imported, so that its uses are not reported too."""
    return Definition(tree.Macro(name.span, name, (), (), name, ""), {}, broken=True)


def _module_span(one: tree.Import) -> Span:
    return one.module[0].span.to(one.module[-1].span)
