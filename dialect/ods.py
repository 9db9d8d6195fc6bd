"""Owns how ops of our dialects are declared, registered and built fast.

``ext`` constructors cost 12-29 us an op; ``create`` (``ir.Operation.create``) costs 2. A context belongs to one
``session``: it is created single-threaded with both dialects loaded, and every later call works inside it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

from tilewright.dialect.faults import InternalFault
from tilewright.dialect.mlir import dialect as upstream
from tilewright.dialect.mlir import ir, new_context, stub_dialect_module


class Pure(ir.MemoryEffectsOpInterface):  # type: ignore[misc]
    """No effects: the op may be merged, moved and dropped."""

    @staticmethod
    def get_effects(op: Any, effects: Any) -> None:
        pass


class ReadsMemory(ir.MemoryEffectsOpInterface):  # type: ignore[misc]
    """Reads something: merged with its equals unless a write stands between."""

    @staticmethod
    def get_effects(op: Any, effects: Any) -> None:
        upstream("transform").only_reads_payload(effects)


def register(dialect_class: Any) -> None:
    """Load ``dialect_class`` in the current context."""
    stub_dialect_module(dialect_class.DIALECT_NAMESPACE)
    dialect_class.load(reload=True)


@functools.cache
def shared_context() -> Any:
    """The process's one long-lived context (MLIR data stays with its context; one per process does not leak)."""
    from tilewright.dialect import tile_gpu  # noqa: F401  (what it declares is loaded with its dialect)
    from tilewright.dialect.tensor import TensorDialect
    from tilewright.dialect.tile import TileDialect

    context = new_context()
    with context, ir.Location.unknown():
        register(TensorDialect)
        register(TileDialect)
    return context


@contextlib.contextmanager
def session() -> Iterator[Any]:
    """Enter the shared context with an unknown location: all building and parsing happens inside."""
    with shared_context() as context, ir.Location.unknown():
        yield context


# ---------------------------------------------------------------- building


def create(
    name: str,
    results: Sequence[Any] = (),
    operands: Sequence[Any] = (),
    attributes: dict[str, Any] | None = None,
    regions: int = 0,
    loc: Any = None,
) -> Any:
    """An op by its full name at the current insertion point."""
    return ir.Operation.create(
        name, results=list(results), operands=list(operands), attributes=attributes or {}, regions=regions, loc=loc
    )


def segments(*counts: int) -> Any:
    """``operandSegmentSizes`` for ops with more than one variable operand group."""
    return ir.DenseI32ArrayAttr.get(list(counts))


def add_block(operation: Any, region: int, types: Sequence[Any]) -> Any:
    """A first block in ``region`` with arguments of ``types``, at unknown locations inherited from the op."""
    return operation.regions[region].blocks.append(*types, arg_locs=[operation.location] * len(types))


MIXED_GROUPS = 8


def mixed(field: str, kind: Any) -> dict[str, Any]:
    """Annotations of ``MIXED_GROUPS`` variable groups ``field0, field1 …`` of an op class.

    One variable group of the bindings holds values of one type only; values of mixed types go into consecutive groups.
    """
    return {f"{field}{k}": Sequence[kind] for k in range(MIXED_GROUPS)}


def mixed_segments(types: Sequence[Any]) -> Any:
    """The segment sizes of values of these types in ``mixed`` groups: one group for each run of equal types."""
    runs: list[int] = []
    for k, type_ in enumerate(types):
        if k and type_ == types[k - 1]:
            runs[-1] += 1
        else:
            runs.append(1)
    if len(runs) > MIXED_GROUPS:
        raise InternalFault(f"an op has {len(runs)} runs of value types, at most {MIXED_GROUPS} fit")
    return segments(*runs, *[0] * (MIXED_GROUPS - len(runs)))


def strings(values: Sequence[str]) -> Any:
    return ir.ArrayAttr.get([ir.StringAttr.get(v) for v in values])


def string_list(attribute: Any) -> tuple[str, ...]:
    return tuple(ir.StringAttr(a).value for a in ir.ArrayAttr(attribute))


def i64_array(values: Sequence[int]) -> Any:
    return ir.DenseI64ArrayAttr.get(list(values))


def i64_list(attribute: Any) -> tuple[int, ...]:
    return tuple(ir.DenseI64ArrayAttr(attribute))


def i64(value: int) -> Any:
    return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), value)


def index_type() -> Any:
    return ir.IndexType.get()


# ---------------------------------------------------------------- safe editing


def erase(operation: Any) -> None:
    """Erase an op; an op that still has uses would crash the process, so it is refused here."""
    for result in operation.results:
        if any(True for _ in result.uses):
            raise ValueError(f"{operation.name} still has uses")
    operation.erase()


def ops_of(block: Any) -> list[Any]:
    """The ops of a block as a list that survives edits of the block (plain ``Operation`` handles)."""
    return [op.operation for op in block.operations]
