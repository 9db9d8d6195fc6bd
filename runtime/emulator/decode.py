"""Shared tools of the instruction decoders: strict modifiers, typed operands, addresses.

A decoder must account for every modifier of its instruction; what is left over is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tilewright.runtime.emulator.action import Action, Destination, Source, constant
from tilewright.runtime.emulator.errors import UnsupportedInstruction
from tilewright.runtime.emulator.scalar_types import B32, PRED, TYPES, U32, ScalarType, bits_type
from tilewright.runtime.emulator.syntax import (
    Immediate,
    Instruction,
    Memory,
    Negated,
    Operand,
    Parameter,
    Register,
    Sink,
    Special,
    Symbol,
    Vector,
)

S64 = TYPES["s64"]
U64 = TYPES["u64"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a symbol lives: a space and its address in that space."""

    space: str
    address: int


@dataclass(slots=True)
class Context:
    """What decoders know of the function around an instruction."""

    places: dict[str, Place]
    parameters: dict[str, Parameter]
    carry: Register = field(default_factory=lambda: Register("carry", 1))

    def place(self, symbol: Symbol, instruction: Instruction) -> Place:
        found = self.places.get(symbol.name)
        if found is None:
            raise UnsupportedInstruction(instruction.opcode, instruction.line, f"`{symbol.name}` is not declared")
        return found


class Modifiers:
    """The dotted pieces of an opcode, taken one by one; ``finish`` refuses what nobody took."""

    def __init__(self, instruction: Instruction) -> None:
        self.instruction = instruction
        self.left = list(instruction.parts[1:])

    def flag(self, *names: str) -> bool:
        """Take one of the names if present."""
        for name in names:
            if name in self.left:
                self.left.remove(name)
                return True
        return False

    def choice(self, *names: str) -> str | None:
        """Take and return the one of the names that is present."""
        for piece in self.left:
            if piece in names:
                self.left.remove(piece)
                return piece
        return None

    def need(self, *names: str) -> str:
        found = self.choice(*names)
        if found is None:
            raise self.fault(f"expected one of {', '.join(names)}")
        return found

    def last_type(self) -> ScalarType:
        """Take the type at the end of the opcode."""
        found = TYPES.get(self.left[-1]) if self.left else None
        if found is None:
            raise self.fault("no type at the end of the opcode")
        self.left.pop()
        return found

    def starting(self, prefix: str) -> str | None:
        for piece in self.left:
            if piece.startswith(prefix):
                self.left.remove(piece)
                return piece
        return None

    def fault(self, reason: str) -> UnsupportedInstruction:
        return UnsupportedInstruction(self.instruction.opcode, self.instruction.line, reason)

    def finish(self) -> None:
        if self.left:
            raise self.fault(f"unknown modifier `.{self.left[0]}`")


Decoder = Callable[[Context, Instruction], Action]


def operands(instruction: Instruction, least: int, most: int | None = None) -> tuple[Operand, ...]:
    """The operands, checked for their number."""
    found = instruction.operands
    if not least <= len(found) <= (least if most is None else most):
        raise UnsupportedInstruction(instruction.opcode, instruction.line, f"takes {least} operands, has {len(found)}")
    return found


def source(context: Context, instruction: Instruction, operand: Operand, kind: ScalarType) -> Source:
    """A scalar operand read as ``kind``."""
    if isinstance(operand, Register):
        _check_width(instruction, operand, kind)
        return Source(kind, register=operand)
    if isinstance(operand, Immediate):
        return Source(kind, constant=immediate(operand, kind))
    if isinstance(operand, Special):
        return Source(kind, special=operand.name)
    if isinstance(operand, Negated):
        return Source(PRED, register=operand.register, inverted=True)
    if isinstance(operand, Symbol):
        return Source(kind, constant=constant(context.place(operand, instruction).address + operand.offset, kind))
    raise UnsupportedInstruction(instruction.opcode, instruction.line, f"operand {operand} is not a scalar")


RELAXED = frozenset(("cvt", "ld", "ldu", "st"))
"""Instructions whose registers may be wider than their type (PTX ISA, "Operand Size Exceeding ...")."""


def _check_width(instruction: Instruction, register: Register, kind: ScalarType) -> None:
    if register.bits == kind.bits:
        return
    wider = register.bits > kind.bits and kind is not PRED and register.bits != 1
    if wider and instruction.parts[0] in RELAXED:
        return
    raise UnsupportedInstruction(
        instruction.opcode,
        instruction.line,
        f"register {register} has {register.bits} bits, the instruction needs {kind.bits}",
    )


def immediate(operand: Immediate, kind: ScalarType) -> Any:
    """The literal as a NumPy scalar of the type; a float pattern keeps its bits or is converted between widths."""
    value = operand.value
    if operand.float_bits:
        pattern = np.array(value, dtype=f"u{operand.float_bits // 8}")
        number = pattern.view(f"f{operand.float_bits // 8}")[()]
        if kind.kind == "f":
            return kind.dtype.type(number) if kind.bits != operand.float_bits else number
        return constant(int(value), kind)
    if isinstance(value, float):
        if kind.kind != "f":
            return constant(
                int(np.array(value, f"f{max(kind.bits, 16) // 8}").view(f"u{max(kind.bits, 16) // 8}")), kind
            )
        return kind.dtype.type(value)
    return constant(value, kind)


def destination(instruction: Instruction, operand: Operand, kind: ScalarType) -> Destination:
    """A register that receives values of ``kind``."""
    if isinstance(operand, Sink):
        return Destination(kind, None)
    if not isinstance(operand, Register):
        raise UnsupportedInstruction(instruction.opcode, instruction.line, f"{operand} cannot be written")
    _check_width(instruction, operand, kind)
    return Destination(kind, operand)


def elements(operand: Operand) -> tuple[Operand, ...]:
    """The items of a vector operand, or the operand alone."""
    return operand.items if isinstance(operand, Vector) else (operand,)


def address(context: Context, instruction: Instruction, operand: Operand) -> tuple[tuple[Source, Source], str | None]:
    """Base and byte displacement of a memory operand, and the space of the symbol when the base is one."""
    if not isinstance(operand, Memory):
        raise UnsupportedInstruction(instruction.opcode, instruction.line, f"{operand} is not an address")
    base, offset = operand.base, operand.offset
    if isinstance(base, Register):
        kind = S64 if base.bits == 64 else U32
        return (source(context, instruction, base, kind), Source(S64, constant=np.int64(offset))), None
    if isinstance(base, Symbol):
        place = context.place(base, instruction)
        return (
            Source(S64, constant=np.int64(place.address)),
            Source(S64, constant=np.int64(base.offset + offset)),
        ), place.space
    if isinstance(base, Immediate):
        return (Source(S64, constant=np.int64(int(base.value))), Source(S64, constant=np.int64(offset))), None
    raise UnsupportedInstruction(instruction.opcode, instruction.line, f"{operand} is not an address")


def pure(
    instruction: Instruction, function: Callable[..., Any], results: list[Destination], inputs: list[Source]
) -> Action:
    """An action that only maps registers to registers."""
    return Action(instruction, function, tuple(inputs), tuple(results))


def simple(
    context: Context,
    instruction: Instruction,
    function: Callable[..., Any],
    result: ScalarType,
    inputs: list[ScalarType],
) -> Action:
    """The common form: one destination, then one source per listed type."""
    items = operands(instruction, 1 + len(inputs))
    return pure(
        instruction,
        function,
        [destination(instruction, items[0], result)],
        [source(context, instruction, item, kind) for item, kind in zip(items[1:], inputs, strict=True)],
    )


def raw_source(context: Context, instruction: Instruction, operand: Operand, bits: int) -> Source:
    """An operand read as untyped bits."""
    return source(context, instruction, operand, bits_type(bits))


def member_mask(context: Context, instruction: Instruction, operand: Operand) -> int | Source | None:
    """The lanes named by a ``membermask``: None when it is the constant of all lanes."""
    read = source(context, instruction, operand, B32)
    if read.constant is None:
        return read
    value = int(read.constant)
    return None if value == 0xFFFFFFFF else value
