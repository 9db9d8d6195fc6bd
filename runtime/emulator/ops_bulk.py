"""Decoders of bulk copies, TMA and wgmma."""

from __future__ import annotations

from tilewright.runtime.emulator.action import Action
from tilewright.runtime.emulator.decode import Context
from tilewright.runtime.emulator.errors import UnsupportedInstruction
from tilewright.runtime.emulator.syntax import Instruction


def bulk(context: Context, instruction: Instruction) -> Action:
    raise UnsupportedInstruction(instruction.opcode, instruction.line)


def wgmma(context: Context, instruction: Instruction) -> Action:
    raise UnsupportedInstruction(instruction.opcode, instruction.line)
