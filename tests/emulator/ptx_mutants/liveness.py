"""Which statements of executed blocks matter: those with an effect, and those whose value reaches one.

Compilers leave values that only code for other inputs needs. A mistake there cannot show, and is not made.
"""

from __future__ import annotations

from typing import Any

from tilewright.runtime.emulator.action import Source
from tilewright.runtime.emulator.blocks import Block
from tilewright.runtime.emulator.pack import reads, writes
from tilewright.runtime.emulator.syntax import Register


def needed_lines(blocks: list[Block]) -> set[int]:
    """Lines of the ends of blocks, of actions with an effect, and of all that these depend on, whatever the path."""
    actions = [action for block in blocks for action in block.actions]
    ends = [value for block in blocks for value in (block.guard, block.selector, block.barrier)]
    needed, size = {register for end in ends for register in _registers(end)}, -1
    while len(needed) != size:
        size = len(needed)
        found = [action for action in actions if action.effect or needed.intersection(writes(action))]
        needed |= {register for action in found for register in reads(action)}
    return _ending_lines(blocks) | {action.instruction.line for action in found}


def _ending_lines(blocks: list[Block]) -> set[int]:
    """Branches, barriers and exits."""
    return {block.instructions[-1].line for block in blocks if len(block.actions) < len(block.instructions)}


def _registers(end: Any) -> list[Register]:
    """Registers that the end of a block reads: its guard, the index of a table, the operands of a barrier."""
    if end is None or isinstance(end, Register):
        return [] if end is None else [end]
    operands = [end] if isinstance(end, Source) else [end.identity, end.count, end.predicate]
    return [operand.register for operand in operands if operand is not None and operand.register is not None]
