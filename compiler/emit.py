"""Owns the step from a typed kernel to the tensor level: one ``func.func`` of maps, folds and tables.

Each statement is a ``tw.map``; its reductions are folds before it (``emit_fold``); expressions are ``emit_scalar``.
Nothing is optimised here beyond folding the conditions that consts decide.
"""

from __future__ import annotations

from typing import Any

from tilewright.compiler.emit_convert import convert
from tilewright.compiler.emit_domain import Affine, Range
from tilewright.compiler.emit_fold import Folds
from tilewright.compiler.emit_refuse import refuse
from tilewright.compiler.emit_scalar import INDEX_STORAGE, Locations, Names, Scalars
from tilewright.compiler.emit_types import mlir_type
from tilewright.compiler.emit_walk import FreeIndices, walk
from tilewright.compiler.language.typed import (
    INDEX,
    Access,
    Expr,
    Layout,
    Literal,
    Read,
    ScalarParam,
    Statement,
    Table,
    Tensor,
    TypedKernel,
)
from tilewright.dialect import ods
from tilewright.dialect import tensor as tw
from tilewright.dialect.mlir import func, ir


def emit(kernel: TypedKernel) -> Any:
    """The module of one kernel, inside a ``dialect.ods.session``.

    Raises SourceErrors for what the compiler does not take yet (scatters, guarded writes, inout, scans, recurrences,
    selection, segments, random numbers, f8).
    """
    _refuse_unsupported(kernel)
    locations = Locations(kernel.name)
    module = ir.Module.create(loc=locations.at(kernel.span))
    with ir.InsertionPoint(module.body), locations.at(kernel.span):
        _Function(kernel).emit()
    return module


class _Function:
    """Builds the function of one kernel."""

    def __init__(self, kernel: TypedKernel) -> None:
        self.kernel = kernel
        self.parameters: tuple[Tensor | ScalarParam, ...] = (*kernel.tensors, *kernel.scalars)
        self.names = Names()
        self.affine = Affine(kernel.dims, {}, {})
        self.free = FreeIndices()

    def emit(self) -> None:
        kernel = self.kernel
        arguments = [*(self._tensor_type(t) for t in kernel.tensors), *(mlir_type(s.dtype) for s in kernel.scalars)]
        results = [self._tensor_type(t) for t in kernel.outputs]
        function = func.FuncOp(kernel.name, (arguments, results))
        function.attributes["tw.dims"] = ods.strings(kernel.dims)
        function.attributes["tw.kernel"] = ir.StringAttr.get(kernel.name)
        function.attributes["arg_attrs"] = self._attributes(self.parameters)
        function.attributes["res_attrs"] = self._attributes(kernel.outputs)
        block = function.add_entry_block([Locations(p.name).at(p.span) for p in self.parameters])
        with ir.InsertionPoint(block):
            self._bind(block.arguments)
            self._body()

    def _bind(self, arguments: Any) -> None:
        values = list(arguments)
        for parameter, value in zip(self.parameters, values, strict=True):
            if isinstance(parameter, Tensor):
                self._define(parameter.name, value, parameter.shape, parameter.dtype)
            else:
                self.names.scalars[parameter.name] = value

    def _define(self, name: str, value: Any, shape: tuple[Any, ...], dtype: str) -> None:
        self.names.tensors[name] = value
        self.names.shapes[name] = shape
        self.names.dtypes[name] = dtype

    def _body(self) -> None:
        for table in self.kernel.tables:
            self._table(table)
        for statement in self.kernel.statements:
            self._statement(statement)
        func.ReturnOp([self.names.tensors[output.name] for output in self.kernel.outputs])

    def _table(self, table: Table) -> None:
        element = mlir_type(table.dtype)
        wrap = ir.FloatAttr.get if table.dtype.startswith("f") else ir.IntegerAttr.get
        type_ = ir.RankedTensorType.get(list(table.shape), element)
        dense = ir.DenseElementsAttr.get([wrap(element, value) for value in table.values], type_)
        with Locations(table.name).at(table.span):
            value = tw.table(dense, element, table.shape)
        self._define(table.name, value, tuple(Literal(table.span, INDEX, n) for n in table.shape), table.dtype)

    def _statement(self, statement: Statement) -> None:
        locations = Locations(statement.target)
        order = tuple(index.index for index in statement.indices)
        extents = [self._extent(statement, index.extent) for index in statement.indices]
        self.names.ranges |= {name: Range(e, None, e) for name, e in zip(order, extents, strict=True)}
        domain = tw.box(order, extents, len(self.kernel.dims))
        with locations.at(statement.span):
            Folds(self.names, self.kernel.dims, self.free, locations).hoist(statement.value, order)
            (result,) = tw.map_(domain, self._map_body(statement, order, locations), loc=locations.at(statement.span))
        shape = statement.local_shape or tuple(index.extent for index in statement.indices)
        self._define(statement.target, result, shape, statement.dtype)
        if statement.local_shape is not None and any(map(self._may_fail, walk(statement.value))):
            self.names.checked.add(statement.target)

    def _may_fail(self, expr: Expr) -> bool:
        """Whether evaluating a node asks for something that a run-time check may refuse."""
        return isinstance(expr, Read) and (Access.GATHER in expr.access or expr.tensor in self.names.checked)

    def _map_body(self, statement: Statement, order: tuple[str, ...], locations: Locations) -> Any:
        def body(*arguments: Any) -> list[Any]:
            scalars = Scalars(self.names, dict(zip(order, arguments, strict=True)), locations)
            value = scalars.emit(statement.value)
            return [convert(value, INDEX, INDEX_STORAGE) if statement.dtype == INDEX else value]

        return body

    def _extent(self, statement: Statement, expr: Any) -> Any:
        extent = self.affine.expression(expr)
        if extent is None:
            raise refuse(statement.span, "an extent that is no affine expression of dims")
        return extent

    # ------------------------------------------------------------ the signature

    def _tensor_type(self, tensor: Tensor) -> Any:
        dynamic = ir.ShapedType.get_dynamic_size()
        return ir.RankedTensorType.get([dynamic] * len(tensor.shape), mlir_type(tensor.dtype))

    def _attributes(self, parameters: Any) -> Any:
        return ir.ArrayAttr.get([self._parameter(p) for p in parameters])

    def _parameter(self, parameter: Tensor | ScalarParam) -> Any:
        text = ir.StringAttr.get
        described = {"tw.name": text(parameter.name), "tw.dtype": text(parameter.dtype)}
        if isinstance(parameter, Tensor):
            shape = [self.affine.expression(extent) for extent in parameter.shape]
            if any(extent is None for extent in shape):
                raise refuse(parameter.span, "a shape that is no affine expression of dims")
            described["tw.shape"] = ir.AffineMapAttr.get(ir.AffineMap.get(0, len(self.kernel.dims), shape))
            described["tw.layout"] = text(layout_text(parameter.layout))
        return ir.DictAttr.get(described)


def layout_text(layout: Layout) -> str:
    """``row``, ``strided``, or ``order(1, 0)``."""
    if layout.strided:
        return "strided"
    if layout.order is None or layout.order == tuple(range(len(layout.order))):
        return "row"
    return f"order({', '.join(map(str, layout.order))})"


def _refuse_unsupported(kernel: TypedKernel) -> None:
    parameters: tuple[Tensor | ScalarParam, ...] = (*kernel.tensors, *kernel.outputs, *kernel.scalars)
    for tensor in parameters:
        if tensor.dtype.startswith("f8"):
            raise refuse(tensor.span, f"the type `{tensor.dtype}`")
        if isinstance(tensor, Tensor) and tensor.role == "inout":
            raise refuse(tensor.span, "`inout`")
    written: set[str] = set()
    for statement in kernel.statements:
        _refuse_statement(statement, statement.target in written)
        written.add(statement.target)


def _refuse_statement(statement: Statement, again: bool) -> None:
    if statement.scatter:
        raise refuse(statement.span, "a write at computed subscripts")
    if statement.where is not None:
        raise refuse(statement.span, "a guarded write", "give the other elements a value: `a if condition else b`")
    if statement.step is not None or statement.cycle:
        raise refuse(statement.span, "a recurrence")
    if again or statement.op != "=":
        raise refuse(statement.span, f"`{statement.op}` on an output", "write one statement with `=`")
