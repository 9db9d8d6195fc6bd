"""PTX text to functions and variables, in one pass over the text.

Reads what nvcc, LLVM's NVPTX back end and Triton write: several entries, device functions, nested scopes with local
registers and labels, ``.loc``, skipped debug sections. PTX ISA, "PTX Directives" and "State Spaces".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tilewright.runtime.emulator.errors import PtxSyntaxError
from tilewright.runtime.emulator.limits import MAX_NESTING, MAX_PARAMETERS
from tilewright.runtime.emulator.scalar_types import TYPES
from tilewright.runtime.emulator.syntax import Function, Instruction, Parameter, Register, Symbol, Variable
from tilewright.runtime.emulator.tokens import (
    INSTRUCTION,
    LOC,
    STATEMENT,
    OperandParser,
    parse_integer,
    split_operands,
    strip_comments,
)
from tilewright.runtime.emulator.variables import parse_variable, type_size

HEADER = re.compile(
    r"(?P<linking>(?:\.(?:visible|extern|weak|common)\s+)*)\.(?P<kind>entry|func)\b(?P<pre>(?:\s*\.noreturn|\s*\.attribute\([^)]*\))*)"
    r"\s*(?:\((?P<returns>[^)]*)\)\s*)?(?P<name>[\w$]+)\s*(?:\((?P<params>[^)]*)\))?(?P<directives>[^{;]*)$",
    re.S,
)
PARAMETER = re.compile(
    r"\.(?:param|reg)\s+(?:\.align\s+(?P<align>\d+)\s+)?\.(?P<type>\w+)(?P<ptr>\s+\.ptr(?:\s+\.(?!align)\w+)?(?:\s+\.align\s+\d+)?)?"
    r"\s+(?P<name>[\w$%]+)\s*(?:\[(?P<count>\d*)\])?$"
)
DIRECTIVE = re.compile(r"\.(\w+)((?:\s*\d+\s*,?)*)")
REG = re.compile(r"\.reg\s+\.(\w+)\s+(.*)", re.S)
RANGE = re.compile(r"([\w$%]+?)<(\d+)>")
TARGETS = re.compile(r"\.branchtargets\s+(.*)", re.S)
VERSION = re.compile(r"\.version\s+(\d{1,9})\.(\d{1,9})\b")
LINE_DIRECTIVES = (".version", ".target", ".address_size", ".file", ".loc")
KNOWN_DIRECTIVES = frozenset(
    "reqntid maxntid minnctapersm maxnreg noreturn pragma explicitcluster reqnctapercluster maxclusterrank "
    "blocksareclusters abi_preserve abi_preserve_control maxnctapersm".split()
)


@dataclass(slots=True)
class ParsedModule:
    """What the text declares, before layout."""

    version: tuple[int, int] = (0, 0)
    target: tuple[str, ...] = ()
    functions: dict[str, Function] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    files: dict[int, str] = field(default_factory=dict)


class Scope:
    """Names declared between one pair of braces, chained to the scope outside."""

    __slots__ = ("labels", "operands", "parent", "ranges", "registers", "start")

    def __init__(self, parent: Scope | None, start: int) -> None:
        self.parent = parent
        self.start = start
        self.registers: dict[str, Register] = {}
        self.ranges: dict[str, tuple[int, int]] = {}
        self.labels: dict[str, str] = {}
        self.operands = OperandParser(self.lookup)

    def lookup(self, name: str) -> Register | None:
        scope: Scope | None = self
        while scope is not None:
            found = scope.registers.get(name) or scope._from_range(name)
            if found is not None:
                return found
            scope = scope.parent
        return None

    def _from_range(self, name: str) -> Register | None:
        """A member of ``%r<10>`` is made when it is first used, so a huge declaration costs nothing."""
        if not self.ranges:
            return None
        prefix = name.rstrip("0123456789")
        entry = self.ranges.get(prefix)
        digits = name[len(prefix) :]
        if entry is None or not digits or len(digits) > 9 or int(digits) >= entry[1]:
            return None
        register = self.registers[name] = Register(name, entry[0])
        return register


def parse_module(text: str) -> ParsedModule:
    """Parse PTX text.

    Raises:
        PtxSyntaxError: naming the line of the first statement that is not PTX.
    """
    return _ModuleParser(strip_comments(text)).run()


class _ModuleParser:
    """Walks the top level of a module and hands bodies to ``_BodyParser``."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.line = 1
        self.counted = 0
        self.module = ParsedModule()

    def line_at(self, position: int) -> int:
        self.line += self.text.count("\n", self.counted, position)
        self.counted = position
        return self.line

    def run(self) -> ParsedModule:
        while self._skip_space():
            start = self.position
            line = self.line_at(start)
            if self.text.startswith(".section", start):
                self._skip_section(line)
            elif self.text.startswith(LINE_DIRECTIVES, start):
                self._line_directive(line)
            else:
                self._declaration(line)
        if not self.module.functions and not self.module.variables and self.module.version == (0, 0):
            raise PtxSyntaxError("no PTX here: no .version, no function, no variable", 1)
        return self.module

    def _skip_space(self) -> bool:
        match = re.compile(r"[\s;]*").match(self.text, self.position)
        self.position = match.end() if match else self.position
        return self.position < len(self.text)

    def _skip_section(self, line: int) -> None:
        end = self.text.find("}", self.position)
        if end < 0:
            raise PtxSyntaxError("`.section` without a closing brace", line)
        self.position = end + 1

    def _line_directive(self, line: int) -> None:
        end = self.text.find("\n", self.position)
        end = len(self.text) if end < 0 else end
        statement = self.text[self.position : end].strip()
        self.position = end
        if statement.startswith(".version"):
            version = VERSION.match(statement)
            if version is None or not 6 <= int(version[1]) <= 9:
                raise PtxSyntaxError(f"`{statement[:80]}` is not one of the versions 6.0 to 9.x", line)
            self.module.version = (int(version[1]), int(version[2]))
        elif statement.startswith(".target"):
            self.module.target = tuple(name.strip() for name in statement[len(".target") :].split(","))
        elif statement.startswith(".file"):
            match = re.match(r'\.file\s+(\d{1,9})\s+"([^"]*)"', statement)
            if match:
                self.module.files[int(match[1])] = match[2]

    def _declaration(self, line: int) -> None:
        match = re.compile(r"[;{]").search(self.text, self.position)
        if match is None:
            raise PtxSyntaxError(
                f"unfinished statement `{self.text[self.position : self.position + 60].strip()}`", line
            )
        head = self.text[self.position : match.start()].strip()
        if re.search(r"\.(entry|func)\b", head):
            self._function(head, match.group() == "{", match.end(), line)
            return
        end = self.text.find(";", self.position)
        if end < 0 or end - self.position > 1 << 24:
            raise PtxSyntaxError("variable declaration without `;`", line)
        statement = self.text[self.position : end].strip()
        self.position = end + 1
        if statement.startswith((".pragma", ".alias")):
            return
        for variable in parse_variable(statement, line):
            known = self.module.variables.get(variable.name)
            if known is None or known.external:
                self.module.variables[variable.name] = variable

    def _function(self, head: str, has_body: bool, position: int, line: int) -> None:
        match = HEADER.match(head)
        if match is None:
            raise PtxSyntaxError(f"bad function header `{head[:80]}`", line)
        function = Function(match["name"], match["kind"] == "entry", line, defined=has_body)
        function.parameters = _parameters(match["params"] or "", line)
        bytes_ = max((parameter.offset + parameter.size for parameter in function.parameters), default=0)
        if bytes_ > MAX_PARAMETERS:
            raise PtxSyntaxError(f"`{function.name}` has {bytes_} bytes of parameters, at most {MAX_PARAMETERS}", line)
        function.returns = _parameters(match["returns"] or "", line)
        function.directives = _directives(match["directives"], line)
        self.position = position
        if has_body:
            body = _BodyParser(self, function)
            body.run()
        known = self.module.functions.get(function.name)
        if known is not None and known.defined and has_body:
            raise PtxSyntaxError(f"function `{function.name}` is defined twice", line)
        if known is None or not known.defined:
            self.module.functions[function.name] = function


def _parameters(text: str, line: int) -> list[Parameter]:
    """Parameter lists with the byte offsets that the ABI gives them (each at its own alignment)."""
    parameters: list[Parameter] = []
    offset = 0
    for piece in text.split(","):
        if not piece.strip():
            continue
        match = PARAMETER.match(piece.strip())
        if match is None:
            raise PtxSyntaxError(f"bad parameter `{piece.strip()[:80]}`", line)
        size = type_size(match["type"], line)
        alignment = max(parse_integer(match["align"] or "1", line), size)
        total = size * (parse_integer(match["count"] or "0", line) if match["count"] is not None else 1)
        offset = -(-offset // alignment) * alignment
        pointer = match["ptr"].split() if match["ptr"] else []
        space = pointer[1][1:] if len(pointer) > 1 and pointer[1] != ".align" else ("generic" if pointer else None)
        parameters.append(Parameter(match["name"], match["type"], total, alignment, offset, space))
        offset += total
    return parameters


def _directives(text: str, line: int) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for match in DIRECTIVE.finditer(re.sub(r'\.pragma\s+"[^"]*"\s*,?', "", text)):
        if match[1] not in KNOWN_DIRECTIVES:
            raise PtxSyntaxError(f"unknown function directive `.{match[1]}`", line)
        found[match[1]] = tuple(parse_integer(number, line) for number in re.findall(r"\d+", match[2]))
    return found


class _BodyParser:
    """Parses one function body into a flat instruction list."""

    def __init__(self, owner: _ModuleParser, function: Function) -> None:
        self.owner = owner
        self.function = function
        self.scope = Scope(None, 0)
        self.depth = 1
        self.counter = 0
        self.source: tuple[int, int] | None = None
        for parameter in function.parameters + function.returns:
            if parameter.name.startswith("%"):
                self.scope.registers[parameter.name] = Register(parameter.name, TYPES[parameter.type].bits)

    def run(self) -> None:
        owner, text = self.owner, self.owner.text
        match_statement = STATEMENT.match
        position = owner.position
        while self.depth:
            match = match_statement(text, position)
            if match is None:
                raise self._fault(position)
            kind, position = match.lastgroup, match.end()
            if kind == "code":
                line = owner.line_at(match.start(kind))
                self._statement(match[kind], line)
            elif kind == "loc":
                self._location(match[kind])
            elif kind == "label":
                self._label(match[kind], match, position)
            else:
                self._brace(kind == "open", owner.line_at(match.start(kind or 0)))
        owner.position = position

    def _fault(self, position: int) -> PtxSyntaxError:
        text = self.owner.text
        rest = text[position : position + 200].strip()
        line = self.owner.line_at(
            position + len(text[position : position + 4096]) - len(text[position : position + 4096].lstrip())
        )
        if not rest:
            return PtxSyntaxError(f"the text ends inside `{self.function.name}`", line)
        return PtxSyntaxError(f"cannot read `{rest.splitlines()[0][:80]}`", line)

    def _location(self, statement: str) -> None:
        match = LOC.match(statement)
        if match:
            self.source = (int(match[1]), int(match[2]))

    def _label(self, name: str, match: re.Match[str], position: int) -> None:
        unique = name
        if self.scope.parent is not None:
            self.counter += 1
            unique = self.scope.labels[name] = f"{name}@{self.counter}"
        if unique in self.function.labels:
            raise PtxSyntaxError(f"label `{name}` is defined twice", self.owner.line_at(match.start("label")))
        self.function.labels[unique] = len(self.function.body)

    def _brace(self, opens: bool, line: int) -> None:
        if opens:
            self.depth += 1
            if self.depth > MAX_NESTING:
                raise PtxSyntaxError(f"scopes are nested deeper than {MAX_NESTING}", line)
            self.scope = Scope(self.scope, len(self.function.body))
            return
        self.depth -= 1
        if self.scope.parent is not None:
            self._close_scope(self.scope)
            self.scope = self.scope.parent

    def _close_scope(self, scope: Scope) -> None:
        """Point the branches of the scope at its own labels, which are renamed to be unique."""
        if not scope.labels:
            return
        for instruction in self.function.body[scope.start :]:
            target = instruction.operands[-1] if instruction.parts[0] == "bra" and instruction.operands else None
            if isinstance(target, Symbol) and target.name in scope.labels:
                instruction.operands = (Symbol(scope.labels[target.name]),)

    def _statement(self, code: str, line: int) -> None:
        code = code.strip()
        if not code:
            return
        if code[0] == ".":
            self._directive(code, line)
            return
        match = INSTRUCTION.fullmatch(code)
        if match is None:
            raise PtxSyntaxError(f"cannot read `{code.splitlines()[0][:80]}`", line)
        negated, guard, opcode, rest = match.groups()
        operands = self.scope.operands
        parsed = tuple([operands.operand(piece, line) for piece in split_operands(rest)]) if rest else ()
        register = operands.register(guard, line) if guard else None
        self.function.body.append(Instruction(opcode, parsed, register, bool(negated), line, self.source))

    def _directive(self, code: str, line: int) -> None:
        if code.startswith(".reg"):
            self._registers(code, line)
        elif code.startswith((".local", ".shared", ".param", ".const", ".global")):
            for variable in parse_variable(code, line):
                self.function.variables[variable.name] = variable
        elif code.startswith(".branchtargets"):
            self._branch_targets(code)
        elif not code.startswith((".pragma", ".callprototype")):
            raise PtxSyntaxError(f"unknown directive `{code.split()[0]}`", line)

    def _branch_targets(self, code: str) -> None:
        match = TARGETS.match(code)
        name = next(reversed(self.function.labels), None)
        if match and name is not None and self.function.labels[name] == len(self.function.body):
            self.function.branch_targets[name] = tuple(target.strip() for target in match[1].split(","))

    def _registers(self, code: str, line: int) -> None:
        match = REG.fullmatch(code)
        if match is None or match[1] not in TYPES:
            raise PtxSyntaxError(f"bad register declaration `{code[:80]}`", line)
        bits = TYPES[match[1]].bits
        self.scope.operands.cache.clear()
        for piece in match[2].split(","):
            name = piece.strip()
            ranged = RANGE.fullmatch(name)
            if ranged:
                self.scope.ranges[ranged[1]] = (bits, parse_integer(ranged[2], line))
            elif re.fullmatch(r"[\w$%]+", name):
                self.scope.registers[name] = Register(name, bits)
            else:
                raise PtxSyntaxError(f"bad register name `{name[:80]}`", line)
