"""Owns the writing of machine-level ops: an insertion level per open region, typed helpers, shared constants.

Every region that is being filled is a *frame*; frame 0 is the body of the function. An op can be written into any open
frame: into the innermost one at its end, into an outer one just before the op whose region is being filled. That is
how a value is computed as far out as its operands allow, and never twice, without a separate pass that moves code.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tilewright.dialect.mlir import dialect, ir
from tilewright.passes.machine.library import Library
from tilewright.passes.machine.target import Arithmetic

FLOAT_PREDICATES = {
    "oeq": 1, "ogt": 2, "oge": 3, "olt": 4, "ole": 5, "one": 6, "ord": 7,
    "ueq": 8, "ugt": 9, "uge": 10, "ult": 11, "ule": 12, "une": 13, "uno": 14,
}  # fmt: skip
INT_PREDICATES = {
    "eq": 0, "ne": 1, "slt": 2, "sle": 3, "sgt": 4, "sge": 5, "ult": 6, "ule": 7, "ugt": 8, "uge": 9,
}  # fmt: skip
DYNAMIC_INDEX = -(1 << 31)


@dataclass
class Frame:
    """An open region: where its next op goes, whether it runs on a condition, and its masks (by limit, first
    position and lanes)."""

    end: Any
    conditional: bool
    before_nested: Any = None
    masks: dict[tuple[Any, int, int], Any] = field(default_factory=dict)


class Emitter:
    """Writes ops into one function. ``level`` is the frame that receives the next op."""

    def __init__(self, target: Arithmetic, library: Library, entry: Any) -> None:
        dialect("llvm")
        self.target = target
        self.library = library
        self.frames = [Frame(ir.InsertionPoint(entry), False)]
        self.level = 0
        self.location = ir.Location.unknown()
        self._constants: dict[tuple[Any, ...], Any] = {}
        self._vector_types: dict[tuple[int, Any], Any] = {}
        self.index = ir.IndexType.get()
        self.i1, self.i8, self.i16, self.i32, self.i64 = (ir.IntegerType.get_signless(n) for n in (1, 8, 16, 32, 64))
        self.f32, self.f64 = ir.F32Type.get(), ir.F64Type.get()
        self.f16, self.bf16 = ir.F16Type.get(), ir.BF16Type.get()
        self.pointer = ir.Type.parse("!llvm.ptr")

    # ------------------------------------------------------------ frames

    @property
    def depth(self) -> int:
        """The number of the innermost frame."""
        return len(self.frames) - 1

    @property
    def hoist_limit(self) -> int:
        """The outermost frame into which code of the current one may move without running unasked."""
        for number in range(self.level, 0, -1):
            if self.frames[number].conditional:
                return number
        return 0

    @contextlib.contextmanager
    def region(self, operation: Any, block: Any, conditional: bool = False) -> Iterator[None]:
        """Fill ``block``, a block of a region of ``operation`` (which stands in the innermost frame)."""
        frame = self.frames[-1]
        frame.before_nested = ir.InsertionPoint(operation)
        self.frames.append(Frame(ir.InsertionPoint(block), conditional))
        saved, self.level = self.level, self.depth
        yield
        self.frames.pop()
        frame.before_nested = None
        self.level = saved

    @contextlib.contextmanager
    def at(self, level: int) -> Iterator[None]:
        """Write into frame ``level``."""
        saved, self.level = self.level, level
        yield
        self.level = saved

    @property
    def insertion_point(self) -> Any:
        frame = self.frames[self.level]
        return frame.before_nested or frame.end

    # ------------------------------------------------------------ ops

    def op(
        self,
        name: str,
        results: Sequence[Any] = (),
        operands: Sequence[Any] = (),
        attributes: dict[str, Any] | None = None,
        regions: int = 0,
    ) -> Any:
        return ir.Operation.create(
            name,
            results=list(results),
            operands=list(operands),
            attributes=attributes or {},
            regions=regions,
            loc=self.location,
            ip=self.insertion_point,
        )

    def value(self, name: str, result: Any, *operands: Any, **attributes: Any) -> Any:
        """The single result of a new op."""
        return self.op(name, [result], operands, attributes).results[0]

    def same(self, name: str, *operands: Any, **attributes: Any) -> Any:
        """A new op whose result has the type of its first operand."""
        return self.op(name, [operands[0].type], operands, attributes).results[0]

    # ------------------------------------------------------------ types and constants

    def vector_type(self, lanes: int, element: Any) -> Any:
        key = (lanes, element)
        if key not in self._vector_types:
            self._vector_types[key] = ir.VectorType.get([lanes], element)
        return self._vector_types[key]

    def like(self, type_: Any, element: Any) -> Any:
        """``element``, or a vector of it with the lanes of ``type_``."""
        lanes = lanes_of(type_)
        return element if lanes is None else self.vector_type(lanes, element)

    def constant(self, type_: Any, number: int | float) -> Any:
        """A scalar, or the same number in every lane of a vector; one per function."""
        key = (type_, "splat", repr(number))
        if key not in self._constants:
            self._constants[key] = self._new_constant(type_, self._splat_attribute(type_, number))
        return self._constants[key]

    def constants(self, element: Any, numbers: Sequence[int | float]) -> Any:
        """A vector of the given numbers."""
        key = (element, "lanes", repr(tuple(numbers)))
        if key not in self._constants:
            attributes = [self._scalar_attribute(element, n) for n in numbers]
            type_ = self.vector_type(len(attributes), element)
            self._constants[key] = self._new_constant(type_, ir.DenseElementsAttr.get(attributes, type_))
        return self._constants[key]

    def _new_constant(self, type_: Any, attribute: Any) -> Any:
        with self.at(0):
            return self.value("arith.constant", type_, value=attribute)

    def _scalar_attribute(self, element: Any, number: int | float) -> Any:
        if isinstance(element, ir.FloatType):
            return ir.FloatAttr.get(element, float(number))
        return ir.IntegerAttr.get(element, int(number))

    def _splat_attribute(self, type_: Any, number: int | float) -> Any:
        if lanes_of(type_) is None:
            return self._scalar_attribute(type_, number)
        return ir.DenseElementsAttr.get_splat(type_, self._scalar_attribute(type_.element_type, number))

    # ------------------------------------------------------------ arithmetic

    def compare_float(self, predicate: str, a: Any, b: Any) -> Any:
        attribute = ir.IntegerAttr.get(self.i64, FLOAT_PREDICATES[predicate])
        return self.value("arith.cmpf", self.like(a.type, self.i1), a, b, predicate=attribute)

    def compare_int(self, predicate: str, a: Any, b: Any) -> Any:
        attribute = ir.IntegerAttr.get(self.i64, INT_PREDICATES[predicate])
        return self.value("arith.cmpi", self.like(a.type, self.i1), a, b, predicate=attribute)

    def select(self, condition: Any, yes: Any, no: Any) -> Any:
        return self.value("arith.select", yes.type, condition, yes, no)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """``a * b + c`` with one rounding where the target can, else with two."""
        if self.target.fma:
            return self.same("math.fma", a, b, c)
        return self.same("arith.addf", self.same("arith.mulf", a, b), c)

    def bitcast(self, value: Any, element: Any) -> Any:
        """The bits of ``value`` as ``element`` of the same width, lane by lane."""
        return self.value("arith.bitcast", self.like(value.type, element), value)

    def with_sign(self, magnitude: Any, sign: Any) -> Any:
        """The float ``magnitude`` with the sign of ``sign``, on their bits.

        LLVM's copysign looks through the conversions that its sign came from, down to one of f64 to f16, which it
        leaves to a function that nobody provides.
        """
        integer, bits = (self.i64, 64) if element_of(magnitude.type) == self.f64 else (self.i32, 32)
        own, other = self.bitcast(magnitude, integer), self.bitcast(sign, integer)
        rest = self.same("arith.andi", own, self.constant(own.type, (1 << (bits - 1)) - 1))
        top = self.same("arith.andi", other, self.constant(own.type, -(1 << (bits - 1))))
        return self.value("arith.bitcast", magnitude.type, self.same("arith.ori", rest, top))

    def both(self, conditions: Sequence[Any]) -> Any:
        """The conjunction of i1 scalars, or of i1 vectors; None for none."""
        result = None
        for condition in conditions:
            result = condition if result is None else self.same("arith.andi", result, condition)
        return result

    # ------------------------------------------------------------ calls

    def call_library(self, name: str, *operands: Any) -> Any:
        """A function of the C library on scalars of one type."""
        type_ = operands[0].type
        self.library.declare(name, [type_] * len(operands), [type_])
        return self._call(name, type_, operands)

    def call_own(self, name: str, type_: Any, body: Callable[..., Any], *operands: Any) -> Any:
        """A function of this module, for values of ``type_``; ``body(emitter, *arguments)`` writes it once."""
        symbol = f"tilewright_{name}_{str(type_).strip('vector<>')}"
        self.library.define(symbol, [type_] * len(operands), [type_], lambda block: self._define(block, body))
        return self._call(symbol, type_, operands)

    def _define(self, block: Any, body: Callable[..., Any]) -> None:
        inner = Emitter(self.target, self.library, block)
        inner.op("func.return", [], [body(inner, *block.arguments)])

    def _call(self, symbol: str, type_: Any, operands: Sequence[Any]) -> Any:
        return self.value("func.call", type_, *operands, callee=ir.FlatSymbolRefAttr.get(symbol))

    # ------------------------------------------------------------ masks

    def first_lanes(self, count: Any, lanes: int) -> Any:
        """The mask of the lanes with a number below ``count`` (an index value, perhaps negative or large)."""
        return self.compare_int("slt", self._lane_numbers(lanes), self._clamped(count, lanes))

    def lanes_below(self, limit: Any, first: int, lanes: int) -> Any:
        """The mask of the lanes for which ``first`` and their number is below ``limit``; once in each frame."""
        known = self.frames[self.level].masks
        key = (limit, first, lanes)
        if key not in known:
            known[key] = self.first_lanes(self.same("arith.subi", limit, self.constant(self.index, first)), lanes)
        return known[key]

    def later_lanes(self, count: Any, lanes: int) -> Any:
        """The mask of the lanes with a number of at least ``count``."""
        return self.compare_int("sge", self._lane_numbers(lanes), self._clamped(count, lanes))

    def _lane_numbers(self, lanes: int) -> Any:
        return self.constants(self.i32, range(lanes))

    def _clamped(self, count: Any, lanes: int) -> Any:
        """``count`` limited to 0 .. lanes, as i32 in every lane: 32-bit lanes make the mask of f32 directly."""
        low = self.same("arith.maxsi", count, self.constant(self.index, 0))
        both = self.same("arith.minsi", low, self.constant(self.index, lanes))
        return self.broadcast(self.value("arith.index_cast", self.i32, both), lanes)

    # ------------------------------------------------------------ vectors

    def broadcast(self, scalar: Any, lanes: int) -> Any:
        return self.value("vector.broadcast", self.vector_type(lanes, scalar.type), scalar)

    def lane(self, vector: Any, lane: int) -> Any:
        attribute = ir.DenseI64ArrayAttr.get([lane])
        return self.value("vector.extract", vector.type.element_type, vector, static_position=attribute)

    def slice(self, vector: Any, start: int, lanes: int) -> Any:
        return self.shuffle(vector, vector, range(start, start + lanes))

    def shuffle(self, a: Any, b: Any, lanes: Sequence[int]) -> Any:
        """The lanes of ``a`` then ``b`` with these numbers."""
        type_ = self.vector_type(len(lanes), a.type.element_type)
        return self.value("vector.shuffle", type_, a, b, mask=ir.DenseI64ArrayAttr.get(list(lanes)))

    def from_lanes(self, scalars: Sequence[Any]) -> Any:
        type_ = self.vector_type(len(scalars), scalars[0].type)
        return self.op("vector.from_elements", [type_], list(scalars)).results[0]

    # ------------------------------------------------------------ memory

    def to_i64(self, value: Any) -> Any:
        return self.value("arith.index_cast", self.i64, value)

    def advance(self, pointer: Any, element: Any, count: Any) -> Any:
        """``pointer`` plus ``count`` (an ``int``, or a value of type index) elements."""
        if isinstance(count, int):
            return self._advance(pointer, element, [], count)
        return self._advance(pointer, element, [self.to_i64(count)], DYNAMIC_INDEX)

    def _advance(self, pointer: Any, element: Any, dynamic: list[Any], raw: int) -> Any:
        if not dynamic and raw == 0:
            return pointer
        if not dynamic and abs(raw) >= 1 << 31:
            dynamic, raw = [self.constant(self.i64, raw)], DYNAMIC_INDEX
        return self.value(
            "llvm.getelementptr",
            self.pointer,
            pointer,
            *dynamic,
            elem_type=ir.TypeAttr.get(element),
            rawConstantIndices=ir.DenseI32ArrayAttr.get([raw]),
        )

    def load(self, type_: Any, pointer: Any, alignment: int) -> Any:
        return self.value("llvm.load", type_, pointer, alignment=ir.IntegerAttr.get(self.i64, alignment))

    def store(self, value: Any, pointer: Any, alignment: int) -> None:
        self.op("llvm.store", [], [value, pointer], {"alignment": ir.IntegerAttr.get(self.i64, alignment)})

    def masked_load(self, type_: Any, pointer: Any, mask: Any, otherwise: Any, alignment: int) -> Any:
        attribute = ir.IntegerAttr.get(self.i32, alignment)
        return self.value("llvm.intr.masked.load", type_, pointer, mask, otherwise, alignment=attribute)

    def masked_store(self, value: Any, pointer: Any, mask: Any, alignment: int) -> None:
        attribute = ir.IntegerAttr.get(self.i32, alignment)
        self.op("llvm.intr.masked.store", [], [value, pointer, mask], {"alignment": attribute})

    def stack(self, size: int) -> Any:
        """``size`` bytes of the function's stack, aligned to 64."""
        with self.at(0):
            count = self.constant(self.i64, size)
            return self.value(
                "llvm.alloca",
                self.pointer,
                count,
                elem_type=ir.TypeAttr.get(self.i8),
                alignment=ir.IntegerAttr.get(self.i64, 64),
            )


def lanes_of(type_: Any) -> int | None:
    """The lanes of a vector type, None for a scalar type."""
    return type_.shape[0] if isinstance(type_, ir.VectorType) else None


def element_of(type_: Any) -> Any:
    """The element type of a vector or tensor type, the type itself otherwise."""
    return type_.element_type if isinstance(type_, ir.ShapedType) else type_


def any_lane(emitter: Emitter, mask: Any) -> Any:
    """i1: is any lane of an i1 vector set."""
    kind = ir.Attribute.parse("#vector.kind<or>")
    return emitter.value("vector.reduction", emitter.i1, mask, kind=kind)
