"""Owns the evaluation of a tensor-level body on tiles: one scalar op becomes one tile op over the axes it needs.

Index values stay linear in the tile axes as long as they are (so that loads keep an affine map); what is not linear
becomes a tile of ``index`` and is gathered through. ``active`` is a mask that protects every read below it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tilewright.dialect import ods
from tilewright.dialect import tensor as tw
from tilewright.dialect.faults import InternalFault
from tilewright.dialect.folds import element_type
from tilewright.dialect.mlir import arith, ir
from tilewright.passes.tile.emitter import FUNCTION, Emitter
from tilewright.passes.tile.values import Linear, Tile, Value, axis_union


class Reader(Protocol):
    """Gives the value of a ``tw.read`` whose tensor is an argument or another result of the launch."""

    def read(self, request: ReadRequest) -> Tile: ...


@dataclass(frozen=True)
class ReadRequest:
    """A ``tw.read`` with its operands evaluated; ``active`` and ``otherwise`` are tiles or None."""

    tensor: Any
    subscripts: tuple[Value, ...]
    modes: tuple[tw.ReadMode, ...]
    active: Tile | None
    otherwise: Tile | None


@dataclass
class BodyEvaluator:
    """Evaluates bodies; ``outer`` maps function-level values (scalars) to tiles."""

    emitter: Emitter
    dims: dict[str, Linear]
    outer: dict[Any, Tile]
    reader: Reader
    keep: Callable[[Any, Sequence[Value]], Tile | None] = lambda op, arguments: None

    def evaluate(
        self, block: Any, arguments: Sequence[Value], active: Tile | None = None, targets: Sequence[Any] | None = None
    ) -> list[Value]:
        """The values of the block's yield (or of the ops' results ``targets``) when its indices are ``arguments``."""
        values: dict[Any, Value] = dict(zip(block.arguments, arguments, strict=True))
        needed = _needed(block, targets)
        for op in ods.ops_of(block):
            if op.name == "tw.yield":
                return [self._operand(v, values) for v in (op.operands if targets is None else targets)]
            if op.results[0] in needed:
                with op.location:
                    kept = self.keep(op, arguments)
                    values[op.results[0]] = self._op(op, values, active) if kept is None else kept
        raise InternalFault("a body without tw.yield")

    def _operand(self, value: Any, values: dict[Any, Value]) -> Value:
        if value in values:
            return values[value]
        if value in self.outer:
            return self.outer[value]
        raise InternalFault(f"a body uses {value}, which is neither local nor a scalar of the launch")

    def _op(self, op: Any, values: dict[Any, Value], active: Tile | None) -> Value:
        if op.name == "tw.dim":
            return self.dims[ir.StringAttr(op.attributes["symbol"]).value]
        if op.name == "arith.constant":
            return self._constant(op)
        if op.name == "tw.read":
            return self._read(op, values, active)
        operands = [self._operand(v, values) for v in op.operands]
        if all(isinstance(o, Linear) for o in operands) and op.name in _INDEX_RULES:
            result = _INDEX_RULES[op.name](self.emitter, *operands)
            if result is not None:
                return result
        return self._elementwise(op, operands)

    def _constant(self, op: Any) -> Value:
        result, value = op.results[0].type, op.attributes["value"]
        if isinstance(result, ir.IndexType):
            return Linear(constant=ir.IntegerAttr(value).value)
        number = value.value if isinstance(value, (ir.IntegerAttr, ir.FloatAttr)) else int(ir.BoolAttr(value).value)
        return self.emitter.constant_tile(result, number)

    def _read(self, op: Any, values: dict[Any, Value], active: Tile | None) -> Value:
        view = tw.read_view(op)
        subscripts = [self._operand(s, values) for s in view.subscripts]
        if view.active is not None:
            own = self._operand(view.active, values)
            assert isinstance(own, Tile)
            active = own if active is None else self.emitter.elementwise(arith.andi, own, active)
        otherwise = None
        if view.otherwise is not None:
            otherwise = self.emitter.as_tile(self._operand(view.otherwise, values))
        request = ReadRequest(view.tensor, tuple(subscripts), view.modes, active, otherwise)
        return _scalar_if_uniform_index(self.emitter, self.reader.read(request))

    def _elementwise(self, op: Any, operands: list[Value]) -> Value:
        tiles = [self.emitter.as_tile(o) for o in operands]
        axes = axis_union(t.axes for t in tiles)
        level = max((t.level for t in tiles), default=FUNCTION)
        values = [self.emitter.spread(t, axes) for t in tiles]
        result = ir.RankedTensorType.get([a.size for a in axes], op.results[0].type)
        attributes = dict(op.attributes.items())
        key = ("op", op.name, tuple(values), str(attributes), str(result))

        def make() -> Any:
            with self.emitter.at(level):
                return ods.create(op.name, [result], values, attributes).result

        tile = Tile(self.emitter.cached(key, level, make), axes, level)
        return _scalar_if_uniform_index(self.emitter, tile)


def _scalar_if_uniform_index(emitter: Emitter, tile: Tile) -> Value:
    """Index values without axes become scalars: they can then be offsets instead of gathers."""
    if tile.axes or not isinstance(element_type(tile.value.type), ir.IndexType):
        return tile
    return emitter.to_scalar(tile)


def _needed(block: Any, targets: Sequence[Any] | None) -> set[Any]:
    """The results that ``targets`` (by default the yield) depend on."""
    ops = ods.ops_of(block)
    needed = set(ops[-1].operands if targets is None else targets)
    for op in reversed(ops[:-1]):
        if op.results[0] in needed:
            needed.update(op.operands)
    return needed


# ---------------------------------------------------------------- rules for index values that stay linear

Rule = Callable[..., Linear | None]


def _add(emitter: Emitter, left: Linear, right: Linear) -> Linear:
    return emitter.add(left, right)


def _subtract(emitter: Emitter, left: Linear, right: Linear) -> Linear:
    return emitter.add(left, right, -1)


def _multiply(emitter: Emitter, left: Linear, right: Linear) -> Linear | None:
    if left.is_constant:
        return emitter.scale(right, left.constant)
    if right.is_constant:
        return emitter.scale(left, right.constant)
    if left.is_uniform and right.is_uniform:
        return emitter.multiply(left, right)
    return None


def _uniform_only(build: Callable[..., Any]) -> Rule:
    """The op on scalars when no operand varies over the tile."""

    def rule(emitter: Emitter, *operands: Linear) -> Linear | None:
        if not all(o.is_uniform for o in operands):
            return None
        level = max(o.level for o in operands)
        return Linear(emitter.index_op(build, *[emitter.scalar(o) for o in operands], level=level), level=level)

    return rule


_INDEX_RULES: dict[str, Rule] = {
    "arith.addi": _add,
    "arith.subi": _subtract,
    "arith.muli": _multiply,
    **{
        f"arith.{name}": _uniform_only(getattr(arith, name))
        for name in (
            "floordivsi", "ceildivsi", "divsi", "divui", "remsi", "remui", "minsi", "maxsi", "minui", "maxui",
            "andi", "ori", "xori", "shli", "shrsi", "shrui",
        )
    },
}  # fmt: skip
