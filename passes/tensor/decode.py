"""Owns the step from IR of the tensor level to the values of ``program``."""

from __future__ import annotations

from typing import Any

from tilewright.dialect import ods, tensor
from tilewright.dialect.faults import InternalFault
from tilewright.dialect.mlir import ir
from tilewright.passes.tensor.program import (
    Apply,
    Argument,
    Comprehension,
    Constant,
    Domain,
    Node,
    Parameter,
    Position,
    Program,
    Read,
    Symbol,
    Table,
    Value,
)

BODY_ATTRIBUTES = frozenset({"arg_attrs", "res_attrs", "function_type", "sym_name", "tw.dims"})


def functions_of(module: Any) -> list[Any]:
    """The functions of a module that have maps or folds of their own (a kernel that only calls launches has none)."""
    functions = [op for op in ods.ops_of(module.body) if op.name == "func.func"]
    return [f for f in functions if not any(op.name == "func.call" for op in ods.ops_of(f.regions[0].blocks[0]))]


def decode(function: Any) -> Program:
    """The program of a ``func.func`` of the tensor level."""
    return _Decoder(function).program()


class _Decoder:
    def __init__(self, function: Any) -> None:
        self.function = function.operation
        self.dims = tensor.dims_of(function)
        self.symbols = {name: k for k, name in enumerate(self.dims)}
        self.values: dict[Any, Value] = {}
        self.scalars: dict[Any, Node] = {}

    def program(self) -> Program:
        block = self.function.regions[0].blocks[0]
        for number, argument in enumerate(block.arguments):
            self._argument(number, argument)
        outputs: tuple[Value, ...] = ()
        for op in ods.ops_of(block):
            if op.name == "func.return":
                outputs = tuple(self.values[value] for value in op.operands)
            else:
                self._op(op)
        attributes = self.function.attributes
        names = sorted(name for name in attributes if name not in BODY_ATTRIBUTES)
        return Program(
            ir.StringAttr(attributes["sym_name"]).value,
            self.function.location,
            tuple((name, attributes[name]) for name in names),
            tuple(argument.type for argument in block.arguments),
            _described(attributes, "arg_attrs", len(block.arguments)),
            _described(attributes, "res_attrs", len(outputs)),
            self.dims,
            outputs,
        )

    def _argument(self, number: int, argument: Any) -> None:
        if isinstance(argument.type, ir.RankedTensorType):
            self.values[argument] = (Argument(argument.location, number, argument.type), 0)
        else:
            self.scalars[argument] = Parameter(argument.type, argument.location, number)

    def _op(self, op: Any) -> None:
        if op.name == "tw.table":
            table = Table(op.location, op.attributes["values"], op.results[0].type)
            self.values[op.results[0]] = (table, 0)
        elif op.name in ("tw.map", "tw.fold"):
            source = self._comprehension(op)
            self.values |= {result: (source, k) for k, result in enumerate(op.results)}
        else:
            self._scalar(op, self.scalars)

    def _comprehension(self, op: Any) -> Comprehension:
        domain = tensor.domain_of(op)
        positions = [Position(ir.IndexType.get(), op.location, k) for k in range(len(domain.indices))]
        affine = AffineDecoder(positions, self._symbol, op.location)
        where = self._region(op, tensor.WHERE, positions)
        decoded = Domain(
            domain.indices,
            domain.parallel,
            tuple(affine.node(e) for e in domain.extents.results),
            tuple(affine.node(e) for e in domain.constraints.results),
            self._region(op, tensor.BOUNDS, positions),
            where[0] if where else None,
        )
        kinds = tensor.fold_kinds(op) if op.name == "tw.fold" else ()
        unsigned = bool(kinds) and tensor.is_unsigned(op)
        return Comprehension(op.location, decoded, self._region(op, tensor.BODY, positions), kinds, unsigned)

    def _symbol(self, number: int, location: Any) -> Node:
        return Symbol(ir.IndexType.get(), location, number)

    def _region(self, op: Any, region: int, positions: list[Position]) -> tuple[Node, ...]:
        block = tensor.block_of(op, region)
        if block is None:
            return ()
        values: dict[Any, Node] = {**self.scalars, **dict(zip(block.arguments, positions, strict=False))}
        for inner in ods.ops_of(block):
            if inner.name == "tw.yield":
                return tuple(values[value] for value in inner.operands)
            self._scalar(inner, values)
        raise InternalFault(f"a region of {op.name} has no tw.yield")

    def _scalar(self, op: Any, values: dict[Any, Node]) -> None:
        result = op.results[0]
        if op.name == "tw.dim":
            symbol = self.symbols[ir.StringAttr(op.attributes["symbol"]).value]
            values[result] = Symbol(result.type, op.location, symbol)
        elif op.name == "arith.constant":
            values[result] = Constant(result.type, op.location, op.attributes["value"])
        elif op.name == "tw.read":
            values[result] = self._read(op, values)
        else:
            attributes = tuple(sorted(((name, op.attributes[name]) for name in op.attributes), key=lambda a: a[0]))
            operands = tuple(values[value] for value in op.operands)
            values[result] = Apply(result.type, op.location, op.name, operands, attributes)

    def _read(self, op: Any, values: dict[Any, Node]) -> Read:
        view = tensor.read_view(op)
        source, number = self.values[view.tensor]
        return Read(
            op.results[0].type,
            op.location,
            source,
            number,
            tuple(values[s] for s in view.subscripts),
            view.modes,
            None if view.active is None else values[view.active],
            None if view.otherwise is None else values[view.otherwise],
        )


class AffineDecoder:
    """Affine expressions as index arithmetic over given positions and symbols."""

    def __init__(self, positions: Any, symbol: Any, location: Any) -> None:
        self.positions = positions
        self.symbol = symbol
        self.location = location

    def node(self, expr: Any) -> Node:
        expr = expr.maybe_downcast()
        if isinstance(expr, ir.AffineDimExpr):
            position: Node = self.positions[expr.position]
            return position
        if isinstance(expr, ir.AffineSymbolExpr):
            symbol: Node = self.symbol(expr.position, self.location)
            return symbol
        if isinstance(expr, ir.AffineConstantExpr):
            return index_constant(expr.value, self.location)
        for kind, name in _OPERATIONS:
            if isinstance(expr, kind):
                return Apply(
                    ir.IndexType.get(), self.location, name, (self.node(expr.lhs), self.node(expr.rhs)), no_flags(name)
                )
        raise InternalFault(f"an affine expression of an unknown kind: {expr}")


MODULO = "affine.mod"
"""Remainder of a floor division, in index arithmetic that came from an affine map."""
_OPERATIONS = (
    (ir.AffineAddExpr, "arith.addi"),
    (ir.AffineMulExpr, "arith.muli"),
    (ir.AffineFloorDivExpr, "arith.floordivsi"),
    (ir.AffineModExpr, MODULO),
)


def no_flags(name: str) -> tuple[tuple[str, Any], ...]:
    """The attributes that a fresh integer operation has in the IR, so that equal operations look equal."""
    if name in ("arith.addi", "arith.muli", "arith.subi"):
        return (("overflowFlags", ir.Attribute.parse("#arith.overflow<none>")),)
    return ()


def index_constant(value: int, location: Any) -> Constant:
    type_ = ir.IndexType.get()
    return Constant(type_, location, ir.IntegerAttr.get(type_, value))


def _described(attributes: Any, name: str, count: int) -> tuple[Any, ...]:
    if name not in attributes:
        return tuple(ir.DictAttr.get({}) for _ in range(count))
    return tuple(ir.ArrayAttr(attributes[name]))
