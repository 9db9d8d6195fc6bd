"""Basic blocks: where a body is cut, how blocks end, and the order in which strands are preferred.

A block that holds warp-synchronous instructions waits at its start until the lanes they name have arrived, so one lane
mask is right for the whole block.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from tilewright.runtime.emulator.action import Action, Order
from tilewright.runtime.emulator.errors import UnsupportedInstruction
from tilewright.runtime.emulator.syntax import Function, Instruction, Register, Symbol

ENDING = frozenset(("bra", "brx", "ret", "exit", "trap", "barrier_end"))


class End(enum.Enum):
    """How control leaves a block."""

    FALL = enum.auto()
    BRANCH = enum.auto()
    TABLE = enum.auto()
    EXIT = enum.auto()
    TRAP = enum.auto()
    BARRIER = enum.auto()


@dataclass(slots=True)
class Block:
    """A straight run of instructions.

    Attributes:
        wait: an action whose ``ready`` is asked before the block may start (mbarrier, cluster and register waits).
        barrier: the CTA barrier that ends the block.
        targets: successors taken by ``end``; ``next`` the block that follows in the text, -1 past the end.
        converge: lanes (32 or 128) that must be together at the start; ``members`` as in ``Action``.
        priority: reverse post-order number; strands at smaller numbers run first, which reconverges early.
    """

    index: int
    actions: list[Action] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    wait: Action | None = None
    barrier: Any = None
    end: End = End.FALL
    guard: Register | None = None
    negated: bool = False
    selector: Any = None
    targets: list[int] = field(default_factory=list)
    next: int = -1
    converge: int = 0
    members: Any = None
    priority: int = 0
    loops: bool = False


def is_cta_barrier(instruction: Instruction) -> bool:
    parts = instruction.parts
    return parts[0] in ("bar", "barrier") and parts[1] not in ("warp", "cluster")


def is_wait(instruction: Instruction) -> bool:
    parts = instruction.parts
    if parts[0] == "mbarrier":
        return parts[1] in ("try_wait", "test_wait")
    if parts[0] == "setmaxnreg":
        return "inc" in parts
    return parts[0] == "barrier" and parts[1] == "cluster" and "wait" in parts


def is_end(instruction: Instruction) -> bool:
    return instruction.parts[0] in ENDING or is_cta_barrier(instruction)


class _Cutter:
    """Decides the block starts in one pass over the decoded body."""

    def __init__(self, body: list[Instruction], actions: list[Action | None], labels: set[int]) -> None:
        self.body = body
        self.actions = actions
        self.labels = labels
        self.starts = {0} | {index for index in labels if index < len(body)}
        self.effects = False
        self.converge = 0
        self.members: Any = None

    def run(self) -> list[int]:
        for index, instruction in enumerate(self.body):
            if index in self.starts:
                self._reset()
            if is_end(instruction):
                self.starts.add(index + 1)
                continue
            if is_wait(instruction):
                self._cut(index)
            self._see(index, self.actions[index])
        return sorted(start for start in self.starts if start < len(self.body))

    def _reset(self) -> None:
        self.effects, self.converge, self.members = False, 0, None

    def _cut(self, index: int) -> None:
        self.starts.add(index)
        self._reset()

    def _see(self, index: int, action: Action | None) -> None:
        if action is None:
            return
        if action.converge and action.instruction.guard is None:
            clash = self.converge and (self.members != action.members)
            dynamic = action.members is not None and not isinstance(action.members, int)
            started = index in self.starts
            if (self.effects or clash or dynamic) and not started:
                self._cut(index)
            self.converge = max(self.converge, action.converge)
            self.members = action.members
        elif action.order in (Order.STORE, Order.STRICT):
            self.effects = True


def build_blocks(
    function: Function, actions: list[Action | None], barriers: dict[int, Any], selectors: dict[int, Any]
) -> list[Block]:
    """Cut a body into blocks.

    Args:
        actions: one per instruction, None for control instructions.
        barriers: decoded CTA barriers by instruction index.
        selectors: decoded index operands of ``brx.idx``.
    """
    body = function.body
    starts = _Cutter(body, actions, set(function.labels.values())).run()
    number = {start: index for index, start in enumerate(starts)}
    labels = {name: number.get(index, -1) for name, index in function.labels.items()}
    blocks = []
    for index, start in enumerate(starts):
        stop = starts[index + 1] if index + 1 < len(starts) else len(body)
        block = Block(index, next=index + 1 if index + 1 < len(starts) else -1)
        block.instructions = body[start:stop]
        _fill(block, start, stop, function, actions, barriers, selectors, labels)
        blocks.append(block)
    _prioritise(blocks)
    return blocks


def _fill(
    block: Block,
    start: int,
    stop: int,
    function: Function,
    actions: list[Action | None],
    barriers: dict[int, Any],
    selectors: dict[int, Any],
    labels: dict[str, int],
) -> None:
    last = stop
    if stop > start and is_end(function.body[stop - 1]):
        last = stop - 1
        _ending(block, last, function, barriers, selectors, labels)
    for position in range(start, last):
        action = actions[position]
        if action is None:
            continue
        block.actions.append(action)
        if action.converge and action.instruction.guard is None:
            block.converge = max(block.converge, action.converge)
            block.members = action.members
    if last > start and is_wait(function.body[start]):
        block.wait = actions[start]


def _ending(
    block: Block,
    position: int,
    function: Function,
    barriers: dict[int, Any],
    selectors: dict[int, Any],
    labels: dict[str, int],
) -> None:
    instruction = function.body[position]
    block.guard, block.negated = instruction.guard, instruction.negated
    if is_cta_barrier(instruction):
        block.end, block.barrier = End.BARRIER, barriers[position]
        return
    name = instruction.mnemonic
    if name == "bra":
        block.end, block.targets = End.BRANCH, [_target(instruction, labels)]
    elif name == "brx":
        block.end, block.selector = End.TABLE, selectors[position]
        table = instruction.operands[1]
        names = function.branch_targets.get(table.name) if isinstance(table, Symbol) else None
        if names is None or any(target not in labels for target in names):
            raise UnsupportedInstruction(instruction.opcode, instruction.line, "unknown branch target list")
        block.targets = [labels[target] for target in names]
    else:
        block.end = End.TRAP if name == "trap" else End.EXIT


def _target(instruction: Instruction, labels: dict[str, int]) -> int:
    operand = instruction.operands[0] if instruction.operands else None
    if not isinstance(operand, Symbol) or operand.name not in labels:
        raise UnsupportedInstruction(instruction.opcode, instruction.line, f"no label {operand}")
    return labels[operand.name]


def successors(block: Block) -> list[int]:
    follows = [block.next] if block.next >= 0 else []
    if block.end in (End.FALL, End.BARRIER):
        return follows
    taken = [target for target in block.targets if target >= 0]
    if block.end is End.TABLE:
        return taken
    return taken + (follows if block.guard is not None else [])


def _prioritise(blocks: list[Block]) -> None:
    """Number the blocks in reverse post-order, without recursion; mark the targets of back edges."""
    if not blocks:
        return
    seen, order = {0}, []
    stack = [(0, iter(sorted(successors(blocks[0]), reverse=True)))]
    while stack:
        current, rest = stack[-1]
        for follower in rest:
            if follower not in seen:
                seen.add(follower)
                stack.append((follower, iter(sorted(successors(blocks[follower]), reverse=True))))
                break
        else:
            order.append(current)
            stack.pop()
    for block in blocks:
        block.priority = len(blocks) + block.index
    for rank, index in enumerate(reversed(order)):
        blocks[index].priority = rank
    for block in blocks:
        for follower in successors(block):
            if blocks[follower].priority <= block.priority:
                blocks[follower].loops = True
