"""Owns the order of a kernel's statements: what is needed, boxes of points, recurrences, and reads of written names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from tilewright.compiler.language import typed
from tilewright.compiler.reference import dims as sizes
from tilewright.compiler.reference.expressions import Expressions
from tilewright.compiler.reference.numerics import is_float
from tilewright.compiler.reference.space import MAX_POINTS, Axis, Box, Space, SpaceTooLarge, divisible, halves
from tilewright.compiler.reference.storage import Stored
from tilewright.compiler.reference.values import NOT_COMPUTED, Array, ReferenceCheckError, Value
from tilewright.compiler.reference.walk import tensors
from tilewright.compiler.reference.writes import Points, Target, commit

Group = tuple[typed.Statement, ...]


class Statements:
    """Runs statements; ``targets`` are the outputs and inouts, every other name is a local."""

    def __init__(self, expressions: Expressions, targets: dict[str, Target]) -> None:
        self.expressions, self.targets = expressions, targets

    def run(self, statements: Sequence[typed.Statement]) -> None:
        """Evaluate what an output needs, in order; statements of one recurrence run together."""
        needed = needed_names(statements, frozenset(self.targets))
        for group in grouped(statements):
            wanted = tuple(statement for statement in group if statement.target in needed)
            if wanted and wanted[0].step is not None:
                self._recurrence(wanted)
            elif wanted:
                self._plain(wanted[0])

    # ------------------------------------------------------------ one statement

    def _plain(self, statement: typed.Statement) -> None:
        if statement.target not in self.targets:
            self._allocate_local(statement)
        box = self._box(statement)
        if self._simple(statement):
            self._plain_boxes(statement, box)
        else:
            self._collect(statement, box)

    def _simple(self, statement: typed.Statement) -> bool:
        """Every element of the box is written once, at its own indices."""
        return statement.op == "=" and not statement.scatter and statement.where is None

    def _plain_boxes(self, statement: typed.Statement, box: Box) -> None:
        """Write box by box, or after the last read where a statement reads what it writes."""
        held: list[tuple[Box, Space, Value]] = []
        reads_itself = statement.target in tensors(statement.value)

        def work(part: Box, space: Space) -> None:
            value = self._value(statement, space)
            if reads_itself:
                held.append((part, space, value))
            else:
                self._write(statement, part, space, value)

        in_parts(statement, box, work)
        for part, space, value in held:
            self._write(statement, part, space, value)

    def _write(self, statement: typed.Statement, box: Box, space: Space, value: Value) -> None:
        order = _order(statement)
        full = spread(value, space, order)
        if statement.target in self.targets:
            self.expressions.faults.refuse(full.fault)
        selection = tuple(slice(box[axis][0], max(box[axis])) for axis in order)
        if statement.target in self.targets:
            target = self.targets[statement.target]
            target.started = True
            target.put(self.expressions.rules, selection, full)
        else:
            self.expressions.names[statement.target].put(selection, full)

    def _collect(self, statement: typed.Statement, box: Box) -> None:
        """Scatter, guarded writes and accumulation: all points first, then one combination."""
        target = self.targets.get(statement.target) or self._local_target(statement)
        points = Points(_stripped(statement).dtype)
        target.begin(statement.op)
        in_parts(statement, box, lambda _, space: self._collect_box(statement, space, target, points))
        commit(self.expressions.rules, statement.op, target, points, statement.target)

    def _collect_box(self, statement: typed.Statement, space: Space, target: Target, points: Points) -> None:
        keep, doubt = self._condition(statement, space)
        value = self._value(statement, space)
        numbers, unsure = self._numbers(statement, space, target, keep)
        self._refuse(value.fault, keep)
        points.anywhere = points.anywhere or unsure
        if doubt is not None:
            points.doubt(numbers, doubt)
        points.add(np.broadcast_to(numbers, space.shape), value, keep)

    def _condition(self, statement: typed.Statement, space: Space) -> tuple[Array, Array | None]:
        """Which points are written, and which of them only perhaps."""
        if statement.where is None:
            return np.ones(space.shape, np.bool_), None
        where = self.expressions.evaluate(statement.where, space)
        self._refuse(where.fault, np.ones(space.shape, np.bool_))
        return np.broadcast_to(where.data, space.shape), where.unsure

    def _numbers(self, statement: typed.Statement, space: Space, target: Target, keep: Array) -> tuple[Array, bool]:
        """The linear number of the element that each point writes; whether some subscript is undecided."""
        numbers, unsure = np.zeros((), np.int64), False
        for axis, subscript in enumerate(statement.subscripts):
            value = self.expressions.evaluate(subscript, space)
            self._refuse(value.fault, keep)
            size = target.stored.shape[axis]
            outside = ((value.data < 0) | (value.data >= size)) & keep
            if outside.any():
                found = int(np.broadcast_to(value.data, outside.shape)[outside][0])
                text = f"subscript {axis} of {statement.target} is {found}, outside 0 .. {size}"
                raise ReferenceCheckError(text, subscript.span)
            unsure = unsure or not value.exact
            numbers = numbers * np.int64(size) + np.clip(value.data, 0, max(size - 1, 0))
        return numbers, unsure

    def _refuse(self, fault: Array | None, keep: Array) -> None:
        if fault is not None:
            self.expressions.faults.refuse(np.where(keep, fault, 0))

    def _value(self, statement: typed.Statement, space: Space) -> Value:
        """The value before it is rounded to the stored type of an output."""
        expr = _stripped(statement) if statement.target in self.targets else statement.value
        return self.expressions.evaluate(expr, space)

    # ------------------------------------------------------------ locals

    def _allocate_local(self, statement: typed.Statement) -> Stored:
        assert statement.local_shape is not None
        shape = sizes.shape(statement.local_shape, self.expressions.dims)
        stored = self.expressions.names.get(statement.target)
        if stored is None:
            stored = self.expressions.names[statement.target] = Stored.filled(statement.dtype, shape)
        return stored

    def _local_target(self, statement: typed.Statement) -> Target:
        """A local with a guard: it starts as an output does, and is read as it was computed."""
        stored = self._allocate_local(statement)
        return Target(stored, stored.copy(), started=False)

    # ------------------------------------------------------------ recurrences

    def _recurrence(self, group: Group) -> None:
        """Step the shared index in its direction; within a step, statements run when what they read is there."""
        for statement in group:
            self._prepare(statement)
        bounds = [self._box(statement)[_step_axis(statement)] for statement in group]
        _, direction = _step(group[0])
        steps = range(min(lo for lo, _ in bounds), max(hi for _, hi in bounds))
        order = list(group)
        for step in steps if direction > 0 else reversed(steps):
            order = self._step(order, step)

    def _prepare(self, statement: typed.Statement) -> None:
        if statement.target not in self.targets:
            self._allocate_local(statement).mark_uncomputed()
            return
        target = self.targets[statement.target]
        target.begin(statement.op)
        target.stored.mark_uncomputed()

    def _step(self, statements: list[typed.Statement], step: int) -> list[typed.Statement]:
        """One step; returns the order that worked, for the next one."""
        done: list[typed.Statement] = []
        waiting, stuck = list(statements), 0
        while waiting:
            statement = waiting.pop(0)
            part = self._slice(statement, step)
            last_chance = stuck >= len(waiting)
            if part is None or self._step_one(statement, part, last_chance):
                done.append(statement)
                stuck = 0
            else:
                waiting.append(statement)
                stuck += 1
        return done

    def _slice(self, statement: typed.Statement, step: int) -> Box | None:
        box = self._box(statement)
        axis = _step_axis(statement)
        lo, hi = box[axis]
        return box[:axis] + ((step, step + 1),) + box[axis + 1 :] if lo <= step < hi else None

    def _step_one(self, statement: typed.Statement, box: Box, last_chance: bool) -> bool:
        """Evaluate and write one slice; False when it read elements of this step that are not there yet."""
        space = Space(space_of(statement, box).axes, divisible=False)
        value = self._value(statement, space)
        keep, doubt = self._condition(statement, space)
        fault = None if value.fault is None else np.where(keep, value.fault, 0)
        if fault is not None and (fault == NOT_COMPUTED).any() and not last_chance:
            return False
        value = replace(value, fault=fault)
        if statement.where is None:
            self._write(statement, box, space, value)
        else:
            self._write_guarded(statement, box, space, value, keep, doubt)
        return True

    def _write_guarded(
        self, statement: typed.Statement, box: Box, space: Space, value: Value, keep: Array, doubt: Array | None
    ) -> None:
        """A slice with a condition: elements that fail it keep their start value."""
        start = np.zeros((), value.data.dtype)
        data = np.where(keep, value.data, start)
        error = None if value.error is None else np.where(keep, value.error, 0)
        unsure = value.unsure if doubt is None else doubt | (False if value.unsure is None else value.unsure)
        self._write(statement, box, space, Value(value.dtype, data, error, unsure, value.fault))

    def _box(self, statement: typed.Statement) -> Box:
        known = self.expressions.dims
        return tuple((0, max(int(sizes.number(index.extent, known)), 0)) for index in statement.indices)


# ---------------------------------------------------------------- pure leaves


def needed_names(statements: Sequence[typed.Statement], outputs: frozenset[str]) -> frozenset[str]:
    """Names whose statements some output depends on."""
    needed = set(outputs)
    grew = True
    while grew:
        before = len(needed)
        for statement in statements:
            if statement.target in needed:
                parts = (statement.value, *statement.subscripts, *((statement.where,) if statement.where else ()))
                needed.update(*(tensors(part) for part in parts))
        grew = len(needed) > before
    return frozenset(needed)


def grouped(statements: Sequence[typed.Statement]) -> Iterator[Group]:
    """Statements of one recurrence together, at the place of the last; what reads them meanwhile comes after."""
    unfinished: set[str] = set()
    deferred: list[typed.Statement] = []
    for position, statement in enumerate(statements):
        names = set(statement.cycle) | {statement.target}
        if statement.step is None and tensors(statement.value) & unfinished:
            deferred.append(statement)
            unfinished.add(statement.target)
        elif statement.step is None:
            yield (statement,)
        elif any(later.step is not None and later.target in names for later in statements[position + 1 :]):
            unfinished |= names
        else:
            yield tuple(s for s in statements[: position + 1] if s.step is not None and s.target in names)
            yield from ((late,) for late in deferred)
            unfinished, deferred = set(), []


def in_parts(statement: typed.Statement, box: Box, work: Callable[[Box, Space], None]) -> None:
    """Do ``work`` on the box, cut into parts where its index space is too large to hold at once.

    ``work`` must evaluate before it writes anything.
    """
    waiting = [box]
    while waiting:
        part = waiting.pop()
        space = space_of(statement, part)
        try:
            if space.divisible and _volume(part) > MAX_POINTS:
                raise SpaceTooLarge
            work(part, space)
        except SpaceTooLarge:
            waiting += reversed(halves(part))


def space_of(statement: typed.Statement, box: Box) -> Space:
    """The index space of a statement restricted to ``box``; the first index is the outermost."""
    axes = {
        index.index: Axis(level, lo, hi)
        for level, (index, (lo, hi)) in enumerate(zip(statement.indices, box, strict=True))
    }
    return Space(axes, divisible(box))


def spread(value: Value, space: Space, order: tuple[int, ...]) -> Value:
    """The value at every point, in the axis order of the tensor: axis ``k`` is index ``order[k]``."""
    rank = space.rank
    axes = tuple(rank - 1 - level for level in order)

    def full(array: Array | None) -> Array | None:
        return None if array is None else np.broadcast_to(array, space.shape).transpose(axes)

    data = full(value.data)
    assert data is not None
    parts = (value.error, value.unsure, value.fault, value.rescuable)
    return Value(value.dtype, data, *map(full, parts))


def _order(statement: typed.Statement) -> tuple[int, ...]:
    """For each subscript of a plain left side, the position of its index."""
    positions = {index.index: level for level, index in enumerate(statement.indices)}
    return tuple(positions[s.name] for s in statement.subscripts if isinstance(s, typed.Index))


def _stripped(statement: typed.Statement) -> typed.Expr:
    """The value without the cast that rounds it to the stored type."""
    value = statement.value
    if isinstance(value, typed.Cast) and value.dtype == statement.dtype and _keeps_meaning(value):
        return value.operand
    return value


def _keeps_meaning(cast: typed.Cast) -> bool:
    """Whether the cast can be repeated when the element is written."""
    return is_float(cast.operand.dtype) == is_float(cast.dtype) or cast.dtype != "bool"


def _step(statement: typed.Statement) -> tuple[str, int]:
    assert statement.step is not None
    return statement.step


def _step_axis(statement: typed.Statement) -> int:
    name = _step(statement)[0]
    return next(level for level, index in enumerate(statement.indices) if index.index == name)


def _volume(box: Box) -> int:
    volume = 1
    for lo, hi in box:
        volume *= max(hi - lo, 0)
    return volume
