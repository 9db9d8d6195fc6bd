"""Owns scalar expressions: typed expression -> ``arith``, ``math`` and ``tw.read`` inside one region.

Code is straight-line. A condition becomes a ``select``; what it protects is a *path* of conditions, and a read that can
fail at run time carries its path as ``active``. A read that is only guarded is harmless outside and needs no path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tilewright.compiler import emit_builtins, emit_integer
from tilewright.compiler.emit_convert import bitcast, convert
from tilewright.compiler.emit_domain import Range
from tilewright.compiler.emit_refuse import refuse
from tilewright.compiler.emit_types import Kind, constant, kind_of
from tilewright.compiler.emit_walk import children
from tilewright.compiler.language.span import Span
from tilewright.compiler.language.typed import (
    INDEX,
    Access,
    Binary,
    Bitcast,
    Call,
    Cast,
    Compare,
    Dim,
    Expr,
    Guarded,
    Index,
    Literal,
    Logical,
    Read,
    Reduce,
    Scalar,
    Select,
    Unary,
)
from tilewright.dialect import tensor as tw
from tilewright.dialect.faults import InternalFault
from tilewright.dialect.mlir import arith, ir, math

P = arith.CmpIPredicate
F = arith.CmpFPredicate
FLAGS = arith.FastMathFlags

Path = tuple[tuple[Expr, bool], ...]
"""Conditions on the way to an expression, outermost first, each with the value it must have."""

INDEX_STORAGE = "i64"
"""The dtype in which index values are stored: tensors have no elements of type ``index``."""
LARGEST_EXPANDED_POWER = 16
EXACT = 256
"""Every float type holds the integers up to this exactly (bf16 has 8 digits)."""
_MODES = {
    Access.PROVED: tw.ReadMode.PROVED,
    Access.LAUNCH: tw.ReadMode.PROVED,
    Access.GATHER: tw.ReadMode.GATHER,
    Access.GUARDED: tw.ReadMode.GUARDED,
}
_FLOAT_COMPARE = {"<": F.OLT, "<=": F.OLE, ">": F.OGT, ">=": F.OGE, "==": F.OEQ, "!=": F.UNE}
_SIGNED_COMPARE = {"<": P.slt, "<=": P.sle, ">": P.sgt, ">=": P.sge, "==": P.eq, "!=": P.ne}
_UNSIGNED_COMPARE = {"<": P.ult, "<=": P.ule, ">": P.ugt, ">=": P.uge, "==": P.eq, "!=": P.ne}


@dataclass(frozen=True)
class FoldValue:
    """A reduction that stands before the region: its tensors, the indices they are read at, and how to finish."""

    results: tuple[Any, ...]
    indices: tuple[str, ...]
    finish: Callable[[Scalars, tuple[Any, ...]], Any]


@dataclass
class Names:
    """What names mean in one function: tensors with dtypes and shapes, scalars, ranges of indices, done reductions.

    ``checked`` are locals whose elements may fail a run-time check: nobody may ask for one that a condition rules out.
    """

    tensors: dict[str, Any] = field(default_factory=dict)
    shapes: dict[str, tuple[Expr, ...]] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    scalars: dict[str, Any] = field(default_factory=dict)
    ranges: dict[str, Range] = field(default_factory=dict)
    folds: dict[int, FoldValue] = field(default_factory=dict)
    checked: set[str] = field(default_factory=set)


class Locations:
    """Places of the source as IR locations, named after the statement."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._known: dict[tuple[str, int, int], Any] = {}

    def at(self, span: Span) -> Any:
        key = (span.source.name, span.line, span.column)
        if key not in self._known:
            self._known[key] = ir.Location.name(self._name, ir.Location.file(*key))
        return self._known[key]


class Scalars:
    """Emits expressions into the current region; equal nodes under equal paths are emitted once.

    ``arguments`` are the region's index arguments by name: domain indices, before their shift.
    """

    def __init__(self, names: Names, arguments: Mapping[str, Any], locations: Locations) -> None:
        self.names = names
        self.arguments = arguments
        self.locations = locations
        # The nodes are kept with what they became: an id belongs to a node only while the node lives.
        self._done: dict[tuple[int, tuple[tuple[int, bool], ...]], tuple[Expr, Path, Any]] = {}

    def emit(self, expr: Expr, path: Path = ()) -> Any:
        key = (id(expr), tuple((id(condition), holds) for condition, holds in path))
        if key not in self._done:
            with self.locations.at(expr.span):
                self._done[key] = expr, path, self._emit(expr, path)
        return self._done[key][2]

    def _emit(self, expr: Expr, path: Path) -> Any:
        match expr:
            case Literal():
                return constant(expr.dtype, expr.value)
            case Dim():
                return tw.dim(expr.name)
            case Scalar():
                return self.names.scalars[expr.name]
            case Index():
                return self._index(expr.name)
            case Read():
                return self._read(expr, path, None)
            case Guarded():
                return self._guarded(expr, path)
            case Cast():
                return convert(self.emit(expr.operand, path), expr.operand.dtype, expr.dtype)
            case Bitcast():
                return bitcast(self.emit(expr.operand, path), expr.operand.dtype, expr.dtype)
            case Unary():
                return _unary(expr.op, self.emit(expr.operand, path), kind_of(expr.dtype))
            case Binary():
                return self._binary(expr, path)
            case Compare():
                return compare(expr.op, self.emit(expr.left, path), self.emit(expr.right, path), expr.left.dtype)
            case Logical():
                return self._logical(expr, path)
            case Select():
                return self._select(expr, path)
            case Call():
                return self._call(expr, path)
            case Reduce():
                return self._reduction(expr)
        raise InternalFault(f"no emission for {type(expr).__name__}")

    def _index(self, name: str) -> Any:
        argument = self.arguments[name]
        shift = self.names.ranges[name].shift
        return argument if shift is None else arith.addi(argument, self.emit(shift))

    # ------------------------------------------------------------ reads

    def _read(self, expr: Read, path: Path, otherwise: Any, active: Any = None) -> Any:
        subscripts = [self.emit(subscript, path) for subscript in expr.subscripts]
        if Access.GATHER in expr.access or expr.tensor in self.names.checked:
            active = both(self.condition(path), active)
        modes = [_MODES[access] for access in expr.access]
        value = tw.read(self.names.tensors[expr.tensor], subscripts, modes, active, otherwise)
        return convert(value, INDEX_STORAGE, INDEX) if expr.dtype == INDEX else value

    def _guarded(self, expr: Guarded, path: Path) -> Any:
        """The guard covers reads inside subscripts too: the outer read is active only where those are inside."""
        casts: list[Cast] = []
        read = expr.read
        while isinstance(read, Cast):
            casts.append(read)
            read = read.operand
        assert isinstance(read, Read)
        inside = self._inside([r for s in read.subscripts for r in _inner_reads(s)], path)
        stored = _stored_constant(expr.otherwise, read.dtype)
        otherwise = None if stored in (None, 0) else constant(read.dtype, stored or 0)
        value = self._read(read, path, otherwise, inside)
        for cast in reversed(casts):
            value = convert(value, cast.operand.dtype, cast.dtype)
        if stored is not None:
            return value
        return arith.select(self._all_inside(read, path, inside), value, self.emit(expr.otherwise, path))

    def _all_inside(self, read: Read, path: Path, inside: Any) -> Any:
        own = both(inside, self._inside([read], path))
        return constant("bool", True) if own is None else own

    def _inside(self, reads: list[Read], path: Path) -> Any:
        """The conjunction of "this guarded subscript is inside" over ``reads``, or None where there is none."""
        condition: Any = None
        for read in reads:
            for subscript, access, extent in zip(
                read.subscripts, read.access, self.names.shapes[read.tensor], strict=True
            ):
                if access is Access.GUARDED:
                    value, limit = self.emit(subscript, path), self.emit(extent)
                    condition = both(condition, arith.cmpi(P.sge, value, constant(INDEX, 0)))
                    condition = both(condition, arith.cmpi(P.slt, value, limit))
        return condition

    def condition(self, path: Path) -> Any:
        """The conjunction of a path, or None for the empty path."""
        result: Any = None
        for depth, (condition, holds) in enumerate(path):
            value = self.emit(condition, path[:depth])
            value = value if holds else arith.xori(value, constant("bool", True))
            result = both(result, value)
        return result

    def _reduction(self, expr: Reduce) -> Any:
        fold = self.names.folds[id(expr)]
        at = [self.arguments[name] for name in fold.indices]
        proved = [tw.ReadMode.PROVED] * len(at)
        return fold.finish(self, tuple(tw.read(result, at, proved) for result in fold.results))

    # ------------------------------------------------------------ operators

    def _binary(self, expr: Binary, path: Path) -> Any:
        kind = kind_of(expr.dtype)
        if expr.op == "**":
            return self._power(expr, path, kind)
        left, right = self.emit(expr.left, path), self.emit(expr.right, path)
        if expr.op in ("min", "max"):
            return emit_builtins.extreme(expr.op, left, right, kind)
        if kind.is_float:
            return _float_binary(expr.op, left, right)
        divisor = int(expr.right.value) if isinstance(expr.right, Literal) else None
        return _integer_binary(expr.op, left, right, kind, divisor)

    def _power(self, expr: Binary, path: Path, kind: Kind) -> Any:
        base, exponent = self.emit(expr.left, path), expr.right
        number = _constant_of(exponent)
        if number is not None and number == int(number) and abs(number) <= LARGEST_EXPANDED_POWER:
            return _constant_power(base, int(number), kind)
        if kind.is_float:
            return math.powf(base, self.emit(exponent, path))
        return _integer_power(base, self.emit(exponent, path), kind)

    def _logical(self, expr: Logical, path: Path) -> Any:
        left = self.emit(expr.left, path)
        right = self.emit(expr.right, (*path, (expr.left, expr.op == "and")))
        return (arith.andi if expr.op == "and" else arith.ori)(left, right)

    def _select(self, expr: Select, path: Path) -> Any:
        condition = self.emit(expr.condition, path)
        then = self.emit(expr.then, (*path, (expr.condition, True)))
        return arith.select(condition, then, self.emit(expr.otherwise, (*path, (expr.condition, False))))

    def _call(self, expr: Call, path: Path) -> Any:
        if expr.function not in emit_builtins.NAMES:
            raise refuse(expr.span, f"`{expr.function}`")
        operands = [self.emit(operand, path) for operand in expr.operands]
        return emit_builtins.call(expr.function, operands, kind_of(expr.operands[0].dtype), expr.approximate)


def both(left: Any, right: Any) -> Any:
    """The conjunction of two conditions, either of which may be None (true)."""
    if left is None or right is None:
        return right if left is None else left
    return arith.andi(left, right)


def compare(op: str, left: Any, right: Any, dtype: str) -> Any:
    """A comparison of two values of ``dtype``."""
    kind = kind_of(dtype)
    if kind.is_float:
        return arith.cmpf(_FLOAT_COMPARE[op], left, right)
    return arith.cmpi((_UNSIGNED_COMPARE if kind.unsigned else _SIGNED_COMPARE)[op], left, right)


def _unary(op: str, value: Any, kind: Kind) -> Any:
    if op == "-":
        return arith.negf(value) if kind.is_float else arith.subi(constant(kind.name, 0), value)
    return arith.xori(value, constant(kind.name, -1))


def _float_binary(op: str, left: Any, right: Any) -> Any:
    match op:
        case "+":
            return arith.addf(left, right, fastmath=FLAGS.contract)
        case "-":
            return arith.subf(left, right, fastmath=FLAGS.contract)
        case "*":
            return arith.mulf(left, right, fastmath=FLAGS.contract)
        case "/":
            return arith.divf(left, right)
    raise InternalFault(f"no float operator {op!r}")


def _integer_binary(op: str, left: Any, right: Any, kind: Kind, divisor: int | None) -> Any:
    match op:
        case "//":
            return emit_integer.divide(left, right, kind, divisor)
        case "%":
            return emit_integer.remainder(left, right, kind, divisor)
        case "<<":
            return emit_integer.shift_left(left, right, kind)
        case ">>":
            return emit_integer.shift_right(left, right, kind)
    operation = {"+": arith.addi, "-": arith.subi, "*": arith.muli, "&": arith.andi, "|": arith.ori, "^": arith.xori}
    return operation[op](left, right)


def _constant_of(expr: Expr) -> float | None:
    while isinstance(expr, Cast):
        expr = expr.operand
    if isinstance(expr, Unary) and expr.op == "-":
        inner = _constant_of(expr.operand)
        return None if inner is None else -inner
    if isinstance(expr, Literal) and float("-inf") < expr.value < float("inf"):
        return float(expr.value)
    return None


def _constant_power(base: Any, exponent: int, kind: Kind) -> Any:
    one = constant(kind.name, 1)
    if not kind.is_float:
        return emit_integer.power(base, max(exponent, 0), one, arith.muli)
    value = emit_integer.power(base, abs(exponent), one, arith.mulf)
    return arith.divf(one, value) if exponent < 0 else value


def _integer_power(base: Any, exponent: Any, kind: Kind) -> Any:
    """Square and multiply over the bits of the exponent that can matter; negative exponents count as 0."""
    zero, one = constant(kind.name, 0), constant(kind.name, 1)
    if not kind.unsigned:
        exponent = arith.maxsi(exponent, zero)
    result = one
    for _ in range(min(kind.bits, 64)):
        odd = arith.cmpi(P.ne, arith.andi(exponent, one), zero)
        result = arith.select(odd, arith.muli(result, base), result)
        base = arith.muli(base, base)
        exponent = arith.shrui(exponent, one)
    return result


def _inner_reads(expr: Expr) -> list[Read]:
    """The reads inside a subscript (not those of a nested guard, which protects itself)."""
    if isinstance(expr, Guarded):
        return []
    inner = [expr] if isinstance(expr, Read) else []
    return inner + [read for child in _operands(expr) for read in _inner_reads(child)]


def _operands(expr: Expr) -> tuple[Expr, ...]:
    return () if isinstance(expr, Reduce) else children(expr)


def _stored_constant(expr: Expr, dtype: str) -> float | int | None:
    """The value of a constant that ``dtype`` holds exactly: an infinity or a small integer; None for anything else."""
    while isinstance(expr, Cast):
        expr = expr.operand
    if not isinstance(expr, Literal) or str(expr.value) == "-0.0":
        return None
    value, kind = expr.value, kind_of(dtype)
    if kind.is_float:
        return value if abs(value) == float("inf") or (abs(value) <= EXACT and value == int(value)) else None
    low = 0 if kind.unsigned else -(1 << (kind.bits - 1))
    return int(value) if value == value and low <= value < low + (1 << kind.bits) else None
