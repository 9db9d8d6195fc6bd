"""The parsed form of PTX: operands, instructions, functions, variables. Data only; ``parse.py`` builds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


class Register:
    """A virtual register; identity matters, the name is for messages."""

    __slots__ = ("bits", "name")

    def __init__(self, name: str, bits: int) -> None:
        self.name = name
        self.bits = bits

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Negated:
    """``!%p``: a predicate read inverted."""

    register: Register


@dataclass(frozen=True, slots=True)
class Immediate:
    """A literal. ``bits`` holds the pattern of a ``0f``/``0d`` literal of ``width`` bits; ``value`` an int or float."""

    value: int | float
    float_bits: int = 0


@dataclass(frozen=True, slots=True)
class Symbol:
    """A variable, parameter, function or label by name, plus a byte offset."""

    name: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Special:
    """A special register such as ``%tid.x``."""

    name: str


@dataclass(frozen=True, slots=True)
class Sink:
    """``_``: a result that is thrown away."""


@dataclass(frozen=True, slots=True)
class Vector:
    """``{a, b, ...}``."""

    items: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """``a|b``: two destinations."""

    first: Operand
    second: Operand


@dataclass(frozen=True, slots=True)
class Memory:
    """``[base+offset]`` or ``[base, {coordinates}]``; ``parts`` holds what follows the base."""

    base: Operand
    offset: int = 0
    parts: tuple[Operand, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """``(a, b)``: argument list of a call."""

    items: tuple[Operand, ...]


Operand: TypeAlias = "Register | Negated | Immediate | Symbol | Special | Sink | Vector | Pair | Memory | Group"


class Instruction:
    """One instruction with its guard and its place.

    ``opcode`` is the full dotted text, ``parts`` its pieces (``parts[0]`` the mnemonic). ``line`` is the one-based PTX
    line; ``source`` the (file index, line) of the ``.loc`` in force, or None.
    """

    __slots__ = ("guard", "line", "negated", "opcode", "operands", "parts", "source")

    def __init__(
        self,
        opcode: str,
        operands: tuple[Operand, ...],
        guard: Register | None,
        negated: bool,
        line: int,
        source: tuple[int, int] | None,
    ) -> None:
        self.opcode = opcode
        self.parts = opcode.split(".")
        self.operands = operands
        self.guard = guard
        self.negated = negated
        self.line = line
        self.source = source

    @property
    def mnemonic(self) -> str:
        return self.parts[0]

    def __repr__(self) -> str:
        guard = f"@{'!' if self.negated else ''}{self.guard} " if self.guard else ""
        return f"{guard}{self.opcode} {self.operands}"


@dataclass(frozen=True, slots=True)
class Variable:
    """A declared variable. ``size`` is in bytes, 0 for an array of unknown length; ``values`` are initial bytes,
    ``relocations`` are (byte offset, symbol) pairs to fill with addresses."""

    name: str
    space: str
    size: int
    alignment: int
    external: bool = False
    values: bytes | None = None
    relocations: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A kernel or function parameter; ``offset`` is its byte offset in the parameter block."""

    name: str
    type: str
    size: int
    alignment: int
    offset: int
    pointer_space: str | None = None


@dataclass(slots=True)
class Function:
    """An ``.entry`` or ``.func`` with its flat body."""

    name: str
    is_entry: bool
    line: int
    parameters: list[Parameter] = field(default_factory=list)
    returns: list[Parameter] = field(default_factory=list)
    body: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    branch_targets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    directives: dict[str, tuple[int, ...]] = field(default_factory=dict)
    defined: bool = True
