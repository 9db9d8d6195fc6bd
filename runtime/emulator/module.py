"""A parsed PTX module and what a launcher needs to know of its entries."""

from __future__ import annotations

from dataclasses import dataclass, field

from tilewright.runtime.emulator.errors import LaunchError
from tilewright.runtime.emulator.layout import GlobalImage, build_globals
from tilewright.runtime.emulator.limits import shortened
from tilewright.runtime.emulator.parse import ParsedModule, parse_module
from tilewright.runtime.emulator.program import Program
from tilewright.runtime.emulator.syntax import Parameter


@dataclass(frozen=True, slots=True)
class Entry:
    """A kernel of a module.

    Attributes:
        parameters: names, types, sizes and offsets in bytes.
        reqntid: the block size that the kernel requires, or None.
        maxntid: the largest block size, or None.
        cluster: the cluster shape that the kernel requires, or None.
        shared_bytes: static shared memory in bytes.
    """

    name: str
    parameters: tuple[Parameter, ...]
    reqntid: tuple[int, int, int] | None
    maxntid: tuple[int, int, int] | None
    cluster: tuple[int, int, int] | None
    shared_bytes: int


@dataclass(slots=True)
class Module:
    """PTX text, parsed. Kernels are decoded when they are first launched."""

    parsed: ParsedModule
    entries: dict[str, Entry]
    globals: GlobalImage
    _programs: dict[str, Program] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Module:
        """Parse PTX.

        Raises:
            PtxSyntaxError: naming the line.
        """
        parsed = parse_module(text)
        image = build_globals(parsed)
        entries = {name: _entry(parsed, name) for name, function in parsed.functions.items() if function.is_entry}
        return cls(parsed, entries, image)

    def program(self, name: str) -> Program:
        """The decoded kernel.

        Raises:
            LaunchError: when there is no such entry.
            UnsupportedInstruction: for anything the emulator does not model, naming opcode and line.
        """
        if name not in self.entries:
            raise LaunchError(f"no entry `{name}`; the module has {shortened(', '.join(self.entries)) or 'none'}")
        found = self._programs.get(name)
        if found is None:
            found = self._programs[name] = Program(self.parsed, self.parsed.functions[name], self.globals.places)
        return found


def _triple(values: tuple[int, ...] | None) -> tuple[int, int, int] | None:
    if values is None:
        return None
    padded = (*values, 1, 1, 1)
    return padded[0], padded[1], padded[2]


def _entry(parsed: ParsedModule, name: str) -> Entry:
    function = parsed.functions[name]
    directives = function.directives
    shared = [v for v in (*parsed.variables.values(), *function.variables.values()) if v.space == "shared"]
    total = 0
    for variable in shared:
        total = -(-total // variable.alignment) * variable.alignment + variable.size
    return Entry(
        name,
        tuple(function.parameters),
        _triple(directives.get("reqntid")),
        _triple(directives.get("maxntid")),
        _triple(directives.get("reqnctapercluster")),
        total,
    )
