"""Where the variables of a kernel lie in shared, local and global memory, and the image of the module's globals."""

from __future__ import annotations

from dataclasses import dataclass, field

from tilewright.runtime.emulator.decode import Place
from tilewright.runtime.emulator.errors import LaunchError, PtxSyntaxError
from tilewright.runtime.emulator.limits import MAX_LOCAL, MAX_VARIABLES
from tilewright.runtime.emulator.parse import ParsedModule
from tilewright.runtime.emulator.spaces import MODULE_GLOBALS, SHARED_WINDOW
from tilewright.runtime.emulator.syntax import Function, Variable

RED_ZONE = 16
DYNAMIC_ALIGNMENT = 1024
"""Assumed alignment of dynamic shared memory, whatever the declaration says; swizzled tiles rely on it."""


@dataclass(slots=True)
class Layout:
    """Addresses of everything a kernel names.

    Attributes:
        places: symbol to space and address.
        static_shared: bytes before the dynamic part; ``dynamic_start`` where it begins.
    """

    places: dict[str, Place] = field(default_factory=dict)
    shared: list[tuple[int, int]] = field(default_factory=list)
    shared_values: list[tuple[int, bytes]] = field(default_factory=list)
    static_shared: int = 0
    dynamic_start: int = 0
    local_objects: list[tuple[int, int]] = field(default_factory=list)
    local_size: int = 0
    real_static: int = 0

    def shared_size(self, dynamic: int) -> int:
        """Bytes of shared memory of a CTA."""
        return self.dynamic_start + dynamic if dynamic else self.static_shared

    def shared_objects(self, dynamic: int) -> list[tuple[int, int]]:
        return self.shared + ([(self.dynamic_start, dynamic)] if dynamic else [])


def build_layout(module: ParsedModule, function: Function, module_places: dict[str, Place]) -> Layout:
    """Lay out the variables of one kernel; statics get a red zone between them."""
    layout = Layout(dict(module_places))
    shared = [v for v in module.variables.values() if v.space == "shared"]
    shared += [v for v in function.variables.values() if v.space == "shared"]
    cursor = 0
    for variable in (v for v in shared if v.size):
        start = _align(cursor, max(variable.alignment, 16))
        layout.places[variable.name] = Place("shared", start)
        layout.shared.append((start, variable.size))
        layout.real_static = _align(layout.real_static, variable.alignment) + variable.size
        if variable.values is not None:
            layout.shared_values.append((start, variable.values))
        cursor = start + variable.size + RED_ZONE
    layout.static_shared = cursor
    layout.dynamic_start = _align(cursor, DYNAMIC_ALIGNMENT) if cursor else 0
    for variable in (v for v in shared if not v.size):
        layout.places[variable.name] = Place("shared", layout.dynamic_start)
    _local(layout, function)
    for parameter in function.parameters:
        layout.places[parameter.name] = Place("param", parameter.offset)
    return layout


def _local(layout: Layout, function: Function) -> None:
    cursor = 0
    for variable in function.variables.values():
        if variable.space not in ("local", "param"):
            continue
        start = _align(cursor, max(variable.alignment, 8))
        layout.places[variable.name] = Place("local", start)
        layout.local_objects.append((start, variable.size))
        cursor = start + variable.size + RED_ZONE
    layout.local_size = _align(cursor, 16)
    if layout.local_size > MAX_LOCAL:
        raise LaunchError(f"`{function.name}` needs {layout.local_size} bytes of local memory, {MAX_LOCAL} exist")


def _align(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment


@dataclass(frozen=True, slots=True)
class GlobalImage:
    """The module's .global and .const variables: places, and (address, bytes, length, writable) to load."""

    places: dict[str, Place]
    segments: tuple[tuple[int, bytes, int, bool], ...]
    end: int


def build_globals(module: ParsedModule) -> GlobalImage:
    """Addresses and initial bytes; uninitialised globals are zero, as the driver makes them."""
    places: dict[str, Place] = {}
    cursor = MODULE_GLOBALS
    variables = [v for v in module.variables.values() if v.space in ("global", "const")]
    for variable in variables:
        cursor = _align(cursor, max(variable.alignment, 64))
        places[variable.name] = Place(variable.space, cursor)
        cursor += variable.size + 256
        if cursor - MODULE_GLOBALS > 2 * MAX_VARIABLES:
            raise PtxSyntaxError(f"the variables of the module take more than {2 * MAX_VARIABLES} bytes")
    segments = []
    for variable in variables:
        address = places[variable.name].address
        segments.append((address, _image(variable, places, module), variable.size, variable.space == "global"))
    return GlobalImage(places, tuple(segments), cursor)


def _image(variable: Variable, places: dict[str, Place], module: ParsedModule) -> bytes:
    image = bytearray(variable.values or b"")
    image += bytes(max(variable.size - len(image), 0))
    for offset, name in variable.relocations:
        if name not in places:
            if module.variables.get(name) is None and name not in module.functions:
                raise PtxSyntaxError(f"initialiser of `{variable.name}` names unknown `{name}`")
            continue
        place = places[name]
        value = place.address + (SHARED_WINDOW if place.space == "shared" else 0)
        image[offset : offset + 8] = value.to_bytes(8, "little")
    return bytes(image[: variable.size])
