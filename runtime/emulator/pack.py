"""Groups equal independent instructions of a basic block so that one NumPy call does them all.

Each action gets a level: one more than the levels of what it must follow (registers; memory order). Actions of one
level are independent, so equal ones form a group. Unrolled GPU code is full of such runs; 64 fused multiply-adds cost
little more than one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tilewright.runtime.emulator.action import Action, Order
from tilewright.runtime.emulator.syntax import Register


def reads(action: Action) -> Iterator[Register]:
    """Registers whose old value the action needs, including its guard and, when guarded, its destinations."""
    for source in action.sources:
        if source.register is not None:
            yield source.register
        elif source.rows is not None:
            yield from source.rows
    guard = action.instruction.guard
    if guard is not None:
        yield guard
        yield from writes(action)
    yield from action.touches


def writes(action: Action) -> Iterator[Register]:
    for destination in action.destinations:
        if destination.register is not None:
            yield destination.register
    yield from action.touches


class _Levels:
    """Running state of the level computation of one block."""

    def __init__(self) -> None:
        self.written: dict[Register, int] = {}
        self.read: dict[Register, int] = {}
        self.load = self.store = self.strict = -1
        self.store_signature: Any = None

    def place(self, action: Action) -> int:
        sources, targets = list(reads(action)), list(writes(action))
        level = 0
        for register in sources:
            level = max(level, self.written.get(register, -1) + 1)
        for register in targets:
            level = max(level, self.written.get(register, -1) + 1, self.read.get(register, -1) + 1)
        level = self._memory_level(action, level)
        for register in sources:
            self.read[register] = max(self.read.get(register, -1), level)
        for register in targets:
            self.written[register] = level
        return level

    def _memory_level(self, action: Action, level: int) -> int:
        if action.order is Order.PURE:
            return level
        if action.order is Order.LOAD:
            level = max(level, self.store + 1, self.strict + 1)
            self.load = max(self.load, level)
            return level
        if action.order is Order.STORE:
            signature = action.signature()
            after = self.store if signature == self.store_signature else self.store + 1
            level = max(level, after, self.load + 1, self.strict + 1)
            self.store, self.store_signature = level, signature
            return level
        level = max(level, self.store + 1, self.load + 1, self.strict + 1)
        self.strict = level
        return level


def group_actions(actions: list[Action]) -> list[list[Action]]:
    """Groups in an order that keeps every dependence; inside a group the actions are independent."""
    state = _Levels()
    buckets: dict[tuple[int, Any], list[Action]] = {}
    for position, action in enumerate(actions):
        level = state.place(action)
        key: Any = action.signature() if action.packable else position
        buckets.setdefault((level, key), []).append(action)
    ordered = sorted(buckets.items(), key=lambda item: item[0][0])
    return [group for _, group in ordered]
