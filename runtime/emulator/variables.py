"""Variable declarations: sizes, alignment, initial values (PTX ISA, "Variables")."""

from __future__ import annotations

import re
import struct

from tilewright.runtime.emulator.errors import PtxSyntaxError
from tilewright.runtime.emulator.limits import MAX_INITIAL_VALUES, MAX_VARIABLES
from tilewright.runtime.emulator.scalar_types import TYPES
from tilewright.runtime.emulator.syntax import Variable
from tilewright.runtime.emulator.tokens import FLOAT_BITS, parse_integer

DECLARATION = re.compile(
    r"(?P<linking>(?:\.(?:visible|extern|weak|common)\s+)*)\.(?P<space>global|shared|const|local|param)(?:::\w+)?"
    r"(?P<attributes>(?:\s+\.(?:attribute\([^)]*\)|managed|unified\([^)]*\)))*)"
    r"(?:\s+\.align\s+(?P<align>\d+))?(?:\s+\.(?P<vector>v[248]))?\s+\.(?P<type>\w+)\s+(?P<rest>.*)",
    re.S,
)
DECLARATOR = re.compile(r"(?P<name>[\w$%]+)(?P<dims>(?:\s*\[\s*\w*\s*\])*)\s*(?:=\s*(?P<init>.*))?$", re.S)


def type_size(name: str, line: int) -> int:
    """Size in bytes of a scalar type.

    Raises:
        PtxSyntaxError: for a type this emulator does not know.
    """
    found = TYPES.get(name)
    if found is None:
        raise PtxSyntaxError(f"unknown type `.{name}`", line)
    return max(found.bits // 8, 1)


def parse_variable(statement: str, line: int) -> list[Variable]:
    """Variables of one declaration statement (without its ``;``)."""
    match = DECLARATION.fullmatch(statement)
    if match is None:
        raise PtxSyntaxError(f"cannot read `{statement.splitlines()[0][:80]}`", line)
    size = type_size(match["type"], line) * int((match["vector"] or "v1")[1:])
    alignment = parse_integer(match["align"] or str(size), line)
    if alignment & (alignment - 1) or not 1 <= alignment <= 1 << 20:
        raise PtxSyntaxError(f"alignment {alignment} is not a power of two up to 1 MiB", line)
    external = ".extern" in match["linking"]
    return [
        _declare(piece, match["space"], match["type"], size, alignment, external, line)
        for piece in _declarators(match["rest"])
    ]


def _declarators(text: str) -> list[str]:
    return [text.strip()] if "=" in text else [piece.strip() for piece in text.split(",")]


def _declare(text: str, space: str, type_name: str, size: int, alignment: int, external: bool, line: int) -> Variable:
    match = DECLARATOR.fullmatch(text)
    if match is None:
        raise PtxSyntaxError(f"cannot read the declaration `{text[:80]}`", line)
    count, unknown = 1, False
    for dimension in re.findall(r"\[\s*(\w*)\s*\]", match["dims"]):
        unknown = unknown or not dimension
        count *= parse_integer(dimension, line) if dimension else 1
        if count * size > MAX_VARIABLES:
            raise PtxSyntaxError(f"`{match['name'][:80]}` has more than {MAX_VARIABLES} bytes, the limit", line)
    values, relocations = _initial(match["init"], type_name, line) if match["init"] else (None, ())
    total = len(values) if unknown and values is not None else 0 if unknown else size * count
    return Variable(match["name"], space, total, alignment, external, values, relocations)


def _initial(text: str, type_name: str, line: int) -> tuple[bytes, tuple[tuple[int, str], ...]]:
    """Bytes of an initialiser; names in it become relocations."""
    if text.count(",") >= MAX_INITIAL_VALUES:
        raise PtxSyntaxError(f"more than {MAX_INITIAL_VALUES} initial values", line)
    size = type_size(type_name, line)
    output = bytearray()
    relocations: list[tuple[int, str]] = []
    for item in re.findall(r"[^\s{},]+", text.replace("generic(", " ").replace(")", " ")):
        if re.match(r"[A-Za-z_$]", item):
            relocations.append((len(output), item))
            output += bytes(size)
            continue
        output += _literal_bytes(item, type_name, size, line)
    return bytes(output), tuple(relocations)


def _literal_bytes(item: str, type_name: str, size: int, line: int) -> bytes:
    match = FLOAT_BITS.fullmatch(item)
    if match and len(match[3]) in (8, 16):
        return int(match[3], 16).to_bytes(len(match[3]) // 2, "little")
    if type_name in ("f32", "f64"):
        try:
            return struct.pack("<f" if size == 4 else "<d", float(item))
        except (ValueError, OverflowError):
            raise PtxSyntaxError(f"`{item[:80]}` is no value of .{type_name}", line) from None
    return (parse_integer(item, line) & ((1 << (8 * size)) - 1)).to_bytes(size, "little")
