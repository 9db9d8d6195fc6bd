"""Owns the tensor level, dialect ``tw``: its ops, their builders, and typed views of their attributes.

Example (generic form, as printed)::

    %m = "tw.fold"() ({
    ^bb0(%i: index, %j: index):
      %v = "tw.read"(%x, %i, %j) {modes = array<i64: 0, 0>, ...} : (tensor<?x?xf32>, index, index) -> f32
      "tw.yield"(%v) : (f32) -> ()
    }, {}, {}) {indices = ["i", "j"], parallel = 1, kinds = ["max"],
                extents = affine_map<()[s0, s1] -> (s0, s1)>, constraints = affine_map<(d0, d1)[s0, s1] -> ()>}
        : () -> tensor<?xf32>

The exact meaning stands in ``docs/decisions/0001-levels.md``.
"""

# pyright: reportInvalidTypeForm=false
# The bindings are untyped modules: their classes are values to a type checker, and annotations of ops all the same.


from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from tilewright.dialect import ods
from tilewright.dialect.folds import FoldKind, arity
from tilewright.dialect.mlir import ext, ir

BODY, BOUNDS, WHERE = 0, 1, 2


class ReadMode(IntEnum):
    """How one subscript of a read is known to be inside (see ``tw.read``)."""

    PROVED = 0
    GATHER = 2
    GUARDED = 3


class TensorDialect(ext.Dialect, name="tw"):  # type: ignore[misc,call-arg]
    """The tensor level."""


class DimOp(TensorDialect.Operation, name="dim", traits=[ods.Pure]):  # type: ignore[name-defined,misc,call-arg]
    """A dim symbol as a value of type ``index``."""

    symbol: ir.StringAttr
    result: ext.Result[ir.IndexType]


class TableOp(TensorDialect.Operation, name="table", traits=[ods.Pure]):  # type: ignore[name-defined,misc,call-arg]
    """A constant tensor of static shape."""

    values: Any
    result: ext.Result[Any]


class MapOp(TensorDialect.Operation, name="map", traits=[ods.Pure]):  # type: ignore[name-defined,misc,call-arg]
    """One value at every point of a domain; one result tensor per yielded value."""

    __annotations__ = ods.mixed("outs", ext.Result[Any])
    indices: ir.ArrayAttr
    extents: Any
    constraints: Any
    body: ext.Region
    bounds: ext.Region
    where: ext.Region

    @staticmethod
    def verify_invariants(op: Any) -> bool:
        return _verify_domain_op(op, reduces=False)


class FoldOp(TensorDialect.Operation, name="fold", traits=[ods.Pure]):  # type: ignore[name-defined,misc,call-arg]
    """Folds over the indices after the first ``parallel`` ones."""

    __annotations__ = ods.mixed("outs", ext.Result[Any])
    indices: ir.ArrayAttr
    extents: Any
    constraints: Any
    parallel: Any
    kinds: ir.ArrayAttr
    unsigned: Any
    body: ext.Region
    bounds: ext.Region
    where: ext.Region

    @staticmethod
    def verify_invariants(op: Any) -> bool:
        return _verify_domain_op(op, reduces=True)


class ReadOp(TensorDialect.Operation, name="read", traits=[ods.Pure]):  # type: ignore[name-defined,misc,call-arg]
    """One element of a tensor; ``active`` and ``otherwise`` protect it."""

    tensor: ext.Operand[Any]
    subscripts: Sequence[ext.Operand[ir.IndexType]]
    active: Sequence[ext.Operand[Any]]
    otherwise: Sequence[ext.Operand[Any]]
    modes: Any
    result: ext.Result[Any]

    @staticmethod
    def verify_invariants(op: Any) -> bool:
        return _verify_read(op)


class YieldOp(TensorDialect.Operation, name="yield", traits=[ir.IsTerminatorTrait, ods.Pure]):  # type: ignore[name-defined,misc,call-arg]
    """Ends a region of a map or fold."""

    __annotations__ = ods.mixed("values", ext.Operand[Any])


# ---------------------------------------------------------------- domains


@dataclass(frozen=True)
class Domain:
    """The iteration domain of a map or fold: named indices, their extents and affine constraints over the dims.

    ``extents``: an affine map from no dims and the function's dim symbols to one extent per index. ``constraints``: an
    affine map from the indices and the symbols; every result must be >= 0. ``parallel`` counts the indices that are
    result axes (all of them for a map).
    """

    indices: tuple[str, ...]
    parallel: int
    extents: Any
    constraints: Any

    @property
    def reduced(self) -> int:
        return len(self.indices) - self.parallel


def box(indices: Sequence[str], extents: Sequence[Any], symbols: int, parallel: int | None = None) -> Domain:
    """The domain ``0 <= index < extent`` without further constraints (``extents`` are affine expressions)."""
    count = len(indices)
    return Domain(
        tuple(indices),
        count if parallel is None else parallel,
        ir.AffineMap.get(0, symbols, list(extents)),
        ir.AffineMap.get(count, symbols, []),
    )


def domain_of(op: Any) -> Domain:
    """The domain of a ``tw.map`` or ``tw.fold``."""
    op = op.operation
    indices = ods.string_list(op.attributes["indices"])
    parallel = ir.IntegerAttr(op.attributes["parallel"]).value if op.name == "tw.fold" else len(indices)
    return Domain(
        indices,
        parallel,
        ir.AffineMapAttr(op.attributes["extents"]).value,
        ir.AffineMapAttr(op.attributes["constraints"]).value,
    )


def fold_kinds(op: Any) -> tuple[FoldKind, ...]:
    return tuple(FoldKind(name) for name in ods.string_list(op.operation.attributes["kinds"]))


def is_unsigned(op: Any) -> bool:
    """True when the integer comparisons of a fold are unsigned."""
    return bool(ir.BoolAttr(op.operation.attributes["unsigned"]).value)


def block_of(op: Any, region: int) -> Any:
    """The block of a region, or None when the region is empty."""
    blocks = op.operation.regions[region].blocks
    return blocks[0] if len(blocks) else None


def body_of(op: Any) -> Any:
    block = block_of(op, BODY)
    assert block is not None
    return block


def yielded(block: Any) -> list[Any]:
    """The operands of a block's ``tw.yield``."""
    return list(ods.ops_of(block)[-1].operands)


# ---------------------------------------------------------------- builders

Body = Callable[..., Sequence[Any]]


def dim(name: str) -> Any:
    return ods.create("tw.dim", [ods.index_type()], attributes={"symbol": ir.StringAttr.get(name)}).result


def table(values: Any, element: Any, shape: Sequence[int]) -> Any:
    """``values``: a dense elements attribute of ``shape``."""
    return ods.create("tw.table", [ir.RankedTensorType.get(list(shape), element)], attributes={"values": values}).result


def map_(domain: Domain, body: Body, *, where: Body | None = None, loc: Any = None) -> list[Any]:
    """A ``tw.map``; ``body(*indices)`` builds the values of a point."""
    op = _domain_op("tw.map", domain, body, None, where, {}, loc)
    return list(op.results)


def fold(
    domain: Domain,
    kinds: Sequence[FoldKind],
    body: Body,
    *,
    unsigned: bool = False,
    bounds: Body | None = None,
    where: Body | None = None,
    loc: Any = None,
) -> list[Any]:
    """A ``tw.fold``; ``body(*indices)`` builds the elements, ``bounds(*parallel)`` lo, hi per reduced index."""
    attributes = {
        "parallel": ods.i64(domain.parallel),
        "kinds": ods.strings([k.value for k in kinds]),
        "unsigned": ir.BoolAttr.get(unsigned),
    }
    op = _domain_op("tw.fold", domain, body, bounds, where, attributes, loc)
    return list(op.results)


def _domain_op(
    name: str, domain: Domain, body: Body, bounds: Body | None, where: Body | None, extra: dict[str, Any], loc: Any
) -> Any:
    """Build the body in a detached op first: the result types follow from what it yields."""
    attributes = {
        "indices": ods.strings(domain.indices),
        "extents": ir.AffineMapAttr.get(domain.extents),
        "constraints": ir.AffineMapAttr.get(domain.constraints),
        **extra,
    }
    scratch = ods.create("builtin.module", regions=1, loc=loc)
    block = ods.add_block(scratch, 0, [ods.index_type()] * len(domain.indices))
    types = [v.type for v in _fill(block, body)]
    dynamic = ir.ShapedType.get_dynamic_size()
    results = [ir.RankedTensorType.get([dynamic] * domain.parallel, t) for t in types]
    attributes["resultSegmentSizes"] = ods.mixed_segments(results)
    op = ods.create(name, results, attributes=attributes, regions=3, loc=loc)
    block.append_to(op.regions[BODY])
    scratch.erase()
    if bounds is not None:
        _fill(ods.add_block(op, BOUNDS, [ods.index_type()] * domain.parallel), bounds)
    if where is not None:
        _fill(ods.add_block(op, WHERE, [ods.index_type()] * len(domain.indices)), where)
    return op


def _fill(block: Any, body: Body) -> Sequence[Any]:
    with ir.InsertionPoint(block):
        values = body(*block.arguments)
        yield_(values)
    return values


def yield_(values: Sequence[Any]) -> None:
    attributes = {"operandSegmentSizes": ods.mixed_segments([v.type for v in values])}
    ods.create("tw.yield", operands=values, attributes=attributes)


def read(
    tensor: Any,
    subscripts: Sequence[Any],
    modes: Sequence[ReadMode],
    active: Any = None,
    otherwise: Any = None,
    loc: Any = None,
) -> Any:
    """``tw.read``: ``modes`` has one entry per subscript."""
    guards = [v for v in (active, otherwise) if v is not None]
    attributes = {
        "modes": ods.i64_array([int(m) for m in modes]),
        "operandSegmentSizes": ods.segments(1, len(subscripts), int(active is not None), int(otherwise is not None)),
    }
    element = ir.RankedTensorType(tensor.type).element_type
    return ods.create("tw.read", [element], [tensor, *subscripts, *guards], attributes, loc=loc).result


@dataclass(frozen=True)
class ReadView:
    """The parts of a ``tw.read``."""

    tensor: Any
    subscripts: tuple[Any, ...]
    modes: tuple[ReadMode, ...]
    active: Any | None
    otherwise: Any | None


def read_view(op: Any) -> ReadView:
    op = op.operation
    operands = list(op.operands)
    _, rank, has_active, has_otherwise = ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"])
    rest = operands[1 + rank :]
    active = rest.pop(0) if has_active else None
    modes = tuple(ReadMode(m) for m in ods.i64_list(op.attributes["modes"]))
    return ReadView(operands[0], tuple(operands[1 : 1 + rank]), modes, active, rest[0] if has_otherwise else None)


# ---------------------------------------------------------------- functions


def dims_of(function: Any) -> tuple[str, ...]:
    """The dim symbols of a kernel or launch function, in the order of the affine symbols."""
    return ods.string_list(function.operation.attributes["tw.dims"])


# ---------------------------------------------------------------- verifiers


def _fail(op: Any, message: str) -> bool:
    op.operation.location.emit_error(message)
    return False


def _verify_domain_op(op: Any, reduces: bool) -> bool:
    op = op.operation
    domain = domain_of(op)
    if len(domain.extents.results) != len(domain.indices):
        return _fail(op, f"'{op.name}' has {len(domain.indices)} indices but {len(domain.extents.results)} extents")
    if domain.constraints.n_dims != len(domain.indices):
        found, expected = domain.constraints.n_dims, len(domain.indices)
        return _fail(op, f"'{op.name}' constraints have {found} dims, expected {expected}")
    body = block_of(op, BODY)
    if body is None or len(body.arguments) != len(domain.indices):
        return _fail(op, f"'{op.name}' needs a body with {len(domain.indices)} index arguments")
    return _verify_results(op, domain, reduces)


def _verify_results(op: Any, domain: Domain, reduces: bool) -> bool:
    values = yielded(body_of(op))
    expected = sum(arity(k) for k in fold_kinds(op)) if reduces else len(values)
    if not (len(values) == expected == len(op.results)):
        return _fail(op, f"'{op.name}' yields {len(values)} values for {len(op.results)} results, expected {expected}")
    for value, result in zip(values, op.results, strict=True):
        type_ = ir.RankedTensorType(result.type)
        if type_.rank != domain.parallel or type_.element_type != value.type:
            return _fail(op, f"'{op.name}' result {type_} does not fit rank {domain.parallel} of {value.type}")
    return _verify_region(op, WHERE, len(domain.indices), ["i1"]) and _verify_region(
        op, BOUNDS, domain.parallel, ["index"] * (2 * domain.reduced)
    )


def _verify_region(op: Any, region: int, arguments: int, types: Sequence[str]) -> bool:
    """An optional region: its number of index arguments and the types it yields."""
    block = block_of(op, region)
    if block is None:
        return True
    name = "where" if region == WHERE else "bounds"
    found = [str(value.type) for value in yielded(block)]
    if len(block.arguments) != arguments or found != list(types):
        return _fail(op, f"'{op.name}' region {name} yields {found} from {len(block.arguments)} indices")
    return True


def _verify_read(op: Any) -> bool:
    view = read_view(op)
    tensor = ir.RankedTensorType(view.tensor.type)
    if not (tensor.rank == len(view.subscripts) == len(view.modes)):
        counts = f"{len(view.subscripts)} subscripts and {len(view.modes)} modes"
        return _fail(op, f"'tw.read' of rank {tensor.rank} has {counts}")
    if view.active is not None and str(view.active.type) != "i1":
        return _fail(op, f"'tw.read' is active by {view.active.type}, expected i1")
    values = [op.operation.results[0]] + ([] if view.otherwise is None else [view.otherwise])
    if any(value.type != tensor.element_type for value in values):
        return _fail(op, f"'tw.read' of {tensor.element_type} has {[str(value.type) for value in values]}")
    return True
