"""Turns groups of actions into Python callables bound to the arrays of one machine.

A step takes the lane mask (True for all lanes) and does a whole group with a few NumPy calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator.action import Action, Destination, Mask, Site, Source
from tilewright.runtime.emulator.registers import Rows, as_index, file_width
from tilewright.runtime.emulator.scalar_types import SIGNED, UNSIGNED, Array

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

Step = Callable[[Mask], None]
Fetch = Callable[[], Any]


class Binder:
    """Binds actions to a machine's register file and special registers."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.rows = machine.program.rows.rows
        self.file = machine.registers

    def step(self, group: list[Action]) -> Step:
        """One callable for a group of equal actions."""
        first = group[0]
        arguments = [self.operand([action.sources[i] for action in group]) for i in range(len(first.sources))]
        writers = [self.writer([action.destinations[i] for action in group]) for i in range(len(first.destinations))]
        guard = self.guard(group)
        if first.effect:
            return self._effect(group, arguments, writers, guard)
        if guard is not None:
            return _guarded(_pure(first.function, arguments, writers), guard)
        target = self._ufunc_target(first, group)
        if target is not None and all(not callable(argument) for argument in arguments):
            return _ufunc(first.function, arguments, target)
        return _pure(first.function, arguments, writers)

    def _effect(
        self, group: list[Action], arguments: list[Any], writers: list[Any], guard: Callable[[Mask], Array] | None
    ) -> Step:
        site = Site(tuple(action.instruction for action in group))
        function, machine = group[0].function, self.machine

        def step(mask: Mask) -> None:
            if guard is not None:
                mask = guard(mask)
                if not mask.any():
                    return
            values = [argument() if callable(argument) else argument for argument in arguments]
            result = function(machine, site, mask, *values)
            if writers:
                _deliver(writers, result, mask)

        return step

    def guard(self, group: list[Action]) -> Callable[[Mask], Array] | None:
        """A function from the block mask to the mask with the guard predicates applied."""
        register = group[0].instruction.guard
        if register is None:
            return None
        index = as_index([self.rows[action.instruction.guard] for action in group])  # type: ignore[index]
        if all(action.instruction.guard is register for action in group):
            index = slice(self.rows[register], self.rows[register] + 1)
        base, negated = self.file.files[1], group[0].instruction.negated

        def apply(mask: Mask) -> Array:
            predicate = ~base[index] if negated else base[index]
            return np.asarray(predicate if mask is True else predicate & mask)

        return apply

    def operand(self, sources: list[Source]) -> Any:
        """A ready array for an operand position, or a callable that gathers it."""
        first = sources[0]
        if first.rows is not None:
            return self._rows(first)
        if first.special is not None:
            return self._special(first)
        if first.register is None:
            return _constants(sources)
        base = self.file.view(file_width(first.register.bits), first.type.dtype)
        rows = [self.rows[source.register] for source in sources]  # type: ignore[index]
        if all(row == rows[0] for row in rows):
            rows = rows[:1]
        index = as_index(rows)
        if first.inverted:
            return lambda: ~base[index]
        if isinstance(index, slice):
            return base[index]
        return lambda: base[index]

    def _rows(self, source: Source) -> Rows:
        registers = source.rows or ()
        width = file_width(registers[0].bits)  # pyright: ignore[reportGeneralTypeIssues]
        rows = [self.rows[register] + half for register in registers for half in range(max(register.bits // 64, 1))]
        return Rows(self.file.view(width, source.type.dtype), rows)

    def _special(self, source: Source) -> Any:
        value = self.machine.special(source.special or "")
        if callable(value):
            return lambda: _as_type(value(), source.type.dtype)
        return _as_type(value, source.type.dtype)

    def writer(self, destinations: list[Destination]) -> Any:
        """A function that stores a result under a mask, or None for a thrown-away result."""
        first = destinations[0]
        if first.register is None:
            return None
        width = file_width(first.register.bits)
        kind = first.type
        signed = kind.kind == "s" and kind.bits < width
        same = kind.bits == width
        dtype = kind.dtype if same else (SIGNED if signed else UNSIGNED)[width]
        base = self.file.view(width, dtype)
        index = as_index([self.rows[destination.register] for destination in destinations])  # type: ignore[index]
        if isinstance(index, slice):
            return _slice_writer(base[index])
        return _gather_writer(base, index)

    def _ufunc_target(self, first: Action, group: list[Action]) -> Array | None:
        """The output array when the function is a ufunc that can write it in place."""
        if not isinstance(first.function, np.ufunc) or len(first.destinations) != 1:
            return None
        destination = first.destinations[0]
        if destination.register is None or destination.type.bits != file_width(destination.register.bits):
            return None
        index = as_index([self.rows[action.destinations[0].register] for action in group])  # type: ignore[index]
        if not isinstance(index, slice):
            return None
        return self.file.view(file_width(destination.register.bits), destination.type.dtype)[index]


def _as_type(value: Any, dtype: Any) -> Any:
    array = np.asarray(value)
    if array.dtype == dtype:
        return value
    return array.view(dtype) if array.dtype.itemsize == dtype.itemsize and array.ndim else array.astype(dtype)


def _constants(sources: list[Source]) -> Any:
    values = [source.constant for source in sources]
    if all(value is values[0] or value == values[0] for value in values):
        return values[0]
    return np.array(values, dtype=sources[0].type.dtype)[:, None]


def _slice_writer(target: Array) -> Callable[[Any, Mask], None]:
    def write(value: Any, mask: Mask) -> None:
        np.copyto(target, value, casting="unsafe", where=mask)

    return write


def _gather_writer(base: Array, index: Array) -> Callable[[Any, Mask], None]:
    def write(value: Any, mask: Mask) -> None:
        if mask is True:
            base[index] = value
            return
        rows = base[index]
        np.copyto(rows, value, casting="unsafe", where=mask)
        base[index] = rows

    return write


def _deliver(writers: list[Any], result: Any, mask: Mask) -> None:
    if len(writers) == 1 and not isinstance(result, tuple):
        if writers[0] is not None:
            writers[0](result, mask)
        return
    for writer, value in zip(writers, result, strict=True):
        if writer is not None:
            writer(value, mask)


def _ufunc(function: Any, arguments: list[Any], target: Array) -> Step:
    if len(arguments) == 2:
        a, b = arguments

        def two(mask: Mask) -> None:
            function(a, b, out=target, where=mask, casting="unsafe")

        return two

    def step(mask: Mask) -> None:
        function(*arguments, out=target, where=mask, casting="unsafe")

    return step


def _pure(function: Callable[..., Any], arguments: list[Any], writers: list[Any]) -> Step:
    if len(writers) == 1 and writers[0] is not None and not any(callable(argument) for argument in arguments):
        write = writers[0]

        def static(mask: Mask) -> None:
            result = function(*arguments)
            write(result[0] if isinstance(result, tuple) else result, mask)

        return static

    def step(mask: Mask) -> None:
        values = [argument() if callable(argument) else argument for argument in arguments]
        _deliver(writers, function(*values), mask)

    return step


def _guarded(step: Step, guard: Callable[[Mask], Array]) -> Step:
    def guarded(mask: Mask) -> None:
        step(guard(mask))

    return guarded
