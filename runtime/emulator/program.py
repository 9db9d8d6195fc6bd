"""A kernel ready to run: blocks of decoded actions, grouped, with a row for every register."""

from __future__ import annotations

from typing import Any

from tilewright.runtime.emulator.action import Action
from tilewright.runtime.emulator.barriers import decode_barrier
from tilewright.runtime.emulator.blocks import Block, build_blocks, is_cta_barrier
from tilewright.runtime.emulator.decode import Context, Place, source
from tilewright.runtime.emulator.errors import LaunchError
from tilewright.runtime.emulator.inline import inline_calls
from tilewright.runtime.emulator.layout import Layout, build_layout
from tilewright.runtime.emulator.limits import MAX_INSTRUCTIONS
from tilewright.runtime.emulator.matrix_hazards import block_events, register_universe
from tilewright.runtime.emulator.opcodes import decode
from tilewright.runtime.emulator.pack import group_actions, reads, writes
from tilewright.runtime.emulator.parse import ParsedModule
from tilewright.runtime.emulator.registers import RowMap
from tilewright.runtime.emulator.scalar_types import U32
from tilewright.runtime.emulator.syntax import Function, Instruction

CONTROL = frozenset(("bra", "brx", "ret", "exit", "trap"))


class Program:
    """One entry of a module, decoded once and run many times.

    Attributes:
        function: the entry with its calls inlined.
        blocks: basic blocks; block 0 is the start.
        rows: row numbers of registers in the register file.
    """

    def __init__(self, module: ParsedModule, function: Function, module_places: dict[str, Place]) -> None:
        self.module = module
        if len(function.body) > MAX_INSTRUCTIONS:
            raise LaunchError(f"`{function.name}` has {len(function.body)} instructions, at most {MAX_INSTRUCTIONS}")
        self.function = inline_calls(module, function)
        self.layout: Layout = build_layout(module, self.function, module_places)
        parameters = {parameter.name: parameter for parameter in self.function.parameters}
        self.context = Context(self.layout.places, parameters)
        self.blocks: list[Block] = self._build()
        self.rows = RowMap()
        self._groups: dict[int, list[list[Action]]] = {}
        self._spins: bool | None = None
        universe = register_universe(self.blocks)
        self.matrix_events = [block_events(block, universe) for block in self.blocks] if universe else []
        self._place_registers()

    def _build(self) -> list[Block]:
        body = self.function.body
        actions: list[Action | None] = []
        barriers: dict[int, Any] = {}
        selectors: dict[int, Any] = {}
        for index, instruction in enumerate(body):
            if is_cta_barrier(instruction):
                barriers[index] = decode_barrier(self.context, instruction)
            if instruction.mnemonic == "brx":
                selectors[index] = source(self.context, instruction, instruction.operands[0], U32)
            control = instruction.mnemonic in CONTROL or is_cta_barrier(instruction)
            actions.append(None if control else decode(self.context, instruction))
        self._tie_waits([action for action in actions if action is not None])
        return build_blocks(self.function, actions, barriers, selectors)

    def _tie_waits(self, actions: list[Action]) -> None:
        """Asynchronous products use their registers until the wait, so nothing that touches those may pass it."""
        products = [action for action in actions if action.instruction.mnemonic == "wgmma"]
        used = {register: None for action in products for operand in action.sources for register in operand.rows or ()}
        for action in products:
            if action.instruction.parts[1] == "wait_group":
                action.touches = tuple(used)

    def groups(self, index: int) -> list[list[Action]]:
        return self._groups[index]

    def _place_registers(self) -> None:
        """Rows: first the long register lists, then results in the order in which groups write them."""
        for block in self.blocks:
            for action in block.actions:
                for operand in action.sources:
                    if operand.rows is not None:
                        self.rows.add(operand.rows)
        for block in self.blocks:
            groups = self._groups[block.index] = group_actions(block.actions)
            for group in groups:
                for position in range(len(group[0].destinations)):
                    registers = [action.destinations[position].register for action in group]
                    self.rows.add(register for register in registers if register is not None)
        for block in self.blocks:
            self._place_rest(block)

    def _place_rest(self, block: Block) -> None:
        for action in block.actions:
            self.rows.add(reads(action))
            self.rows.add(writes(action))
        extra = [block.guard] if block.guard is not None else []
        spec = block.barrier
        if spec is not None:
            operands = (spec.identity, spec.count, spec.predicate, spec.result)
            extra += [operand.register for operand in operands if operand is not None and operand.register is not None]
        if block.selector is not None and block.selector.register is not None:
            extra.append(block.selector.register)
        if block.members is not None and not isinstance(block.members, int) and block.members.register is not None:
            extra.append(block.members.register)
        self.rows.add(extra)

    @property
    def spins(self) -> bool:
        """Whether the kernel may wait for other CTAs: atomics or strong loads that are not of shared memory."""
        if self._spins is None:
            self._spins = any(_may_poll(block) for block in self.blocks)
        return self._spins

    def source_line(self, instruction: Instruction) -> str | None:
        """``file:line`` of the language that the PTX was compiled from."""
        if instruction.source is None:
            return None
        name = self.module.files.get(instruction.source[0], f"file {instruction.source[0]}")
        return f"{name}:{instruction.source[1]}"


def _may_poll(block: Block) -> bool:
    for instruction in block.instructions:
        parts = instruction.parts
        strong = {"acquire", "volatile", "relaxed"} & set(parts)
        local = any(part.startswith("shared") for part in parts)
        if not local and (parts[0] == "atom" or (parts[0] == "ld" and strong)):
            return True
    return False
