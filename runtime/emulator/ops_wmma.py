"""``wmma.load``, ``wmma.store`` and ``wmma.mma``: matrices as opaque fragments of a warp.

PTX ISA, "Warp-level Matrix Load Instruction: wmma.load" and its neighbours. Where the elements lie in the registers is
not specified; here a fragment is cut, in the order of its layout in memory, into 32 equal runs, one per lane. f16
multiplicands have eight registers whatever their size; the elements repeat in them. A fragment that is loaded with one
layout and multiplied as if it had the other gives a wrong product, as on hardware.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator import numerics_formats as formats
from tilewright.runtime.emulator import ops_matrix
from tilewright.runtime.emulator.action import Action, Mask, Order, Site, Source
from tilewright.runtime.emulator.decode import (
    Context,
    Decoder,
    Modifiers,
    address,
    destination,
    elements,
    operands,
    source,
)
from tilewright.runtime.emulator.ops_matrix import BITS, FAMILY, split_elements
from tilewright.runtime.emulator.scalar_types import B32, B64, U32, Array
from tilewright.runtime.emulator.syntax import Instruction

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

WARP = 32
SHAPE = re.compile(r"m(\d+)n(\d+)k(\d+)$")
LARGE = frozenset(((16, 16, 16), (8, 32, 16), (32, 8, 16)))
SHAPES = {
    "f16": LARGE,
    "bf16": LARGE,
    "int8": LARGE,
    "tf32": frozenset(((16, 16, 8),)),
    "f64": frozenset(((8, 8, 4),)),
    "int4": frozenset(((8, 8, 32),)),
    "bit": frozenset(((8, 8, 128),)),
}
"""Shapes by family of the multiplicands."""
ACCUMULATORS = {
    "f16": LARGE,
    "f32": LARGE | SHAPES["tf32"],
    "s32": LARGE | SHAPES["int4"] | SHAPES["bit"],
    "f64": SHAPES["f64"],
}
WIDTHS = {**BITS, "f32": 32, "s32": 32}
SUB_BYTE = ("int4", "bit")
LARGEST_ACCESS = 16


@dataclass(frozen=True, slots=True)
class Fragment:
    """One matrix of a warp: its type, and lines of consecutive elements (rows, or columns when ``column`` is set)."""

    kind: str
    rows: int
    columns: int
    column: bool = False
    multiplicand: bool = False

    @property
    def length(self) -> int:
        """Elements of a line."""
        return self.rows if self.column else self.columns

    @property
    def per_lane(self) -> int:
        return self.rows * self.columns // WARP

    @property
    def word(self) -> int:
        """Bytes of a register."""
        return 8 if self.kind == "f64" else 4

    @property
    def words(self) -> int:
        """Registers that hold the elements of a lane once."""
        return self.per_lane * WIDTHS[self.kind] // (8 * self.word)

    @property
    def registers(self) -> int:
        return 8 if self.kind == "f16" and self.multiplicand else self.words

    def gather(self, registers: tuple[Array, ...], site: Site, lanes: int) -> Array:
        """(instruction, warp, rows, columns) of raw elements."""
        parts = [np.broadcast_to(register, (site.count, lanes)) for register in registers[: self.words]]
        words = np.ascontiguousarray(np.stack(parts, axis=-1))
        raw = split_elements(words, WIDTHS[self.kind]).reshape(site.count, -1, WARP * self.per_lane)
        lines = raw.reshape(site.count, raw.shape[1], -1, self.length)
        return lines.swapaxes(-1, -2) if self.column else lines

    def scatter(self, matrix: Array, site: Site, lanes: int) -> tuple[Array, ...]:
        """A matrix of values of the type as registers; only for accumulators, whose lines are rows."""
        bits = np.ascontiguousarray(matrix).reshape(site.count, -1, WARP, self.per_lane)
        words = np.ascontiguousarray(bits).view(f"u{self.word}").reshape(site.count, lanes, self.words)
        return tuple(words[..., index] for index in range(self.words))


def wmma(context: Context, instruction: Instruction) -> Action:
    """``wmma.load.{a,b,c}``, ``wmma.store.d`` and ``wmma.mma`` (PTX ISA, sections of these names)."""
    m = Modifiers(instruction)
    name = m.need("load", "store", "mma")
    return {"load": _load, "store": _store, "mma": _mma}[name](context, instruction, m)


def _shape(m: Modifiers) -> tuple[int, int, int]:
    found = next((SHAPE.match(piece) for piece in m.left if SHAPE.match(piece)), None)
    if found is None:
        raise m.fault("no shape")
    m.left.remove(found.group())
    return int(found[1]), int(found[2]), int(found[3])


def _memory_fragment(m: Modifiers, use: str) -> tuple[Fragment, str]:
    """The fragment of a load or store and its state space, all modifiers taken."""
    kind = m.left.pop() if m.left else ""
    m.need("sync")
    m.need("aligned")
    column = m.need("row", "col") == "col"
    size = _shape(m)
    space = (m.choice("global", "shared", "shared::cta") or "generic").split("::")[0]
    m.finish()
    if use in "cd":
        if size not in ACCUMULATORS.get(kind, ()):
            raise m.fault("this accumulator does not exist")
        return Fragment(kind, size[0], size[1], column), space
    family = FAMILY.get(kind, "")
    if size not in SHAPES.get(family, ()):
        raise m.fault("this shape does not exist for the type")
    if family in SUB_BYTE and column != (use == "b"):
        raise m.fault("sub-byte matrices are .row for A and .col for B")
    rows, columns = (size[0], size[2]) if use == "a" else (size[2], size[1])
    return Fragment(kind, rows, columns, column, True), space


def _stride(context: Context, instruction: Instruction, fragment: Fragment, rest: tuple[Any, ...]) -> Source:
    """Elements from line to line; without an operand the lines follow each other."""
    if rest:
        return source(context, instruction, rest[0], U32)
    return Source(U32, constant=np.uint32(fragment.length))


def _load(context: Context, instruction: Instruction, m: Modifiers) -> Action:
    fragment, space = _memory_fragment(m, m.need("a", "b", "c"))
    items = operands(instruction, 2, 3)
    (base, offset), declared = address(context, instruction, items[1])
    word = B64 if fragment.word == 8 else B32
    results = tuple(destination(instruction, item, word) for item in elements(items[0]))
    if len(results) != fragment.registers:
        raise m.fault(f"the fragment has {fragment.registers} registers")
    inputs = (base, offset, _stride(context, instruction, fragment, items[2:]))
    where = declared if declared and space == "generic" else space
    function = partial(_load_run, fragment, where)
    return Action(instruction, function, inputs, results, Order.LOAD, effect=True, converge=WARP)


def _places(
    fragment: Fragment, machine: Machine, site: Site, mask: Mask, base: Array, offset: Array, stride: Array
) -> Array:
    """Byte address of the run of every lane."""
    _check_uniform(fragment, machine, site, mask, base, offset, stride)
    lane = np.arange(machine.lanes) % WARP
    line, inside = np.divmod(lane * fragment.per_lane, fragment.length)
    distance = (line * np.asarray(stride).astype(np.int64) + inside) * WIDTHS[fragment.kind] // 8
    return np.asarray(machine.memory.addresses(base, offset, site.count) + distance)


def _check_uniform(
    fragment: Fragment, machine: Machine, site: Site, mask: Mask, base: Array, offset: Array, stride: Array
) -> None:
    """All lanes of a warp name the same matrix, whose lines are aligned to the fragment (a strict rule of the ISA).

    Where a line is shorter than the fragment, the ISA's own default strides keep to the length of the line.
    """
    shape = (site.count, machine.lanes)
    start = machine.memory.addresses(base, offset, site.count)
    step = np.broadcast_to(np.asarray(stride).astype(np.int64), shape)
    active = np.broadcast_to(np.asarray(mask), shape)
    first = np.repeat(np.argmax(active.reshape(site.count, -1, WARP), axis=2), WARP, axis=1)
    first += np.arange(machine.lanes) // WARP * WARP
    rows = np.arange(site.count)[:, None]
    other = active & ((start != start[rows, first]) | (step != step[rows, first]))
    if other.any():
        row, lane = (int(x) for x in np.argwhere(other)[0])
        machine.finding("wmma", "address or stride differs between the lanes of a warp", site, row, [lane])
    size = min(fragment.registers * fragment.word, fragment.length * WIDTHS[fragment.kind] // 8)
    loose = active & ((start % size != 0) | (step * WIDTHS[fragment.kind] // 8 % size != 0))
    if loose.any() and machine.options.strict:
        row, lane = (int(x) for x in np.argwhere(loose)[0])
        message = f"a line of the matrix is not aligned to {size} bytes, as its fragment asks"
        machine.finding("wmma-alignment", message, site, row, [lane], int(start[row, lane]), severity="warning")


def _pieces(fragment: Fragment) -> list[tuple[int, int]]:
    """The run of a lane as accesses of at most 16 bytes: (first register, registers)."""
    most = LARGEST_ACCESS // fragment.word
    return [(first, min(most, fragment.words - first)) for first in range(0, fragment.words, most)]


def _load_run(
    fragment: Fragment, space: str, machine: Machine, site: Site, mask: Mask, base: Array, offset: Array, stride: Array
) -> Any:
    places = _places(fragment, machine, site, mask, base, offset, stride)
    found: list[Array] = []
    for first, count in _pieces(fragment):
        start = np.asarray(first * fragment.word)
        part = machine.memory.load(site, mask, space, places, start, fragment.word, count)
        found += list(part) if count > 1 else [part]
    if fragment.column and not fragment.multiplicand:  # registers hold the rows of an accumulator
        matrix = np.ascontiguousarray(fragment.gather(tuple(found), site, machine.lanes))
        found = list(fragment.scatter(matrix, site, machine.lanes))
    repeated = found * (fragment.registers // fragment.words)
    return tuple(repeated) if len(repeated) > 1 else repeated[0]


def _store(context: Context, instruction: Instruction, m: Modifiers) -> Action:
    fragment, space = _memory_fragment(m, m.need("d"))
    items = operands(instruction, 2, 3)
    (base, offset), declared = address(context, instruction, items[0])
    word = B64 if fragment.word == 8 else B32
    values = tuple(source(context, instruction, item, word) for item in elements(items[1]))
    if len(values) != fragment.registers:
        raise m.fault(f"the fragment has {fragment.registers} registers")
    inputs = (base, offset, _stride(context, instruction, fragment, items[2:]), *values)
    where = declared if declared and space == "generic" else space
    function = partial(_store_run, fragment, where)
    return Action(instruction, function, inputs, (), Order.STORE, effect=True, converge=WARP)


def _store_run(
    fragment: Fragment,
    space: str,
    machine: Machine,
    site: Site,
    mask: Mask,
    base: Array,
    offset: Array,
    stride: Array,
    *values: Array,
) -> None:
    """The registers hold rows; a column-major store turns the matrix first."""
    if fragment.column:
        rows = Fragment(fragment.kind, fragment.rows, fragment.columns).gather(values, site, machine.lanes)
        values = fragment.scatter(rows.swapaxes(-1, -2), site, machine.lanes)
    places = _places(fragment, machine, site, mask, base, offset, stride)
    for first, count in _pieces(fragment):
        start = np.asarray(first * fragment.word)
        machine.memory.store(site, mask, space, places, start, list(values[first : first + count]), fragment.word)


def _mma(context: Context, instruction: Instruction, m: Modifiers) -> Action:
    saturate, operation = m.flag("satfinite"), ""
    if m.flag("popc"):
        operation = m.need("xor", "and")
    m.need("sync")
    m.need("aligned")
    size = _shape(m)
    layouts = m.need("row", "col"), m.need("row", "col")
    rounding = m.choice("rn", "rz", "rm", "rp")
    if len(m.left) == 2:
        m.left[1:1] = ["f16", "f16"]
    if len(m.left) != 4:
        raise m.fault("needs two or four types")
    result, left, right, old = m.left
    family = FAMILY.get(left, "")
    allowed = ops_matrix.RESULTS.get(family, ("s32",))
    if left != right or size not in SHAPES.get(family, ()) or result not in allowed or old not in allowed:
        raise m.fault("these types and this shape do not go together")
    sub_byte = family in SUB_BYTE and layouts != ("row", "col")
    options = (family == "bit") != bool(operation) or (saturate and family not in ("int8", "int4"))
    if sub_byte or options or (rounding is not None and family != "f64"):
        raise m.fault("this option does not go with these types")
    rows, columns, k = size
    parts = (
        Fragment(left, rows, k, layouts[0] == "col", True),
        Fragment(right, k, columns, layouts[1] == "col", True),
        Fragment(old, rows, columns),
    )
    return _product_action(
        context, instruction, m, parts, Fragment(result, rows, columns), saturate, operation or rounding or "rn"
    )


def _product_action(
    context: Context,
    instruction: Instruction,
    m: Modifiers,
    parts: tuple[Fragment, Fragment, Fragment],
    goal: Fragment,
    saturate: bool,
    option: str,
) -> Action:
    groups = [elements(item) for item in operands(instruction, 4)]
    expected = tuple(fragment.registers for fragment in (goal, *parts))
    if tuple(len(group) for group in groups) != expected:
        raise m.fault(f"operands must have {expected} registers")
    word = B64 if goal.word == 8 else B32
    inputs = tuple(source(context, instruction, item, word) for group in groups[1:] for item in group)
    results = tuple(destination(instruction, item, word) for item in groups[0])
    function = partial(_multiply, parts, goal, saturate, option)
    return Action(instruction, function, inputs, results, Order.PURE, effect=True, converge=WARP)


def _multiply(
    parts: tuple[Fragment, Fragment, Fragment],
    goal: Fragment,
    saturate: bool,
    option: str,
    machine: Machine,
    site: Site,
    mask: Mask,
    *registers: Array,
) -> Any:
    raw, start = [], 0
    for fragment in parts:
        raw.append(fragment.gather(registers[start : start + fragment.registers], site, machine.lanes))
        start += fragment.registers
    left, right = (np.ascontiguousarray(part) for part in raw[:2])
    c = _values(raw[2], parts[2].kind)
    kind = parts[0].kind
    if option in ("xor", "and"):
        result = ops_matrix.bit_product(left, right, c, option)
    elif option != "rn":
        result = ops_matrix.rounded_product(left, right, c, option)
    else:
        result = ops_matrix.product(left, right, c, kind, kind, goal.kind, saturate, machine.options.tc)
    return goal.scatter(result, site, machine.lanes)


def _values(raw: Array, kind: str) -> Array:
    """The accumulator's raw elements as values."""
    raw = np.ascontiguousarray(raw)
    return formats.decode(raw, "f16") if kind == "f16" else raw.view({"f32": "f4", "s32": "i4", "f64": "f8"}[kind])


TABLE: dict[str, Decoder] = {"wmma": wmma}
