"""Warp-level matrix instructions: mma, ldmatrix, stmatrix, movmatrix.

PTX ISA, "Warp Level Matrix Multiply-Accumulate Instructions". A lane is 4*g + c. Registers of a multiplicand hold
consecutive k elements; the fragment layouts of every shape follow one pattern, see ``_left`` and ``_right``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator import numerics_float as fp
from tilewright.runtime.emulator import numerics_formats as formats
from tilewright.runtime.emulator.action import Action, Mask, Order, Site
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
from tilewright.runtime.emulator.scalar_types import B32, TYPES, Array
from tilewright.runtime.emulator.syntax import Instruction
from tilewright.runtime.emulator.tensor_core import multiply_accumulate

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

WARP = 32
SHAPE = re.compile(r"m(\d+)n(\d+)k(\d+)$")
FAMILIES = {
    "f16": ("f16",),
    "bf16": ("bf16",),
    "tf32": ("tf32",),
    "f64": ("f64",),
    "fp8": ("e4m3", "e5m2"),
    "int8": ("s8", "u8"),
    "int4": ("s4", "u4"),
    "bit": ("b1",),
}
"""Multiplicand types that may be mixed in one instruction."""
FAMILY = {kind: name for name, kinds in FAMILIES.items() for kind in kinds}
INTEGERS = frozenset(("s8", "u8", "s4", "u4"))
BITS = {"f16": 16, "bf16": 16, "tf32": 32, "e4m3": 8, "e5m2": 8, "s8": 8, "u8": 8, "s4": 4, "u4": 4, "b1": 1, "f64": 64}
RESULTS = {"f16": ("f16", "f32"), "fp8": ("f16", "f32"), "f64": ("f64",), "bf16": ("f32",), "tf32": ("f32",)}
"""Accumulator types by family; integers add up in s32."""
Shapes = dict[str, set[tuple[int, int, int]]]
ALLOWED: Shapes = {
    "f16": {(16, 8, 8), (16, 8, 16)},
    "bf16": {(16, 8, 8), (16, 8, 16)},
    "tf32": {(16, 8, 4), (16, 8, 8)},
    "fp8": {(16, 8, 32), (16, 8, 16)},
    "int8": {(8, 8, 16), (16, 8, 16), (16, 8, 32)},
    "int4": {(8, 8, 32), (16, 8, 32), (16, 8, 64)},
    "bit": {(8, 8, 128), (16, 8, 128), (16, 8, 256)},
    "f64": {(8, 8, 4), (16, 8, 4), (16, 8, 8), (16, 8, 16)},
}
"""Shapes of ``mma.sync`` by family; ``m8n8k4`` of f16 is in ``ops_quads``."""


@dataclass(frozen=True, slots=True)
class MmaForm:
    """Shape and types of one mma; ``operation`` is ``xor`` or ``and`` for single bits, ``rounding`` is for f64."""

    m: int
    n: int
    k: int
    result: str
    left: str
    right: str
    accumulator: str
    saturate: bool
    operation: str = ""
    rounding: str = "rn"
    sparse: bool = False

    def registers(self, kind: str, rows: int) -> int:
        """Registers per lane of a (rows, k) multiplicand."""
        return rows * self.k * BITS[kind] // (WARP * max(32, BITS[kind]))

    @property
    def counts(self) -> tuple[int, int, int]:
        """Registers per lane of A (half of them when it is sparse), B and C."""
        left = self.registers(self.left, self.m) // (2 if self.sparse else 1)
        return left, self.registers(self.right, 8), self.m // 8 * (1 if self.accumulator == "f16" else 2)


def mma(context: Context, instruction: Instruction) -> Action:
    """``mma.sync`` of dense matrices (PTX ISA, "mma")."""
    m = Modifiers(instruction)
    form = read_form(m, ALLOWED)
    items = operands(instruction, 4)
    word = TYPES["b64"] if form.left == "f64" else B32
    halves, counts = form.m // 8, form.counts
    groups = [elements(item) for item in items]
    expected = (halves * (1 if form.result == "f16" else 2), *counts)
    if tuple(len(group) for group in groups) != expected:
        raise m.fault(f"operands must have {expected} registers")
    inputs = tuple(source(context, instruction, item, word) for group in groups[1:] for item in group)
    results = tuple(destination(instruction, item, word) for item in groups[0])
    function = partial(_mma, form, counts)
    return Action(instruction, function, inputs, results, Order.PURE, effect=True, converge=WARP)


def read_form(m: Modifiers, allowed: Shapes) -> MmaForm:
    """Shape, types and options of an ``mma`` or ``mma.sp``, all of whose modifiers are taken.

    Raises:
        UnsupportedInstruction: when the combination does not exist.
    """
    saturate, operation = m.flag("satfinite"), ""
    if m.flag("popc"):
        operation = m.need("xor", "and")
    kinds = [m.left.pop() for _ in range(4)][::-1]
    if not m.flag("sync") or not m.flag("aligned"):
        raise m.fault("needs .sync.aligned")
    shape = next((SHAPE.match(piece) for piece in m.left if SHAPE.match(piece)), None)
    if shape is None:
        raise m.fault("no shape")
    m.left.remove(shape.group())
    m.need("row")
    m.need("col")
    result, left, right, accumulator = kinds
    family = FAMILY.get(left, "")
    rounding = m.choice("rn", "rz", "rm", "rp") if family == "f64" else None
    m.flag("kind::f8f6f4")
    m.finish()
    size = (int(shape[1]), int(shape[2]), int(shape[3]))
    if family != FAMILY.get(right) or size not in allowed.get(family, ()):
        raise m.fault("this shape does not exist for these types")
    outputs = RESULTS.get(family, ("s32",))
    if result not in outputs or accumulator != result:
        raise m.fault("these types do not go together")
    if (family == "bit") != bool(operation) or (saturate and family not in ("int8", "int4")):
        raise m.fault("this option does not go with these types")
    return MmaForm(*size, result, left, right, accumulator, saturate, operation, rounding or "rn")


def _fragments(registers: tuple[Array, ...], site: Site, lanes: int, bits: int) -> Array:
    """Registers as (register, instruction, warp, g, c, element) of ``bits``-wide elements."""
    shape = (site.count, lanes)
    stacked = np.empty((len(registers), *shape), np.uint64 if bits == 64 else np.uint32)
    for index, register in enumerate(registers):
        stacked[index] = register
    return split_elements(stacked, bits).reshape(len(registers), site.count, lanes // WARP, 8, 4, -1)


def split_elements(words: Array, bits: int) -> Array:
    """Contiguous words as their elements of some width, low ones first, along the last axis."""
    if bits >= 64:
        return words
    if bits >= 8:
        return words.view(f"u{bits // 8}")
    octets = words.view(np.uint8)
    parts = [(octets >> np.uint8(shift)) & np.uint8((1 << bits) - 1) for shift in range(0, 8, bits)]
    return np.stack(parts, axis=-1).reshape(*octets.shape[:-1], -1)


def _left(fragments: Array, m: int) -> Array:
    """(instruction, warp, m, k): register r holds row half r % halves, k chunk r // halves."""
    halves = m // 8
    count, instructions, warps = fragments.shape[:3]
    split = fragments.reshape(count // halves, halves, instructions, warps, 8, 4, -1)
    return split.transpose(2, 3, 1, 4, 0, 5, 6).reshape(instructions, warps, m, -1)


def _right(fragments: Array) -> Array:
    """(instruction, warp, k, 8): register r holds k chunk r, column g."""
    instructions, warps = fragments.shape[1:3]
    return fragments.transpose(1, 2, 0, 4, 5, 3).reshape(instructions, warps, -1, 8)


def left_matrix(registers: tuple[Array, ...], site: Site, lanes: int, kind: str, m: int) -> Array:
    """(instruction, warp, m, k) of the raw elements of A."""
    return _left(_fragments(registers, site, lanes, BITS[kind]), m)


def right_matrix(registers: tuple[Array, ...], site: Site, lanes: int, kind: str) -> Array:
    """(instruction, warp, k, 8) of the raw elements of B."""
    return _right(_fragments(registers, site, lanes, BITS[kind]))


def accumulator(registers: tuple[Array, ...], form: MmaForm, site: Site, lanes: int) -> Array:
    """(instruction, warp, m, 8) of the accumulator's values (floats or int32 bits)."""
    halves = form.m // 8
    bits = {"f16": 16, "f64": 64}.get(form.accumulator, 32)
    fragments = _fragments(registers, site, lanes, bits)
    instructions, warps = fragments.shape[1:3]
    split = fragments.reshape(halves, -1, instructions, warps, 8, 4, 2 if bits == 16 else 1)
    matrix = split.transpose(2, 3, 0, 4, 5, 1, 6).reshape(instructions, warps, form.m, 8)
    matrix = np.ascontiguousarray(matrix)
    if bits == 16:
        return formats.decode(matrix, "f16")
    return matrix.view({"f32": np.float32, "s32": np.int32, "f64": np.float64}[form.accumulator])


def _mma(
    form: MmaForm, counts: tuple[int, int, int], machine: Machine, site: Site, mask: Mask, *registers: Array
) -> Any:
    first, second = counts[0], counts[0] + counts[1]
    left = left_matrix(registers[:first], site, machine.lanes, form.left, form.m)
    right = right_matrix(registers[first:second], site, machine.lanes, form.right)
    c = accumulator(registers[second:], form, site, machine.lanes)
    if form.operation:
        result = bit_product(left, right, c, form.operation)
    elif form.rounding != "rn":
        result = rounded_product(left, right, c, form.rounding)
    else:
        result = product(left, right, c, form.left, form.right, form.result, form.saturate, machine.options.tc)
    return scatter(result, form, site, machine.lanes)


def product(
    left: Array, right: Array, c: Array, left_kind: str, right_kind: str, result: str, saturate: bool, model: str
) -> Array:
    """Raw multiplicands times each other plus c; returns float32, float16 bits, int32 or float64."""
    if left_kind in INTEGERS:
        a, b = _integers(left, left_kind), _integers(right, right_kind)
        total = (np.matmul(a, b) + c).astype(np.int64)
        total = np.clip(total, -(2**31), 2**31 - 1) if saturate else total
        return np.asarray(total.astype(np.int32))
    if left_kind == "f64":
        return np.asarray(np.matmul(left.view(np.float64), right.view(np.float64)) + c)
    a, b = (formats.decode(x, kind) for x, kind in ((left, left_kind), (right, right_kind)))
    single = multiply_accumulate(a.astype(np.float64), b.astype(np.float64), c, left_kind, model)
    return formats.encode(single, "f16") if result == "f16" else single


def _integers(raw: Array, kind: str) -> Array:
    """Raw 4- or 8-bit elements as exact float64 values."""
    if BITS[kind] == 8:
        return np.ascontiguousarray(raw).view(TYPES[kind].dtype).astype(np.float64)
    return np.where(raw >= 8, raw - 16.0, raw) if kind == "s4" else raw.astype(np.float64)


def bit_product(left: Array, right: Array, c: Array, operation: str) -> Array:
    """Counts of ones in the ``xor`` or ``and`` of rows and columns of single bits, plus c, wrapped to int32."""
    a, b = left.astype(np.float64), right.astype(np.float64)
    both = np.matmul(a, b)
    if operation == "xor":
        both = a.sum(-1)[..., :, None] + b.sum(-2)[..., None, :] - 2 * both
    return np.asarray((both + c).astype(np.int64).astype(np.int32))


def rounded_product(left: Array, right: Array, c: Array, mode: str) -> Array:
    """A float64 product as a chain of fused multiply-adds along k with directed rounding (the order is assumed)."""
    step = fp.exact_double(lambda x, y, z: x * y + z, mode)
    a, b = left.view(np.float64), right.view(np.float64)
    total = c
    for k in range(a.shape[-1]):
        total = step(*np.broadcast_arrays(a[..., :, k, None], b[..., None, k, :], total))
    return total


def scatter(matrix: Array, form: MmaForm, site: Site, lanes: int) -> tuple[Array, ...]:
    """The result as registers: (g, 2c), (g, 2c+1), then the same eight rows below."""
    halves, shape = form.m // 8, (site.count, lanes)
    split = matrix.reshape(site.count, lanes // WARP, halves, 8, 4, 2)
    if form.result == "f16":
        packed = np.ascontiguousarray(split).view(np.uint32)[..., 0]
        return tuple(packed[:, :, half].reshape(shape) for half in range(halves))
    bits = split.view(np.uint64 if form.result == "f64" else np.uint32)
    return tuple(bits[:, :, half, :, :, e].reshape(shape) for half in range(halves) for e in range(2))


def _matrix_modifiers(m: Modifiers) -> tuple[int, bool]:
    m.need("sync")
    m.need("aligned")
    m.need("m8n8")
    count = int(m.need("x1", "x2", "x4")[1:])
    transposed = m.flag("trans")
    m.flag("shared", "shared::cta")
    m.need("b16")
    m.finish()
    return count, transposed


def ldmatrix(context: Context, instruction: Instruction) -> Action:
    """Rows of 8x8 matrices of 16-bit elements from shared memory, spread over the warp (PTX ISA, "ldmatrix")."""
    m = Modifiers(instruction)
    count, transposed = _matrix_modifiers(m)
    items = operands(instruction, 2)
    (base, offset), _ = address(context, instruction, items[1])
    results = tuple(destination(instruction, item, B32) for item in elements(items[0]))
    if len(results) != count:
        raise m.fault("the register list does not match .x")
    return Action(
        instruction,
        partial(_ldmatrix, count, transposed, _space(instruction)),
        (base, offset),
        results,
        Order.LOAD,
        effect=True,
        converge=WARP,
    )


def _space(instruction: Instruction) -> str:
    return "shared" if any(part.startswith("shared") for part in instruction.parts) else "generic"


def _address_lanes(machine: Machine, mask: Mask, count: int) -> Array:
    lane = np.arange(machine.lanes) % WARP < 8 * count
    return lane if mask is True else np.asarray(lane & mask)


def _ldmatrix(
    count: int, transposed: bool, space: str, machine: Machine, site: Site, mask: Mask, base: Array, offset: Array
) -> Any:
    lanes = _address_lanes(machine, mask, count)
    low, high = machine.memory.load(site, lanes, space, base, offset, 8, 2)
    rows = np.stack([low, high], axis=-1).reshape(site.count, -1, WARP, 2)[:, :, : 8 * count]
    matrices = np.ascontiguousarray(rows).reshape(site.count, -1, count, 8, 2)
    if transposed:
        halves = matrices.view(np.uint16).reshape(*matrices.shape[:3], 8, 8)
        matrices = np.ascontiguousarray(halves.swapaxes(-1, -2))
    words = matrices.view(np.uint32).reshape(site.count, -1, count, WARP)
    parts = tuple(words[:, :, i].reshape(site.count, machine.lanes) for i in range(count))
    return parts if count > 1 else parts[0]


def stmatrix(context: Context, instruction: Instruction) -> Action:
    """The reverse of ``ldmatrix`` (PTX ISA, "stmatrix")."""
    m = Modifiers(instruction)
    count, transposed = _matrix_modifiers(m)
    items = operands(instruction, 2)
    (base, offset), _ = address(context, instruction, items[0])
    values = tuple(source(context, instruction, item, B32) for item in elements(items[1]))
    if len(values) != count:
        raise m.fault("the register list does not match .x")
    return Action(
        instruction,
        partial(_stmatrix, count, transposed, _space(instruction)),
        (base, offset, *values),
        (),
        Order.STORE,
        effect=True,
        converge=WARP,
    )


def _stmatrix(
    count: int,
    transposed: bool,
    space: str,
    machine: Machine,
    site: Site,
    mask: Mask,
    base: Array,
    offset: Array,
    *values: Array,
) -> None:
    shape = (site.count, machine.lanes)
    words = np.empty((site.count, machine.warps, count, WARP), np.uint32)
    for index, value in enumerate(values):
        words[:, :, index] = np.broadcast_to(value, shape).reshape(site.count, -1, WARP)
    halves = words.view(np.uint16).reshape(site.count, -1, count, 8, 8)
    if transposed:
        halves = np.ascontiguousarray(halves.swapaxes(-1, -2))
    rows = halves.view(np.uint64).reshape(site.count, -1, count * 8, 2)
    padded = np.zeros((site.count, machine.warps, WARP, 2), np.uint64)
    padded[:, :, : 8 * count] = rows
    flat = padded.reshape(site.count, machine.lanes, 2)
    machine.memory.store(
        site, _address_lanes(machine, mask, count), space, base, offset, [flat[..., 0], flat[..., 1]], 8
    )


def movmatrix(context: Context, instruction: Instruction) -> Action:
    """Transpose an 8x8 matrix of 16-bit elements that lies across a warp (PTX ISA, "movmatrix")."""
    m = Modifiers(instruction)
    for piece in ("sync", "aligned", "m8n8", "trans", "b16"):
        m.need(piece)
    m.finish()
    items = operands(instruction, 2)
    return Action(
        instruction,
        _movmatrix,
        (source(context, instruction, items[1], B32),),
        (destination(instruction, items[0], B32),),
        Order.PURE,
        effect=True,
        converge=WARP,
    )


def _movmatrix(machine: Machine, site: Site, mask: Mask, value: Array) -> Array:
    shape = (site.count, machine.lanes)
    words = np.ascontiguousarray(np.broadcast_to(value, shape))
    halves = words.view(np.uint16).reshape(site.count, -1, 8, 8)
    return np.ascontiguousarray(halves.swapaxes(-1, -2)).view(np.uint32).reshape(shape)


TABLE: dict[str, Decoder] = {"mma": mma, "ldmatrix": ldmatrix, "stmatrix": stmatrix, "movmatrix": movmatrix}
