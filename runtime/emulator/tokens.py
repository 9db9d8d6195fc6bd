"""The lexical level of PTX: comments, statements, literals, operands.

A statement ends in ``;``, a label in ``:``, so one regular expression per statement is enough and fast; a full token
stream was measured to be 8 to 18 times slower. PTX ISA, "Syntax".
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tilewright.runtime.emulator.errors import PtxSyntaxError
from tilewright.runtime.emulator.limits import MAX_STATEMENTS, MAX_TEXT
from tilewright.runtime.emulator.syntax import (
    Group,
    Immediate,
    Memory,
    Negated,
    Operand,
    Pair,
    Register,
    Sink,
    Special,
    Symbol,
    Vector,
)

COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
STATEMENT = re.compile(
    r"\s*(?:(?P<open>\{)|(?P<close>\})|(?P<loc>\.(?:loc|file)\b[^\n]*)|(?P<label>[A-Za-z_$%][\w$]*)\s*:(?!:)"
    r"|(?P<code>[^;{}]*(?:\{[^{}]*\}[^;{}]*)*);)"
)
INSTRUCTION = re.compile(r"(?:@(!?)\s*([\w$%]+)\s+)?([a-z][\w.:]*)\s*(.*)", re.S)
LOC = re.compile(r"\.loc\s+(\d{1,9})\s+(\d{1,9})\b")
IDENTIFIER = re.compile(r"[A-Za-z_$%][\w$]*")
INTEGER = re.compile(r"([+-]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[0-7]*|[1-9]\d*)U?")
FLOAT_BITS = re.compile(r"(-?)0([fFdD])([0-9a-fA-F]+)")
DECIMAL = re.compile(r"[+-]?\d+\.\d*(?:[eE][+-]?\d+)?|[+-]?\d+[eE][+-]?\d+")
SPECIAL_PREFIXES = frozenset(
    "tid ntid laneid warpid nwarpid ctaid nctaid smid nsmid gridid clusterid nclusterid cluster_ctaid cluster_nctaid "
    "cluster_ctarank cluster_nctarank is_explicit_cluster lanemask_eq lanemask_le lanemask_lt lanemask_ge lanemask_gt "
    "clock clock_hi clock64 globaltimer globaltimer_lo globaltimer_hi total_smem_size dynamic_smem_size "
    "aggr_smem_size current_graph_exec reserved_smem_offset_begin reserved_smem_offset_end reserved_smem_offset_cap "
    "pm0 pm1 pm2 pm3".split()
)


def strip_comments(text: str) -> str:
    """Replace comments with blanks that keep the line numbers."""
    if len(text) > MAX_TEXT:
        raise PtxSyntaxError(f"the text has {len(text)} characters, more than the limit of {MAX_TEXT}")
    if text.count(";") > MAX_STATEMENTS:
        raise PtxSyntaxError(f"the text has more than {MAX_STATEMENTS} statements")
    return COMMENT.sub(lambda match: "\n" * match.group().count("\n") or " ", text)


def parse_integer(text: str, line: int) -> int:
    """An integer literal in any of the PTX bases; a trailing ``U`` is allowed."""
    match = INTEGER.fullmatch(text)
    if match is None or len(text) > 70:
        raise PtxSyntaxError(f"bad integer literal `{text[:80]}`", line)
    sign, digits = match.groups()
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        value = int(digits, 8)
    else:
        value = int(digits, 0)
    return -value if sign == "-" else value


def split_operands(text: str) -> list[str]:
    """Split at the commas that are outside every bracket."""
    if "{" not in text and "[" not in text and "(" not in text:
        return [piece.strip() for piece in text.split(",")]
    pieces: list[str] = []
    depth = start = 0
    for match in re.finditer(r"[\[({})\],]", text):
        character = match.group()
        if character in "{[(":
            depth += 1
        elif character in "}])":
            depth -= 1
        elif depth == 0:
            pieces.append(text[start : match.start()].strip())
            start = match.end()
    pieces.append(text[start:].strip())
    return pieces


Resolver = Callable[[str], "Register | None"]


class OperandParser:
    """Turns operand text into operands inside one scope; results are cached because kernels repeat their registers.

    Args:
        resolve: maps a name to the register that the innermost scope declares, or None.
    """

    def __init__(self, resolve: Resolver) -> None:
        self.resolve = resolve
        self.cache: dict[str, Operand] = {}

    def operand(self, text: str, line: int) -> Operand:
        found = self.cache.get(text)
        if found is None:
            found = self.cache[text] = self._parse(text, line)
        return found

    def _parse(self, text: str, line: int) -> Operand:
        if not text:
            raise PtxSyntaxError("empty operand", line)
        first = text[0]
        if first == "%" or first.isalpha() or first in "_$":
            return self._name(text, line)
        if first == "{":
            return Vector(self._items(text, "}", line))
        if first == "(":
            return Group(self._items(text, ")", line))
        if first == "[":
            return self._memory(text, line)
        if first == "!":
            return Negated(self.register(text[1:].strip(), line))
        return self._literal(text, line)

    def _items(self, text: str, closing: str, line: int) -> tuple[Operand, ...]:
        if text[-1] != closing:
            raise PtxSyntaxError(f"expected `{closing}` at the end of `{text[:80]}`", line)
        inner = text[1:-1].strip()
        return tuple(self.operand(piece, line) for piece in split_operands(inner)) if inner else ()

    def register(self, name: str, line: int) -> Register:
        found = self.resolve(name)
        if found is None:
            raise PtxSyntaxError(f"`{name[:80]}` is not a declared register", line)
        return found

    def _name(self, text: str, line: int) -> Operand:
        if text == "_":
            return Sink()
        register = self.resolve(text)
        if register is not None:
            return register
        if "|" in text:
            first, _, second = text.partition("|")
            if "|" in second:
                raise PtxSyntaxError(f"more than two results in `{text[:80]}`", line)
            return Pair(self.operand(first.strip(), line), self.operand(second.strip(), line))
        if text[0] == "%":
            return self._special(text, line)
        base, sign, offset = _split_offset(text)
        if not IDENTIFIER.fullmatch(base):
            raise PtxSyntaxError(f"bad operand `{text[:80]}`", line)
        return Symbol(base, sign * parse_integer(offset, line) if offset else 0)

    def _special(self, text: str, line: int) -> Operand:
        base, _, component = text[1:].partition(".")
        if base in SPECIAL_PREFIXES and component in ("", "x", "y", "z", "w"):
            return Special(text[1:])
        raise PtxSyntaxError(f"`{text[:80]}` is neither a declared nor a special register", line)

    def _memory(self, text: str, line: int) -> Memory:
        if text[-1] != "]":
            raise PtxSyntaxError(f"expected `]` at the end of `{text[:80]}`", line)
        pieces = split_operands(text[1:-1].strip())
        base, sign, offset = _split_offset(pieces[0])
        parts = tuple(self.operand(piece, line) for piece in pieces[1:])
        operand = self.operand(base, line)
        displacement = sign * parse_integer(offset, line) if offset else 0
        if isinstance(operand, Symbol) and operand.offset:
            return Memory(Symbol(operand.name), operand.offset + displacement, parts)
        return Memory(operand, displacement, parts)

    def _literal(self, text: str, line: int) -> Immediate:
        match = FLOAT_BITS.fullmatch(text)
        if match is not None and len(match[3]) == (8 if match[2] in "fF" else 16):
            width = 4 * len(match[3])
            bits = int(match[3], 16) ^ ((1 << (width - 1)) if match[1] else 0)
            return Immediate(bits, width)
        if DECIMAL.fullmatch(text):
            return Immediate(float(text))
        return Immediate(parse_integer(text, line))


def _split_offset(text: str) -> tuple[str, int, str]:
    """Split ``base+4`` or ``base+-4`` or ``base-4`` into base, sign and digits."""
    cut = max(text.rfind("+"), text.rfind("-"))
    if cut <= 0:
        return text.strip(), 1, ""
    base, sign, digits = text[:cut].strip(), -1 if text[cut] == "-" else 1, text[cut + 1 :].strip()
    if base.endswith("+"):
        base = base[:-1].strip()
    return base, sign, digits
