"""Owns the outside of a kernel as a plan without launches: arguments, how dims follow from them, what must hold.

It is made from the typed kernel and travels with every level of the IR as a module attribute, so that compilation can
start again from a dumped file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tilewright.compiler.language import typed
from tilewright.dialect.faults import InternalFault
from tilewright.dialect.mlir import ir
from tilewright.runtime.plan import Argument, DimBinding, DimSolution, LaunchCheck, Plan, plan_from_json
from tilewright.runtime.sizes import Number, Operation, SizeExpr, Symbol

ATTRIBUTE = "tw.interface"


def interface_of(kernel: typed.TypedKernel, dims: Mapping[str, int] | None = None) -> Plan:
    """The interface; ``dims`` are fixed by the compilation and become checks."""
    tensors = [_tensor(item) for item in (*kernel.tensors, *kernel.outputs)]
    scalars = [Argument(item.name, "scalar", item.dtype, default=item.default) for item in kernel.scalars]
    inputs, outputs = tensors[: len(kernel.tensors)], tensors[len(kernel.tensors) :]
    fixed = tuple(
        LaunchCheck(Operation("==", (Symbol(name), Number(value))), f"{name} == {value}", "TW1018")
        for name, value in (dims or {}).items()
    )
    return Plan(
        kernel=kernel.name,
        dims=kernel.dims,
        arguments=(*inputs, *scalars, *outputs),
        bindings=tuple(DimBinding(b.dim, b.tensor, b.axis, b.scale, b.offset) for b in kernel.bindings),
        solutions=tuple(DimSolution(s.dim, size_of(s.value)) for s in kernel.solutions),
        checks=tuple(LaunchCheck(size_of(c.condition), c.text, c.code) for c in kernel.checks) + fixed,
        types=kernel.instance.types,
        consts=kernel.instance.consts,
        doc=kernel.doc,
    )


def _tensor(tensor: typed.Tensor) -> Argument:
    return Argument(
        tensor.name,
        tensor.role,
        tensor.dtype,
        tuple(size_of(size) for size in tensor.shape),
        layout_text(tensor.layout),
    )


def layout_text(layout: typed.Layout) -> str:
    """The layout as plans and IR spell it."""
    if layout.strided or layout.order is None:
        return "strided"
    if layout.order == tuple(range(len(layout.order))):
        return "row"
    return f"order({', '.join(map(str, layout.order))})"


def size_of(expr: typed.Expr) -> SizeExpr:
    """An index expression over dims as a size; anything else in its place is a fault of the checker."""
    rule = _RULES.get(type(expr))
    if rule is None:
        raise InternalFault(f"{type(expr).__name__} in a size of {expr.span}")
    return rule(expr)


def _binary(expr: Any) -> SizeExpr:
    return Operation(expr.op, (size_of(expr.left), size_of(expr.right)))


def _unary(expr: Any) -> SizeExpr:
    name = {"-": "negate", "not": "not"}.get(expr.op)
    if name is None:
        raise InternalFault(f"`{expr.op}` in a size of {expr.span}")
    return Operation(name, (size_of(expr.operand),))


def _select(expr: Any) -> SizeExpr:
    return Operation("select", tuple(size_of(part) for part in (expr.condition, expr.then, expr.otherwise)))


_RULES: Mapping[type[typed.Expr], Callable[[Any], SizeExpr]] = {
    typed.Literal: lambda expr: Number(int(expr.value)),
    typed.Dim: lambda expr: Symbol(expr.name),
    typed.Binary: _binary,
    typed.Compare: _binary,
    typed.Logical: _binary,
    typed.Unary: _unary,
    typed.Select: _select,
    typed.Cast: lambda expr: size_of(expr.operand),
}


def attach(module: Any, interface: Plan) -> None:
    """Put the interface on a module."""
    module.operation.attributes[ATTRIBUTE] = ir.StringAttr.get(interface.to_json())


def attached(module: Any) -> Plan | None:
    """The interface that a module carries, None where it has none."""
    attributes = module.operation.attributes
    return plan_from_json(ir.StringAttr(attributes[ATTRIBUTE]).value) if ATTRIBUTE in attributes else None
