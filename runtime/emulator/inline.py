"""Direct calls are inlined: the callee's body is copied with fresh registers and its parameters renamed to the
caller's ``.param`` variables (PTX ISA, "call"). Indirect calls are refused."""

from __future__ import annotations

from dataclasses import replace

from tilewright.runtime.emulator.errors import UnsupportedInstruction
from tilewright.runtime.emulator.limits import MAX_INSTRUCTIONS
from tilewright.runtime.emulator.parse import ParsedModule
from tilewright.runtime.emulator.syntax import (
    Function,
    Group,
    Instruction,
    Memory,
    Negated,
    Operand,
    Pair,
    Register,
    Symbol,
    Vector,
)

MAX_DEPTH = 32


def inline_calls(module: ParsedModule, function: Function) -> Function:
    """The function without calls; the same object when it has none."""
    if not any(instruction.mnemonic == "call" for instruction in function.body):
        return function
    inliner = _Inliner(module, function)
    inliner.copy(function, {}, "", 0)
    return inliner.result


class _Inliner:
    """Builds the flat body; each call site gets its own name suffix and its own registers."""

    def __init__(self, module: ParsedModule, function: Function) -> None:
        self.module = module
        self.sites = 0
        self.open = [function.name]
        self.result = Function(
            function.name,
            function.is_entry,
            function.line,
            function.parameters,
            function.returns,
            directives=function.directives,
        )

    def copy(self, function: Function, symbols: dict[str, str], suffix: str, depth: int) -> None:
        """Append the body of ``function``; ``symbols`` renames its parameters."""
        result = self.result
        renamed = dict(symbols)
        self._declare(function, renamed, suffix)
        registers: dict[Register, Register] = {}
        end = f"end{suffix}"
        positions: dict[int, list[str]] = {}
        for name, index in function.labels.items():
            positions.setdefault(index, []).append(name)
            renamed[name] = name + suffix
        for name, targets in function.branch_targets.items():
            result.branch_targets[name + suffix] = tuple(target + suffix for target in targets)
        for index, instruction in enumerate(function.body):
            for name in positions.get(index, ()):
                result.labels[name + suffix] = len(result.body)
            self._one(instruction, renamed, registers, suffix, end, depth)
        for name in positions.get(len(function.body), ()):
            result.labels[name + suffix] = len(result.body)
        if depth:
            result.labels[end] = len(result.body)

    def _declare(self, function: Function, renamed: dict[str, str], suffix: str) -> None:
        for variable in function.variables.values():
            name = variable.name + suffix
            renamed[variable.name] = name
            self.result.variables[name] = replace(variable, name=name)

    def _one(
        self,
        instruction: Instruction,
        renamed: dict[str, str],
        registers: dict[Register, Register],
        suffix: str,
        end: str,
        depth: int,
    ) -> None:
        body = self.result.body
        if len(body) > MAX_INSTRUCTIONS:
            reason = f"inlining gives more than {MAX_INSTRUCTIONS} instructions"
            raise UnsupportedInstruction(instruction.opcode, instruction.line, reason)
        if instruction.mnemonic == "call":
            self._call(instruction, renamed, depth)
            return
        fresh = depth > 0
        operands = tuple(_rename(operand, renamed, registers, fresh) for operand in instruction.operands)
        guard = _register(instruction.guard, registers, fresh) if instruction.guard is not None else None
        if instruction.mnemonic == "ret" and depth:
            body.append(
                Instruction("bra", (Symbol(end),), guard, instruction.negated, instruction.line, instruction.source)
            )
            return
        body.append(
            Instruction(instruction.opcode, operands, guard, instruction.negated, instruction.line, instruction.source)
        )

    def _call(self, instruction: Instruction, renamed: dict[str, str], depth: int) -> None:
        callee, results, arguments = _parts(instruction)
        function = self.module.functions.get(callee)
        if function is None or not function.defined:
            raise UnsupportedInstruction(instruction.opcode, instruction.line, f"`{callee}` has no body here")
        if callee in self.open:
            path = " -> ".join([*self.open[self.open.index(callee) :], callee])
            raise UnsupportedInstruction(
                instruction.opcode, instruction.line, f"recursion ({path}); only calls that can be inlined are modelled"
            )
        if depth >= MAX_DEPTH:
            raise UnsupportedInstruction(instruction.opcode, instruction.line, f"calls nest deeper than {MAX_DEPTH}")
        if instruction.guard is not None:
            raise UnsupportedInstruction(instruction.opcode, instruction.line, "a guarded call is not modelled")
        if len(results) != len(function.returns) or len(arguments) != len(function.parameters):
            raise UnsupportedInstruction(instruction.opcode, instruction.line, "argument count does not match")
        self.sites += 1
        suffix = f"#{self.sites}"
        symbols: dict[str, str] = {}
        pairs = list(zip(function.returns, results, strict=True)) + list(
            zip(function.parameters, arguments, strict=True)
        )
        for formal, actual in pairs:
            if not isinstance(actual, Symbol):
                raise UnsupportedInstruction(instruction.opcode, instruction.line, "arguments must be .param variables")
            symbols[formal.name] = renamed.get(actual.name, actual.name)
        self.open.append(callee)
        self.copy(function, symbols, suffix, depth + 1)
        self.open.pop()


def _parts(instruction: Instruction) -> tuple[str, tuple[Operand, ...], tuple[Operand, ...]]:
    """Callee, results and arguments of ``call (r), f, (a);``."""
    items = list(instruction.operands)
    results: tuple[Operand, ...] = ()
    if items and isinstance(items[0], Group):
        results = items.pop(0).items  # type: ignore[union-attr]
    callee = items.pop(0) if items else None
    if not isinstance(callee, Symbol):
        raise UnsupportedInstruction(instruction.opcode, instruction.line, "indirect calls are not modelled")
    arguments: tuple[Operand, ...] = ()
    if items and isinstance(items[0], Group):
        arguments = items[0].items
    return callee.name, results, arguments


def _register(register: Register, registers: dict[Register, Register], fresh: bool) -> Register:
    if not fresh:
        return register
    found = registers.get(register)
    if found is None:
        found = registers[register] = Register(register.name, register.bits)
    return found


def _rename(operand: Operand, names: dict[str, str], registers: dict[Register, Register], fresh: bool) -> Operand:
    if isinstance(operand, Register):
        return _register(operand, registers, fresh)
    if isinstance(operand, Negated):
        return Negated(_register(operand.register, registers, fresh))
    if isinstance(operand, Symbol):
        return Symbol(names.get(operand.name, operand.name), operand.offset)
    if isinstance(operand, Vector):
        return Vector(tuple(_rename(item, names, registers, fresh) for item in operand.items))
    if isinstance(operand, Group):
        return Group(tuple(_rename(item, names, registers, fresh) for item in operand.items))
    if isinstance(operand, Pair):
        return Pair(_rename(operand.first, names, registers, fresh), _rename(operand.second, names, registers, fresh))
    if isinstance(operand, Memory):
        parts = tuple(_rename(part, names, registers, fresh) for part in operand.parts)
        return Memory(_rename(operand.base, names, registers, fresh), operand.offset, parts)
    return operand
