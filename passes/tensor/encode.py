"""Owns the step from the values of ``program`` back to IR of the tensor level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tilewright.dialect import ods, tensor
from tilewright.dialect.faults import InternalFault
from tilewright.dialect.mlir import func, ir
from tilewright.passes.tensor.decode import MODULO, no_flags
from tilewright.passes.tensor.program import (
    Apply,
    Argument,
    Comprehension,
    Constant,
    Node,
    Parameter,
    Position,
    Program,
    Read,
    Source,
    Symbol,
    Table,
    postorder,
)


def encode(program: Program) -> Any:
    """The ``func.func`` of a program, at the current insertion point."""
    results = [tensor_type(source, result) for source, result in program.outputs]
    function = declare(program, results)
    block = function.add_entry_block(list(argument_locations(program)))
    with ir.InsertionPoint(block), program.location:
        values = Encoder(program.dims, list(block.arguments))
        for source in program.sources:
            values.source(source)
        func.ReturnOp([values.result(source, result) for source, result in program.outputs], loc=program.location)
    return function


def declare(program: Program, results: Sequence[Any]) -> Any:
    """An empty function with the name, types and attributes of ``program``."""
    function = func.FuncOp(program.name, (list(program.argument_types), list(results)), loc=program.location)
    function.attributes["tw.dims"] = ods.strings(program.dims)
    function.attributes["arg_attrs"] = ir.ArrayAttr.get(list(program.argument_attributes))
    function.attributes["res_attrs"] = ir.ArrayAttr.get(list(program.result_attributes))
    for name, attribute in program.attributes:
        function.attributes[name] = attribute
    return function


def argument_locations(program: Program) -> list[Any]:
    """A place for each argument: its name, as far as it is known."""
    return [program.location] * len(program.argument_types)


def tensor_type(source: Source, result: int) -> Any:
    """The type of one result of a source."""
    if isinstance(source, Argument | Table):
        return source.type
    assert isinstance(source, Comprehension)
    dynamic = ir.ShapedType.get_dynamic_size()
    return ir.RankedTensorType.get([dynamic] * source.domain.parallel, source.body[result].type)


class Encoder:
    """Builds sources and expressions at the current insertion point; each source once."""

    def __init__(self, dims: Sequence[str], arguments: Sequence[Any]) -> None:
        self.dims = dims
        self.arguments = arguments
        self._sources: dict[Source, list[Any]] = {}

    def result(self, source: Source, number: int) -> Any:
        return self._sources[source][number]

    def define(self, source: Source, values: Sequence[Any]) -> None:
        """Say which values stand for the results of a source."""
        self._sources[source] = list(values)

    def source(self, source: Source) -> None:
        """Build a source whose inputs are built."""
        if source in self._sources:
            return
        if isinstance(source, Argument):
            self.define(source, [self.arguments[source.number]])
        elif isinstance(source, Table):
            self.define(source, [self._table(source)])
        elif isinstance(source, Comprehension):
            self.define(source, self._comprehension(source))

    def _table(self, source: Table) -> Any:
        with source.location:
            return tensor.table(source.values, source.type.element_type, source.type.shape)

    def _comprehension(self, source: Comprehension) -> list[Any]:
        with source.location:
            return self._build(source)

    def _build(self, source: Comprehension) -> list[Any]:
        domain = source.domain
        declared = tensor.Domain(
            unique(domain.names),
            domain.parallel,
            affine_map(0, len(self.dims), domain.extents),
            affine_map(domain.rank, len(self.dims), domain.constraints),
        )
        where = None if domain.where is None else self._region((domain.where,))
        if not source.is_fold:
            return tensor.map_(declared, self._region(source.body), where=where, loc=source.location)
        return tensor.fold(
            declared,
            source.kinds,
            self._region(source.body),
            unsigned=source.unsigned,
            bounds=self._region(domain.bounds) if domain.bounds else None,
            where=where,
            loc=source.location,
        )

    def _region(self, roots: Sequence[Node]) -> Any:
        return lambda *indices: self.expressions(roots, indices)

    def expressions(self, roots: Sequence[Node], indices: Sequence[Any]) -> list[Any]:
        """The values of expressions at ``indices``."""
        values: dict[Node, Any] = {}
        for node in postorder(roots):
            values[node] = self._node(node, [values[operand] for operand in node.operands], indices)
        return [values[root] for root in roots]

    def _node(self, node: Node, operands: list[Any], indices: Sequence[Any]) -> Any:
        match node:
            case Position():
                return indices[node.number]
            case Parameter():
                return self.arguments[node.number]
            case Symbol():
                return self._dim(node)
            case Constant():
                return self._create("arith.constant", node, [], {"value": node.attribute})
            case Read():
                return self._read(node, operands)
            case Apply(name=name) if name == MODULO:
                return self._modulo(node, operands)
            case Apply():
                return self._create(node.name, node, operands, dict(node.attributes))
        raise InternalFault(f"no encoding for {type(node).__name__}")

    def _dim(self, node: Symbol) -> Any:
        with node.location:
            return tensor.dim(self.dims[node.number])

    def _create(self, name: str, node: Node, operands: Sequence[Any], attributes: dict[str, Any]) -> Any:
        return ods.create(name, [node.type], operands, attributes, loc=node.location).result

    def _modulo(self, node: Apply, operands: list[Any]) -> Any:
        left, right = operands
        quotient = self._create("arith.floordivsi", node, [left, right], {})
        product = self._create("arith.muli", node, [quotient, right], dict(no_flags("arith.muli")))
        return self._create("arith.subi", node, [left, product], dict(no_flags("arith.subi")))

    def _read(self, node: Read, operands: list[Any]) -> Any:
        rank = len(node.subscripts)
        rest = operands[rank:]
        active = rest.pop(0) if node.active is not None else None
        otherwise = rest.pop(0) if node.otherwise is not None else None
        source = self.result(node.source, node.result)
        return tensor.read(source, operands[:rank], node.modes, active, otherwise, loc=node.location)


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """The names with a number behind those that stand already."""
    taken: set[str] = set()
    chosen = []
    for name in names:
        candidate, number = name, 1
        while candidate in taken:
            candidate = f"{name.split('.')[0]}.{number}"
            number += 1
        taken.add(candidate)
        chosen.append(candidate)
    return tuple(chosen)


def affine_map(dims: int, symbols: int, nodes: Sequence[Node]) -> Any:
    """Index expressions as an affine map; they must be affine."""
    results = []
    for node in nodes:
        expr = to_affine(node)
        if expr is None:
            raise InternalFault("a domain has an extent or a constraint that is not affine")
        results.append(expr)
    return ir.AffineMap.get(dims, symbols, results)


def to_affine(node: Node) -> Any | None:
    """An index expression as an affine expression (positions are dims, dims are symbols), or None."""
    match node:
        case Position():
            return ir.AffineExpr.get_dim(node.number)
        case Symbol():
            return ir.AffineExpr.get_symbol(node.number)
        case Constant():
            return ir.AffineExpr.get_constant(int(node.value))
        case Apply(arguments=(first, second)):
            left, right = to_affine(first), to_affine(second)
            return None if left is None or right is None else _combine(node, left, right)
    return None


def _combine(node: Apply, left: Any, right: Any) -> Any | None:
    match node.name:
        case "arith.addi":
            return left + right
        case "arith.subi":
            return left + right * -1
        case "arith.muli":
            return _product(left, right)
        case "arith.floordivsi" if _is_parameter(right):
            return ir.AffineExpr.get_floor_div(left, right)
        case name if name == MODULO and _is_parameter(right):
            return ir.AffineExpr.get_mod(left, right)
    return None


def _product(left: Any, right: Any) -> Any | None:
    if _is_parameter(right):
        return left * right
    return right * left if _is_parameter(left) else None


def _is_parameter(expr: Any) -> bool:
    expr = expr.maybe_downcast()  # operators of the bindings name the operation, even where it was simplified away
    if isinstance(expr, ir.AffineDimExpr):
        return False
    if isinstance(expr, ir.AffineSymbolExpr | ir.AffineConstantExpr):
        return True
    return _is_parameter(expr.lhs) and _is_parameter(expr.rhs)
